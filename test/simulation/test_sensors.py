# SPDX-License-Identifier: Apache-2.0
"""What the simulated sensors say: how often, and how wrong."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from l2a_ros.robot.limits import STAND
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample, TelemetrySample
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.sensors import Sensors, SensorSettings
from l2a_ros.simulation.terrain import load_terrain

CARPET = load_terrain("carpet")
SETTINGS = SensorSettings()


@pytest.fixture(scope="module")
def resting() -> Millirobot:
    robot = Millirobot(CARPET)
    for _ in range(1000):
        robot.step(STAND)
    return robot


def listen(robot: Millirobot, milliseconds: int, seed: int = 0,
           settings: SensorSettings | None = None) -> list[Sample]:
    """Read the sensors for a while without letting the robot move."""
    sensors = Sensors(robot, seed, settings)
    return [sample for ms in range(1, milliseconds + 1) for sample in sensors.sample(ms, ms * 1_000_000)]


def test_rates(resting: Millirobot) -> None:
    counts = Counter(type(sample) for sample in listen(resting, 1000))
    assert counts == {PoseSample: 100, ImuSample: 100, CrankSample: 50, TelemetrySample: 50, BatterySample: 10}
    assert counts[PoseSample] >= 100, "the estimator wants odometry at 100 Hz"


def test_own_periods_and_stamps(resting: Millirobot) -> None:
    settings = SensorSettings(pose_period_ms=3, imu_period_ms=7, crank_period_ms=11, telemetry_period_ms=13,
                              battery_period_ms=250)
    samples = listen(resting, 1000, settings=settings)
    for kind, period in ((PoseSample, 3), (ImuSample, 7), (CrankSample, 11), (TelemetrySample, 13),
                         (BatterySample, 250)):
        stamps = [sample.stamp // 1_000_000 for sample in samples if isinstance(sample, kind)]
        assert stamps == list(range(period, 1001, period))


def test_everything_of_a_control_period_is_there_at_its_end(resting: Millirobot) -> None:
    """At t_k every source has spoken for t_k itself: the state of a tick is of that tick."""
    samples = listen(resting, 100)
    assert {type(sample) for sample in samples if sample.stamp == 100_000_000} == {
        PoseSample, ImuSample, CrankSample, TelemetrySample, BatterySample}


def test_noise_of_motion_capture(resting: Millirobot) -> None:
    poses = [sample for sample in listen(resting, 40_000) if isinstance(sample, PoseSample)]
    errors = np.array([pose.position - resting.position for pose in poses])
    np.testing.assert_allclose(errors.std(axis=0), SETTINGS.pose_position_noise, rtol=0.08)
    assert np.abs(errors.mean(axis=0)).max() < 4 * SETTINGS.pose_position_noise / math.sqrt(len(poses))
    true = Rotation.from_quat(resting.quaternion)
    turns = np.array([(true.inv() * Rotation.from_quat(pose.quaternion)).as_rotvec() for pose in poses])
    np.testing.assert_allclose(turns.std(axis=0), SETTINGS.pose_angle_noise, rtol=0.08)
    assert all(abs(np.linalg.norm(pose.quaternion) - 1.0) < 1e-9 for pose in poses)


def test_noise_of_the_inertial_sensor(resting: Millirobot) -> None:
    samples = [sample for sample in listen(resting, 40_000) if isinstance(sample, ImuSample)]
    rates = np.array([sample.angular_velocity for sample in samples])
    forces = np.array([sample.specific_force for sample in samples])
    np.testing.assert_allclose(rates.std(axis=0), SETTINGS.gyro_noise, rtol=0.08)
    np.testing.assert_allclose(forces.std(axis=0), SETTINGS.accelerometer_noise, rtol=0.08)
    assert forces.mean(axis=0)[2] == pytest.approx(9.81, rel=SETTINGS.accelerometer_scale_error + 0.01)
    # As measured on the robot at rest: 0.10 to 0.12 deg/s, 3.3 to 4.9 mg.
    assert 0.09 < math.degrees(SETTINGS.gyro_noise) < 0.13
    assert 0.003 < SETTINGS.accelerometer_noise / 9.81 < 0.005


def _inertial(robot: Millirobot, seed: int, settings: SensorSettings | None = None) -> list[ImuSample]:
    return [sample for sample in listen(robot, 2000, seed, settings) if isinstance(sample, ImuSample)]


def test_calibration_of_the_inertial_sensor_differs_from_run_to_run(resting: Millirobot) -> None:
    biases, scales = [], []
    for seed in range(20):
        samples = _inertial(resting, seed)
        biases.append(np.mean([sample.angular_velocity for sample in samples], axis=0) - resting.angular_velocity)
        scales.append(np.mean([sample.specific_force for sample in samples], axis=0)[2] / resting.specific_force[2])
    largest, error = SETTINGS.gyro_bias, SETTINGS.accelerometer_scale_error
    assert 0.5 * largest < np.abs(biases).max() < 1.1 * largest
    assert np.std(biases, axis=0).min() > 0.3 * largest, "every axis has its own"
    assert 0.5 * error < np.abs(np.array(scales) - 1.0).max() < 1.1 * error
    assert math.radians(0.5) < largest < math.radians(7.0), "measured: 1 to 6 deg/s after a good calibration"


def test_calibration_stays_for_a_run(resting: Millirobot) -> None:
    quiet = SensorSettings(gyro_noise=0.0, accelerometer_noise=0.0)
    sensors = Sensors(resting, 3, quiet)
    readings = []
    for _ in range(2):
        for ms in (10, 20, 30):
            readings += [sample.angular_velocity for sample in sensors.sample(ms, 0) if isinstance(sample, ImuSample)]
        sensors.reset()
    assert len({tuple(reading) for reading in readings}) == 1


def test_range_and_resolution_of_the_inertial_sensor() -> None:
    """2000 deg/s and 8 g in 16 bit: 1.07e-3 rad/s and 2.4e-3 m/s^2 per count, as the firmware sets it."""
    robot = Millirobot(CARPET)
    for _ in range(100):
        robot.step([30.0, 30.0])
    for sample in _inertial(robot, 1)[:20]:
        for values, step in ((sample.angular_velocity, 1.06585e-3), (sample.specific_force, 2.3942e-3)):
            np.testing.assert_allclose(values / step, np.round(values / step), atol=1e-6)
    robot.data.qvel[3:6] = [100.0, -100.0, 0.0]
    robot.data.sensordata[:3] = [500.0, -500.0, 9.81]
    sample = _inertial(robot, 1)[0]
    np.testing.assert_allclose(sample.angular_velocity[:2], np.radians([2000.0, -2000.0]), rtol=1e-4)
    np.testing.assert_allclose(sample.specific_force[:2], [78.45, -78.45], rtol=1e-3)


def test_inertial_readings_belong_to_the_pose_of_their_stamp() -> None:
    """A reading tells how the body turned and what its velocity gained in the millisecond that ends at its stamp."""
    robot = Millirobot(CARPET, 2)
    turns, gains, ways = [], [], []
    for _ in range(500):
        before, velocity = Rotation.from_quat(robot.quaternion), robot.data.qvel[:3].copy()
        position = robot.position
        robot.step([30.0, 40.0])
        turns.append((before.inv() * Rotation.from_quat(robot.quaternion)).as_rotvec() / 1e-3 - robot.angular_velocity)
        middle = before * Rotation.from_rotvec(0.5e-3 * robot.angular_velocity)
        gains.append((robot.data.qvel[:3] - velocity) / 1e-3 + [0.0, 0.0, 9.81] - middle.apply(robot.specific_force))
        ways.append(robot.position - position - 0.5e-3 * (velocity + robot.data.qvel[:3]))
    assert np.abs(turns).max() < 1e-6
    assert np.abs(gains).max() < 0.05, "of peaks beyond 50 m/s^2"
    assert np.abs(ways).max() < 1e-12


def test_noise_is_not_the_same_on_every_axis_or_sample(resting: Millirobot) -> None:
    rates = np.array([sample.angular_velocity for sample in listen(resting, 20_000) if isinstance(sample, ImuSample)])
    correlation = np.corrcoef(rates.T) - np.eye(3)
    assert np.abs(correlation).max() < 0.1
    assert abs(np.corrcoef(rates[:-1, 0], rates[1:, 0])[0, 1]) < 0.1


def test_resolution_of_encoder_radio_and_battery() -> None:
    robot = Millirobot(CARPET, seed=1)
    sensors = Sensors(robot, 1)
    for ms in range(1, 1001):
        robot.step([30.0, 45.0])
        for sample in sensors.sample(ms, ms * 1_000_000):
            if isinstance(sample, CrankSample):
                step = 2.0 * math.pi / 2**14
                assert np.abs(sample.angles - robot.crank_angles).max() <= step / 2 + 1e-12
                np.testing.assert_allclose(sample.angles / step, np.round(sample.angles / step), atol=1e-6)
                np.testing.assert_array_equal(sample.rates, robot.crank_rates)
            elif isinstance(sample, TelemetrySample):
                emf = np.array([motor.back_emf for motor in robot.motors])
                assert np.abs(sample.back_emf - emf).max() <= SETTINGS.back_emf_step / 2 + 1e-12
                assert np.all(np.abs(sample.duty) <= 1.0)
                assert np.all(sample.back_emf[emf > 0.05] > 0.0)
            elif isinstance(sample, BatterySample):
                assert abs(sample.voltage - robot.battery_voltage) <= SETTINGS.battery_step / 2 + 1e-12


def test_angles_are_unwrapped() -> None:
    robot = Millirobot(CARPET)
    for _ in range(1000):
        robot.step([50.0, 50.0])
    cranks = next(sample for sample in Sensors(robot).sample(20, 0) if isinstance(sample, CrankSample))
    assert np.all(cranks.angles > 4.0 * math.pi)


def test_seed_and_reset(resting: Millirobot) -> None:
    def poses(samples: list[Sample]) -> np.ndarray:
        return np.array([sample.position for sample in samples if isinstance(sample, PoseSample)])

    one, same, other = (poses(listen(resting, 200, seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    sensors = Sensors(resting, 3)
    for _ in range(2):
        again = poses([sample for ms in range(1, 201) for sample in sensors.sample(ms, 0)])
        np.testing.assert_array_equal(again, one)
        sensors.reset()


def test_samples_are_copies() -> None:
    """A sample that waits in a queue must not change when the world goes on."""
    robot = Millirobot(CARPET)
    samples = Sensors(robot).sample(100, 0)
    before = [{name: np.array(value) for name, value in vars(sample).items()} for sample in samples]
    for _ in range(300):
        robot.step([40.0, 40.0])
    for sample, values in zip(samples, before, strict=True):
        for name, value in vars(sample).items():
            np.testing.assert_array_equal(value, values[name])
