# SPDX-License-Identifier: Apache-2.0
"""Size of the command."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.planning.costs.term import Term, weight_setting
from l2a_ros.planning.costs.trajectories import Trajectories, root_mean_square
from l2a_ros.robot.limits import LegRateLimits


@dataclass(frozen=True)
class Effort(Term):
    """Root mean square over the legs of the rate, over the fastest rate: 1 with both legs at their fastest.

    Args:
        fastest: rate, rad/s.
    """

    name = "effort"
    weight: float = weight_setting(0.0, "per step with both legs at the fastest rate")
    fastest: float = LegRateLimits().maximum

    def measure(self, trajectories: Trajectories) -> np.ndarray:
        """Return a number without unit, ``(h, n)``."""
        return root_mean_square(trajectories.rates, self.fastest)
