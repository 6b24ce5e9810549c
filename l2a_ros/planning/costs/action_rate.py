# SPDX-License-Identifier: Apache-2.0
"""Change of the command from step to step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.planning.costs.term import Term, weight_setting
from l2a_ros.planning.costs.trajectories import Trajectories, root_mean_square
from l2a_ros.robot.limits import LegRateLimits


@dataclass(frozen=True)
class ActionRate(Term):
    """Root mean square over the legs of the change of the rate since the step before, over the fastest rate.

    The first step changes the command that was in force before the plan.

    Args:
        fastest: rate, rad/s.
    """

    name = "action_rate"
    weight: float = weight_setting(0.0, "per change of both leg rates by the fastest rate")
    fastest: float = LegRateLimits().maximum

    def measure(self, trajectories: Trajectories) -> np.ndarray:
        """Return a number without unit, ``(h, n)``."""
        rates = trajectories.rates
        change = np.empty_like(rates)
        np.subtract(rates[:, 0], trajectories.previous_action[:, np.newaxis], out=change[:, 0])
        np.subtract(rates[:, 1:], rates[:, :-1], out=change[:, 1:])
        return root_mean_square(change, self.fastest)
