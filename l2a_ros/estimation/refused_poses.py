# SPDX-License-Identifier: Apache-2.0
"""Which poses the filter refused, for pictures: it counts them, but does not say which ones they were."""

from __future__ import annotations

import math
from array import array

import numpy as np

from l2a_ros.estimation.motion_filter import MotionFilter
from l2a_ros.robot.samples import PoseSample

#: The counts are looked at so often, ns of stamps, or after so many poses: it costs more than taking a pose, and the
#: filter's history must still hold the first pose then.
BATCH, MOST_POSES = 250_000_000, 200
#: Metres that an error of attitude of one radian counts for.
PER_RADIAN = 0.1
COUNTS, LATENCY = "poses refused", "mocap latency (s)"


class RefusedPoses:
    """Keeps stamps and places of refused poses: of so many in a batch those that are farthest from the estimate.

    Args:
        motion: the filter that gets the poses.
    """

    def __init__(self, motion: MotionFilter) -> None:
        self._motion = motion
        self._batch: list[PoseSample] = []
        self._count = 0.0
        self._stamps, self._places = array("q"), array("d")

    def add(self, pose: PoseSample) -> None:
        """Take notice of a pose that the filter was just given."""
        batch = self._batch
        batch.append(pose)
        if abs(pose.stamp - batch[0].stamp) >= BATCH or len(batch) >= MOST_POSES:
            self._look()

    def found(self) -> np.ndarray:
        """Return the stamps (ns) and positions (m) of refused poses that have one ``(n, 4)``."""
        self._look()
        return np.column_stack([np.array(self._stamps, dtype=float), np.array(self._places).reshape(-1, 3)])

    def _look(self) -> None:
        batch, self._batch = self._batch, []
        figures = self._motion.report()
        before, self._count = self._count, sum(each for name, each in figures.items() if name.startswith(COUNTS))
        refused = min(len(batch), round(self._count - before))
        if refused <= 0:
            return
        if refused < len(batch):
            latency = round(1e9 * figures.get(LATENCY, 0.0))
            batch.sort(key=lambda pose: self._distance(pose, latency), reverse=True)
        for pose in sorted(batch[:refused], key=lambda pose: pose.stamp):
            if np.all(np.isfinite(pose.position)):
                self._stamps.append(pose.stamp)
                self._places.extend(pose.position.tolist())

    def _distance(self, pose: PoseSample, latency: int) -> float:
        estimate = self._motion.estimate(pose.stamp - latency)
        if estimate is None:
            return 0.0  # it may have been the first one that was used
        cosine = abs(float(pose.quaternion @ estimate.quaternion))
        if not math.isfinite(cosine):
            return math.inf
        distance = math.dist(pose.position, estimate.position) + PER_RADIAN * 2.0 * math.acos(min(1.0, cosine))
        return distance if math.isfinite(distance) else math.inf
