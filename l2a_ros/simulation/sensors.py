# SPDX-License-Identifier: Apache-2.0
"""The simulated robot's sensors: when each one samples, and with what noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample, TelemetrySample
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.motor import COUNTS_PER_REVOLUTION

_MILLISECOND = 1_000_000


@dataclass(frozen=True)
class SensorSettings:
    """Sample periods in whole milliseconds and noise of each sensor.

    Noise: gyro and accelerometer as measured on the robot at rest with the filter off; motion capture as usual for a
    small marker set (assumed); the encoder resolves 14 bit; the radio reports voltages with 10 bit.
    """

    pose_period_ms: int = 10
    imu_period_ms: int = 10
    crank_period_ms: int = 20
    telemetry_period_ms: int = 20
    battery_period_ms: int = 100
    pose_position_noise: float = 0.0002
    pose_angle_noise: float = math.radians(0.1)
    gyro_noise: float = math.radians(0.12)
    accelerometer_noise: float = 0.045
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
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Start the noise again."""
        self._rng = np.random.default_rng([self._seed, 1])

    def sample(self, elapsed_ms: int, stamp: int) -> list[Sample]:
        """Return the samples due after so many milliseconds of simulation, with this stamp (ns)."""
        settings, robot, rng = self._settings, self._robot, self._rng
        due: list[Sample] = []
        if elapsed_ms % settings.pose_period_ms == 0:
            tilt = Rotation.from_rotvec(rng.normal(0.0, settings.pose_angle_noise, 3))
            due.append(PoseSample(stamp, robot.position + rng.normal(0.0, settings.pose_position_noise, 3),
                                  (Rotation.from_quat(robot.quaternion) * tilt).as_quat()))
        if elapsed_ms % settings.imu_period_ms == 0:
            due.append(ImuSample(stamp, robot.angular_velocity + rng.normal(0.0, settings.gyro_noise, 3),
                                 robot.specific_force + rng.normal(0.0, settings.accelerometer_noise, 3)))
        if elapsed_ms % settings.crank_period_ms == 0:
            resolution = 4.0 * 2.0 * math.pi / COUNTS_PER_REVOLUTION
            due.append(CrankSample(stamp, np.round(robot.crank_angles / resolution) * resolution,
                                   robot.crank_rates.copy()))
        if elapsed_ms % settings.telemetry_period_ms == 0:
            emf = np.array([motor.back_emf for motor in robot.motors])
            due.append(TelemetrySample(stamp, np.round(emf / settings.back_emf_step) * settings.back_emf_step,
                                       np.array([motor.duty for motor in robot.motors])))
        if elapsed_ms % settings.battery_period_ms == 0:
            step = settings.battery_step
            due.append(BatterySample(stamp, round(robot.battery_voltage / step) * step))
        return due
