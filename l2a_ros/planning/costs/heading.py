# SPDX-License-Identifier: Apache-2.0
"""Where the robot looks, against where the path goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.planning.costs.term import Term, weight_setting
from l2a_ros.planning.costs.trajectories import Trajectories


@dataclass(frozen=True)
class Heading(Term):
    """Angle between yaw and the direction of the segment, rad, 0 to pi (published, weight 5)."""

    name = "heading"
    weight: float = weight_setting(5.0, "per rad of heading error")

    def measure(self, trajectories: Trajectories) -> np.ndarray:
        """Return rad, ``(h, n)``."""
        angle = trajectories.path.heading_error(trajectories.tracks.segment, trajectories.state("yaw_cos"),
                                                trajectories.state("yaw_sin"))
        np.abs(angle, out=angle)
        return angle
