# SPDX-License-Identifier: Apache-2.0
"""Names, order and units of the millirobot's state and action vectors.

The 24-element state is the one of Nagabandi, Clavera et al. (ICLR 2019), section 6.2, in SI units. This module and
:mod:`l2a_ros.robot.frames` are the only places that know which index an element has; everybody else asks by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from l2a_ros.errors import UserError


@dataclass(frozen=True)
class Layout:
    """An ordered set of named vector elements with SI units.

    Args:
        name: what the vector is, used in error messages.
        elements: ``(element name, unit)`` in vector order.
    """

    name: str
    elements: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Element names in vector order."""
        return tuple(name for name, _ in self.elements)

    @property
    def size(self) -> int:
        """Number of elements."""
        return len(self.elements)

    @property
    def id(self) -> str:
        """Short fingerprint of names, order and units; equal ids mean interchangeable vectors."""
        text = ",".join(f"{name}[{unit}]" for name, unit in self.elements)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def index(self, name: str) -> int:
        """Return the index of an element.

        Raises:
            KeyError: if the layout has no such element.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(f"{self.name} has no element '{name}'") from None

    def indices(self, names: Sequence[str]) -> list[int]:
        """Return the indices of several elements, in the order asked for."""
        return [self.index(name) for name in names]

    def check_names(self, names: Sequence[str], source: str) -> None:
        """Refuse a vector whose names or order differ from this layout.

        Raises:
            UserError: naming the missing and the unexpected elements.
        """
        if tuple(names) == self.names:
            return
        missing = [name for name in self.names if name not in names]
        unexpected = [name for name in names if name not in self.names]
        parts = []
        if missing:
            parts.append(f"missing {', '.join(missing)}")
        if unexpected:
            parts.append(f"unexpected {', '.join(unexpected)}")
        if not parts:
            parts.append("same elements in another order or repeated")
        raise UserError(f"{source} does not match the robot's {self.name} layout: {'; '.join(parts)}")

    def vector(self, values: dict[str, float]) -> np.ndarray:
        """Build a float64 vector of shape ``(size,)`` from named values; every element must be given."""
        self.check_names([name for name in self.names if name in values] + [n for n in values if n not in self.names],
                         "the given values")
        return np.array([values[name] for name in self.names], dtype=np.float64)

    def named(self, vector: np.ndarray) -> dict[str, float]:
        """Return the elements of a vector of shape ``(size,)`` by name."""
        return {name: float(value) for name, value in zip(self.names, vector, strict=True)}


def _axes(prefix: str, unit: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"{prefix}_{axis}", unit) for axis in "xyz")


def _angle(name: str) -> tuple[tuple[str, str], ...]:
    return ((f"{name}_cos", "1"), (f"{name}_sin", "1"))


#: The state: position and velocity in ``map``, attitude as cosine and sine of roll, pitch and yaw (z-y-x, REP-103),
#: angular velocity in ``base_link``, crank angles and rates, back-EMF and battery voltages.
STATE = Layout("state", (
    *_axes("position", "m"),
    *_axes("velocity", "m/s"),
    *_angle("roll"), *_angle("pitch"), *_angle("yaw"),
    *_axes("angular_velocity", "rad/s"),
    *_angle("left_leg"), *_angle("right_leg"),
    ("left_leg_velocity", "rad/s"), ("right_leg_velocity", "rad/s"),
    ("left_back_emf", "V"), ("right_back_emf", "V"),
    ("battery_voltage", "V"),
))

#: The action: set-point of each side's crank rate.
ACTION = Layout("action", (("left_leg", "rad/s"), ("right_leg", "rad/s")))

#: The two motors, left first. Joint names in URDF, ``joint_states`` and ``motor_commands``.
SIDES = ("left", "right")
MOTOR_JOINTS = ACTION.names

#: The six legs; the first word is the position along the body.
LEGS = tuple(f"{place}_{side}" for side in SIDES for place in ("front", "middle", "hind"))

#: ``motor_telemetry``: back-EMF in volts, duty as a fraction of full (-1 to 1).
MOTOR_TELEMETRY = Layout("motor telemetry", (
    ("left_back_emf", "V"), ("right_back_emf", "V"), ("left_duty", "1"), ("right_duty", "1")))

#: State elements that say where the robot is and which way it looks, which does not change how it moves. Height is one
#: of them: motion capture gives it above the room's floor, not above the ground under the feet, and a model that has
#: seen one floor height predicts nonsense on a slope (docs/results.md).
_PLACE = ("position_x", "position_y", "position_z")
_LOOK = ("yaw_cos", "yaw_sin")

#: State elements the dynamics network sees in the heading frame: there position and yaw are constant.
INPUT_STATE_NAMES = tuple(name for name in STATE.names if name not in (*_PLACE, *_LOOK))

#: The same in ``map``, as published: only the position in the plane is left out.
MAP_INPUT_STATE_NAMES = tuple(name for name in STATE.names if name not in _PLACE[:2])

#: What goes into the dynamics network (heading frame) and what comes out, elements.
INPUT_SIZE = len(INPUT_STATE_NAMES) + ACTION.size
OUTPUT_SIZE = STATE.size


class Frame(StrEnum):
    """Where a dynamics model sees the state: turned with the robot, or in ``map`` as published."""

    HEADING = "heading"
    MAP = "map"


def input_size(frame: Frame) -> int:
    """Return how many numbers a model that sees the state in this frame takes."""
    return INPUT_SIZE if frame is Frame.HEADING else len(MAP_INPUT_STATE_NAMES) + ACTION.size
