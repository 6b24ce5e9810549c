# SPDX-License-Identifier: Apache-2.0
"""States and commands at other rates than the control period's."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from driving_samples import START, STEP, Sample, drive, driving_state, write_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.experience.dataset import DataReport, read_recordings, recording_transitions
from l2a_ros.experience.resample import CommandsInForce, Pace, interpolate, pace_of, resample, usual_interval
from l2a_ros.experience.transitions import Cut, Transitions, effective_action
from l2a_ros.robot.layout import STATE

MS = 1_000_000
SECOND = 1_000_000_000


def stamps_every(interval: int, count: int, jitter: list[int] | None = None) -> np.ndarray:
    stamps = START + interval * np.arange(count, dtype=np.int64)
    return stamps + np.resize(jitter, count) if jitter else stamps


def states_at(stamps: np.ndarray) -> np.ndarray:
    return np.array([driving_state((int(stamp) - START) / SECOND) for stamp in stamps]).reshape(-1, STATE.size)


def is_made_of(runs: list, period: int) -> bool:  # type: ignore[type-arg]
    return all((np.diff(run.stamps) == period).all() for run in runs)


# The pace of a recording ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("interval", "expected"), [
    (20, Pace.FASTER), (50, Pace.FASTER), (66, Pace.FASTER), (85, Pace.FASTER), (97, Pace.AT_PERIOD),
    (100, Pace.AT_PERIOD), (120, Pace.AT_PERIOD), (135, Pace.SLOWER), (200, Pace.SLOWER)])
def test_pace(interval: int, expected: Pace) -> None:
    assert pace_of(stamps_every(interval * MS, 50), STEP) is expected


@pytest.mark.parametrize("count", [0, 1])
def test_pace_of_almost_nothing(count: int) -> None:
    assert pace_of(stamps_every(STEP, count), STEP) is Pace.AT_PERIOD
    assert np.isnan(usual_interval(stamps_every(STEP, count)))


@settings(max_examples=200)
@given(st.lists(st.integers(-15, 15), min_size=2, max_size=60), st.sets(st.integers(0, 59)))
def test_jitter_and_missing_states_never_make_a_recording_fast(jitter: list[int], missing: set[int]) -> None:
    """Else a recording at the control period would not be taken as it is."""
    stamps = stamps_every(STEP, len(jitter)) + np.array(jitter) * MS
    assert pace_of(stamps, STEP) is not Pace.FASTER
    kept = np.array([stamp for i, stamp in enumerate(stamps) if i not in missing], dtype=np.int64)
    assert len(kept) < 12 or pace_of(kept, STEP) is not Pace.FASTER


# States --------------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(0, 1000))
def test_resampling_at_the_control_period_changes_nothing(count: int, seed: int) -> None:
    stamps = stamps_every(STEP, count)
    states = np.random.default_rng(seed).normal(size=(count, STATE.size))
    states[:, :3] = 0.0
    runs, breaks = resample(stamps, states, STEP)
    assert breaks == []
    assert len(runs) == 1
    np.testing.assert_array_equal(runs[0].stamps, stamps)
    np.testing.assert_array_equal(runs[0].states, states)


@pytest.mark.parametrize("each", [2, 4, 5, 10])
def test_a_grid_that_meets_samples_takes_them_bit_for_bit(each: int) -> None:
    stamps = stamps_every(STEP // each, 10 * each + 1)
    states = states_at(stamps) + np.random.default_rng(0).normal(size=(len(stamps), STATE.size)) * 1e-3
    (run,), breaks = resample(stamps, states, STEP)
    assert breaks == []
    np.testing.assert_array_equal(run.states, states[::each])


@settings(max_examples=100)
@given(st.integers(8, 55), st.integers(2, 100), st.lists(st.integers(-100, 100), min_size=1, max_size=20))
def test_constant_motion_is_recovered_whatever_the_rate_and_the_jitter(interval: int, count: int,
                                                                       jitter: list[int]) -> None:
    """The jitter goes up to 40 % of the interval; legs make more than half a turn between samples."""
    stamps = stamps_every(interval * MS, count) + np.resize(jitter, count) * interval * MS // 250
    (run,), breaks = resample(stamps, states_at(stamps), STEP)
    assert breaks == []
    assert run.stamps[0] == stamps[0]
    assert is_made_of([run], STEP)
    assert stamps[-1] - STEP < run.stamps[-1] <= stamps[-1]
    np.testing.assert_allclose(run.states, states_at(run.stamps), atol=1e-3)
    # All of it is exactly linear but the roll.
    sure = [i for i, name in enumerate(STATE.names) if not name.startswith("roll")]
    np.testing.assert_allclose(run.states[:, sure], states_at(run.stamps)[:, sure], atol=1e-9)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(5, 260), st.sampled_from(["good"] * 10 + ["nan", "moved"])), min_size=1,
                max_size=60))
def test_nothing_is_made_up_and_nothing_crosses_a_break(steps: list[tuple[int, str]]) -> None:
    stamps = START + np.cumsum([step for step, _ in steps]).astype(np.int64) * MS
    states = states_at(stamps)
    offset = 0.0
    for i, (_, kind) in enumerate(steps):
        offset += 5.0 * (kind == "moved")
        states[i, 0] += offset
        if kind == "nan":
            states[i, 7] = np.nan
    runs, breaks = resample(stamps, states, STEP)
    assert is_made_of(runs, STEP)
    joined = [i for i in range(len(stamps) - 1) if stamps[i + 1] - stamps[i] <= STEP and steps[i][1] != "nan"
              and steps[i + 1][1] == "good"]
    for run in runs:
        assert np.isfinite(run.states).all()
        for moment in run.stamps:
            i = int(np.searchsorted(stamps, moment, side="right")) - 1
            assert stamps[i] == moment or i in joined
        first, last = np.searchsorted(stamps, [run.stamps[0], run.stamps[-1]], side="right") - 1
        assert all(i in joined for i in range(first, last))
    # Every joined stretch gives a run: nothing is lost that could have been kept.
    assert len(runs) == sum(kind != "nan" for _, kind in steps) - len(joined)
    assert len(breaks) >= len(runs) - 1
    assert all(each.periods >= 0 for each in breaks)


@pytest.mark.parametrize(("change", "reason", "periods"), [
    ("missing", Cut.GAP, 4), ("nan", Cut.NOT_FINITE, 1), ("moved", Cut.JUMP, 1)])
def test_a_break_says_why_and_how_long(change: str, reason: Cut, periods: int) -> None:
    stamps = stamps_every(20 * MS, 101)
    states = states_at(stamps)
    if change == "missing":
        stamps, states = np.delete(stamps, np.s_[50:62]), np.delete(states, np.s_[50:62], axis=0)
    elif change == "nan":
        states[51, 4] = np.nan
    else:
        states[51:, 0] += 1.0
    runs, breaks = resample(stamps, states, STEP)
    assert len(runs) == 2
    assert [(each.reason, each.periods) for each in breaks] == [(reason, periods)]


def test_bad_samples_at_the_ends_are_breaks_too() -> None:
    stamps = stamps_every(20 * MS, 51)
    states = states_at(stamps)
    states[:3] = states[-6:] = np.nan
    runs, breaks = resample(stamps, states, STEP)
    assert len(runs) == 1
    assert [(each.reason, each.periods) for each in breaks] == [(Cut.NOT_FINITE, 1), (Cut.NOT_FINITE, 1)]
    assert resample(stamps, states * np.nan, STEP)[0] == []


def test_angles_are_interpolated_along_the_circle() -> None:
    """Across the seam at half a turn, and a leg that makes more than half a turn between two samples."""
    first, second = driving_state(0.0), driving_state(0.05, left=70.0, right=70.0)
    first[STATE.index("left_leg_velocity")] = first[STATE.index("right_leg_velocity")] = 70.0
    for vector, yaw in ((first, 3.0), (second, -3.0)):
        vector[STATE.indices(["yaw_cos", "yaw_sin"])] = np.cos(yaw), np.sin(yaw)
    middle = interpolate(first[None], second[None], np.array([0.5]), np.array([0.05]))[0]
    yaw = np.arctan2(middle[STATE.index("yaw_sin")], middle[STATE.index("yaw_cos")])
    assert abs(yaw) == pytest.approx(np.pi)
    leg = np.arctan2(middle[STATE.index("left_leg_sin")], middle[STATE.index("left_leg_cos")])
    assert leg == pytest.approx(0.5 * 0.05 * 70.0)


# Commands ------------------------------------------------------------------------------------------------------------


def in_force(moments: list[int], rates: list[float]) -> CommandsInForce:
    return CommandsInForce(np.array(moments, dtype=np.int64) * MS, np.array([[rate, rate + 1] for rate in rates]), STEP)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 90), st.floats(1, 60)), min_size=1, max_size=12), st.integers(0, 500),
       st.integers(1, 200))
def test_average_is_the_one_of_every_millisecond(steps: list[tuple[int, float]], begin: int, length: int) -> None:
    moments = [int(moment) for moment in np.cumsum([step for step, _ in steps])]
    rates = [rate for _, rate in steps]
    held = []
    for ms in range(begin, begin + length):
        past = [i for i, moment in enumerate(moments) if moment <= ms]
        if not past or ms + 1 > moments[past[-1]] + 150:
            held = None
            break
        held.append(rates[past[-1]])
    ours = in_force(moments, rates).average(begin * MS, (begin + length) * MS)
    if held is None:
        assert ours is None
    else:
        assert ours is not None
        np.testing.assert_allclose(ours, [np.mean(held), np.mean(held) + 1], rtol=1e-9)


@pytest.mark.parametrize("delay", [0, 25, 100])
def test_average_generalises_the_effective_action(delay: int) -> None:
    commands = in_force([delay, 100 + delay, 200 + delay], [20.0, 30.0, 40.0])
    ours = commands.average(100 * MS, 200 * MS)
    expected = effective_action(np.array([20.0, 21.0]), np.array([30.0, 31.0]), delay / 100)
    assert ours is not None
    np.testing.assert_allclose(ours, expected)


def test_a_stand_inside_cuts_and_a_replaced_one_does_not() -> None:
    rates = np.array([[20.0, 20.0], [0.0, 0.0], [30.0, 30.0]])
    commands = CommandsInForce(np.array([0, 50, 60]) * MS, rates, STEP)
    np.testing.assert_array_equal(commands.average(0, 100 * MS), [0.0, 0.0])
    np.testing.assert_allclose(commands.average(60 * MS, 100 * MS), [30.0, 30.0])
    np.testing.assert_allclose(commands.average(0, 50 * MS), [20.0, 20.0])
    replaced = CommandsInForce(np.array([0, 50, 50]) * MS, rates, STEP)
    np.testing.assert_allclose(replaced.average(0, 100 * MS), [25.0, 25.0])


def test_a_command_that_is_not_finite_shows() -> None:
    assert np.isnan(in_force([0, 50], [20.0, np.nan]).average(0, 100 * MS)).all()
    assert np.isfinite(in_force([0, 50], [20.0, np.nan]).average(0, 50 * MS)).all()


def test_slow_commands_hold_as_long_as_they_usually_do() -> None:
    """Someone steers by hand, 4 times per second."""
    commands = in_force([0, 250, 500, 1000], [20.0, 21.0, 22.0, 24.0])
    assert commands.average(100 * MS, 200 * MS) is not None
    assert commands.average(700 * MS, 800 * MS) is not None
    assert commands.average(800 * MS, 900 * MS) is None, "the command at 750 ms is missing"
    assert CommandsInForce(np.zeros(0, dtype=np.int64), np.zeros((0, 2)), STEP).average(0, 1) is None


# Recordings ----------------------------------------------------------------------------------------------------------


def recorded(path: Path, samples: list[Sample], period: float = 0.1) -> tuple[list[Transitions], DataReport]:
    report = DataReport()
    return recording_transitions(write_samples(path, samples), period, report), report


def fast_drive(interval: int, seconds: float, jitter: float = 0.0, command_shift: int = 0) -> list[Sample]:
    """States every ``interval`` ms, commands every 100 ms with stamps of their own."""
    rng = np.random.default_rng(0)
    stamps = [START + i * interval * MS + round(rng.uniform(-jitter, jitter) * interval * MS) * (i > 0)
              for i in range(round(seconds * 1000 / interval) + 1)]
    states = [Sample("/robot_state", stamp, stamp, driving_state((stamp - START) / SECOND)) for stamp in stamps]
    commands = drive(round(seconds * 10) + 1, 0)[1::2]
    return states + [Sample(each.topic, each.stamp + command_shift * MS, each.log_time + command_shift * MS,
                            each.values) for each in commands]


@pytest.mark.parametrize(("interval", "jitter"), [(20, 0.0), (50, 0.0), (20, 0.4), (50, 0.4), (66, 0.2), (10, 0.3)])
def test_fast_recording_is_the_one_at_the_control_period(tmp_path: Path, interval: int, jitter: float) -> None:
    slow, _ = recorded(tmp_path / "slow", drive(31))
    fast, report = recorded(tmp_path / "fast", fast_drive(interval, 3.0, jitter))
    assert report.resampled == 1
    assert [len(segment) for segment in fast] == [30 if 3000 % interval == 0 and not jitter else len(fast[0])]
    count = len(fast[0])
    assert count >= 29
    assert torch.allclose(fast[0].states, slow[0].states[:count], atol=1e-3)
    assert torch.allclose(fast[0].next_states, slow[0].next_states[:count], atol=1e-3)
    assert torch.allclose(fast[0].actions, slow[0].actions[:count], atol=1e-4)
    if interval in (20, 50) and not jitter:
        assert torch.equal(fast[0].states, slow[0].states)


def test_commands_of_a_fast_recording_count_from_their_log_time(tmp_path: Path) -> None:
    fast, report = recorded(tmp_path / "fast", fast_drive(20, 3.0, command_shift=40))
    rates = np.array([sample.values for sample in drive(31)[1::2]])
    # Before the first command nothing is known.
    assert [len(segment) for segment in fast] == [29]
    assert report.lost[Cut.NO_COMMAND] == 1
    np.testing.assert_allclose(fast[0].actions, 0.4 * rates[:29] + 0.6 * rates[1:30], rtol=1e-6)


def test_a_stop_in_a_fast_recording_cuts(tmp_path: Path) -> None:
    samples = fast_drive(20, 3.0)
    samples = [Sample(each.topic, each.stamp, each.log_time, np.zeros(2))
               if each.topic == "/motor_commands" and START + 10 * STEP <= each.stamp < START + 14 * STEP else each
               for each in samples]
    segments, report = recorded(tmp_path / "bag", samples)
    assert [len(segment) for segment in segments] == [10, 16]
    assert (report.cuts[Cut.STOP], report.lost[Cut.STOP]) == (1, 4)


def test_a_gap_in_a_fast_recording_cuts(tmp_path: Path) -> None:
    samples = [each for each in fast_drive(20, 3.0)
               if each.topic == "/motor_commands" or not START + 10 * STEP < each.stamp < START + 13 * STEP]
    segments, report = recorded(tmp_path / "bag", samples)
    assert [len(segment) for segment in segments] == [10, 17]
    assert (report.cuts[Cut.GAP], report.lost[Cut.GAP]) == (1, 3)
    for one, other in itertools.pairwise(segments):
        assert not torch.equal(one.next_states[-1], other.states[0])


def test_commands_with_stamps_of_their_own_at_the_control_period(tmp_path: Path) -> None:
    """Another robot's: its driver stamps a command when it sends it, and states are taken as they are."""
    shifted = [Sample(each.topic, each.stamp + 30 * MS, each.log_time + 30 * MS, each.values)
               if each.topic == "/motor_commands" else each for each in drive(31)]
    segments, report = recorded(tmp_path / "own", shifted)
    late, _ = recorded(tmp_path / "late", drive(31, 30 * MS))
    assert report.resampled == 0
    assert len(segments) == len(late) == 1
    assert torch.equal(segments[0].states, late[0].states)
    assert torch.allclose(segments[0].actions, late[0].actions, rtol=1e-5)


def test_commands_without_stamps(tmp_path: Path) -> None:
    plain = [Sample(each.topic, 0, each.log_time + 30 * MS, each.values) if each.topic == "/motor_commands" else each
             for each in drive(31)]
    segments, _ = recorded(tmp_path / "own", plain)
    late, _ = recorded(tmp_path / "late", drive(31, 30 * MS))
    assert torch.allclose(segments[0].actions, late[0].actions, rtol=1e-5)


@pytest.mark.parametrize("interval", [150, 200, 500])
def test_slow_recording_gives_nothing_and_says_so(tmp_path: Path, interval: int) -> None:
    samples = fast_drive(interval, 6.0)
    segments, report = recorded(tmp_path / "bag", samples)
    assert segments == []
    assert any(f"robot_state comes every {interval / 1000:g} s" in text for text in report.warnings)
    with pytest.raises(UserError, match=f"every {interval / 1000:g} s.*--control-period {interval / 1000:g}") as caught:
        read_recordings([tmp_path / "bag"], 0.1)
    assert "\n" not in str(caught.value)
    # And that advice is right.
    assert read_recordings([tmp_path / "bag"], interval / 1000)[1].transitions > 0


@settings(max_examples=30)
@given(st.integers(20, 100))
def test_no_rate_gives_more_than_there_is(interval: int) -> None:
    """A grid never has more moments than control periods, and never reaches beyond the last sample."""
    stamps = stamps_every(interval * MS, 40)
    runs, _ = resample(stamps, states_at(stamps), STEP)
    assert sum(len(run.stamps) - 1 for run in runs) == (stamps[-1] - stamps[0]) // STEP
