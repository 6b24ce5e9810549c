# SPDX-License-Identifier: Apache-2.0
"""Whether a robot is at rest at the start, and what the bias of its gyroscope is then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from l2a_ros.estimation.pose_checks import turn_between
from l2a_ros.estimation.quaternions import Quaternion, Vector
from l2a_ros.estimation.settings import FilterSettings

_SECOND = 1e9
#: The bias is measured over so long, s, from so many readings.
TIME, READINGS = 0.3, 10
#: Standard deviation that says that the robot moves, as a multiple of the gyroscope's noise.
SPREAD = 5.0
#: A body at rest may turn by so much all the same while it is watched, rad, for instance while its legs give way.
TURN = 0.01
#: And so fast, rad/s: the bias is not known better.
DOUBT = 0.01


class RestWatch(NamedTuple):
    """Readings of a stretch in which the robot may be at rest.

    Args:
        begin: ns.
        attitude: by the newest pose then.
        readings: how many.
        sums: of the rates ``(3,)``, rad/s.
        squares: sums of their squares ``(3,)``.
    """

    begin: int
    attitude: Quaternion
    readings: int = 0
    sums: Vector = (0.0, 0.0, 0.0)
    squares: Vector = (0.0, 0.0, 0.0)

    def after(self, rate: Sequence[float]) -> RestWatch:
        """Return it with one more reading, rad/s ``(3,)``."""
        x, y, z = rate
        (a, b, c), (d, e, f) = self.sums, self.squares
        return RestWatch(self.begin, self.attitude, self.readings + 1, (a + x, b + y, c + z),
                         (d + x * x, e + y * y, f + z * z))

    def is_over(self, stamp: int) -> bool:
        """Tell whether it has lasted long enough at a moment, ns."""
        return stamp - self.begin >= TIME * _SECOND and self.readings >= READINGS

    def has_failed(self, stamp: int) -> bool:
        """Tell whether readings come too seldom."""
        return stamp - self.begin > 2 * TIME * _SECOND

    def bias(self, attitude: Quaternion, settings: FilterSettings) -> Vector | None:
        """Return the bias, rad/s ``(3,)``; None if the robot has moved.

        A steady turn looks like rest to the gyroscope, not to motion capture.

        Args:
            attitude: by the newest pose now.
            settings: of the filter.
        """
        a, b, c = (total / self.readings for total in self.sums)
        spread = max(square / self.readings - mean * mean
                     for square, mean in zip(self.squares, (a, b, c), strict=True))
        angle = math.hypot(*turn_between(self.attitude, attitude))
        if (math.sqrt(max(0.0, spread)) > SPREAD * settings.gyro_noise
                or angle > TURN + 4.0 * settings.mocap_attitude_noise):
            return None
        return a, b, c
