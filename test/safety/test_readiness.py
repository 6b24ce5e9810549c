# SPDX-License-Identifier: Apache-2.0
"""Which inputs are live."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.safety.readiness import Readiness

SECOND = 1_000_000_000
START = 10**12


def test_everything_has_to_be_heard() -> None:
    inputs = Readiness({"robot_state": 0.5, "motor_commands": 1.0})
    assert inputs.missing(START) == ["no robot_state yet", "no motor_commands yet"]
    inputs.heard("motor_commands", START)
    assert inputs.missing(START) == ["no robot_state yet"]
    inputs.heard("robot_state", START)
    assert inputs.missing(START) == []
    assert inputs.missing(START + SECOND // 2) == []
    assert inputs.missing(START + SECOND // 2 + 1) == ["robot_state is 0.5 s old"]
    assert inputs.missing(START + 12 * SECOND) == ["robot_state is 12.0 s old", "motor_commands is 12.0 s old"]


@pytest.mark.parametrize("names", [("b", "a"), ("a", "b")])
def test_order_is_that_of_the_settings(names: tuple[str, str]) -> None:
    inputs = Readiness(dict.fromkeys(names, 1.0))
    inputs.heard(names[1], START)
    inputs.heard(names[0], START + 1)
    assert [line.split()[0] for line in inputs.missing(START + 9 * SECOND)] == list(names)


def test_clock_set_back() -> None:
    inputs = Readiness({"robot_state": 0.5})
    inputs.heard("robot_state", START)
    assert inputs.missing(START - SECOND // 2) == []
    assert inputs.missing(START - SECOND // 2 - 1) == ["robot_state is 0.5 s ahead: the clock was set back"]
    inputs.heard("robot_state", START - 9 * SECOND)
    assert inputs.missing(START - 9 * SECOND) == []


def test_nobody_waits_for_others() -> None:
    inputs = Readiness({"robot_state": 0.5})
    inputs.heard("battery_state", START)
    assert inputs.missing(START) == ["no robot_state yet"]
    assert Readiness({}).missing(START) == []


def test_later_changes_of_the_settings_do_not_reach_it() -> None:
    ages = {"robot_state": 0.5}
    inputs = Readiness(ages)
    ages.clear()
    assert inputs.missing(START) == ["no robot_state yet"]


def test_heard_at_zero_is_heard() -> None:
    inputs = Readiness({"robot_state": 0.5})
    inputs.heard("robot_state", 0)
    assert inputs.missing(0) == []


@pytest.mark.parametrize("age", [0.0, -1.0, math.nan, math.inf])
def test_ages_are_checked(age: float) -> None:
    with pytest.raises(UserError) as error:
        Readiness({"robot_state": 0.5, "motor_commands": age})
    assert str(error.value) == f"the maximum age of motor_commands must be finite and above 0 s, not {age:g} s"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3 * SECOND)), max_size=20), st.integers(0, SECOND))
def test_silent_only_if_all_are_fresh(events: list[tuple[str, int]], wait: int) -> None:
    inputs, last, now = Readiness(dict.fromkeys("abc", 1.0)), dict[str, int](), START
    for name, step in events:
        now += step
        inputs.heard(name, now)
        last[name] = now
    now += wait
    stale = [name for name in "abc" if name not in last or now - last[name] > SECOND]
    lines = inputs.missing(now)
    assert len(lines) == len(stale)
    assert all(f" {name} " in f" {line} " for name, line in zip(stale, lines, strict=True))
