# SPDX-License-Identifier: Apache-2.0
"""What can follow what: a pose that the robot cannot have reached, a stamp from before its time began again."""

from __future__ import annotations

import numpy as np

from l2a_ros.robot.layout import STATE

_SECOND = 1_000_000_000
#: No robot of this kind runs faster, m/s: the published top speed is 2.7 m/s, this one's in practice 0.7 m/s.
FASTEST = 3.0
#: What noise may add to the distance between two poses, m.
NOISE = 0.01
#: A stamp this much older than the last one is not late: time has begun again, ns.
BACKWARD = _SECOND

_POSITION = STATE.indices([f"position_{axis}" for axis in "xyz"])


def is_pose_jump(first: np.ndarray, second: np.ndarray, interval: int) -> bool:
    """Tell whether a robot cannot have got from one position to another, shape ``(3,)`` m, within so many ns.

    Positions that are not finite are no jump: whoever reads them refuses them anyway.
    """
    return bool(np.linalg.norm(second - first) > FASTEST * abs(interval) / _SECOND + NOISE)


def is_state_jump(first: np.ndarray, second: np.ndarray, interval: int) -> bool:
    """Tell the same of two states, shape ``(24,)``."""
    return is_pose_jump(first[_POSITION], second[_POSITION], interval)


def has_begun_again(stamp: int, last: int | None) -> bool:
    """Tell whether a stamp (ns) shows that time jumped back since the last one: a bag that loops, a world restarted.

    A stamp of zero is no time: some motion-capture drivers send it when they see nothing.
    """
    return last is not None and 0 < stamp < last - BACKWARD
