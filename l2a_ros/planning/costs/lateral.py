# SPDX-License-Identifier: Apache-2.0
"""Distance to the path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.planning.costs.term import Term, weight_setting
from l2a_ros.planning.costs.trajectories import Trajectories


@dataclass(frozen=True)
class Lateral(Term):
    """Distance to the segment of the path that the robot is on, m (published, weight 50)."""

    name = "lateral"
    weight: float = weight_setting(50.0, "per metre beside the path")

    def measure(self, trajectories: Trajectories) -> np.ndarray:
        """Return metres, ``(h, n)``."""
        distance: np.ndarray = np.sqrt(trajectories.tracks.squared_distance)
        return distance
