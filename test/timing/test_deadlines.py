# SPDX-License-Identifier: Apache-2.0
"""Absolute deadlines: none drifts, a missed one is skipped and counted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.timing.deadlines import Deadlines


def test_on_time() -> None:
    deadlines = Deadlines(0.1, 5.0)
    assert deadlines.next == 5.0
    assert not deadlines.is_due(4.999)
    for i in range(50):
        assert deadlines.next == pytest.approx(5.0 + 0.1 * i)
        assert deadlines.is_due(deadlines.next)
        assert deadlines.advance(deadlines.next + 0.003) == 0
    assert deadlines.overruns == 0


def test_a_late_period_shortens_the_next_one() -> None:
    deadlines = Deadlines(0.1, 0.0)
    deadlines.advance(0.0)
    assert deadlines.advance(0.19) == 0, "late, but within its period"
    assert deadlines.next == pytest.approx(0.2)
    assert deadlines.overruns == 0


def test_missed_deadlines_are_skipped_and_counted() -> None:
    deadlines = Deadlines(0.1, 0.0)
    deadlines.advance(0.0)
    assert deadlines.advance(0.55) == 4, "those of 0.2, 0.3, 0.4 and 0.5 are gone; the one of 0.1 is being served"
    assert deadlines.next == pytest.approx(0.6)
    assert deadlines.overruns == 4
    assert deadlines.advance(0.6001) == 0
    assert deadlines.advance(0.95) == 2
    assert deadlines.overruns == 6


def test_early_call_serves_the_next_deadline() -> None:
    deadlines = Deadlines(0.1, 0.0)
    assert deadlines.advance(-5.0) == 0
    assert deadlines.next == pytest.approx(0.1)
    assert deadlines.advance(0.05) == 0
    assert deadlines.next == pytest.approx(0.2)


@settings(max_examples=200)
@given(st.floats(1e-3, 10.0), st.floats(0.0, 1e6), st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60))
def test_never_drifts(period: float, start: float, lateness: list[float]) -> None:
    """Whatever the loop does, deadlines lie on the grid of the start, ahead of now, and none goes uncounted."""
    deadlines, now = Deadlines(period, start), start
    slack = 1e-9 * (abs(start) + 1.0)
    for served, late in enumerate(lateness, 1):
        now = max(now, deadlines.next) + late * period
        missed = deadlines.advance(now)
        assert missed >= 0
        steps = (deadlines.next - start) / period
        assert steps == pytest.approx(round(steps), abs=1e-3)
        assert deadlines.next > now - slack
        assert deadlines.next <= now + period * (1 + 1e-6) + slack
        assert round(steps) == served + deadlines.overruns


def test_many_periods_do_not_drift() -> None:
    deadlines = Deadlines(0.1, 0.0)
    for _ in range(100_000):
        deadlines.advance(deadlines.next)
    assert deadlines.next == pytest.approx(10_000.0, abs=1e-6)
    assert deadlines.overruns == 0


@pytest.mark.parametrize("period", [0.0, -0.1, math.nan, math.inf])
def test_bad_period(period: float) -> None:
    with pytest.raises(ValueError, match="positive number of seconds"):
        Deadlines(period, 0.0)
