# SPDX-License-Identifier: Apache-2.0
"""What motion capture does to the filter: off, on, silent, wrong, frozen, late, twice, of another time.

Every scenario happens between 2 and 3 s to a robot that walks. The table says how healthy the estimate is when, how far
off it may be, and how long it takes to recover afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from estimation.robot_motion import BEGIN, IDEAL, MS, SECOND, Sensing, add, errors, fed, record
from scipy.spatial.transform import Rotation

from l2a_ros.estimation.motion import Health
from l2a_ros.estimation.motion_filter import MotionFilter
from l2a_ros.robot.samples import ImuSample, PoseSample

W, T, C, L = Health.WAITING, Health.TRACKING, Health.COASTING, Health.LOST
Samples = list[PoseSample | ImuSample]
NOISY = Sensing(imu_ms=4, gyro_noise=2.1e-3, force_noise=0.045, position_noise=2e-4, attitude_noise=1.75e-3)
#: An inertial unit that is fast and exact enough for half a second without poses.
SETTINGS = IDEAL
END = 4.0


def _during(sample: PoseSample | ImuSample, begin: float = 2.0, end: float = 3.0) -> bool:
    return BEGIN + begin * SECOND <= sample.stamp < BEGIN + end * SECOND


def _poses(change: Callable[[PoseSample, int], PoseSample | None], begin: float = 2.0,
           end: float = 3.0) -> Callable[[Samples], Samples]:
    """Return a scenario that changes or drops (None) the poses of a stretch; it is told which one of them it is."""

    def scenario(samples: Samples) -> Samples:
        changed: Samples = []
        count = 0
        for sample in samples:
            if isinstance(sample, PoseSample) and _during(sample, begin, end):
                other = change(sample, count)
                count += 1
                if other is not None:
                    changed.append(other)
            else:
                changed.append(sample)
        return changed

    return scenario


def _wrong_body(height: float, x: float) -> Callable[[PoseSample, int], PoseSample]:
    quaternion = Rotation.from_euler("z", 2.0).as_quat()
    rng = np.random.default_rng(7)
    return lambda pose, _: PoseSample(pose.stamp, np.array([x, 0.5, height]) + rng.normal(0.0, 2e-4, 3), quaternion)


def _frozen(pose: PoseSample, _: int) -> PoseSample:
    frozen = next(each for each in record(2.0, NOISY) if isinstance(each, PoseSample) and each.stamp >= BEGIN + SECOND)
    return replace(frozen, stamp=pose.stamp)


def _spike(pose: PoseSample, i: int) -> PoseSample:
    return replace(pose, position=pose.position + [0.4, 0.0, 0.0]) if i % 4 == 0 else pose


def _shifted(pose: PoseSample, _: int) -> PoseSample:
    return replace(pose, position=pose.position + [0.0, 0.4, 0.0])


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Args:
        change: what happens to the samples.
        health: at which time (s) it is how healthy.
        worst: largest error of the position while the estimate is live, m.
        recovery: longest time from 3.0 s until it tracks again, s; None if it never does.
        refused: words of the report that must count something.
    """

    change: Callable[[Samples], Samples]
    health: dict[float, Health]
    worst: float = 0.01
    recovery: float | None = 0.0
    refused: Sequence[str] = ()


CASES = {
    "never on": Case(_poses(lambda *_: None, 0.0, 9.0), {1.0: W, 2.5: W, 4.0: W}, recovery=None),
    "off midway": Case(_poses(lambda *_: None, 2.0, 9.0), {1.99: T, 2.05: T, 2.2: C, 2.5: L, 4.0: L}, recovery=None),
    "on midway": Case(_poses(lambda *_: None, 0.0, 3.0), {2.0: W, 2.99: W, 3.1: T}, recovery=0.05),
    "dropout of 0.3 s": Case(_poses(lambda *_: None, 2.7, 3.0), {2.6: T, 2.9: C, 2.99: C}, 0.015, 0.02),
    "dropout of 1 s": Case(_poses(lambda *_: None), {2.2: C, 2.5: L, 2.99: L}, 0.015, 0.3),
    "spikes": Case(_poses(_spike), {t: T for t in (2.0, 2.2, 2.5, 2.9, 3.0)}, 0.002, 0.0,
                   ["far from the prediction"]),
    "short jump": Case(_poses(_shifted, 2.8), {2.7: T, 2.85: T, 2.95: C}, 0.01, 0.02, ["far from the prediction"]),
    "wrong body high up": Case(_poses(_wrong_body(0.86, 0.3)), {2.2: C, 2.5: L, 2.99: L}, 0.015, 0.3,
                               ["out of bounds"]),
    "wrong body on the floor": Case(_poses(_wrong_body(0.03, -0.9)), {2.2: C, 2.5: L, 2.99: L}, 0.015, 0.3,
                                    ["far from the prediction"]),
    "wrong body beside": Case(_poses(_wrong_body(0.03, 0.8)), {2.2: C, 2.5: L, 2.99: L}, 0.015, 0.3,
                              ["far from the prediction"]),
    "frozen": Case(_poses(_frozen), {2.2: C, 2.5: L, 2.99: L}, 0.015, 0.3, ["frozen"]),
    "zeros": Case(_poses(lambda pose, _: PoseSample(pose.stamp, np.zeros(3), np.zeros(4))),
                  {2.2: C, 2.5: L}, 0.015, 0.3, ["no attitude"]),
    "not a number": Case(_poses(lambda pose, i: replace(pose, position=np.full(3, math.nan)) if i % 2 else pose),
                         {2.1: T, 2.5: T, 2.99: T}, 0.002, 0.0, ["not finite"]),
    "stamp of zero": Case(_poses(lambda pose, i: replace(pose, stamp=0) if i % 3 else pose),
                          {2.5: T, 2.99: T}, 0.002, 0.0, ["of another time"]),
    "lying on its back": Case(_poses(lambda pose, _: replace(pose, quaternion=np.array([1.0, 0.0, 0.0, 0.0]))),
                              {2.2: C, 2.5: L}, 0.015, 0.3, ["out of bounds"]),
}


def _follow(motion_filter: MotionFilter, samples: Samples) -> dict[int, tuple[Health, float]]:
    """Feed samples; return health and error of the position every 10 ms, by ms."""
    seen = {}
    ms = 10
    for sample in [*samples, None]:
        while ms <= 1000 * END and (sample is None or sample.stamp > BEGIN + ms * MS):
            estimate = motion_filter.estimate(BEGIN + ms * MS)
            seen[ms] = (W, 0.0) if estimate is None else (
                estimate.health, float(np.linalg.norm(errors(estimate)[:3])))
            ms += 10
        if sample is not None:
            add(motion_filter, sample)
    return seen


@pytest.mark.parametrize("name", CASES)
def test_scenario(name: str) -> None:
    case = CASES[name]
    motion_filter = MotionFilter(SETTINGS)
    seen = _follow(motion_filter, case.change(record(END, NOISY)))
    for seconds, health in case.health.items():
        assert seen[round(1000 * seconds)][0] is health, f"at {seconds} s: {seen[round(1000 * seconds)]}"
    worst = max((error for ms, (health, error) in seen.items() if health.is_live and ms > 500), default=0.0)
    assert worst <= case.worst
    if case.recovery is None:
        assert not any(health is T for ms, (health, _) in seen.items() if ms > 3000)
    else:
        after = round(1000 * (3.0 + case.recovery)) + 10
        assert all(health is T for ms, (health, _) in seen.items() if ms >= after), {
            ms: state for ms, state in seen.items() if ms >= after and state[0] is not T}
        assert seen[4000][1] < 0.002
    report = motion_filter.report()
    for word in case.refused:
        assert report[f"poses refused: {word}"] > 10, report


WITHOUT_IMU = {"off midway": {2.05: T, 2.2: C, 2.5: L}, "spikes": {2.2: T, 2.9: T}, "frozen": {2.15: C, 2.5: L},
               "wrong body high up": {2.15: C, 2.5: L}, "wrong body on the floor": {2.15: C, 2.5: L},
               "dropout of 1 s": {2.5: L, 3.3: T}}


@pytest.mark.parametrize("name", WITHOUT_IMU)
def test_scenario_without_inertial_unit(name: str) -> None:
    samples = CASES[name].change(record(END, replace(NOISY, imu_ms=0)))
    seen = _follow(MotionFilter(replace(IDEAL, motion_acceleration=0.3)), samples)
    for seconds, health in WITHOUT_IMU[name].items():
        assert seen[round(1000 * seconds)][0] is health, f"at {seconds} s: {seen[round(1000 * seconds)]}"
    if CASES[name].recovery is not None:
        assert seen[4000][0] is T and seen[4000][1] < 0.002


def test_inertial_unit_that_ends_or_begins_midway_changes_little() -> None:
    for there in (lambda ms: ms < 2000, lambda ms: ms > 2000, lambda ms: not 1500 < ms < 2500):
        samples = [each for each in record(END, NOISY)
                   if isinstance(each, PoseSample) or there((each.stamp - BEGIN) // MS)]
        seen = _follow(MotionFilter(replace(IDEAL, motion_acceleration=0.3)), samples)
        assert all(health is T and error < 0.002 for ms, (health, error) in seen.items() if ms > 100)


def test_sign_of_a_quaternion_does_not_matter() -> None:
    samples = record(1.5, NOISY)
    rng = np.random.default_rng(0)
    flipped = [replace(each, quaternion=-each.quaternion) if isinstance(each, PoseSample) and rng.random() < 0.5
               else each for each in samples]
    one, two = (fed(each, SETTINGS).estimate(BEGIN + 1500 * MS) for each in (samples, flipped))
    assert one is not None and two is not None
    np.testing.assert_allclose(one.position, two.position, atol=1e-12)
    np.testing.assert_allclose(one.covariance, two.covariance, atol=1e-15)


@pytest.mark.parametrize("jump", [-100.0, 100.0, -1.7e9, 3600.0])
def test_time_that_jumps_is_followed(jump: float) -> None:
    motion_filter = fed(record(1.0, NOISY), SETTINGS)
    shift = round(jump * SECOND)
    for sample in record(1.3, NOISY, start=1.0):
        add(motion_filter, replace(sample, stamp=sample.stamp + shift))
    estimate = motion_filter.estimate(BEGIN + 1300 * MS + shift)
    assert estimate is not None and estimate.health is T
    assert np.linalg.norm(errors(replace(estimate, stamp=BEGIN + 1300 * MS))[:3]) < 0.002
    assert motion_filter.report()["resets"] == 1


def test_one_stray_stamp_is_no_jump_of_time() -> None:
    samples = record(2.0, NOISY)
    stray = [replace(samples[100], stamp=BEGIN + 3600 * SECOND), replace(samples[101], stamp=BEGIN - 3600 * SECOND)]
    motion_filter = fed([*samples[:300], *stray, *samples[300:]], SETTINGS)
    report = motion_filter.report()
    assert report["resets"] == 0
    assert report["poses refused: of another time"] + report["readings refused: of another time"] == 2
    estimate = motion_filter.estimate(BEGIN + 2 * SECOND)
    assert estimate is not None and estimate.health is T


# Carried elsewhere ---------------------------------------------------------------------------------------------------


def _carried(stands: bool) -> tuple[MotionFilter, dict[int, tuple[Health, float]]]:
    """A robot that is not seen for a second and comes back 1.5 m further, walking or standing."""
    sensing = replace(NOISY, standing_until=9.0) if stands else NOISY
    samples = [replace(each, position=each.position + [0.0, 1.5, 0.0])
               if isinstance(each, PoseSample) and each.stamp >= BEGIN + 3 * SECOND else each
               for each in record(END, sensing) if isinstance(each, ImuSample) or not _during(each)]
    motion_filter = MotionFilter(SETTINGS)
    return motion_filter, _follow(motion_filter, samples)


def test_robot_that_moves_elsewhere_as_its_unit_says_is_believed() -> None:
    _, seen = _carried(stands=False)
    assert seen[2900][0] is L and seen[3100][0] is L
    assert seen[3900][0] is T


def test_body_that_stands_elsewhere_is_not_believed_until_somebody_says_so() -> None:
    motion_filter, seen = _carried(stands=True)
    assert all(health is L for ms, (health, _) in seen.items() if ms > 3000)
    assert "another body?" in motion_filter.status(BEGIN + 4 * SECOND)
    there = [each for each in record(4.0, replace(NOISY, standing_until=9.0)) if isinstance(each, PoseSample)][-1]
    motion_filter.set_pose(BEGIN + 4 * SECOND, there.position + [0.1, 1.4, 0.0], there.quaternion)
    estimate = motion_filter.estimate(BEGIN + 4 * SECOND)
    assert estimate is not None and estimate.health is L, "nobody saw it yet"
    for sample in record(4.5, replace(NOISY, standing_until=9.0), start=4.001):
        add(motion_filter, replace(sample, position=sample.position + [0.0, 1.5, 0.0])
            if isinstance(sample, PoseSample) else sample)
    estimate = motion_filter.estimate(BEGIN + 4500 * MS)
    assert estimate is not None and estimate.health is T
    np.testing.assert_allclose(estimate.position, there.position + [0.0, 1.5, 0.0], atol=0.002)


def test_robot_at_rest_before_poses_without_noise_is_tracked() -> None:
    """A perfect motion capture repeats itself: only a robot that moves meanwhile shows that it is frozen."""
    sensing = Sensing(imu_ms=4, gyro_noise=2.1e-3, force_noise=0.045, standing_until=9.0)
    seen = _follow(MotionFilter(SETTINGS), record(END, sensing))
    assert all(health is T for ms, (health, _) in seen.items() if ms > 100)


def test_reset_begins_again() -> None:
    motion_filter = fed(record(2.0, NOISY), SETTINGS)
    motion_filter.reset()
    assert motion_filter.estimate(BEGIN + 2 * SECOND) is None
    assert motion_filter.status(BEGIN + 2 * SECOND) == "no mocap/pose yet"
    for sample in record(2.2, NOISY, start=2.001):
        add(motion_filter, sample)
    estimate = motion_filter.estimate(BEGIN + 2200 * MS)
    assert estimate is not None and estimate.health is T
