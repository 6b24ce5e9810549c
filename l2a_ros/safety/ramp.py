# SPDX-License-Identifier: Apache-2.0
"""Limits how fast the legs gain speed."""

from __future__ import annotations

import math

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.robot.limits import STAND
from l2a_ros.safety.times import SECOND


class RateRamp:
    """Follows rates: up no faster than an acceleration, down at once.

    Each leg has its own ramp. One that starts from standing begins at the slowest admissible rate, because below it the
    position loop of the firmware stutters: what comes out is either a stand or admissible, as what goes in. So the step
    from standing to the slowest rate is not limited, and only to it.

    Args:
        acceleration: rad/s^2; 0 for no limit.
        slowest: admissible rate, rad/s.
        longest_gap: ns between two calls after which the ramp starts from standing again: the motors were not told
            anything for so long that they stand, or the clock was set.

    Raises:
        UserError: if the acceleration is negative or not finite.
    """

    def __init__(self, acceleration: float, slowest: float, longest_gap: int) -> None:
        if not (math.isfinite(acceleration) and acceleration >= 0.0):
            raise UserError("the fastest leg acceleration must be finite and at least 0 rad/s^2 (0 for no limit), "
                            f"not {acceleration:g} rad/s^2")
        self._acceleration, self._slowest, self._longest_gap = acceleration, slowest, longest_gap
        self.reset()

    def reset(self) -> None:
        """Start from standing."""
        self._rates = STAND
        self._at: int | None = None
        #: Whether the rates that came out last were below those asked for.
        self.is_limiting = False

    def follow(self, target: np.ndarray, now: int) -> np.ndarray:
        """Return the rates for this moment, shape ``(2,)`` rad/s, on the way to admissible ones."""
        if self._acceleration == 0.0:
            return target
        elapsed = 0 if self._at is None else now - self._at
        self._at = now
        if abs(elapsed) > self._longest_gap:
            self._rates, elapsed = STAND, 0
        gain = self._acceleration * max(elapsed, 0) / SECOND
        reachable = np.where(self._rates < self._slowest, self._slowest, self._rates + gain)
        self._rates = np.minimum(target, reachable)
        self._rates.setflags(write=False)
        self.is_limiting = bool(np.any(self._rates < target))
        return self._rates
