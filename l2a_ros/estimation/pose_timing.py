# SPDX-License-Identifier: Apache-2.0
"""When a pose was taken: its stamp less the latency of motion capture, given or found out under way."""

from __future__ import annotations

from l2a_ros.estimation.inertial import Reading
from l2a_ros.estimation.pose_checks import Pose
from l2a_ros.estimation.settings import FilterSettings

_SECOND = 1_000_000_000


class PoseTiming:
    """Knows the latency.

    Args:
        settings: of the filter.
    """

    def __init__(self, settings: FilterSettings) -> None:
        self._settings = settings
        #: ns.
        self.latency = round(max(0.0, settings.mocap_latency) * _SECOND)
        #: s.
        self.spread = settings.mocap_jitter if settings.mocap_latency >= 0.0 else settings.mocap_latency_spread

    def add_reading(self, reading: Reading) -> None:
        """Take a reading."""

    def of_pose(self, pose: Pose) -> tuple[int, float]:
        """Take a pose, and return its latency (ns) and how sure that is (s)."""
        return self.latency, self.spread
