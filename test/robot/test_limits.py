# SPDX-License-Identifier: Apache-2.0
"""Which crank rates are admissible: a stand, or both in range; anything else never."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.robot.limits import REVOLUTION, STAND, LegRateLimits

LIMITS = LegRateLimits()
LOW, HIGH = LIMITS.minimum, LIMITS.maximum


def test_published_range() -> None:
    assert pytest.approx(2.0 * 2.0 * math.pi) == LOW
    assert pytest.approx(9.0 * 2.0 * math.pi) == HIGH
    assert pytest.approx(2.0 * math.pi) == REVOLUTION


@pytest.mark.parametrize(("command", "expected"), [
    ([0.0, 0.0], True), ([-0.0, 0.0], True), ([LOW, LOW], True), ([HIGH, HIGH], True), ([LOW, HIGH], True),
    ([np.nextafter(LOW, 0), LOW], False), ([HIGH, np.nextafter(HIGH, 99)], False),
    ([0.0, LOW], False), ([HIGH, 0.0], False), ([-LOW, -LOW], False), ([1e-300, 0.0], False),
    ([math.nan, LOW], False), ([LOW, math.inf], False), ([-math.inf, 0.0], False), ([math.nan, math.nan], False),
])
def test_edges(command: list[float], expected: bool) -> None:
    assert LIMITS.admits(np.array(command)) is expected


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 2), (2, 1), (0,)])
def test_other_shapes_are_never_admitted(shape: tuple[int, ...]) -> None:
    assert not LIMITS.admits(np.full(shape, LOW))
    assert not LIMITS.admits(np.zeros(shape))


@settings(max_examples=200)
@given(st.floats(), st.floats())
def test_only_a_stand_or_both_in_range(left: float, right: float) -> None:
    expected = (left == 0.0 and right == 0.0) or (LOW <= left <= HIGH and LOW <= right <= HIGH)
    assert LIMITS.admits(np.array([left, right])) is expected


@pytest.mark.parametrize(("minimum", "maximum"), [
    (2.0, 2.0), (3.0, 2.0), (-1.0, 2.0), (0.0, math.inf), (math.nan, 2.0), (0.0, math.nan), (math.inf, math.inf)])
def test_limits_that_make_no_range_are_refused(minimum: float, maximum: float) -> None:
    with pytest.raises(UserError, match="slowest leg rate must be"):
        LegRateLimits(minimum, maximum)


def test_stand_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        STAND[0] = 1.0
    assert not STAND.any()
