# SPDX-License-Identifier: Apache-2.0
"""A recording as events: in order, each once, with ticks and time between them."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.experience.bag_reader import BagMessage
from l2a_ros.experience.playback import (
    CLOCK_STEP,
    GAP,
    LOOKAHEAD,
    Event,
    Kind,
    TickPlan,
    ordered,
    part,
    with_clock,
    with_ticks,
)

SECOND = 1_000_000_000
PERIOD = SECOND // 10
MILLI = 1_000_000
NAMES = {"/robot_state": "robot_state", "/mocap/pose": "mocap/pose", "/imu/data_raw": "imu/data_raw"}


def message(topic: str, stamp: int, log_time: int) -> BagMessage:
    return BagMessage(topic, "", log_time, stamp, SimpleNamespace(), Path("bag"))


def recorded(ticks: int, latency: int, late: int, origin: int = SECOND) -> list[BagMessage]:
    """Poses every 10 ms that arrive with a latency, states that are logged late; in the order of the log."""
    poses = [message("/mocap/pose", origin + i * 10 * MILLI, origin + i * 10 * MILLI + latency)
             for i in range(10 * ticks)]
    states = [message("/robot_state", origin + (i + 1) * PERIOD, origin + (i + 1) * PERIOD + late)
              for i in range(ticks - 1)]
    return sorted([*poses, *states], key=lambda each: each.log_time)


def played(messages: list[BagMessage], plan: TickPlan | None = None) -> list[Event]:
    plan = plan or TickPlan(PERIOD, "robot_state", SECOND)
    return list(with_ticks(ordered(messages, NAMES, plan.source), plan))


@settings(max_examples=40)
@given(st.integers(2, 12), st.integers(0, 50 * MILLI), st.integers(0, LOOKAHEAD))
def test_everything_comes_once_and_in_order(ticks: int, latency: int, late: int) -> None:
    messages = recorded(ticks, latency, late)
    events = played(messages)
    assert sorted(id(each.message) for each in events if each.message) == sorted(map(id, messages))
    assert [each.time for each in events] == sorted(each.time for each in events)
    for i, event in enumerate(events):
        if event.kind is Kind.TICK and event.message is not None:
            before = [each.message.log_time for each in events[:i] if each.message and each.kind is Kind.MESSAGE]
            after = [each.message.log_time for each in events[i:] if each.message and each.kind is Kind.MESSAGE]
            assert all(moment <= event.time for moment in before), "nothing of later is known at a tick"
            assert all(moment > event.time for moment in after), "what was there is known"


@settings(max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=30), st.booleans())
def test_the_loop_ticks_where_states_are_missing(steps: list[int], has_source: bool) -> None:
    stamps, now = [SECOND], SECOND
    for step in steps:
        now += PERIOD * (1 if step < 30 else step - 28)
        stamps.append(now)
    poses = [message("/mocap/pose", moment, moment) for moment in range(SECOND, now + 2, 10 * MILLI)]
    states = [message("/robot_state", stamp, stamp + 1) for stamp in stamps]
    plan = TickPlan(PERIOD, "robot_state" if has_source else "", SECOND)
    events = played(sorted([*poses, *(states if has_source else [])], key=lambda each: each.log_time), plan)
    ticks = [each.time for each in events if each.kind is Kind.TICK]
    assert len(set(ticks)) == len(ticks)
    assert {b - a for a, b in itertools.pairwise(ticks)} <= {PERIOD}
    if has_source:
        assert set(stamps) <= set(ticks)
    # A replay of states alone never makes one up.
    alone = played(states, TickPlan(PERIOD, "robot_state", SECOND, fills=False))
    assert [each.time for each in alone] == stamps


def test_stamps_of_another_clock_are_the_time() -> None:
    wall = 1_700_000_000 * SECOND
    messages = [message(each.topic, each.stamp or 0, each.log_time + wall) for each in recorded(4, 0, 0)]
    assert [each.time for each in played(messages)] == [each.time for each in played(recorded(4, 0, 0))]


def test_time_that_begins_again_is_said_and_nothing_is_lost() -> None:
    wall = 1_700_000_000 * SECOND
    first = [message(each.topic, each.stamp or 0, wall + i) for i, each in enumerate(recorded(30, 0, 0, 50 * SECOND))]
    again = [message(each.topic, each.stamp or 0, wall + 1000 + i) for i, each in enumerate(recorded(5, 0, 0))]
    events = played([*first, *again])
    assert [each.kind for each in events].count(Kind.AGAIN) == 1
    assert sum(each.message is not None for each in events) == len(first) + len(again)
    place = [each.kind for each in events].index(Kind.AGAIN)
    assert all(each.time > 40 * SECOND for each in events[:place])
    ticks = [each.time for each in events[place:] if each.kind is Kind.TICK]
    assert len(ticks) == 4


def test_one_stamp_from_elsewhere_does_not_turn_back_time() -> None:
    wall = 1_700_000_000 * SECOND
    messages = [message(each.topic, each.stamp or 0, wall + i)
                for i, each in enumerate(recorded(30, 0, 0, 50 * SECOND))]
    messages.insert(200, message("/imu/data_raw", 3, wall + 200))
    events = played(messages)
    assert Kind.AGAIN not in {each.kind for each in events}
    assert sum(each.name == "imu/data_raw" for each in events) == 1


@settings(max_examples=40)
@given(st.floats(0.0, 2.0), st.floats(0.1, 2.0))
def test_a_part_is_a_part(start: float, duration: float) -> None:
    events = played(recorded(25, 0, 0))
    begin = events[0].time
    chosen = list(part(iter(events), start, duration))
    expected = [each for each in events if round(start * SECOND) <= each.time - begin <= round(
        (start + duration) * SECOND)]
    assert chosen == expected
    assert list(part(iter(events), 0.0, 0.0)) == events


def test_a_part_begins_with_the_path_from_before() -> None:
    events = [Event(Kind.MESSAGE, SECOND + i * PERIOD, "reference_path" if i in (1, 3) else "mocap/pose",
                    message("", i, i)) for i in range(10)]
    chosen = list(part(iter(events), 0.5, 0.0, "reference_path"))
    assert [each.message.log_time for each in chosen if each.message] == [3, 5, 6, 7, 8, 9]
    assert [each.time for each in chosen] == sorted(each.time for each in chosen)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3 * GAP), min_size=1, max_size=20))
def test_the_clock_never_stands_still_nor_runs_back(steps: list[int]) -> None:
    moments, now = [], SECOND
    for step in steps:
        now += step
        moments.append(now)
    events = list(with_clock(Event(Kind.MESSAGE, moment) for moment in moments))
    assert [each for each in events if each.kind is Kind.MESSAGE] == [Event(Kind.MESSAGE, each) for each in moments]
    clock = [each.time for each in events if each.kind is Kind.CLOCK]
    assert all(b - a == CLOCK_STEP or b - a > GAP for a, b in itertools.pairwise(clock))
    last = None
    for event in events:
        last = event.time if event.kind is Kind.CLOCK else last
        assert last is not None and 0 <= event.time - last < CLOCK_STEP


@pytest.mark.parametrize("source", ["robot_state", ""])
def test_a_long_silence_is_not_filled(source: str) -> None:
    first, second = recorded(5, 0, 0), recorded(5, 0, 0, 4000 * SECOND)
    ticks = [each for each in played([*first, *second], TickPlan(PERIOD, source, SECOND)) if each.kind is Kind.TICK]
    assert len(ticks) <= 12
