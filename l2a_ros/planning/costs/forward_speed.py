# SPDX-License-Identifier: Apache-2.0
"""Forward speed, against the wanted one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.planning.costs.term import Term, setting, weight_setting
from l2a_ros.planning.costs.trajectories import Trajectories


@dataclass(frozen=True)
class ForwardSpeed(Term):
    """Distance of the speed along the robot's heading from a wanted one, m/s.

    Args:
        target: the wanted speed, m/s.
    """

    name = "forward_speed"
    weight: float = weight_setting(0.0, "per m/s off the wanted forward speed")
    target: float = setting(0.3, "wanted forward speed, m/s", -5.0, 5.0)

    def measure(self, trajectories: Trajectories) -> np.ndarray:
        """Return m/s, ``(h, n)``."""
        speed: np.ndarray = trajectories.state("velocity_x") * trajectories.state("yaw_cos")
        speed += trajectories.state("velocity_y") * trajectories.state("yaw_sin")
        speed -= self.target
        np.abs(speed, out=speed)
        return speed
