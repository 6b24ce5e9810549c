# SPDX-License-Identifier: Apache-2.0
"""Which poses of a recording the filter refused, for pictures."""

from __future__ import annotations

from array import array

import numpy as np

from l2a_ros.estimation.motion_filter import MotionFilter
from l2a_ros.robot.samples import PoseSample

#: The filter is asked so often, ns of stamps, or after so many poses: its history must still hold the first of them.
BATCH, MOST_POSES = 250_000_000, 200


class RefusedPoses:
    """Keeps stamps and places of refused poses.

    Args:
        motion: the filter that gets the poses.
    """

    def __init__(self, motion: MotionFilter) -> None:
        self._motion = motion
        self._batch: list[PoseSample] = []
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
        refusals = self._motion.refusals()
        for pose in batch:
            if pose.stamp in refusals and np.all(np.isfinite(pose.position)):
                self._stamps.append(pose.stamp)
                self._places.extend(pose.position.tolist())
