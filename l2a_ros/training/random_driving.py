# SPDX-License-Identifier: Apache-2.0
"""Random driving: the policy that gathers the first experience."""

from __future__ import annotations

import numpy as np

from l2a_ros.robot.limits import LegRateLimits


class RandomDriver:
    """Draws both crank rates uniformly within the limits and holds them for a few control periods.

    Holding covers what a planner does (steady turning, steady walking) better than a new draw each period alone.

    Args:
        seed: of the draws.
        limits: admissible rates.
        longest_hold: most periods a draw is held; each hold is drawn uniformly from 1 to this.
    """

    def __init__(self, seed: int, limits: LegRateLimits | None = None, longest_hold: int = 5) -> None:
        self._rng = np.random.default_rng([seed, 2])
        self._limits = limits or LegRateLimits()
        self._longest_hold = longest_hold
        self._left = 0
        self._rates = np.zeros(2)

    def __call__(self) -> np.ndarray:
        """Return the rates for the next control period, shape ``(2,)``, rad/s."""
        if self._left == 0:
            self._left = int(self._rng.integers(1, self._longest_hold + 1))
            self._rates = self._rng.uniform(self._limits.minimum, self._limits.maximum, 2)
        self._left -= 1
        return self._rates.copy()
