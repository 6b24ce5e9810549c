# SPDX-License-Identifier: Apache-2.0
"""When the filter is given samples of a recording and asked, and what becomes of its answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from estimation.motion_bags import START, force, position, quaternion, rate, velocity
from estimation.robot_motion import BEGIN, IDEAL, Sensing, record
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from l2a_ros.errors import UserError
from l2a_ros.estimation.motion import Health, MotionEstimate
from l2a_ros.estimation.motion_filter import MotionFilter
from l2a_ros.estimation.recorded_motion import Truth
from l2a_ros.estimation.refused_poses import RefusedPoses
from l2a_ros.estimation.replay import HEALTHS, Evaluated, Replay
from l2a_ros.estimation.replay_errors import Distribution, error_figures, measure
from l2a_ros.robot.samples import ImuSample, PoseSample

MS = 1_000_000


class Spy(MotionFilter):
    """Notes what it is given and when it is asked; answers with the true motion, moved by ``offset`` m along x."""

    def __init__(self, offset: float = 0.0, health: Health = Health.TRACKING) -> None:
        super().__init__()
        self.given: list[PoseSample | ImuSample] = []
        self.asked: list[tuple[int, int]] = []
        self.offset, self.health = offset, health

    def add_pose(self, sample: PoseSample) -> None:
        self.given.append(sample)

    def add_imu(self, sample: ImuSample) -> None:
        self.given.append(sample)

    def estimate(self, stamp: int) -> MotionEstimate | None:
        self.asked.append((stamp, len(self.given)))
        if not any(isinstance(each, PoseSample) for each in self.given):
            return None
        t = (stamp - START) / 1e9
        return MotionEstimate(stamp, position(t) + [self.offset, 0.0, 0.0], quaternion(t), velocity(t),
                              rate(t), np.eye(9) * 1e-4, np.ones(3), np.zeros(3), np.zeros(3),
                              self.health, stamp)


class Tilted(Spy):
    """Wrong by 30 mrad about the x axis of the map."""

    def estimate(self, stamp: int) -> MotionEstimate | None:
        found = super().estimate(stamp)
        return None if found is None else replace(found, quaternion=(
            Rotation.from_rotvec([0.03, 0.0, 0.0]) * Rotation.from_quat(found.quaternion)).as_quat())


def pose(stamp: int) -> PoseSample:
    t = (stamp - START) / 1e9
    return PoseSample(stamp, position(t), quaternion(t))


def reading(stamp: int) -> ImuSample:
    t = (stamp - START) / 1e9
    return ImuSample(stamp, rate(t), force(t))


def truth(stamp: int, told: bool = True) -> Truth:
    t = (stamp - START) / 1e9
    return Truth(stamp, position(t), quaternion(t), velocity(t) if told else None)


def replay(logged: list[tuple[int, PoseSample | ImuSample | Truth]], motion: MotionFilter,
           rate: float = 1000.0) -> Evaluated:
    run = Replay(motion, rate, any(isinstance(sample, Truth) for _, sample in logged))
    for log_time, sample in sorted(logged, key=lambda each: each[0]):
        run.add(log_time, sample)
    return run.finish()


def walk(count: int = 40, offset: int = 0) -> list[tuple[int, PoseSample | ImuSample | Truth]]:
    """Poses every 10 ms, logged 5 ms late, readings every 2 ms, truths every 10 ms; all logged ``offset`` ns late."""
    logged: list[tuple[int, PoseSample | ImuSample | Truth]] = []
    for i in range(count):
        stamp = START + 10 * i * MS
        logged.append((stamp + 5 * MS + offset, pose(stamp)))
        logged += [(stamp + 2 * k * MS + offset, reading(stamp + 2 * k * MS)) for k in range(5)]
        logged.append((stamp + offset, truth(stamp)))
    return logged


@settings(max_examples=15)
@given(truth_delay=st.integers(0, 900), pose_delay=st.integers(0, 300), shift=st.integers(0, 9))
def test_filter_knows_what_had_been_logged_and_nothing_else(truth_delay: int, pose_delay: int, shift: int) -> None:
    logged: list[tuple[int, PoseSample | ImuSample | Truth]] = []
    for i in range(60):
        stamp = START + 10 * i * MS
        logged.append((stamp + pose_delay * MS, pose(stamp)))
        logged += [(stamp + 5 * k * MS + 100_000, reading(stamp + 5 * k * MS)) for k in range(2)]
        logged.append((stamp + shift * MS + truth_delay * MS, truth(stamp + shift * MS)))
    spy = Spy()
    replay(logged, spy)
    arrivals = sorted(log for log, sample in logged if not isinstance(sample, Truth))
    moments = [START + (10 * i + shift) * MS for i in range(60)]
    assert [stamp for stamp, _ in spy.asked] == [each for each in moments if each <= arrivals[-1]]
    for stamp, count in spy.asked:
        assert count == sum(arrival <= stamp for arrival in arrivals)


def test_of_different_clocks_stamps_are_the_time() -> None:
    spy = Spy()
    evaluated = replay(walk(offset=5000 * 10**9), spy)
    assert len(evaluated.estimate) == 39
    for stamp, count in spy.asked[1:]:
        # Readings up to the moment, and poses that had been logged before them.
        newest = max(each.stamp for each in spy.given[:count])
        assert stamp - 2 * MS <= newest <= stamp


def test_moments_are_the_truths_or_come_at_the_rate() -> None:
    spy = Spy()
    evaluated = replay(walk(), spy)
    # Before the first pose was logged there was nothing to say.
    assert evaluated.waiting == 1
    assert evaluated.estimate.stamps.tolist() == [START + 10 * i * MS for i in range(1, 40)]
    assert evaluated.truth is not None
    np.testing.assert_allclose(evaluated.truth.positions, evaluated.estimate.positions)
    assert (evaluated.first, evaluated.last) == (START, START + 398 * MS)
    # Truths are left out, none is made up.
    slower = replay(walk(), Spy(), rate=30.0)
    assert np.diff(slower.estimate.stamps).tolist() == [40 * MS] * (len(slower.estimate) - 1)
    without = [each for each in walk() if not isinstance(each[1], Truth)]
    evaluated = replay(without, Spy(), rate=250.0)
    assert evaluated.truth is None
    assert set(np.diff(evaluated.estimate.stamps).tolist()) == {4 * MS}
    assert 95 <= len(evaluated.estimate) <= 100


def test_wrong_stamps_and_gaps_do_not_move_the_time() -> None:
    without = [each for each in walk() if not isinstance(each[1], Truth)]
    odd = [(log, replace(sample, stamp=stamp)) for (log, sample), stamp in zip(
        without[100:104], (0, 2**62, 1, 2 * 10**18), strict=True)]
    evaluated = replay(without + odd, Spy(), rate=250.0)
    assert set(np.diff(evaluated.estimate.stamps).tolist()) == {4 * MS}
    assert len(evaluated.estimate) <= 100
    # An hour's gap holds no moments.
    later = [(log + 3600 * 10**9, replace(sample, stamp=sample.stamp + 3600 * 10**9)) for log, sample in without]
    evaluated = replay(without + later, Spy(), rate=250.0)
    assert 190 <= len(evaluated.estimate) <= 500
    assert np.diff(evaluated.estimate.stamps).max() > 3590 * 10**9


@pytest.mark.parametrize("has_truth", [True, False])
@pytest.mark.parametrize("follows", [-600, 600])
def test_time_may_begin_again(has_truth: bool, follows: int) -> None:
    def part(start: int) -> list[tuple[int, PoseSample | ImuSample | Truth]]:
        return [(log, replace(each, stamp=each.stamp + start)) for log, each in walk(300)
                if has_truth or not isinstance(each, Truth)]

    logged = [*part(600 * 10**9), *((log + 3 * 10**9, each) for log, each in part((600 + follows) * 10**9))]
    spy = Spy()
    evaluated = replay(logged, spy, rate=100.0)
    stamps = np.sort(evaluated.estimate.stamps - START)
    for start in (600 * 10**9, (600 + follows) * 10**9):
        of_part = stamps[(stamps >= start - 10**9) & (stamps < start + 4 * 10**9)]
        assert 295 <= len(of_part) <= 400
        assert len(np.unique(of_part)) == len(of_part)
    assert len(stamps) <= 800
    assert np.all(np.diff(evaluated.estimate.stamps) > 0)


def test_a_truth_of_the_time_before_is_not_one_of_the_time_after() -> None:
    # Motion capture and readings end early, and what follows comes to the same stamps without a truth.
    before = [(log + 600 * 10**9, replace(each, stamp=each.stamp + 600 * 10**9)) for log, each in walk(600)
              if isinstance(each, Truth) or each.stamp < START + 2 * 10**9]
    after = [(log + 607 * 10**9, replace(each, stamp=each.stamp + 598 * 10**9)) for log, each in walk(900)
             if not isinstance(each, Truth)]
    stamps = replay(before + after, Spy(), rate=100.0).estimate.stamps - START
    assert 195 <= len(stamps) <= 301
    assert stamps.max() <= 603 * 10**9


def test_truth_that_is_none_is_left_out() -> None:
    logged = [(log, sample) for log, sample in walk()]
    for k, wrong in enumerate((replace(truth(START + 101 * MS), position=np.array([np.nan, 0.0, 0.0])),
                               replace(truth(START + 103 * MS), quaternion=np.zeros(4)),
                               replace(truth(START + 105 * MS), stamp=0))):
        logged.append((START + (101 + 2 * k) * MS, wrong))
    # One that is told twice counts once.
    logged.append((START + 107 * MS, truth(START + 100 * MS)))
    evaluated = replay(logged, Spy())
    assert evaluated.bad_truths == 3
    assert len(evaluated.estimate) == 39


def test_velocity_is_told_or_the_difference_of_true_positions() -> None:
    def true_velocity(logged: list[tuple[int, PoseSample | ImuSample | Truth]], rate: float = 1000.0) -> np.ndarray:
        found = replay(logged, Spy(), rate).true_velocity
        assert found is not None
        return found

    wanted = np.array([velocity(0.01 * i) for i in range(1, 40)])
    np.testing.assert_allclose(true_velocity(walk()), wanted)
    for silent in (None, np.zeros(3)):
        logged = [(log, replace(each, velocity=silent) if isinstance(each, Truth) else each) for log, each in walk()]
        # One that is told twice makes no difference.
        found = true_velocity(logged + [each for each in logged[100:200] if isinstance(each[1], Truth)])
        np.testing.assert_allclose(found[:-1], wanted[:-1], atol=1e-4)
        # Of the last one there is none.
        assert np.all(np.isnan(found[-1]))
        # Also between those that are not evaluated.
        np.testing.assert_allclose(true_velocity(logged, 50.0)[:-1], wanted[1::2][:-1], atol=1e-4)
    sparse = [(log, replace(each, velocity=None) if isinstance(each, Truth) else each) for log, each in walk(100)
              if not isinstance(each, Truth) or each.stamp % (200 * MS) == 0]
    assert np.all(np.isnan(true_velocity(sparse)))


def test_refused_poses_are_marked() -> None:
    """Those far away, those with no attitude and those too high; not those that are refused and have no place."""
    noisy = Sensing(4, gyro_noise=2e-3, force_noise=0.045, position_noise=2e-4, attitude_noise=1.7e-3)
    samples = record(2.0, noisy)
    spoiled = {
        800: {"position": np.array([5.0, 0.0, 0.04])}, 900: {"quaternion": np.zeros(4)},
        1010: {"position": np.array([0.3, 0.0, 3.0])}, 1100: {"position": np.array([np.nan, 0.0, 0.0])},
        1500: {"quaternion": Rotation.from_euler("z", 2.0).as_quat()}}
    expected = [BEGIN + ms * MS for ms in spoiled if ms != 1100]
    motion = MotionFilter(IDEAL)
    refused = RefusedPoses(motion)
    for sample in samples:
        if isinstance(sample, PoseSample):
            sample = replace(sample, **spoiled.get((sample.stamp - BEGIN) // MS, {}))
            motion.add_pose(sample)
            refused.add(sample)
        else:
            motion.add_imu(sample)
    found = refused.found()
    np.testing.assert_allclose(found[:, 0], np.array(expected, dtype=float), rtol=0.0, atol=1000.0)
    assert found[0, 1:].tolist() == [5.0, 0.0, 0.04]


def test_only_live_moments_are_measured() -> None:
    for health, count in ((Health.TRACKING, 39), (Health.COASTING, 39), (Health.LOST, 0)):
        figures = error_figures([measure(replay(walk(), Spy(0.003, health)), False)])
        assert figures.live.position_m.count == count
        assert figures.coasting.position_m.count == (count if health is Health.COASTING else 0)
        assert (figures.ate_m is None) is (count == 0)
        assert HEALTHS[HEALTHS.index(health)] is health


def test_figures_of_a_known_offset() -> None:
    figures = error_figures([measure(replay(walk(), Spy(0.02)), False)])
    for value in (figures.live.position_m.rmse, figures.live.position_m.p99, figures.live.position_m.largest,
                  figures.ate_m):
        assert value == pytest.approx(0.02)
    assert figures.live.velocity_m_s.largest == pytest.approx(0.0, abs=1e-9)
    assert figures.live.orientation_deg.largest == pytest.approx(0.0, abs=1e-4)
    # One of three axes is wrong by two standard deviations (of 10 mm).
    assert figures.consistency.position == pytest.approx(4.0 / 3.0)
    assert figures.consistency.velocity == pytest.approx(0.0, abs=1e-9)
    assert figures.consistency.within_three == 1.0
    assert figures.consistency.orientation == pytest.approx(0.0, abs=1e-9)
    assert error_figures([measure(replay(walk(), Spy(0.04)), False)]).consistency.within_three == pytest.approx(8 / 9)
    errors = measure(replay(walk(), Tilted()), False)
    np.testing.assert_allclose(errors.signed[:, 6:9], [[0.03, 0.0, 0.0]] * 39, atol=1e-9)
    tilted = error_figures([errors])
    assert tilted.consistency.orientation == pytest.approx(3.0)
    assert tilted.consistency.velocity == pytest.approx(0.0, abs=1e-9)
    assert tilted.live.orientation_deg.rmse == pytest.approx(np.degrees(0.03))
    # The whole error is a shift, which alignment takes away; relative errors never see it.
    assert [each.translation_m for each in figures.rpe] == [pytest.approx(0.0, abs=1e-9), None]
    assert [each.pairs for each in figures.rpe] == [29, 0]
    aligned = error_figures([measure(replay(walk(), Spy(0.02)), True)])
    assert aligned.ate_m == pytest.approx(0.0, abs=1e-9)


def test_a_truth_of_another_frame_is_aligned_with_its_velocity() -> None:
    turn, shift = Rotation.from_rotvec([0.3, -0.2, 2.0]), np.array([4.0, 5.0, 6.0])
    logged = [(log, replace(each, position=turn.apply(each.position) + shift,
                            quaternion=(turn * Rotation.from_quat(each.quaternion)).as_quat(),
                            velocity=turn.apply(each.velocity)) if isinstance(each, Truth) else each)
              for log, each in walk()]
    evaluated = replay(logged, Spy())
    unaligned = error_figures([measure(evaluated, False)])
    assert unaligned.ate_m is not None
    assert unaligned.ate_m > 1.0
    figures = error_figures([measure(evaluated, True)])
    assert figures.ate_m == pytest.approx(0.0, abs=1e-8)
    assert figures.live.orientation_deg.largest == pytest.approx(0.0, abs=1e-5)
    assert figures.live.velocity_m_s.largest == pytest.approx(0.0, abs=1e-8)
    still = [(log, replace(each, position=np.zeros(3)) if isinstance(each, Truth) else each) for log, each in walk()]
    with pytest.raises(UserError, match="cannot be aligned"):
        measure(replay(still, Spy()), True)


def test_recordings_are_taken_together() -> None:
    parts = [measure(replay(walk(), Spy(0.01)), False), measure(replay(walk(20), Spy(0.03)), False)]
    figures = error_figures(parts)
    assert figures.live.position_m.count == 58
    assert figures.ate_m == pytest.approx(np.sqrt((39 * 0.01**2 + 19 * 0.03**2) / 58))
    assert figures.rpe[0].pairs == 29 + 9


def test_distribution_leaves_out_what_is_not_known() -> None:
    found = Distribution.of(np.array([3.0, np.nan, 4.0]))
    assert (found.count, found.largest, found.p50) == (2, 4.0, 3.5)
    assert found.rmse == pytest.approx(np.sqrt(12.5))
    assert Distribution.of(np.array([np.nan])) == Distribution(0)


def test_the_filter_itself_follows_a_circle() -> None:
    logged = walk(200)
    motion = MotionFilter()
    evaluated = replay([(log, each) for log, each in logged], motion)
    settled = evaluated.estimate.part(slice(100, None))
    assert evaluated.truth is not None
    assert np.abs(settled.positions - evaluated.truth.positions[100:]).max() < 5e-3
    assert np.all(evaluated.health == HEALTHS.index(Health.TRACKING))
    assert len(replay([], MotionFilter()).estimate) == 0
