# SPDX-License-Identifier: Apache-2.0
"""What every term of the cost is: a number per step, raised to a power and weighted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, cast

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.planning.costs.trajectories import Trajectories

MOST_WEIGHT = 1e6
LEAST_POWER, MOST_POWER = 0.1, 10.0


@dataclass(frozen=True)
class Setting:
    """A number that users may set.

    Args:
        description: what it is, with the unit.
        low: smallest admissible value.
        high: largest.
    """

    description: str
    low: float
    high: float


def setting(default: float, description: str, low: float, high: float) -> Any:
    """Return the field of a term that is a setting."""
    return field(default=default, metadata={"setting": Setting(description, low, high)})


def weight_setting(default: float, per: str) -> Any:
    """Return the field ``weight``; ``per`` says what it is the cost of."""
    return setting(default, f"cost {per}; 0 switches the term off", 0.0, MOST_WEIGHT)


@dataclass(frozen=True)
class Term(ABC):
    """One term of the cost, and its settings.

    A term is ``weight * size**power`` per step, summed over the steps; a negative number (a reward) is raised by its
    size and keeps its sign.

    Args:
        weight: factor; a term of weight 0 is not computed.
        power: exponent of the number before it is weighted.

    Raises:
        UserError: for a setting that is not a number of its range.
    """

    name: ClassVar[str]
    weight: float = weight_setting(0.0, "of it")
    power: float = setting(1.0, "exponent of the term before it is weighted", LEAST_POWER, MOST_POWER)

    def __post_init__(self) -> None:
        for name, (_, known) in self.settings().items():
            value = getattr(self, name)
            if (isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value)
                    or not known.low <= value <= known.high):
                raise UserError(f"cost.{self.name}.{name} must be a number from {known.low:g} to {known.high:g}, "
                                f"not {value!r}")

    @classmethod
    def settings(cls) -> dict[str, tuple[float, Setting]]:
        """Return default and meaning of each setting by its name."""
        return {each.name: (cast(float, each.default), cast(Setting, each.metadata["setting"]))
                for each in fields(cls) if "setting" in each.metadata}

    @abstractmethod
    def measure(self, trajectories: Trajectories) -> np.ndarray:
        """Return the term before power and weight, ``(h, n)``; the caller may write into it."""

    def cost(self, trajectories: Trajectories) -> np.ndarray:
        """Return what the term adds to the cost of each trajectory, ``(n,)`` float64."""
        sizes = self.measure(trajectories)
        if self.power != 1.0:
            sizes = np.copysign(np.abs(sizes) ** self.power, sizes)
        total: np.ndarray = np.add.reduce(sizes, axis=0)
        total *= self.weight
        return total
