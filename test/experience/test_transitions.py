# SPDX-License-Identifier: Apache-2.0
"""From a stream of states and commands to transitions: which ones join, and where a window must end."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.experience.transitions import Cut, Episode, Transitions, effective_action
from l2a_ros.robot.layout import STATE

PERIOD = 0.1
STEP = 100_000_000
START = 7 * STEP


def state(number: float) -> np.ndarray:
    """A state that can be recognised in a window, of a robot that stays where it is."""
    return np.where([name.startswith("position") for name in STATE.names], 0.0, float(number))


def command(number: float) -> np.ndarray:
    return np.array([20.0 + number, 40.0 - number])


def stamp_of(tick: int) -> int:
    return START + tick * STEP


def fill(episode: Episode, ticks: range, delay: float = 0.0) -> None:
    """Feed a clean stream: each state, then the command that answers it."""
    for tick in ticks:
        episode.add_state(stamp_of(tick), state(tick))
        episode.add_command(stamp_of(tick), command(tick), delay)


def numbers(window: Transitions) -> list[int]:
    """Which states transitions start from; also checks that each ends one later."""
    firsts = [round(float(row[-1])) for row in window.states]
    assert [round(float(row[-1])) for row in window.next_states] == [first + 1 for first in firsts]
    return firsts


def open_episode(capacity: int | None = None, **settings: object) -> Episode:
    return Episode(PERIOD, capacity, **settings)  # type: ignore[arg-type]


# The action of a transition ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fraction", "expected"), [
    (0.0, [30.0, 10.0]), (1.0, [10.0, 50.0]), (0.25, [25.0, 20.0]), (0.5, [20.0, 30.0]),
    (-1.0, [30.0, 10.0]), (7.0, [10.0, 50.0])])
def test_effective_action(fraction: float, expected: list[float]) -> None:
    np.testing.assert_allclose(effective_action(np.array([10.0, 50.0]), np.array([30.0, 10.0]), fraction), expected)


@settings(max_examples=50)
@given(st.floats(0, 60), st.floats(0, 60), st.integers(0, 100))
def test_effective_action_is_the_time_average(previous: float, current: float, late_ms: int) -> None:
    held = [previous] * late_ms + [current] * (100 - late_ms)
    ours = effective_action(np.array([previous, 0.0]), np.array([current, 0.0]), late_ms / 100)
    assert ours[0] == pytest.approx(sum(held) / 100)


def test_effective_action_of_a_batch() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.uniform(0, 60, (5, 4, 2)), rng.uniform(0, 60, (5, 4, 2))
    batch = effective_action(before, now, 0.3)
    for i in range(5):
        for j in range(4):
            np.testing.assert_allclose(batch[i, j], effective_action(before[i, j], now[i, j], 0.3))


# A clean stream ------------------------------------------------------------------------------------------------------


def test_clean_stream() -> None:
    episode = open_episode()
    fill(episode, range(6))
    window = episode.window()
    assert len(episode) == len(window) == 5
    assert numbers(window) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(window.actions.numpy(), [command(tick) for tick in range(5)])
    assert {str(tensor.dtype) for tensor in (window.states, window.actions, window.next_states)} == {"torch.float32"}
    assert episode.last_stamp == stamp_of(5)
    assert not any(episode.cuts.values())
    assert episode.repeated == 0


def test_add_state_tells_whether_it_completed_a_transition() -> None:
    episode = open_episode()
    assert episode.add_state(stamp_of(0), state(0)) is False
    episode.add_command(stamp_of(0), command(0), 0.0)
    assert episode.add_state(stamp_of(1), state(1)) is True
    assert episode.add_state(stamp_of(2), state(2)) is False


def test_capacity_keeps_the_newest() -> None:
    episode = open_episode(3)
    fill(episode, range(10))
    assert numbers(episode.window()) == [6, 7, 8]
    assert not any(episode.cuts.values())


def test_last() -> None:
    episode = open_episode()
    fill(episode, range(10))
    assert numbers(episode.window().last(4)) == [5, 6, 7, 8]
    assert numbers(episode.window().last(99)) == list(range(9))
    assert len(episode.window().last(0)) == 0


def test_empty_window_has_the_right_shapes() -> None:
    window = open_episode().window()
    assert len(window) == 0
    assert (tuple(window.states.shape), tuple(window.actions.shape)) == ((0, 24), (0, 2))


@pytest.mark.parametrize("offset", [-29, -5, 5, 29])
def test_small_jitter_is_no_gap(offset: int) -> None:
    episode = open_episode()
    for tick in range(4):
        stamp = stamp_of(tick) + (offset * 1_000_000 if tick == 2 else 0)
        episode.add_state(stamp, state(tick))
        episode.add_command(stamp, command(tick), 0.0)
    assert numbers(episode.window()) == [0, 1, 2]


# The delay of a command ----------------------------------------------------------------------------------------------


def test_delayed_command_shares_its_period_with_its_predecessor() -> None:
    episode = open_episode()
    fill(episode, range(4), delay=0.04)
    # The first command took effect late and what held before it is unknown: no transition of it.
    assert numbers(episode.window()) == [1, 2]
    np.testing.assert_allclose(episode.window().actions.numpy(),
                               [0.4 * command(tick - 1) + 0.6 * command(tick) for tick in (1, 2)], rtol=1e-6)


def test_whole_period_of_delay_is_the_command_before() -> None:
    episode = open_episode()
    fill(episode, range(4), delay=PERIOD)
    np.testing.assert_allclose(episode.window().actions.numpy(), [command(0), command(1)], rtol=1e-6)


@pytest.mark.parametrize("delay", [-0.01, 0.11, 5.0])
def test_delay_outside_of_the_period_is_a_gap(delay: float) -> None:
    episode = open_episode()
    fill(episode, range(4))
    episode.add_state(stamp_of(4), state(4))
    episode.add_command(stamp_of(4), command(4), delay)
    episode.add_state(stamp_of(5), state(5))
    assert len(episode) == 0
    assert episode.cuts[Cut.GAP] == 1


def test_after_a_cut_the_command_before_it_is_not_used() -> None:
    episode = open_episode()
    fill(episode, range(3), delay=0.04)
    episode.add_state(stamp_of(9), state(9))
    episode.add_command(stamp_of(9), command(9), 0.04)
    fill(episode, range(10, 13), delay=0.04)
    assert numbers(episode.window()) == [10, 11]


# Cuts ----------------------------------------------------------------------------------------------------------------


def test_gap() -> None:
    episode = open_episode()
    fill(episode, range(4))
    fill(episode, range(6, 9))
    assert numbers(episode.window()) == [6, 7]
    assert episode.cuts[Cut.GAP] == 1


def test_two_states_too_close_are_a_gap_too() -> None:
    episode = open_episode()
    fill(episode, range(3))
    episode.add_state(stamp_of(2) + STEP // 2, state(99))
    assert len(episode) == 0
    assert episode.cuts[Cut.GAP] == 1


def test_stop() -> None:
    episode = open_episode()
    fill(episode, range(4))
    episode.add_state(stamp_of(4), state(4))
    episode.add_command(stamp_of(4), np.zeros(2), 0.0)
    fill(episode, range(5, 8))
    assert numbers(episode.window()) == [5, 6]
    assert episode.cuts[Cut.STOP] == 1


def test_long_stop_is_one_cut() -> None:
    episode = open_episode()
    fill(episode, range(4))
    for tick in range(4, 20):
        episode.add_state(stamp_of(tick), state(tick))
        episode.add_command(stamp_of(tick), np.zeros(2), 0.0)
    assert episode.cuts[Cut.STOP] == 1
    assert sum(episode.cuts.values()) == 1


def test_missing_command() -> None:
    episode = open_episode()
    fill(episode, range(4))
    episode.add_state(stamp_of(4), state(4))
    fill(episode, range(5, 8))
    assert numbers(episode.window()) == [5, 6]
    assert episode.cuts[Cut.NO_COMMAND] == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_state_that_is_not_finite(value: float) -> None:
    episode = open_episode()
    fill(episode, range(4))
    bad = state(4)
    bad[17] = value
    episode.add_state(stamp_of(4), bad)
    episode.add_command(stamp_of(4), command(4), 0.0)
    fill(episode, range(5, 8))
    assert numbers(episode.window()) == [5, 6], "neither into the bad state nor out of it"
    assert episode.cuts[Cut.NOT_FINITE] == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_command_that_is_not_finite(value: float) -> None:
    episode = open_episode()
    fill(episode, range(4))
    episode.add_state(stamp_of(4), state(4))
    episode.add_command(stamp_of(4), np.array([20.0, value]), 0.0)
    fill(episode, range(5, 8))
    assert numbers(episode.window()) == [5, 6]
    assert episode.cuts[Cut.NOT_FINITE] == 1


def test_delay_that_is_not_finite() -> None:
    for delay in (math.nan, math.inf):
        episode = open_episode()
        fill(episode, range(4))
        episode.add_state(stamp_of(4), state(4))
        episode.add_command(stamp_of(4), command(4), delay)
        episode.add_state(stamp_of(5), state(5))
        assert len(episode) == 0
        assert episode.cuts[Cut.NOT_FINITE] == 1


def test_reset_forgets_everything() -> None:
    episode = open_episode()
    fill(episode, range(4))
    episode.cut(Cut.RESET)
    assert episode.cuts[Cut.RESET] == 1
    assert episode.last_stamp is None
    assert len(episode) == 0
    # The clock may have gone back, and the next state follows nothing.
    fill(episode, range(-50, -47))
    assert numbers(episode.window()) == [-50, -49]


def test_reset_does_not_join_the_states_on_both_sides() -> None:
    episode = open_episode()
    fill(episode, range(4))
    episode.cut(Cut.RESET)
    episode.add_state(stamp_of(4), state(4))
    assert len(episode) == 0
    episode.add_command(stamp_of(4), command(4), 0.0)
    episode.add_state(stamp_of(5), state(5))
    assert numbers(episode.window()) == [4]


# What is ignored -----------------------------------------------------------------------------------------------------


def test_repeated_and_late_states_change_nothing() -> None:
    episode = open_episode()
    fill(episode, range(4))
    assert episode.add_state(stamp_of(3), state(77)) is False
    assert episode.add_state(stamp_of(1), state(77)) is False
    fill(episode, range(4, 6))
    assert numbers(episode.window()) == [0, 1, 2, 3, 4]
    assert episode.repeated == 2
    assert not any(episode.cuts.values())


def test_time_that_begins_again_is_a_reset() -> None:
    episode = open_episode()
    fill(episode, range(50, 55))
    fill(episode, range(20, 23))
    assert numbers(episode.window()) == [20, 21]
    assert episode.cuts[Cut.RESET] == 1
    assert episode.repeated == 0


def test_robot_that_was_moved_ends_the_window() -> None:
    episode = open_episode()
    fill(episode, range(4))
    elsewhere = state(4)
    elsewhere[0] = 0.5
    episode.add_state(stamp_of(4), elsewhere)
    assert len(episode) == 0
    assert episode.cuts[Cut.JUMP] == 1
    # A tenth of a second at the fastest is 0.3 m.
    episode.add_command(stamp_of(4), command(4), 0.0)
    near = state(5)
    near[0] = 0.21
    assert episode.add_state(stamp_of(5), near)


def test_first_command_of_a_stamp_counts() -> None:
    episode = open_episode()
    episode.add_state(stamp_of(0), state(0))
    episode.add_command(stamp_of(0), command(0), 0.0)
    episode.add_command(stamp_of(0), command(9), 0.0)
    episode.add_state(stamp_of(1), state(1))
    np.testing.assert_allclose(episode.window().actions[0], command(0))


def test_commands_may_come_before_their_states_and_in_any_order() -> None:
    episode = open_episode()
    for tick in (2, 0, 1, 3):
        episode.add_command(stamp_of(tick), command(tick), 0.0)
        assert episode.has_command(stamp_of(tick))
    for tick in range(5):
        episode.add_state(stamp_of(tick), state(tick))
    assert numbers(episode.window()) == [0, 1, 2, 3]
    np.testing.assert_allclose(episode.window().actions.numpy(), [command(tick) for tick in range(4)])


def test_late_command_is_ignored() -> None:
    episode = open_episode()
    fill(episode, range(2))
    episode.add_state(stamp_of(2), state(2))
    episode.add_state(stamp_of(3), state(3))
    episode.add_command(stamp_of(2), command(2), 0.0)
    assert not episode.has_command(stamp_of(2))
    assert len(episode) == 0


def test_command_for_a_stamp_between_two_states_belongs_to_none() -> None:
    episode = open_episode()
    fill(episode, range(3))
    episode.add_state(stamp_of(3), state(3))
    episode.add_command(stamp_of(3) + 1, command(3), 0.0)
    episode.add_state(stamp_of(4), state(4))
    assert len(episode) == 0
    assert episode.cuts[Cut.NO_COMMAND] == 1


def test_old_commands_are_not_kept_for_ever() -> None:
    episode = open_episode(3)
    fill(episode, range(1000))
    assert not any(episode.has_command(stamp_of(tick)) for tick in range(999))


def test_caller_may_use_its_arrays_again() -> None:
    episode, buffer, rates = open_episode(), state(0), command(0)
    for tick in range(4):
        buffer[:], rates[:] = state(tick), command(tick)
        episode.add_state(stamp_of(tick), buffer)
        episode.add_command(stamp_of(tick), rates, 0.0)
    assert numbers(episode.window()) == [0, 1, 2]
    np.testing.assert_allclose(episode.window().actions.numpy(), [command(tick) for tick in range(3)])


def test_window_is_a_copy() -> None:
    episode = open_episode()
    fill(episode, range(4))
    episode.window().states.zero_()
    assert numbers(episode.window()) == [0, 1, 2]


# Offline: finished segments ------------------------------------------------------------------------------------------


def test_segments_up_to_each_cut_are_handed_over() -> None:
    finished: list[Transitions] = []
    episode = open_episode(finished=finished)
    fill(episode, range(4))
    fill(episode, range(10, 12))
    fill(episode, range(20, 21))
    fill(episode, range(30, 34))
    assert [numbers(segment) for segment in finished] == [[0, 1, 2], [10]]
    assert numbers(episode.window()) == [30, 31, 32]
    assert episode.cuts[Cut.GAP] == 2, "a cut of nothing is none"


# Whatever comes: no window crosses a cut ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """What happens in one tick of a stream."""

    skipped: int = 0
    jitter: int = 0
    bad_state: bool = False
    moved: bool = False
    repeat: bool = False
    command: str = "good"
    delay: float = 0.0


events = st.builds(
    Event, skipped=st.sampled_from([0] * 12 + [1, 5]),
    jitter=st.sampled_from([0] * 8 + [-40, -16, -15, -5, 5, 14, 15, 40]),
    bad_state=st.sampled_from([False] * 12 + [True]), moved=st.sampled_from([False] * 12 + [True]),
    repeat=st.sampled_from([False] * 6 + [True]),
    command=st.sampled_from(["good"] * 12 + ["none", "stop", "nan", "early", "twice"]),
    delay=st.sampled_from([0.0, 0.0, 0.02, 0.1]))


@settings(max_examples=200)
@given(st.lists(events, max_size=60), st.integers(1, 20), st.sampled_from([None, 1, 4, 16]))
def test_no_window_ever_crosses_a_cut(stream: list[Event], seed: int, capacity: int | None) -> None:
    """Against a slow version that looks at the whole stream at once."""
    rng, tick, place = np.random.default_rng(seed), 0, 0.0
    sent: list[tuple[int, np.ndarray, np.ndarray | None, float]] = []
    episode = open_episode(capacity)
    for event in stream:
        tick += 1 + event.skipped
        stamp = stamp_of(tick) + event.jitter * 1_000_000
        values = rng.normal(size=STATE.size)
        values[3] = math.nan if event.bad_state else values[3]
        # Longer gaps would let the robot get there; a gap is a cut anyway.
        place += 5.0 if event.moved else 0.02
        values[:3] = [place, 0.0, 0.0]
        rates = {"none": None, "stop": np.zeros(2), "nan": np.array([math.nan, 20.0])}.get(
            event.command, rng.uniform(13, 56, 2))
        if event.command == "early":
            episode.add_command(stamp, rates, event.delay)
        episode.add_state(stamp, values)
        if event.repeat:
            episode.add_state(stamp, rng.normal(size=STATE.size))
        if rates is not None and event.command != "early":
            episode.add_command(stamp, rates, event.delay)
        if event.command == "twice":
            episode.add_command(stamp, rng.uniform(13, 56, 2), 0.0)
        sent.append((stamp, values, rates, event.delay))

    expected: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    previous: np.ndarray | None = None
    for (stamp, values, rates, delay), (later, following, _, _) in itertools.pairwise(sent):
        is_good = (abs(later - stamp - STEP) <= 0.3 * STEP and following[0] - values[0] < 1.0
                   and np.isfinite(values).all()
                   and np.isfinite(following).all() and rates is not None and np.isfinite(rates).all() and rates.any())
        if not is_good:
            expected, previous = [], None
            continue
        assert rates is not None
        if previous is not None or delay == 0.0:
            before = rates if previous is None else previous
            expected.append((values, before * delay / PERIOD + rates * (1 - delay / PERIOD), following))
        previous = rates
    expected = expected if capacity is None else expected[-capacity:]

    window = episode.window()
    assert len(window) == len(expected)
    for i, (values, action, following) in enumerate(expected):
        np.testing.assert_allclose(window.states[i], values, rtol=1e-6)
        np.testing.assert_allclose(window.actions[i], action, rtol=1e-6)
        np.testing.assert_allclose(window.next_states[i], following, rtol=1e-6)
    # What a window promises: each transition begins where the one before ended.
    np.testing.assert_array_equal(window.states[1:], window.next_states[:-1])
