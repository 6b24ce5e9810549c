# SPDX-License-Identifier: Apache-2.0
"""The limit of the acceleration, alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.safety.ramp import RateRamp

MS = 1_000_000
GAP = 300 * MS
START = 10**12


def run(ramp: RateRamp, *steps: tuple[list[float], int]) -> list[list[float]]:
    return [ramp.follow(np.array(target), START + ms * MS).tolist() for target, ms in steps]


def test_each_leg_has_its_own_ramp() -> None:
    got = run(RateRamp(100.0, 12.0, GAP), ([15.0, 50.0], 0), ([15.0, 50.0], 10), ([15.0, 50.0], 100))
    assert got == [[12.0, 12.0], [13.0, 13.0], [15.0, 22.0]]


def test_a_leg_that_slows_down_ramps_up_again_from_there() -> None:
    ramp = RateRamp(100.0, 12.0, GAP)
    assert run(ramp, ([20.0, 20.0], 0), ([20.0, 20.0], 80), ([14.0, 20.0], 80), ([20.0, 20.0], 90)) == [
        [12.0, 12.0], [20.0, 20.0], [14.0, 20.0], [15.0, 20.0]]


def test_standing_is_below_the_ramp() -> None:
    ramp = RateRamp(100.0, 12.0, GAP)
    assert run(ramp, ([0.0, 0.0], 0), ([50.0, 12.0], 200), ([0.0, 0.0], 210), ([50.0, 50.0], 220)) == [
        [0.0, 0.0], [12.0, 12.0], [0.0, 0.0], [12.0, 12.0]], "time spent standing is no credit"


def test_from_nothing_when_nothing_is_admissible() -> None:
    """With a slowest rate of zero the ramp begins at zero, and has to leave it."""
    ramp = RateRamp(100.0, 0.0, GAP)
    assert run(ramp, ([5.0, 5.0], 0), ([5.0, 5.0], 20), ([5.0, 5.0], 50)) == [[0.0, 0.0], [2.0, 2.0], [5.0, 5.0]]
    ramp.reset()
    assert run(ramp, ([5.0, 5.0], 60)) == [[0.0, 0.0]], "the time before is no credit"
    early = RateRamp(100.0, 0.0, GAP)
    assert early.follow(np.array([5.0, 5.0]), 20 * MS).tolist() == [0.0, 0.0], "nor is the age of the clock"


def test_a_gap_is_no_credit() -> None:
    ramp = RateRamp(1e15, 0.0, GAP)
    assert run(ramp, ([5.0, 5.0], 0), ([5.0, 5.0], 301)) == [[0.0, 0.0], [0.0, 0.0]]


def test_calls_at_the_same_moment_gain_nothing() -> None:
    ramp = RateRamp(1e5, 12.0, GAP)
    assert run(ramp, *(([50.0, 50.0], 0),) * 3) == [[12.0, 12.0]] * 3


@pytest.mark.parametrize(("gap", "expected"), [(GAP - 1, 42.0), (GAP, 42.0), (GAP + 1, 12.0), (-GAP, 12.0)])
def test_gaps(gap: int, expected: float) -> None:
    ramp = RateRamp(100.0, 12.0, GAP)
    ramp.follow(np.array([50.0, 50.0]), START)
    assert ramp.follow(np.array([50.0, 50.0]), START + gap) == pytest.approx([expected] * 2)


def test_clock_set_back_starts_again_only_when_it_was_set_far() -> None:
    for back, expected in ((GAP, 22.0), (GAP + 1, 12.0)):
        ramp = RateRamp(100.0, 12.0, GAP)
        assert run(ramp, ([50.0, 50.0], 0), ([50.0, 50.0], 100))[-1] == [22.0, 22.0]
        got = ramp.follow(np.array([50.0, 50.0]), START + 100 * MS - back)
        assert got.tolist() == [expected] * 2


def test_it_says_whether_it_limits() -> None:
    ramp = RateRamp(100.0, 12.0, GAP)
    assert not ramp.is_limiting
    for target, ms, expected in (([12.0, 12.0], 0, False), ([12.0, 13.0], 0, True), ([12.0, 13.0], 10, False),
                                 ([50.0, 13.0], 10, True), ([0.0, 0.0], 20, False), ([50.0, 50.0], 20, True)):
        run(ramp, (target, ms))
        assert ramp.is_limiting is expected, (target, ms)
    ramp.reset()
    assert not ramp.is_limiting


def test_no_limit() -> None:
    ramp = RateRamp(0.0, 12.0, GAP)
    target = np.array([50.0, 50.0])
    assert ramp.follow(target, START) is target
    assert not ramp.is_limiting


def test_what_was_put_out_is_not_touched() -> None:
    ramp = RateRamp(100.0, 12.0, GAP)
    target = np.array([50.0, 50.0])
    first = ramp.follow(target, START)
    ramp.follow(target, START + 10 * MS)
    assert first.tolist() == [12.0, 12.0]
    assert target.tolist() == [50.0, 50.0]
    assert target.flags.writeable


@pytest.mark.parametrize("acceleration", [-1e-9, float("nan"), float("inf"), float("-inf")])
def test_settings_are_checked(acceleration: float) -> None:
    with pytest.raises(UserError) as error:
        RateRamp(acceleration, 12.0, GAP)
    assert str(error.value) == ("the fastest leg acceleration must be finite and at least 0 rad/s^2 (0 for no limit), "
                                f"not {acceleration:g} rad/s^2")


@given(acceleration=st.floats(1e-3, 1e300), targets=st.lists(st.tuples(
    st.sampled_from([0.0, 12.0, 20.0, 56.0]), st.integers(0, GAP)), min_size=2, max_size=30))
def test_never_faster_than_the_ramp_and_there_in_the_end(acceleration: float, targets: list[tuple[float, int]]) -> None:
    ramp, now, seen = RateRamp(acceleration, 12.0, GAP), START, []
    for target, wait in targets:
        now += wait
        rate, other = ramp.follow(np.array([target, target]), now)
        assert rate == other
        assert rate <= target
        assert rate == 0.0 or rate >= 12.0
        seen.append((rate, now))
    for (before, then), (after, at) in itertools.pairwise(seen):
        if before:
            assert after - before <= acceleration * (at - then) / 1e9 * (1 + 1e-9) + 1e-9
        else:
            assert after <= 12.0
