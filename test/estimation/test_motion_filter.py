# SPDX-License-Identifier: Apache-2.0
"""The motion filter on a motion that is known: right, as sure as it should be, whatever the order of arrival."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from estimation.robot_motion import BEGIN, IDEAL, MS, SECOND, Sensing, add, errors, fed, moment, record
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from l2a_ros.errors import UserError
from l2a_ros.estimation.motion import Health, MotionEstimate
from l2a_ros.estimation.motion_filter import MotionFilter
from l2a_ros.estimation.settings import FilterSettings
from l2a_ros.robot.calibration import Mounting
from l2a_ros.robot.samples import ImuSample, PoseSample

NOISY = Sensing(gyro_noise=2.1e-3, force_noise=0.045, position_noise=2e-4, attitude_noise=1.75e-3)


def estimated(motion_filter: MotionFilter, stamp: int) -> MotionEstimate:
    estimate = motion_filter.estimate(stamp)
    assert estimate is not None
    return estimate


def norms(error: np.ndarray) -> tuple[float, float, float]:
    """Lengths of the errors of position, velocity and attitude."""
    return tuple(float(np.linalg.norm(error[3 * i:3 * i + 3])) for i in range(3))  # type: ignore[return-value]


# The motion ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("imu_ms", "pose_ms", "position", "velocity", "attitude"),
                         [(2, 10, 2e-4, 0.004, 0.001), (5, 10, 3e-4, 0.01, 0.002), (10, 10, 6e-4, 0.03, 0.006),
                          (5, 4, 2e-4, 0.01, 0.002), (0, 10, 4e-4, 0.04, 0.02)])
def test_ideal_sensors_give_the_motion(imu_ms: int, pose_ms: int, position: float, velocity: float,
                                       attitude: float) -> None:
    motion_filter = fed(record(3.0, Sensing(imu_ms, pose_ms)))
    for ms in range(2700, 3000, 20):
        estimate = estimated(motion_filter, BEGIN + ms * MS)
        p, v, a = norms(errors(estimate))
        assert p < position and v < velocity and a < attitude, (ms, p, v, a)
        assert estimate.health is Health.TRACKING
    rate = estimated(motion_filter, BEGIN + 3 * SECOND).angular_velocity
    np.testing.assert_allclose(rate, moment(BEGIN + 3 * SECOND).rate, atol=0.01 if imu_ms else 0.5)


def test_prediction_goes_on_with_the_readings_that_are_there() -> None:
    samples = record(3.0, Sensing(5))
    motion_filter = fed([each for each in samples if isinstance(each, ImuSample) or each.stamp <= BEGIN + 2800 * MS])
    p, v, a = norms(errors(estimated(motion_filter, BEGIN + 3000 * MS)))
    assert p < 0.003 and v < 0.03 and a < 0.003
    # A little behind the newest reading it holds.
    p, _, a = norms(errors(estimated(motion_filter, BEGIN + 3008 * MS)))
    assert p < 0.004 and a < 0.02


def test_asking_changes_nothing() -> None:
    samples = record(1.5, NOISY)
    asked, silent = MotionFilter(IDEAL), MotionFilter(IDEAL)
    for sample in samples:
        add(asked, sample)
        asked.estimate(sample.stamp + 30 * MS)
        asked.status(sample.stamp)
        asked.age(sample.stamp + 500 * MS)
        add(silent, sample)
    one, two = estimated(asked, BEGIN + 1500 * MS), estimated(silent, BEGIN + 1500 * MS)
    np.testing.assert_array_equal(one.position, two.position)
    np.testing.assert_array_equal(one.covariance, two.covariance)


def test_past_is_remembered_for_a_while() -> None:
    samples = record(2.0, NOISY)
    motion_filter = fed(samples)
    then = fed([each for each in samples if each.stamp <= BEGIN + 1700 * MS])
    stamp = BEGIN + 1700 * MS
    np.testing.assert_allclose(estimated(motion_filter, stamp).position, estimated(then, stamp).position, atol=1e-12)
    assert motion_filter.estimate(BEGIN) is None, "too long ago"


def test_biases_are_found() -> None:
    sensing = replace(NOISY, gyro_bias=(0.05, -0.08, 0.03), force_bias=(0.2, -0.1, 0.3), imu_ms=2)
    estimate = estimated(fed(record(6.0, sensing)), BEGIN + 6 * SECOND)
    np.testing.assert_allclose(estimate.gyro_bias, sensing.gyro_bias, atol=0.003)
    np.testing.assert_allclose(estimate.acceleration_bias, sensing.force_bias, atol=0.1)


@pytest.mark.parametrize("bias", [0.02, 1.36])
def test_bias_of_a_robot_at_rest_is_measured_at_once(bias: float) -> None:
    """78 deg/s were recorded on a real robot."""
    sensing = replace(NOISY, gyro_bias=(bias, -bias, 0.5 * bias), standing_until=0.8)
    motion_filter = fed(record(0.7, sensing))
    assert motion_filter.report()["gyro bias measured at rest"] == 1.0
    np.testing.assert_allclose(estimated(motion_filter, BEGIN + 700 * MS).gyro_bias, sensing.gyro_bias, atol=0.01)
    for sample in record(3.0, sensing, start=0.701):
        add(motion_filter, sample)
    assert norms(errors(estimated(motion_filter, BEGIN + 3 * SECOND)))[2] < 0.003


def test_bias_is_not_measured_while_the_robot_moves() -> None:
    motion_filter = fed(record(1.0, replace(NOISY, gyro_bias=(0.02, 0.0, 0.0))))
    assert motion_filter.report()["gyro bias measured at rest"] == 0.0


def _turn(roll: float, pitch: float, yaw: float) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, Rotation.from_euler("ZYX", [yaw, pitch, roll]).as_matrix().tolist()))


def test_sensors_that_sit_elsewhere_give_the_same_motion() -> None:
    mounting = Mounting(mocap_position=(0.01, -0.02, 0.03), mocap_rotation=_turn(0.1, -0.2, 1.0),
                        imu_position=(0.03, 0.01, -0.01), imu_rotation=_turn(3.0, 0.1, -0.5))
    for imu_ms in (2, 0):
        motion_filter = fed(record(2.0, Sensing(imu_ms, mounting=mounting)), mounting=mounting)
        p, v, a = norms(errors(estimated(motion_filter, BEGIN + 2 * SECOND)))
        assert p < 6e-4 and v < 0.04 and a < 0.02, (imu_ms, p, v, a)
    assert norms(errors(estimated(fed(record(2.0, Sensing(2, mounting=mounting))), BEGIN + 2 * SECOND)))[0] > 0.01


def test_given_latency_is_taken_off() -> None:
    stamp = BEGIN + 2 * SECOND
    for imu_ms in (5, 0):
        right = fed(record(2.0, Sensing(imu_ms, latency_ms=20)), replace(IDEAL, mocap_latency=0.02))
        assert norms(errors(estimated(right, stamp)))[0] < 1e-3
    wrong = fed(record(2.0, Sensing(0, latency_ms=20)), IDEAL)
    assert norms(errors(estimated(wrong, stamp)))[0] > 4e-3


def test_latency_is_found_while_the_robot_moves() -> None:
    sensing = replace(NOISY, imu_ms=4, latency_ms=30)
    motion_filter = fed(record(4.5, sensing), replace(IDEAL, mocap_latency=-1.0))
    assert motion_filter.report()["mocap latency (s)"] == pytest.approx(0.03, abs=0.001)
    assert norms(errors(estimated(motion_filter, BEGIN + 4500 * MS)))[0] < 1e-3
    standing = fed(record(4.5, replace(sensing, standing_until=10.0)), replace(IDEAL, mocap_latency=-1.0))
    assert standing.report()["mocap latency spread (s)"] == FilterSettings().mocap_latency_spread


# Order of arrival ----------------------------------------------------------------------------------------------------


def _same(one: MotionFilter, two: MotionFilter, stamp: int) -> None:
    a, b = estimated(one, stamp), estimated(two, stamp)
    for name in ("position", "quaternion", "velocity", "angular_velocity", "covariance", "gyro_bias"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.health is b.health
    for name in ("poses used", "poses refused: far from the prediction", "times reacquired"):
        assert one.report()[name] == two.report()[name], name


@settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**31), st.sampled_from([0.02, 0.1, 0.3]), st.sampled_from([2, 5, 0]), st.booleans())
def test_order_of_arrival_does_not_matter(seed: int, lateness: float, imu_ms: int, spikes: bool) -> None:
    """Within the history: late, shuffled and repeated samples give bit for bit the estimate of those in order."""
    rng = np.random.default_rng(seed)
    samples = record(1.2, replace(NOISY, imu_ms=imu_ms), seed)
    if spikes:
        samples = [replace(each, position=each.position + 0.4) if isinstance(each, PoseSample) and rng.random() < 0.2
                   else each for each in samples]
    arrivals = np.array([each.stamp - BEGIN for each in samples]) / SECOND + rng.uniform(0.0, lateness, len(samples))
    shuffled = [samples[i] for i in np.argsort(arrivals, kind="stable")]
    repeated = [each for sample in shuffled for each in [sample] * int(rng.integers(1, 3))]
    # Readings that are cut off are judged by the one after them, too.
    settings = replace(IDEAL, accelerometer_range=10.5) if spikes else IDEAL
    in_order, late = fed(samples, settings), fed(repeated, settings)
    for ms in (900, 1200, 1210):
        _same(in_order, late, BEGIN + ms * MS)


def test_what_comes_too_late_is_refused_and_harmless() -> None:
    samples = record(1.5, NOISY)
    late = [each for each in samples if each.stamp == BEGIN + 700 * MS]
    motion_filter, untouched = fed([*samples, *late]), fed([each for each in samples])
    np.testing.assert_array_equal(estimated(motion_filter, BEGIN + 1500 * MS).position,
                                  estimated(untouched, BEGIN + 1500 * MS).position)
    missing = fed([each for each in samples if each is not late[0] and each is not late[1]])
    add(missing, late[0])
    add(missing, late[1])
    report = missing.report()
    assert report["poses refused: late"] + report["readings refused: late"] == 2


# How sure it is ------------------------------------------------------------------------------------------------------


def test_covariance_grows_without_poses_and_shrinks_with_them() -> None:
    samples = record(2.0, NOISY)
    motion_filter = fed([each for each in samples if isinstance(each, ImuSample) or each.stamp <= BEGIN + 1500 * MS])
    spreads = [np.sqrt(np.diag(estimated(motion_filter, BEGIN + ms * MS).covariance)) for ms in range(1500, 1900, 20)]
    assert np.all(np.diff(spreads, axis=0)[:, :6] > 0.0)
    for sample in record(2.2, NOISY, start=1.9):
        add(motion_filter, sample)
    assert np.all(np.sqrt(np.diag(estimated(motion_filter, BEGIN + 2200 * MS).covariance)) < spreads[-1])


@pytest.mark.parametrize("imu_ms", [2, 10, 0])
def test_covariance_is_one(imu_ms: int) -> None:
    motion_filter = fed(record(2.0, replace(NOISY, imu_ms=imu_ms)))
    for ms in (0, 10, 50, 200, 1000):
        covariance = estimated(motion_filter, BEGIN + (2000 + ms) * MS).covariance
        np.testing.assert_allclose(covariance, covariance.T, atol=1e-12)
        assert np.linalg.eigvalsh(covariance).min() > 0.0


def test_estimate_is_as_good_as_it_says() -> None:
    """Normalised errors of 50 seeds, tracked and after 0.2 s without poses, against the 95 % band of chi square."""
    seeds, moments = 50, (1500, 1580, 1995)
    sensing = replace(NOISY, imu_ms=2, averages=True)
    settings = replace(IDEAL, imu_averaging=0.0025, accelerometer_bias_spread=0.01, accelerometer_bias_walk=0.0,
                       gyro_bias_walk=0.0, gyro_bias_spread=0.01)
    means = np.zeros((len(moments), 4))
    for seed in range(seeds):
        rng = np.random.default_rng(1000 + seed)
        drawn = replace(sensing, gyro_bias=rng.normal(0.0, 0.01, 3), force_bias=rng.normal(0.0, 0.01, 3))
        samples = [each for each in record(2.0, drawn, seed)
                   if isinstance(each, ImuSample) or each.stamp < BEGIN + 1800 * MS]
        motion_filter = fed(samples, settings)
        for i, ms in enumerate(moments):
            estimate = estimated(motion_filter, BEGIN + ms * MS)
            error = errors(estimate)
            for j, block in enumerate((slice(0, 3), slice(3, 6), slice(6, 9), slice(0, 9))):
                means[i, j] += error[block] @ np.linalg.solve(estimate.covariance[block, block], error[block]) / seeds
    for j, size in enumerate((3, 3, 3, 9)):
        low, high = (chi2.ppf(p, seeds * size) / seeds for p in (0.0005, 0.9995))
        assert np.all((low < means[:, j]) & (means[:, j] < high)), (size, low, high, means[:, j])


def test_covariances_of_a_message_follow_from_that_of_the_errors() -> None:
    """Of the pose by position, of the twist by a linear function of errors: against drawn ones."""
    estimate = estimated(fed(record(2.0, NOISY)), BEGIN + 2 * SECOND)
    estimate = replace(estimate, velocity=np.array([0.4, -0.2, 0.1]), covariance=estimate.covariance * 1e-2)
    drawn = np.random.default_rng(0).multivariate_normal(np.zeros(9), estimate.covariance, 20_000)
    attitude = Rotation.from_quat(estimate.quaternion)
    true = (Rotation.from_rotvec(drawn[:, 6:9]) * attitude).inv().apply(estimate.velocity + drawn[:, 3:6])
    velocity, twist = estimate.body_twist()
    np.testing.assert_allclose(velocity, attitude.inv().apply(estimate.velocity))
    largest = np.abs(twist[:3, :3]).max()
    np.testing.assert_allclose(np.cov((true - velocity).T), twist[:3, :3], atol=0.05 * largest)
    np.testing.assert_allclose(twist[3:, 3:], np.diag(estimate.angular_velocity_spread**2))
    pose = estimate.pose_covariance()
    np.testing.assert_array_equal(pose[:3, 3:], estimate.covariance[0:3, 6:9])
    np.testing.assert_array_equal(pose[3:, 3:], estimate.covariance[6:9, 6:9])
    assert estimate.spreads()[1] == pytest.approx(math.sqrt(np.diag(estimate.covariance)[3:6].max()))


# Settings ------------------------------------------------------------------------------------------------------------


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="gate must be from 1 to 1e"):
        FilterSettings(gate=0.0)
    with pytest.raises(UserError, match="mocap_latency"):
        FilterSettings(mocap_latency=math.nan)


def test_saturated_readings_are_trusted_less() -> None:
    """A reading at the end of its range leaves something out: the velocity is less sure, and corrected on average."""
    samples = record(1.0, Sensing(2))
    settings = replace(IDEAL, accelerometer_range=20.0, imu_averaging=0.003)
    hit = [replace(each, specific_force=np.array([20.0, 0.0, 9.8]))
           if isinstance(each, ImuSample) and each.stamp == BEGIN + 996 * MS else each for each in samples]
    def gain(stamp: int) -> float:
        before, after = (estimated(fed([each for each in recorded if each.stamp <= stamp], settings), stamp)
                         for recorded in (samples, hit))
        assert after.covariance[3, 3] > 2.0 * before.covariance[3, 3]
        return float(Rotation.from_quat(after.quaternion).inv().apply(after.velocity - before.velocity)[0])

    # More is believed to be missing until the next reading shows that the hit was over.
    unknown, over = gain(BEGIN + 996 * MS), gain(BEGIN + 998 * MS)
    assert 0.002 * 20.0 * 1.1 < over < unknown < 0.002 * 20.0 * 1.4
