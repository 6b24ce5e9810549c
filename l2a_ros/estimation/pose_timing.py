# SPDX-License-Identifier: Apache-2.0
"""When a pose was taken: its stamp less the latency of motion capture, given or found out under way.

What is found out in one second counts for the poses of the next. Samples that are late by less than ``DELAY`` are
waited for, so that the latency too is a function of the samples and not of the order in which they arrived.
"""

from __future__ import annotations

from l2a_ros.estimation.inertial import Reading
from l2a_ros.estimation.latency import LatencyEstimator
from l2a_ros.estimation.latency_search import LatencySettings
from l2a_ros.estimation.pose_checks import Pose
from l2a_ros.estimation.settings import FilterSettings

_SECOND = 1_000_000_000
#: Time between two searches, and how late samples may be for one, ns.
PERIOD, DELAY = _SECOND, _SECOND // 5
#: A latency that is no larger, s, or that cannot be told from none, is none: poses would wait for readings in vain.
NONE = 5e-4


class PoseTiming:
    """Knows the latency.

    Args:
        settings: of the filter.
    """

    def __init__(self, settings: FilterSettings) -> None:
        self._jitter = settings.mocap_jitter
        self._is_given = settings.mocap_latency >= 0.0
        #: ns.
        self.latency = round(max(0.0, settings.mocap_latency) * _SECOND)
        #: s.
        self.spread = settings.mocap_jitter if self._is_given else settings.mocap_latency_spread
        #: Why it is not known; empty if it is.
        self.reason = "" if self._is_given else "the robot has not moved yet"
        self._estimator = LatencyEstimator(LatencySettings(imu_averaging=settings.imu_averaging))
        self._readings: list[Reading] = []
        self._poses: list[Pose] = []
        self._next: int | None = None

    def add_reading(self, reading: Reading) -> None:
        """Take a reading."""
        if not self._is_given:
            self._readings.append(reading)

    def of_pose(self, pose: Pose) -> tuple[int, float]:
        """Take a pose, and return its latency (ns) and how sure that is (s)."""
        if not self._is_given:
            if self._next is None:
                self._next = (pose.stamp // PERIOD + 1) * PERIOD
            if pose.stamp >= self._next + DELAY:
                self._search(pose.stamp - (pose.stamp - DELAY) % PERIOD - DELAY)
            self._poses.append(pose)
        return self.latency, self.spread

    def _search(self, until: int) -> None:
        """Look at the samples up to a moment, ns."""
        self._next = until + PERIOD
        for reading in sorted(self._readings):
            if reading.stamp <= until:
                self._estimator.add_imu(reading.stamp, reading.values[:3])
        for pose in sorted(self._poses):
            if pose.stamp <= until:
                self._estimator.add_pose(pose.stamp, pose.quaternion)
        self._readings = [each for each in self._readings if each.stamp > until]
        self._poses = [each for each in self._poses if each.stamp > until]
        found = self._estimator.update(until)
        self.reason = found.reason
        if found.is_known:
            is_none = abs(found.latency) <= max(NONE, 3.0 * found.spread)
            self.latency = 0 if is_none else round(found.latency * _SECOND)
            self.spread = max(found.spread, self._jitter)
