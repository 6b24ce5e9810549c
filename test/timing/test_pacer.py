# SPDX-License-Identifier: Apache-2.0
"""When the events of a recording are due."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.timing.pacer import LONGEST_LAG, Pacer

SECOND = 1_000_000_000
RATES = st.floats(0.1, 50.0)


@settings(max_examples=40)
@given(RATES, st.lists(st.integers(0, SECOND), min_size=1, max_size=30))
def test_a_rate_is_kept(rate: float, steps: list[int]) -> None:
    pacer, now, moment = Pacer(rate), 100.0, 7 * SECOND
    begin = moment
    assert pacer.due(moment, now) == now
    for step in steps:
        moment += step
        due = pacer.due(moment, now)
        assert due == pytest.approx(100.0 + (moment - begin) / SECOND / rate)
        now = max(now, due or 0.0)
    assert pacer.lost == 0.0


@settings(max_examples=40)
@given(RATES, RATES)
def test_another_rate_holds_from_then_on(first: float, second: float) -> None:
    pacer = Pacer(first)
    pacer.due(SECOND, 0.0)
    assert pacer.due(2 * SECOND, 0.0) == pytest.approx(1.0 / first)
    now = 1.0 / first
    pacer.rate = second
    assert pacer.due(2 * SECOND, now) == now
    assert pacer.due(3 * SECOND, now) == pytest.approx(now + 1.0 / second)


def test_as_fast_as_possible() -> None:
    pacer = Pacer(0.0)
    assert [pacer.due(i * SECOND, 5.0) for i in range(5)] == [5.0] * 5


def test_pause_and_step() -> None:
    pacer = Pacer(1.0)
    assert not pacer.step(), "a step is for who is paused"
    pacer.due(SECOND, 0.0)
    pacer.pause(True)
    assert pacer.due(2 * SECOND, 1.5) is None
    assert pacer.step()
    assert pacer.due(2 * SECOND, 1.5) == 1.5
    pacer.stepped()
    assert pacer.due(3 * SECOND, 1.6) is None
    pacer.pause(False)
    assert pacer.due(3 * SECOND, 60.0) == 60.0, "the time of the pause is not caught up"
    assert pacer.due(4 * SECOND, 60.0) == pytest.approx(61.0)


def test_who_is_late_does_not_catch_up() -> None:
    pacer = Pacer(1.0)
    pacer.due(SECOND, 0.0)
    late = 1.0 + LONGEST_LAG + 0.5
    assert pacer.due(2 * SECOND, late) == late
    assert pacer.lost == pytest.approx(LONGEST_LAG + 0.5)
    assert pacer.due(3 * SECOND, late) == pytest.approx(late + 1.0)


@pytest.mark.parametrize("moment", [1, 5000 * SECOND])
def test_jumps_of_time_and_silences_are_not_waited_for(moment: int) -> None:
    pacer = Pacer(1.0)
    pacer.due(100 * SECOND, 0.0)
    assert pacer.due(moment, 0.5) == 0.5
    assert pacer.lost == 0.0
