# SPDX-License-Identifier: Apache-2.0
"""Latency of motion capture: against motion whose latency is known by construction, and on the simulated robot."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from l2a_ros.errors import UserError
from l2a_ros.estimation import latency
from l2a_ros.estimation.latency import LatencyEstimator
from l2a_ros.estimation.latency_search import LatencyEstimate, LatencySettings, estimate_latency
from l2a_ros.robot.samples import ImuSample, PoseSample
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.sensors import Sensors, SensorSettings
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.training.random_driving import RandomDriver

MS = 1_000_000
#: Of a pose's attitude on each axis, rad.
NOISE = math.radians(0.1)


@dataclass(frozen=True)
class Motion:
    """A turning body, every millisecond: mean rates ``(n, 3)`` since the one before, attitudes ``(n,)``."""

    rates: np.ndarray
    attitudes: Rotation


@cache
def motion(seed: int, speed: float = 2.0, low: float = 0.3, high: float = 2.0, milliseconds: int = 4500) -> Motion:
    """Return a motion of a dozen sines between two frequencies (Hz) with this root mean square rate (rad/s)."""
    rng = np.random.default_rng(seed)
    times = np.arange(milliseconds) / 1000.0
    frequencies, phases = rng.uniform(low, high, 12), rng.uniform(0.0, 7.0, 12)
    rates = np.sin(2.0 * math.pi * np.outer(times, frequencies) + phases) @ rng.normal(size=(12, 3))
    rates *= speed / rates.std()
    quaternions = np.zeros((milliseconds, 4))
    x, y, z, w = 0.0, 0.0, 0.0, 1.0
    for i, (a, b, c, d) in enumerate(Rotation.from_rotvec(rates / 1000.0).as_quat().tolist()):
        x, y, z, w = (w * a + x * d + y * c - z * b, w * b - x * c + y * d + z * a, w * c + x * b - y * a + z * d,
                      w * d - x * a - y * b - z * c)
        quaternions[i] = x, y, z, w
    return Motion(rates, Rotation.from_quat(quaternions))


@dataclass(frozen=True)
class Data:
    """What :func:`estimate_latency` gets."""

    imu_stamps: np.ndarray
    rates: np.ndarray
    pose_stamps: np.ndarray
    quaternions: np.ndarray

    def estimate(self, chosen: LatencySettings | None = None) -> LatencyEstimate:
        return estimate_latency(self.imu_stamps, self.rates, self.pose_stamps, self.quaternions,
                                chosen or LatencySettings())

    def without_poses(self, is_left_out: np.ndarray) -> Data:
        return replace(self, pose_stamps=self.pose_stamps[~is_left_out], quaternions=self.quaternions[~is_left_out])

    def without_readings(self, is_left_out: np.ndarray) -> Data:
        return replace(self, imu_stamps=self.imu_stamps[~is_left_out], rates=self.rates[~is_left_out])


def sensed(moved: Motion, latency_ms: int, imu_ms: int = 1, pose_ms: int = 10, noise: float = NOISE, seed: int = 0,
           bias: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Data:
    """Return what gyroscope and motion capture say of a motion; poses are stamped late."""
    rng = np.random.default_rng(seed)
    rows = np.arange(imu_ms, len(moved.rates), imu_ms)
    shown = np.arange(0, len(moved.rates), pose_ms)
    attitudes = moved.attitudes[shown] * Rotation.from_rotvec(rng.normal(0.0, noise, (len(shown), 3)))
    return Data(rows * MS, moved.rates[rows] + bias, (shown + latency_ms) * MS, attitudes.as_quat())


def error_ms(estimate: LatencyEstimate, latency_ms: float) -> float:
    assert estimate.is_known, estimate.reason
    assert estimate.reason == ""
    return abs(1000.0 * estimate.latency - latency_ms)


# What it finds -------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(seed=st.integers(0, 5), latency=st.integers(-25, 144), noise=st.integers(0, 1000),
       bias=st.tuples(*[st.floats(-1.4, 1.4)] * 3), pose_ms=st.sampled_from([3, 5, 8, 10, 33]))
def test_latency_is_found_whatever_the_bias(seed: int, latency: int, noise: int, bias: tuple[float, float, float],
                                            pose_ms: int) -> None:
    estimate = sensed(motion(seed), latency, pose_ms=pose_ms, seed=noise, bias=bias).estimate()
    assert error_ms(estimate, latency) < 5000.0 * estimate.spread
    assert estimate.spread < 4e-4


@pytest.mark.parametrize("speed", [1.0, 5.0, 12.0])
def test_without_noise_it_is_exact_even_when_the_body_spins(speed: float) -> None:
    """The second order of the turn is there: without it the fast one would be off by a millisecond."""
    estimate = sensed(motion(3, speed, 1.0, 5.0), 23, noise=0.0).estimate()
    assert error_ms(estimate, 23) < 0.01
    assert estimate.spread < 2e-5


def test_spread_is_honest() -> None:
    """Errors measured in spreads are about one: of noise, of slow readings of fast motion; less of slow motion."""
    for speed, imu_ms, noise, least in ((0.6, 1, NOISE, 0.5), (3.0, 1, 3.0 * NOISE, 0.5), (3.0, 20, 0.5 * NOISE, 0.2)):
        ratios = []
        for seed in range(24):
            estimate = sensed(motion(seed % 6, speed, high=5.0), 12, imu_ms, noise=noise, seed=seed).estimate()
            # Readings that are 20 ms apart are momentary: of half a millisecond before, here.
            late = 0.5 if imu_ms > 1 else 0.0
            ratios.append(error_ms(estimate, 12 - late) / (1000.0 * estimate.spread))
        assert least < np.sqrt(np.mean(np.square(ratios))) < 1.5


def test_spread_follows_the_noise() -> None:
    one, three = (np.mean([sensed(motion(seed), 12, noise=noise, seed=seed).estimate().spread for seed in range(6)])
                  for noise in (NOISE, 3.0 * NOISE))
    assert three / one == pytest.approx(3.0, rel=0.2)


def test_readings_that_are_means_say_so() -> None:
    """A unit with a filter of 10 ms: taken for momentary, its readings would make the poses look 5 ms less late."""
    moved = motion(1, 3.0)
    data = sensed(moved, 30, 10)
    means = np.array([moved.rates[row - 9:row + 1].mean(axis=0) for row in data.imu_stamps // MS])
    data = replace(data, rates=means)
    assert error_ms(data.estimate(LatencySettings(imu_averaging=0.012)), 30) < 0.2
    assert error_ms(data.estimate(), 25) < 0.3


def test_what_must_not_matter_does_not() -> None:
    data = sensed(motion(2), 40)
    expected = data.estimate()
    rng = np.random.default_rng(1)
    far = 1_700_000_000_000_000_000
    assert replace(data, imu_stamps=data.imu_stamps + far, pose_stamps=data.pose_stamps + far).estimate() == expected
    flipped = data.quaternions * rng.choice([-1.0, 1.0], (len(data.quaternions), 1))
    room = (Rotation.random(rng=rng) * Rotation.from_quat(data.quaternions)).as_quat()
    for other in (replace(data, quaternions=flipped), replace(data, quaternions=room),
                  replace(data, rates=data.rates + (0.5, -1.0, 0.2))):
        estimate = other.estimate()
        assert estimate.latency == pytest.approx(expected.latency, abs=1e-5)
        assert estimate.spread == pytest.approx(expected.spread, rel=0.2)


# The simulated robot -------------------------------------------------------------------------------------------------


@cache
def walked(outliers: float) -> tuple[list[ImuSample], list[PoseSample]]:
    faults = [parse_fault("mocap_latency:0.01"), parse_fault(f"mocap_outlier:{outliers}")]
    robot = Millirobot(load_terrain("carpet"), 3, faults)
    sensors, driver = Sensors(robot, 3, SensorSettings(imu_period_ms=1)), RandomDriver(3)
    readings, poses = [], []
    for i in range(1, 6001):
        if i % 100 == 1:
            command = driver().tolist()
        robot.step(command)
        for sample in sensors.sample(i, i * MS):
            if isinstance(sample, ImuSample):
                readings.append(sample)
            elif isinstance(sample, PoseSample):
                poses.append(sample)
    return readings, poses


@pytest.mark.parametrize(("imu_ms", "late", "near"), [(1, 0.0, 0.06), (5, 0.5, 0.25), (10, 0.5, 0.6), (20, 0.5, 2.0)])
@pytest.mark.parametrize("outliers", [0.0, 1.0])
def test_walking_robot(imu_ms: int, late: float, near: float, outliers: float) -> None:
    """Slow readings are momentary, in truth of the last step of a millisecond: half of it is seen."""
    readings, poses = walked(outliers)
    estimator = LatencyEstimator()
    for reading in readings[::-imu_ms][::-1]:
        estimator.add_imu(reading.stamp, reading.angular_velocity)
    for pose in poses:
        estimator.add_pose(pose.stamp, pose.quaternion)
    estimate = estimator.update(6000 * MS)
    assert error_ms(estimate, 10.0 - late) < min(near, 5000.0 * estimate.spread)


@pytest.mark.parametrize("imu_ms", [2, 5, 10, 20])
def test_spread_of_a_walk_seen_by_slow_readings_is_honest(imu_ms: int) -> None:
    ratios = []
    for seconds in range(9):
        readings, poses = walked(0.0)
        first = 4000 * seconds // 9
        estimate = estimate_latency(
            np.array([each.stamp for each in readings[first::imu_ms]]),
            np.array([each.angular_velocity for each in readings[first::imu_ms]]),
            np.array([each.stamp for each in poses[first // 10:first // 10 + 200]]),
            np.array([each.quaternion for each in poses[first // 10:first // 10 + 200]]))
        ratios.append(error_ms(estimate, 9.5) / (1000.0 * estimate.spread))
    # Of windows that overlap: they err together.
    assert 0.3 < np.sqrt(np.mean(np.square(ratios))) < 2.2


def test_unit_that_is_read_too_seldom_says_nothing_of_a_walk() -> None:
    readings, poses = walked(0.0)
    estimate = estimate_latency(np.array([each.stamp for each in readings[::50]]),
                                np.array([each.angular_velocity for each in readings[::50]]),
                                np.array([each.stamp for each in poses]), np.array([each.quaternion for each in poses]))
    assert_unknown(estimate, "the inertial unit reads too seldom")


# Bad poses and gaps --------------------------------------------------------------------------------------------------


def test_outliers_do_no_harm() -> None:
    data = sensed(motion(4), 35)
    expected = data.estimate()
    rng = np.random.default_rng(2)
    is_bad = rng.random(len(data.quaternions)) < 0.07
    other_body = data.quaternions.copy()
    other_body[is_bad] = [0.0, 0.0, math.sin(1.0), math.cos(1.0)]
    wild = data.quaternions.copy()
    wild[is_bad] = Rotation.random(np.count_nonzero(is_bad), rng=rng).as_quat()
    for quaternions in (other_body, wild):
        estimate = replace(data, quaternions=quaternions).estimate()
        assert error_ms(estimate, 35) < min(0.2, 5000.0 * estimate.spread)
        assert estimate.spread < 3.0 * expected.spread


def test_poses_that_are_none_are_as_if_they_were_not_there() -> None:
    data = sensed(motion(4), 35)
    is_bad = np.random.default_rng(2).random(len(data.quaternions)) < 0.2
    expected = data.without_poses(is_bad).estimate()
    for value in (0.0, math.nan, math.inf, 0.6):
        quaternions = data.quaternions.copy()
        quaternions[is_bad] = value
        assert replace(data, quaternions=quaternions).estimate() == expected


def test_frozen_poses_are_not_taken_for_a_body_that_stands() -> None:
    """Half of the time frozen: more than a robust mean could bear."""
    data = sensed(motion(4), 35)
    quaternions = data.quaternions.copy()
    for begin in range(0, len(quaternions), 40):
        quaternions[begin:begin + 20] = quaternions[begin]
    assert error_ms(replace(data, quaternions=quaternions).estimate(), 35) < 0.3


def test_readings_are_not_integrated_across_gaps() -> None:
    data = sensed(motion(5, 4.0, 2.0, 5.0), 20)
    assert error_ms(data.without_readings(data.imu_stamps % (1000 * MS) < 60 * MS).estimate(), 20) < 0.1
    # With a gap within reach of every pose nothing is left; without enough of one, all is.
    everywhere = data.imu_stamps % (150 * MS)
    assert_unknown(data.without_readings(everywhere < 31 * MS).estimate(), "without gaps")
    assert error_ms(data.without_readings(everywhere < 29 * MS).estimate(), 20) < 1.0


def test_poses_are_not_compared_across_gaps() -> None:
    data = sensed(motion(5, 4.0, 2.0, 5.0), 20)
    lost = data.pose_stamps % (100 * MS)
    assert error_ms(data.without_poses(lost >= 60 * MS).estimate(), 20) < 0.1
    assert_unknown(data.without_poses((lost != 0) & (lost != 10 * MS)).estimate(), "too few poses")


def test_a_few_lost_samples_do_no_harm() -> None:
    data = sensed(motion(5), 20, imu_ms=5)
    rng = np.random.default_rng(3)
    estimate = data.without_readings(rng.random(len(data.rates)) < 0.1).without_poses(
        rng.random(len(data.quaternions)) < 0.3).estimate()
    assert error_ms(estimate, 19.5) < 0.3


# What it does not say ------------------------------------------------------------------------------------------------


def assert_unknown(estimate: LatencyEstimate, reason: str) -> None:
    assert not estimate.is_known
    assert estimate.latency == 0.0 and math.isinf(estimate.spread)
    assert reason in estimate.reason and "\n" not in estimate.reason


def test_robot_that_stands() -> None:
    still = Motion(np.random.default_rng(0).normal(0.0, 0.002, (4500, 3)), Rotation.identity(4500))
    assert_unknown(sensed(still, 10).estimate(), "turns too little")
    assert_unknown(sensed(motion(0, 0.1), 10).estimate(), "turns too little")


@pytest.mark.parametrize("latency", [-60, -32, 155, 200])
def test_latency_out_of_range_is_not_given(latency: int) -> None:
    estimate = sensed(motion(0, 5.0, 1.0, 5.0), latency).estimate()
    assert not estimate.is_known
    wider = LatencySettings(earliest=-0.1, latest=0.3)
    assert error_ms(sensed(motion(0, 5.0, 1.0, 5.0), latency).estimate(wider), latency) < 0.2


def test_gyroscope_of_another_body() -> None:
    for first, second in ((0, 1), (2, 3), (4, 5)):
        other = sensed(motion(first, 5.0, 1.0, 5.0), 10)
        assert not replace(other, rates=sensed(motion(second, 5.0, 1.0, 5.0), 10).rates).estimate().is_known
    # One that is mounted another way than its driver thinks.
    turned = sensed(motion(0), 10)
    turned = replace(turned, rates=turned.rates @ Rotation.from_euler("z", 90, degrees=True).as_matrix())
    assert_unknown(turned.estimate(), "do not see the same turning")


@pytest.mark.parametrize(("frequency", "latency"), [(6.5, -25), (6.5, 140), (8.0, 5), (8.0, 120), (12.0, 60),
                                                    (20.0, 60)])
def test_steady_stride_that_fits_twice_is_refused(frequency: float, latency: int) -> None:
    """Two latencies within the range differ by a period: nothing tells which one it is, noise would have to."""
    for noise in (0.3 * NOISE, 3.0 * NOISE):
        data = sensed(motion(0, 5.0, frequency, frequency), latency, noise=noise)
        assert_unknown(data.estimate(), "the motion repeats itself")


def test_one_different_moment_in_a_steady_stride_is_no_proof() -> None:
    """It might be an outlier of a kind that nobody thought of."""
    steady, other = motion(0, 5.0, 8.0, 8.0), motion(1, 3.0, 2.0, 5.0)
    rates = steady.rates.copy()
    rates[2000:2300] = other.rates[2000:2300]
    attitudes = [steady.attitudes[:2000]]
    for begin, end, moved in ((2000, 2300, other), (2300, 4500, steady)):
        last = attitudes[-1][-1]
        attitudes.append(last * moved.attitudes[begin - 1].inv() * moved.attitudes[begin:end])
    assert_unknown(sensed(Motion(rates, Rotation.concatenate(attitudes)), 5).estimate(), "the motion repeats itself")


def test_stride_that_is_longer_than_the_range_fits_once() -> None:
    assert error_ms(sensed(motion(0, 5.0, 4.5, 4.5), 60).estimate(), 60) < 0.2


def test_stride_that_changes_a_little_is_told_apart() -> None:
    """A stride of 7 to 9 Hz: the side valleys are there, but clearly higher."""
    for seed in range(3):
        assert error_ms(sensed(motion(seed, 5.0, 7.0, 9.0), 10, seed=seed).estimate(), 10) < 0.2


def test_too_little_data() -> None:
    data = sensed(motion(0), 10)
    assert_unknown(replace(data, pose_stamps=data.pose_stamps[:0], quaternions=data.quaternions[:0]).estimate(),
                   "no samples yet")
    assert_unknown(replace(data, imu_stamps=data.imu_stamps[:0], rates=data.rates[:0]).estimate(), "no samples yet")
    for count in (3, 10, 40):
        rows = slice(100, 100 + count)
        few = replace(data, pose_stamps=data.pose_stamps[rows], quaternions=data.quaternions[rows])
        assert_unknown(few.estimate(), "too few")
    # Of different times.
    assert_unknown(replace(data, pose_stamps=data.pose_stamps + 3_600_000 * MS).estimate(), "too few")
    # All of them bad.
    assert_unknown(replace(data, quaternions=0.0 * data.quaternions).estimate(), "too few")


def test_noise_that_hides_the_latency() -> None:
    data = sensed(motion(0, 0.4), 10, noise=2.0 * NOISE)
    estimate = data.estimate(LatencySettings(largest_spread=1e-4))
    assert_unknown(estimate, "it spreads by 0.")
    assert data.estimate(LatencySettings(largest_spread=5e-3)).is_known


def test_settings_have_ranges() -> None:
    with pytest.raises(UserError, match="window must be from 0.5 to 30, not 100"):
        LatencySettings(window=100.0)


# In the run ----------------------------------------------------------------------------------------------------------


def fed(estimator: LatencyEstimator, data: Data, shift: int = 0) -> list[LatencyEstimate]:
    """Feed samples in the order of their stamps; return what was known after each pose."""
    known = []
    rates, quaternions = data.rates.tolist(), data.quaternions.tolist()
    i = 0
    for stamp, quaternion in zip(data.pose_stamps.tolist(), quaternions, strict=True):
        while i < len(rates) and data.imu_stamps[i] <= stamp:
            estimator.add_imu(int(data.imu_stamps[i]) + shift, rates[i])
            i += 1
        estimator.add_pose(stamp + shift, quaternion)
        known.append(estimator.update(stamp + shift))
    return known


def test_rolling_estimate_is_the_pure_one_of_its_window() -> None:
    data = sensed(motion(0), 20)
    estimator = LatencyEstimator(LatencySettings(window=2.0))
    known = fed(estimator, data)
    assert known[-1].is_known and not known[50].is_known
    # The last search was at 4 s.
    stamp = 4000 * MS
    since = stamp - 2180 * MS
    imu = (data.imu_stamps >= since) & (data.imu_stamps <= stamp)
    poses = (data.pose_stamps >= since) & (data.pose_stamps <= stamp)
    assert estimator.newest == Data(data.imu_stamps[imu], data.rates[imu], data.pose_stamps[poses],
                                    data.quaternions[poses]).estimate()
    assert estimator.estimate == known[-1]


def _known(milliseconds: float, spread_ms: float) -> LatencyEstimate:
    return LatencyEstimate(milliseconds / 1000.0, spread_ms / 1000.0, True, "")


def told(estimates: list[LatencyEstimate], monkeypatch: pytest.MonkeyPatch, period: float = 1.0) -> list[float]:
    """Return what is known (ms) after searches with these results, and its last spread (ms)."""
    left = iter(estimates)
    monkeypatch.setattr(latency, "estimate_latency", lambda *_: next(left))
    estimator = LatencyEstimator(LatencySettings(period=period))
    estimator.add_pose(0, (0.0, 0.0, 0.0, 1.0))
    values = []
    for i in range(len(estimates)):
        values.append(1000.0 * estimator.update(round(i * period * 1000) * MS).latency)
        estimator.update(round(i * period * 1000) * MS + MS)
    return [*values, 1000.0 * estimator.estimate.spread]


def test_searches_are_weighted_by_their_spreads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four searches share a window of 4 s: each counts for a quarter."""
    assert told([_known(10.0, 0.2), _known(10.5, 0.1)], monkeypatch) == pytest.approx(
        [10.0, 10.25, 0.2 / math.sqrt(2.0)])
    assert told([_known(10.0, 0.2), _known(10.5, 0.2)], monkeypatch, 4.0) == pytest.approx(
        [10.0, 10.25, 0.2 / math.sqrt(2.0)])
    # Nothing is known better than 0.02 ms.
    assert told([_known(10.0, 0.02)] * 20, monkeypatch)[-1] == pytest.approx(0.02)


def test_contradiction_is_believed_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, lost = _known(10.0, 0.1), _known(20.0, 0.3), LatencyEstimate(0.0, math.inf, False, "no")
    assert told([old, new, new], monkeypatch) == pytest.approx([10.0, 10.0, 20.0, 0.3])
    assert told([old, new, lost, new], monkeypatch) == pytest.approx([10.0, 10.0, 10.0, 20.0, 0.3])
    # One that agrees in between.
    assert told([old, new, old, new], monkeypatch)[:4] == pytest.approx([10.0] * 4)


def test_searches_are_averaged_and_once_a_period() -> None:
    data = sensed(motion(1, 1.0, milliseconds=9000), 20, noise=3.0 * NOISE)
    estimator = LatencyEstimator()
    known = fed(estimator, data)
    changes = sum(a != b for a, b in pairwise(known))
    assert changes <= 9
    assert known[-1].spread < 0.8 * estimator.newest.spread
    assert error_ms(known[-1], 20) < 5000.0 * known[-1].spread


def test_late_repeated_and_unreadable_samples_are_left_out() -> None:
    data = sensed(motion(2), 20)
    expected = LatencyEstimator()
    fed(expected, data)
    estimator = LatencyEstimator()
    i = 0
    for stamp, quaternion in zip(data.pose_stamps.tolist(), data.quaternions.tolist(), strict=True):
        while i < len(data.rates) and data.imu_stamps[i] <= stamp:
            estimator.add_imu(int(data.imu_stamps[i]), data.rates[i])
            for late, rate in ((0, 1.0), (7 * MS, 5.0), (-MS // 2, math.nan), (-MS // 2, math.inf)):
                estimator.add_imu(int(data.imu_stamps[i]) - late, [0.0, rate, 0.0])
            i += 1
        estimator.add_pose(stamp, quaternion)
        estimator.add_pose(stamp, [0.0, 0.0, 1.0, 0.0])
        estimator.add_pose(stamp - 15 * MS, [0.0, 0.0, 1.0, 0.0])
        estimator.add_pose(stamp + 1, [math.nan] * 4)
        estimator.update(stamp)
    assert estimator.estimate == expected.estimate
    assert estimator.newest == expected.newest


def test_what_is_known_stays_known_while_the_robot_stands() -> None:
    moving, still = sensed(motion(3), 20), sensed(motion(3, 0.01, milliseconds=9000), 20)
    estimator = LatencyEstimator()
    before = fed(estimator, moving)[-1]
    after = fed(estimator, still, 5000 * MS)[-1]
    assert "turns too little" in estimator.newest.reason
    assert after.is_known and after == estimator.estimate
    assert abs(after.latency - before.latency) < 5.0 * before.spread
    estimator.reset()
    assert_unknown(estimator.update(20_000 * MS), "no samples yet")


def test_another_latency_is_believed_the_second_time() -> None:
    estimator = LatencyEstimator()
    assert error_ms(fed(estimator, sensed(motion(3), 20))[-1], 20) < 0.2
    known = fed(estimator, sensed(motion(4, milliseconds=9000), 45), 5000 * MS)
    found = [1000.0 * each.latency for each in known]
    assert error_ms(known[-1], 45) < 0.2
    # Not before a whole search agreed, and never in between.
    assert all(min(abs(each - 20.0), abs(each - 45.0)) < 2.0 for each in found)
    changed = next(i for i, each in enumerate(found) if abs(each - 45.0) < 2.0)
    assert abs(found[changed - 90] - 20.0) < 2.0


def test_memory_is_bounded() -> None:
    estimator = LatencyEstimator(LatencySettings(window=0.5))
    for i in range(20_000):
        estimator.add_imu(i * MS, (0.0, 0.0, 0.0))
        estimator.add_pose(i * MS, (0.0, 0.0, 0.0, 1.0))
    assert max(len(each) for each in vars(estimator).values() if hasattr(each, "extend")) <= 4 * 1400
