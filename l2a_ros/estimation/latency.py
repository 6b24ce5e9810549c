# SPDX-License-Identifier: Apache-2.0
"""The latency of motion capture while samples come: searched for now and then, remembered, averaged."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from l2a_ros.estimation.latency_search import FINEST, LatencyEstimate, LatencySettings, estimate_latency, unknown

_SECOND = 1_000_000_000
#: Two estimates that are further apart than so many standard deviations contradict each other.
_CONTRADICTION = 4.0


class LatencyEstimator:
    """Keeps the samples of the last seconds, searches now and then, and remembers what it found.

    The latency is constant: what was known stays known while the robot stands, and searches are averaged. Two searches
    in a row that contradict what was known replace it.

    Samples come in order of their stamps; late, repeated and unreadable ones are left out. What it says depends on the
    samples and on the stamps of the updates alone.

    Args:
        settings: of the search.
    """

    def __init__(self, settings: LatencySettings | None = None) -> None:
        self._settings = settings = settings or LatencySettings()
        self._kept = round((settings.window + settings.latest - settings.earliest) * _SECOND)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._imu_stamps, self._rates = array("q"), array("d")
        self._pose_stamps, self._quaternions = array("q"), array("d")
        self._searched: int | None = None
        self._contradictions = 0
        #: What is known of the latency.
        self.estimate = unknown("no samples yet")
        #: What the last search said.
        self.newest = self.estimate

    def add_imu(self, stamp: int, angular_velocity: Sequence[float]) -> None:
        """Take a reading of the gyroscope: stamp in ns, ``(3,)`` rad/s in ``base_link``."""
        self._add(self._imu_stamps, self._rates, stamp, angular_velocity)

    def add_pose(self, stamp: int, quaternion: Sequence[float]) -> None:
        """Take the attitude of a pose: stamp in ns, ``(4,)`` x y z w."""
        self._add(self._pose_stamps, self._quaternions, stamp, quaternion)

    def _add(self, stamps: array[int], values: array[float], stamp: int, row: Sequence[float]) -> None:
        if stamps and stamp <= stamps[-1] or not all(map(math.isfinite, row)):
            return
        stamps.append(stamp)
        values.extend(row)
        # Not one by one: each time half of them go.
        if stamp - stamps[0] > 2 * self._kept:
            first = bisect_left(stamps, stamp - self._kept)
            width = len(row)
            del stamps[:first], values[:first * width]

    def update(self, stamp: int) -> LatencyEstimate:
        """Search if it is time, and return what is known.

        Args:
            stamp: time of the samples, ns; a search is due in every new period of the settings.
        """
        period = stamp // round(self._settings.period * _SECOND)
        if period != self._searched and self._pose_stamps:
            self._searched = period
            since = self._pose_stamps[-1] - self._kept
            imu, poses = bisect_left(self._imu_stamps, since), bisect_left(self._pose_stamps, since)
            self.newest = estimate_latency(
                np.array(self._imu_stamps[imu:], dtype=np.int64), np.array(self._rates[3 * imu:]).reshape(-1, 3),
                np.array(self._pose_stamps[poses:], dtype=np.int64),
                np.array(self._quaternions[4 * poses:]).reshape(-1, 4), self._settings)
            self._learn(self.newest)
        return self.estimate

    def _learn(self, new: LatencyEstimate) -> None:
        old = self.estimate
        if not new.is_known:
            if not old.is_known:
                self.estimate = new
            return
        variance, new_variance = old.spread**2, new.spread**2
        if old.is_known and (new.latency - old.latency)**2 > _CONTRADICTION**2 * (variance + new_variance):
            self._contradictions += 1
            if self._contradictions < 2:
                return
        elif old.is_known:
            # Windows overlap: each search has so much that the ones before had too.
            new_variance *= max(1.0, self._settings.window / self._settings.period)
            weight = variance / (variance + new_variance)
            latency = old.latency + weight * (new.latency - old.latency)
            new = LatencyEstimate(latency, max(math.sqrt((1.0 - weight) * variance), FINEST), True, "")
        self._contradictions = 0
        self.estimate = new
