# SPDX-License-Identifier: Apache-2.0
"""What the emulated firmware measures: the counts of its converters, encoders and inertial unit."""

from __future__ import annotations

import math

import numpy as np

from l2a_ros.driver import units
from l2a_ros.driver.telemetry import TIME_WRAP, TelemetryRecord
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.sensors import Sensors

#: Samples that the firmware averages while it boots, one a millisecond.
CALIBRATION_SAMPLES = 1000
#: Largest zero-rate offset of the gyroscope, rad/s (data sheet of the MPU-6000).
ZERO_RATE_OFFSET = math.radians(20.0)
#: Stream of the seed.
_OFFSET = 21


class Board:
    """The sensors of one robot as its firmware reads them.

    Args:
        robot: where the truth comes from.
        sensors: their noise.
        seed: of the gyroscope's offset.
    """

    def __init__(self, robot: Millirobot, sensors: Sensors, seed: int) -> None:
        self._robot, self._sensors = robot, sensors
        largest = ZERO_RATE_OFFSET / units.GYRO_STEP
        rng = np.random.default_rng([seed, _OFFSET])
        self._offset = np.round(largest * rng.uniform(-1.0, 1.0, 3)).astype(np.int64)
        # What drifts after the calibration; the sensors' model holds it in every sample.
        self._drift = np.round(sensors.gyro_bias / units.GYRO_STEP).astype(np.int64)
        self.restart()

    def restart(self) -> None:
        """Begin again: no bias is known, and the absolute encoders count their revolutions from zero."""
        self._sum, self._count = np.zeros(3, dtype=np.int64), 0
        self._bias = np.zeros(3, dtype=np.int64)
        turns = np.floor(self._robot.encoder_angles / (2.0 * math.pi)).astype(np.int64)
        self._zero = [int(each) * units.COUNTS_PER_REVOLUTION for each in turns]

    def calibrate(self) -> bool:
        """Take one sample of the calibration; return whether it is complete. A robot that moves gets a wrong bias."""
        gyro, _ = self._inertial()
        self._sum += gyro - self._drift
        self._count += 1
        if self._count < CALIBRATION_SAMPLES:
            return False
        self._bias = np.round(self._sum / self._count).astype(np.int64)
        return True

    def positions(self) -> tuple[int, int]:
        """Return the positions of the legs, counts: of 14 bits a revolution, since they were zeroed."""
        left, right = self._robot.encoder_angles
        return self._position(left, 0), self._position(right, 1)

    def zero_positions(self) -> None:
        """Make the present positions zero."""
        for side, position in enumerate(self.positions()):
            self._zero[side] += position

    def record(self, index: int, time_us: int) -> TelemetryRecord:
        """Return a telemetry record of now."""
        robot = self._robot
        gyro, acceleration = self._inertial()
        left, right = robot.motors
        return TelemetryRecord(
            index % 2**32, time_us % TIME_WRAP, self.positions(),
            (self._position(left.setpoint, 0), self._position(right.setpoint, 1)),
            (_duty(left.duty), _duty(right.duty)), _three(gyro - self._bias), _three(acceleration),
            (_back_emf(left.back_emf), _back_emf(right.back_emf)),
            min(max(round(robot.battery_voltage / units.BATTERY_STEP), 0), 1023))

    def _position(self, angle: float, side: int) -> int:
        counts = units.ENCODER_STEP * round(angle / (units.POSITION_STEP * units.ENCODER_STEP)) - self._zero[side]
        return (counts + 2**31) % 2**32 - 2**31

    def _inertial(self) -> tuple[np.ndarray, np.ndarray]:
        sample = self._sensors.measure_motion(0)
        gyro = np.round(sample.angular_velocity / units.GYRO_STEP).astype(np.int64) + self._offset
        acceleration = np.round(sample.specific_force / units.ACCELERATION_STEP).astype(np.int64)
        return np.clip(gyro, units.LOWEST, units.HIGHEST), np.clip(acceleration, units.LOWEST, units.HIGHEST)


def _three(values: np.ndarray) -> tuple[int, int, int]:
    x, y, z = (min(max(int(each), units.LOWEST), units.HIGHEST) for each in values)
    return x, y, z


def _duty(share: float) -> int:
    return min(max(round(share * units.FULL_DUTY), -units.LARGEST_DUTY), units.LARGEST_DUTY)


def _back_emf(volts: float) -> int:
    return min(max(round(volts / units.BACK_EMF_STEP), -1023), 1023)
