# SPDX-License-Identifier: Apache-2.0
"""Figures of a link: rates, losses and round trips of streams whose figures are known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.driver.link_figures import LinkFigures

SECOND, MS = 1_000_000_000, 1_000_000


def exchanged(count: int, answered: int = 1, trip: int = 14 * MS) -> tuple[LinkFigures, int]:
    """Poll at 50 Hz; one of so many is answered. Return the figures and when the last poll was."""
    figures, now = LinkFigures(), 0
    for i in range(count):
        now = 5 * SECOND + i * 20 * MS
        figures.polled(now)
        if i % answered == 0:
            figures.answered(i, now + trip)
    return figures, now


def test_nothing_yet() -> None:
    values = LinkFigures().values(0)
    assert values["poll rate (Hz)"] == values["telemetry rate (Hz)"] == values["unanswered (share)"] == 0.0
    assert math.isnan(values["round trip p50 (s)"])  # type: ignore[arg-type]
    assert values["signal (-dBm)"] == "unknown"


def test_steady() -> None:
    figures, now = exchanged(500)
    values = figures.values(now + 15 * MS)
    assert values["poll rate (Hz)"] == values["telemetry rate (Hz)"] == 50.0
    assert values["unanswered (share)"] == 0.0
    assert values["round trip p50 (s)"] == values["round trip max (s)"] == pytest.approx(0.014)
    assert (values["polls"], values["answers"], values["answers lost"]) == (500, 500, 0)


def test_half_of_the_polls_are_not_heard() -> None:
    figures, now = exchanged(500, answered=2)
    values = figures.values(now)
    assert values["telemetry rate (Hz)"] == 25.0
    assert values["unanswered (share)"] == pytest.approx(0.5)
    # Each answer is to the newest poll before it.
    assert values["round trip max (s)"] == pytest.approx(0.014)


def test_silence_shows() -> None:
    figures, now = exchanged(100)
    values = figures.values(now + 3 * SECOND)
    assert values["poll rate (Hz)"] == values["telemetry rate (Hz)"] == 0.0
    for i in range(100):
        figures.polled(now + 3 * SECOND + i * 20 * MS)
    assert figures.values(now + 5 * SECOND)["unanswered (share)"] == 1.0


def test_the_slowest_round_trip() -> None:
    figures, now = exchanged(50)
    figures.polled(now + SECOND)
    figures.answered(50, now + SECOND + 300 * MS)
    values = figures.values(now + 2 * SECOND)
    assert values["round trip max (s)"] == pytest.approx(0.3)
    assert values["round trip p50 (s)"] == pytest.approx(0.014)


def test_an_answer_without_a_poll_has_no_round_trip() -> None:
    figures = LinkFigures()
    figures.answered(1, SECOND)
    assert math.isnan(figures.values(SECOND)["round trip p50 (s)"])  # type: ignore[arg-type]


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 50), max_size=40))
def test_lost_answers_are_the_gaps_of_the_index(first: int, steps: list[int]) -> None:
    figures, index = LinkFigures(), first
    figures.answered(index, 0)
    for step in steps:
        index = (index + step) % 2**32
        figures.answered(index, 0)
    assert figures.answers_lost == sum(step - 1 for step in steps)


def test_a_restart_is_no_loss() -> None:
    figures = LinkFigures()
    for index in (5000, 5001, 0, 1, 3):
        figures.answered(index, 0)
    assert figures.answers_lost == 1


def test_answers_without_index_count_too() -> None:
    figures = LinkFigures()
    for _ in range(5):
        figures.answered(None, SECOND)
    assert (figures.answers, figures.answers_lost) == (5, 0)


def test_other_counts() -> None:
    figures = LinkFigures()
    figures.rssi, figures.restarts, figures.connections = 0x28, 2, 3
    figures.ignored["of another address"] += 4
    values = figures.values(0)
    assert values["signal (-dBm)"] == 40 and values["restarts of the robot"] == 2 and values["connections"] == 3
    assert values["frames of another address"] == 4
