# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with motion capture between the true pose and the published sample.

The outliers are those that recordings of the real robot hold: jumps, another body's pose, a frozen sample, all zeros.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.robot.samples import PoseSample
from l2a_ros.simulation.fault_schedule import FaultSchedule

#: Stream of the seed from which outliers are drawn.
_STREAM = 10
#: Size of a jump, m, and heights at which another body was taken for the robot, m: as recorded.
JUMPS = (0.33, 0.48)
WRONG_HEIGHTS = (0.86, 1.3)
#: An outlier lasts up to so many samples (assumed).
LONGEST_OUTLIER = 20
#: The other body stands within this distance of the origin along x and y, m (assumed).
_ROOM = 1.5
_STILL = PoseSample(0, np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))


class MocapFaults:
    """Passes poses on as the faults that act leave them.

    Args:
        faults: of the robot.
        seed: of the outliers.
        period_ms: time between two poses, ms.
    """

    def __init__(self, faults: FaultSchedule, seed: int, period_ms: int) -> None:
        self._faults, self._seed, self._period = faults, seed, period_ms / 1000.0
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self._rng = np.random.default_rng([self._seed, _STREAM])
        self._under_way: deque[tuple[int, PoseSample]] = deque()
        self._latency = 0
        self._outlier, self._left = "", 0
        self._last, self._replacement, self._jump = _STILL, _STILL, np.zeros(3)

    @property
    def has_waiting(self) -> bool:
        """Whether a pose is under way."""
        return bool(self._under_way)

    def pass_on(self, measured: PoseSample | None, elapsed_ms: int, stamp: int) -> list[PoseSample]:
        """Take the pose measured in this millisecond, if there is one, and return those that arrive in it."""
        faults = self._faults
        latency = round(1000.0 * sum(seconds for (seconds,) in faults.values("mocap_latency")))
        if latency != self._latency:
            # What is under way would arrive beside or behind newer poses.
            self._under_way.clear()
            self._latency = latency
        if measured is not None:
            for x, y, yaw in faults.values("pose_shift"):
                measured = _shifted(measured, x, y, yaw)
            measured = self._spoiled(measured, sum(rate for (rate,) in faults.values("mocap_outlier")))
            if not faults.values("mocap_dropout"):
                self._under_way.append((elapsed_ms + latency, measured))
        arrived = []
        while self._under_way and self._under_way[0][0] <= elapsed_ms:
            # Stamped on arrival, as drivers do.
            arrived.append(replace(self._under_way.popleft()[1], stamp=stamp))
        return arrived

    def _spoiled(self, pose: PoseSample, rate: float) -> PoseSample:
        if rate == 0.0:
            self._left = 0
        if self._left == 0:
            if rate == 0.0 or self._rng.random() >= -math.expm1(-rate * self._period):
                self._last = pose
                return pose
            self._begin_outlier()
        self._left -= 1
        if self._outlier == "jump":
            return replace(pose, position=pose.position + self._jump)
        return self._replacement

    def _begin_outlier(self) -> None:
        rng = self._rng
        self._outlier = ("jump", "other body", "frozen", "zero")[rng.integers(4)]
        self._left = int(rng.integers(1, LONGEST_OUTLIER + 1))
        if self._outlier == "jump":
            direction = rng.uniform(-math.pi, math.pi)
            self._jump = rng.uniform(*JUMPS) * np.array([math.cos(direction), math.sin(direction), 0.0])
        elif self._outlier == "other body":
            place = [*rng.uniform(-_ROOM, _ROOM, 2), rng.choice(WRONG_HEIGHTS)]
            yaw = rng.uniform(-math.pi, math.pi)
            self._replacement = PoseSample(0, np.array(place), np.array([0, 0, math.sin(yaw / 2), math.cos(yaw / 2)]))
        elif self._outlier == "frozen":
            self._replacement = self._last
        else:
            self._replacement = PoseSample(0, np.zeros(3), np.zeros(4))


def _shifted(pose: PoseSample, x: float, y: float, yaw: float) -> PoseSample:
    """Return the pose of a frame that was put at a wrong place of the body, m and rad in the true frame."""
    attitude = Rotation.from_quat(pose.quaternion)
    return PoseSample(pose.stamp, pose.position + attitude.apply([x, y, 0.0]),
                      (attitude * Rotation.from_rotvec([0.0, 0.0, yaw])).as_quat())
