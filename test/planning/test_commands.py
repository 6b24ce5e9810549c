# SPDX-License-Identifier: Apache-2.0
"""Which command holds when, and where the robot is by then."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_samples import random_checkpoint, state_at, walker

from l2a_ros.planning.commands import SentCommands, rolled_forward
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.robot.layout import STATE

SECOND = 1_000_000_000
PERIOD = 0.1
PLACE = STATE.indices(["position_x", "position_y"])
#: Commands in the order in which they were sent, each with the time from which it holds: in few different moments, so
#: that many hold from the same one or are overtaken.
effects = st.lists(st.integers(0, 12), max_size=20)


def rates_of(number: int) -> np.ndarray:
    """The command with this number; 0 to stand."""
    return np.array([number, 100.0 + number]) if number else np.zeros(2)


def sent(effects: list[int]) -> SentCommands:
    made = SentCommands()
    for number, effect in enumerate(effects, 1):
        made.add(effect, rates_of(number))
    return made


def in_force(effects: list[int], time: int) -> np.ndarray:
    """The newest of all commands that hold by then."""
    return rates_of(max((number for number, effect in enumerate(effects, 1) if effect <= time), default=0))


@settings(max_examples=300)
@given(effects, st.integers(-2, 15))
def test_in_force_is_what_was_sent_last_of_what_holds(effects: list[int], time: int) -> None:
    np.testing.assert_array_equal(sent(effects).at(time), in_force(effects, time))


@settings(max_examples=300)
@given(effects, st.integers(-2, 15), st.integers(-2, 15))
def test_between_is_in_force_moment_by_moment(effects: list[int], begin: int, end: int) -> None:
    pieces = sent(effects).between(begin, end)
    lengths = [duration * SECOND for duration, _ in pieces]
    assert all(length > 0.5 for length in lengths), "no piece of nothing"
    assert sum(lengths) == pytest.approx(max(end - begin, 0))
    assert all(not np.array_equal(one, following) for (_, one), (_, following) in itertools.pairwise(pieces))
    found = [rates for length, (_, rates) in zip(lengths, pieces, strict=True) for _ in range(round(length))]
    expected = [in_force(effects, time) for time in range(begin, end)]
    np.testing.assert_array_equal(np.reshape(found, (-1, 2)), np.reshape(expected, (-1, 2)))


@given(effects, effects)
def test_what_was_cleared_is_forgotten(before: list[int], after: list[int]) -> None:
    commands = sent(before)
    commands.clear()
    np.testing.assert_array_equal(commands.at(99), np.zeros(2))
    for number, effect in enumerate(after, 1):
        commands.add(effect, rates_of(number))
    for time in range(14):
        np.testing.assert_array_equal(commands.at(time), in_force(after, time))


def test_a_command_is_kept_as_it_was() -> None:
    commands, rates = SentCommands(), np.array([20.0, 30.0])
    commands.add(0, rates)
    rates[:] = 0.0
    np.testing.assert_array_equal(commands.at(0), [20.0, 30.0])


def test_stamps_of_years_keep_their_nanoseconds() -> None:
    now = 1_760_000_000_123_456_789
    commands = SentCommands()
    commands.add(now - 1, rates_of(1))
    commands.add(now + 1, rates_of(2))
    assert [commands.at(now + i)[0] for i in (-2, -1, 0, 1)] == [0.0, 1.0, 1.0, 2.0]
    assert [round(duration * SECOND) for duration, _ in commands.between(now - 5, now + 5)] == [4, 2, 4]


# Rolled forward ------------------------------------------------------------------------------------------------------


class Steady:
    """A model in which every period moves the robot by its two rates; answers in one array, as the engine does."""

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []
        self._answer = np.zeros((1, 1, STATE.size), dtype=np.float32)

    def rollout(self, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        assert actions.shape == (1, 1, 2)
        assert actions.dtype == np.float32
        self.asked.append(actions[0, 0].copy())
        self._answer[0, 0] = state
        self._answer[0, 0, PLACE] += actions[0, 0]
        return self._answer


def moved(commands: list[tuple[float, np.ndarray]]) -> np.ndarray:
    state = state_at(1.0, 2.0, 0.3)
    before = state.copy()
    after = rolled_forward(state, Steady(), commands, PERIOD)
    np.testing.assert_array_equal(state, before)
    others = np.setdiff1d(np.arange(STATE.size), PLACE)
    np.testing.assert_allclose(after[others], state[others], atol=1e-6)
    assert after.dtype == np.float64
    return after[PLACE] - [1.0, 2.0]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(0.0, 0.45), st.sampled_from([(0.0, 0.0), (20.0, 30.0), (56.0, 13.0)])), max_size=5))
def test_way_is_rate_by_time(pieces: list[tuple[float, tuple[float, float]]]) -> None:
    commands = [(duration, np.array(rates)) for duration, rates in pieces]
    expected = sum((duration / PERIOD * rates for duration, rates in commands), np.zeros(2))
    # A part below a millionth of a period is left out.
    np.testing.assert_allclose(moved(commands), expected, rtol=1e-5, atol=1e-4 * max(len(pieces), 1))


@pytest.mark.parametrize(("duration", "steps"), [(0.1, 1), (0.2, 2), (0.3, 3), (0.7, 7), (0.02, 1), (0.25, 3),
                                                 (0.0, 0), (1e-12, 0), (0.1 + 1e-12, 1), (0.1 - 1e-12, 1)])
def test_as_many_predictions_as_periods_begin(duration: float, steps: int) -> None:
    model = Steady()
    rolled_forward(state_at(), model, [(duration, np.array([20.0, 30.0]))], PERIOD)
    assert len(model.asked) == steps
    assert all(rates.tolist() == [20.0, 30.0] for rates in model.asked)


def test_one_command_after_the_other() -> None:
    model = Steady()
    rolled_forward(state_at(), model, [(0.15, np.array([20.0, 30.0])), (0.05, np.array([40.0, 50.0]))], PERIOD)
    assert [rates.tolist() for rates in model.asked] == [[20.0, 30.0]] * 2 + [[40.0, 50.0]]


def test_standing_is_staying() -> None:
    """The model has not seen a robot that stands, and is not asked; one side alone is no standing."""
    model, state = Steady(), state_at(1.0, 2.0, 0.3)
    after = rolled_forward(state, model, [(0.5, np.zeros(2)), (0.03, np.zeros(2))], PERIOD)
    np.testing.assert_array_equal(after, state)
    assert not model.asked
    rolled_forward(state, model, [(0.1, np.array([0.0, 20.0]))], PERIOD)
    assert len(model.asked) == 1


def test_nothing_to_wait_for_is_the_state_itself() -> None:
    np.testing.assert_array_equal(rolled_forward(state_at(1.0), Steady(), [], PERIOD), state_at(1.0))


@pytest.mark.parametrize("part", [0.25, 0.5, 0.9])
def test_part_of_a_turn_stays_on_the_circle(part: float) -> None:
    """The walker turns by 0.16 rad in a period: in a part of it by that part."""
    state = rolled_forward(state_at(0.0, 0.0, 0.5), RolloutEngine(walker()), [(part * PERIOD, np.array([13.0, 53.0]))],
                           PERIOD)
    yaw = STATE.indices(["yaw_cos", "yaw_sin"])
    assert np.hypot(*state[yaw]) == pytest.approx(1.0, abs=1e-9)
    assert np.arctan2(*state[yaw][::-1]) - 0.5 == pytest.approx(part * 0.16, abs=2e-3)


@pytest.mark.parametrize("periods", [1, 2, 3])
def test_whole_periods_are_the_trajectory_of_the_command(periods: int) -> None:
    """As published: the first action of a plan is the one already executing."""
    engine, rates = RolloutEngine(random_checkpoint()), np.array([20.0, 45.0])
    expected = engine.rollout(state_at(1.0), np.tile(rates, (1, periods, 1)))[0, -1].copy()
    found = rolled_forward(state_at(1.0), engine, [(periods * PERIOD, rates)], PERIOD)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=0.0 if periods < 3 else 1e-6)
