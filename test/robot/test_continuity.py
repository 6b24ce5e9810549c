# SPDX-License-Identifier: Apache-2.0
"""What can follow what, in space and time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from l2a_ros.robot.continuity import FASTEST, has_begun_again, is_pose_jump, is_state_jump
from l2a_ros.robot.layout import STATE

SECOND = 1_000_000_000


@pytest.mark.parametrize(("distance", "seconds", "jumps"), [
    (0.0, 0.0, False), (0.29, 0.1, False), (0.33, 0.1, True), (0.33, 0.2, False), (0.005, 0.001, False),
    (0.05, 0.01, True), (math.nan, 0.1, False)])
def test_pose_jump(distance: float, seconds: float, jumps: bool) -> None:
    for sign in (1.0, -1.0):
        for axis in np.eye(3):
            assert is_pose_jump(np.ones(3), np.ones(3) + sign * distance * axis, round(seconds * SECOND)) is jumps


def test_state_jump_looks_at_the_position_alone() -> None:
    rest = np.zeros(STATE.size)
    others = np.where([name.startswith("position") for name in STATE.names], 0.0, 100.0)
    assert not is_state_jump(rest, rest + others, SECOND // 10)
    for name in ("position_x", "position_y", "position_z"):
        moved = rest.copy()
        moved[STATE.index(name)] = 1.1 * FASTEST
        assert is_state_jump(rest, moved, SECOND)


@pytest.mark.parametrize(("stamp", "last", "again"), [
    (5 * SECOND, None, False), (5 * SECOND, 5 * SECOND, False), (5 * SECOND, 6 * SECOND, False),
    (5 * SECOND - 1, 6 * SECOND, True), (1, 100 * SECOND, True), (0, 100 * SECOND, False), (9 * SECOND, SECOND, False)])
def test_time_that_begins_again(stamp: int, last: int | None, again: bool) -> None:
    assert has_begun_again(stamp, last) is again
