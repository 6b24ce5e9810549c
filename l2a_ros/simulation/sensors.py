# SPDX-License-Identifier: Apache-2.0
"""The simulated robot's sensors: when each one samples, and with what noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample, TelemetrySample
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.mocap_faults import MocapFaults
from l2a_ros.simulation.motor import COUNTS_PER_REVOLUTION
from l2a_ros.simulation.radio import TelemetryRadio

#: Streams of the seed: noise of every sample, and what is drawn once per run.
_NOISE, _CALIBRATION = 1, 2


@dataclass(frozen=True)
class SensorSettings:
    """Sample periods in whole milliseconds, noise, range and resolution of each sensor.

    Noise: gyro and accelerometer as measured on the robot at rest with the filter off; motion capture as usual for a
    small marker set (assumed); the encoder resolves 14 bit; the radio reports voltages with 10 bit. Range and
    resolution of the inertial unit are those that the firmware sets (2000 deg/s and 8 g in 16 bit).

    Args:
        gyro_bias: largest bias of an axis that the calibration at boot leaves, rad/s; drawn once per run. The measured
            robot had 1 to 6 deg/s, and far more when it was moved while it calibrated: that is the fault ``imu_bias``.
        accelerometer_scale_error: largest relative error of an axis, drawn once per run (data sheet: 3 %; measured at
            rest: 3.7 %).
    """

    pose_period_ms: int = 10
    imu_period_ms: int = 10
    crank_period_ms: int = 20
    telemetry_period_ms: int = 20
    battery_period_ms: int = 100
    pose_position_noise: float = 0.0002
    pose_angle_noise: float = math.radians(0.1)
    gyro_noise: float = math.radians(0.12)
    gyro_bias: float = math.radians(2.0)
    gyro_step: float = 1.06585e-3
    gyro_range: float = math.radians(2000.0)
    accelerometer_noise: float = 0.045
    accelerometer_scale_error: float = 0.03
    accelerometer_step: float = 2.3942e-3
    accelerometer_range: float = 8.0 * 9.80665
    back_emf_step: float = 0.0101
    battery_step: float = 0.00442


class Sensors:
    """The sensors of one simulated robot; the same seed gives the same noise.

    Args:
        robot: where the truth comes from.
        seed: of the noise.
        settings: periods and noise.
    """

    def __init__(self, robot: Millirobot, seed: int = 0, settings: SensorSettings | None = None) -> None:
        self._robot = robot
        self._settings = settings or SensorSettings()
        self._common_period_ms = math.gcd(
            self._settings.pose_period_ms, self._settings.imu_period_ms, self._settings.crank_period_ms,
            self._settings.telemetry_period_ms, self._settings.battery_period_ms)
        self._seed = seed
        self._mocap = MocapFaults(robot.faults, seed, self._settings.pose_period_ms)
        self._radio = TelemetryRadio(robot.faults, seed)
        self.reset()

    def reset(self) -> None:
        """Start the noise again."""
        self._rng = np.random.default_rng([self._seed, _NOISE])
        once = np.random.default_rng([self._seed, _CALIBRATION])
        self._gyro_bias = self._settings.gyro_bias * once.uniform(-1.0, 1.0, 3)
        self._accelerometer_scale = 1.0 + self._settings.accelerometer_scale_error * once.uniform(-1.0, 1.0, 3)
        self._mocap.reset()
        self._radio.reset()

    def sample(self, elapsed_ms: int, stamp: int) -> list[Sample]:
        """Return the samples due after so many milliseconds of simulation, with this stamp (ns)."""
        if elapsed_ms % self._common_period_ms and not self._mocap.has_waiting:
            return []
        settings = self._settings
        due: list[Sample] = [*self.sample_pose(elapsed_ms, stamp)]
        # By radio: everything of one millisecond is one packet.
        packet: list[Sample] = []
        if elapsed_ms % settings.imu_period_ms == 0:
            packet.append(self.measure_motion(stamp))
        if elapsed_ms % settings.crank_period_ms == 0:
            resolution = 4.0 * 2.0 * math.pi / COUNTS_PER_REVOLUTION
            packet.append(CrankSample(stamp, _rounded(self._robot.encoder_angles, resolution),
                                      self._robot.encoder_rates))
        if elapsed_ms % settings.telemetry_period_ms == 0:
            emf = np.array([motor.back_emf for motor in self._robot.motors])
            packet.append(TelemetrySample(stamp, _rounded(emf, settings.back_emf_step),
                                          np.array([motor.duty for motor in self._robot.motors])))
        if elapsed_ms % settings.battery_period_ms == 0:
            step = settings.battery_step
            packet.append(BatterySample(stamp, round(self._robot.battery_voltage / step) * step))
        if packet and self._radio.delivers():
            due += packet
        return due

    def sample_pose(self, elapsed_ms: int, stamp: int) -> list[PoseSample]:
        """Return only what arrives from motion capture after so many milliseconds, with this stamp (ns)."""
        pose = self._measure_pose(stamp) if elapsed_ms % self._settings.pose_period_ms == 0 else None
        if pose is None and not self._mocap.has_waiting:
            return []
        return self._mocap.pass_on(pose, elapsed_ms, stamp)

    @property
    def gyro_bias(self) -> np.ndarray:
        """What the calibration at boot leaves of the gyroscope's bias, shape ``(3,)``, rad/s."""
        return self._gyro_bias.copy()

    def _measure_pose(self, stamp: int) -> PoseSample:
        settings, robot, rng = self._settings, self._robot, self._rng
        tilt = rng.normal(0.0, settings.pose_angle_noise, 3)
        return PoseSample(stamp, robot.position + rng.normal(0.0, settings.pose_position_noise, 3),
                          _turned(robot.quaternion, tilt))

    def measure_motion(self, stamp: int) -> ImuSample:
        """Return what the inertial unit says now, with this stamp (ns)."""
        settings, robot, rng = self._settings, self._robot, self._rng
        rate = robot.angular_velocity + self._gyro_bias + rng.normal(0.0, settings.gyro_noise, 3)
        for bias in robot.faults.values("imu_bias"):
            rate += bias
        force = robot.specific_force * self._accelerometer_scale + rng.normal(0.0, settings.accelerometer_noise, 3)
        return ImuSample(stamp, _rounded(np.clip(rate, -settings.gyro_range, settings.gyro_range), settings.gyro_step),
                         _rounded(np.clip(force, -settings.accelerometer_range, settings.accelerometer_range),
                                  settings.accelerometer_step))


def _rounded(values: np.ndarray, step: float) -> np.ndarray:
    rounded: np.ndarray = np.round(values / step) * step
    return rounded


def _turned(quaternion: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Return an attitude (x y z w) after a further small turn about its own axes (rotation vector, rad).

    By hand: SciPy's rotations take longer than a millisecond of physics.
    """
    x, y, z, w = quaternion.tolist()
    a, b, c = (0.5 * turn).tolist()
    d = math.sqrt(max(1.0 - a * a - b * b - c * c, 0.0))
    return np.array([w * a + x * d + y * c - z * b, w * b - x * c + y * d + z * a, w * c + x * b - y * a + z * d,
                     w * d - x * a - y * b - z * c])
