# SPDX-License-Identifier: Apache-2.0
"""What the motors may be asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError

REVOLUTION = 2.0 * math.pi


@dataclass(frozen=True)
class LegRateLimits:
    """Admissible crank rates: exactly 0 (stand), or between ``minimum`` and ``maximum``.

    Args:
        minimum: slowest commanded rate, rad/s (below it the position loop of the firmware stutters).
        maximum: fastest commanded rate, rad/s.

    Source: the published robot's "slow" mode, 2 to 9 leg revolutions per second.
    """

    minimum: float = 2.0 * REVOLUTION
    maximum: float = 9.0 * REVOLUTION

    def __post_init__(self) -> None:
        if not 0.0 <= self.minimum < self.maximum or not math.isfinite(self.maximum):
            raise UserError("the slowest leg rate must be at least 0 and below the fastest, both finite; "
                            f"not {self.minimum:g} and {self.maximum:g} rad/s")

    def admits(self, command: np.ndarray) -> bool:
        """Tell whether a command of shape ``(2,)`` in rad/s is finite and in range, or a stand."""
        if command.shape != (2,) or not np.all(np.isfinite(command)):
            return False
        if not np.any(command):
            return True
        return bool(np.all(command >= self.minimum) and np.all(command <= self.maximum))


STAND = np.zeros(2)
STAND.setflags(write=False)
