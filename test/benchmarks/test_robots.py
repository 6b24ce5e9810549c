# SPDX-License-Identifier: Apache-2.0
"""The comparison of driver and simulator, from made-up trials."""

from __future__ import annotations

import numpy as np
import pytest

from l2a_ros.benchmarks.planners import Outcome
from l2a_ros.cli._robots import robot_rows


def outcome(errors: list[float], completed: int) -> Outcome:
    return Outcome(np.ones(len(errors)), np.array(errors), np.full(len(errors), 9.0), completed)


@pytest.mark.parametrize(("errors", "completed", "is_near", "is_whole"), [
    ([0.010, 0.014], 2, True, True), ([0.012, 0.0139], 2, True, True), ([0.013, 0.0131], 2, False, True),
    ([0.010, 0.010], 1, True, False)])
def test_the_drivers_error_may_be_larger_by_30_percent(
        errors: list[float], completed: int, is_near: bool, is_whole: bool) -> None:
    error, duration, missing = robot_rows("zigzag", outcome(errors, completed), outcome([0.009, 0.011], 2))
    assert error.met is is_near
    assert error.ours == pytest.approx(100.0 * np.mean(errors))
    assert error.theirs == pytest.approx(1.0)
    assert error.target == pytest.approx(1.3)
    assert duration.ours == duration.theirs == 9.0
    assert missing.met is is_whole
