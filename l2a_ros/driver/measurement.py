# SPDX-License-Identifier: Apache-2.0
"""Telemetry records as measurements of the robot: SI units, REP-103 axes, left before right, biases taken off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.driver import units
from l2a_ros.driver.plausibility import elapsed_us, way
from l2a_ros.driver.telemetry import TelemetryRecord
from l2a_ros.robot.calibration import Calibration

#: The bias is the mean of so many samples of a robot at rest.
REST_SAMPLES = 50
#: Largest standard deviation of the gyroscope at rest, rad/s on each axis: five times its noise.
REST_SPREAD = np.radians(0.6)
#: What the encoder's noise moves the position of a leg that stands, counts: four times the 0.06 degrees of its data
#: sheet.
REST_WAY = 11 * units.ENCODER_STEP


@dataclass(frozen=True)
class Measurement:
    """One telemetry record in SI units.

    Args:
        stamp: of the measurement, ns.
        angles: of the legs ``(2,)``, rad, unwrapped up to 32768 revolutions either way.
        rates: of the legs ``(2,)`` since the record before, rad/s; None with the first.
        angular_velocity: in ``imu_link`` ``(3,)``, rad/s.
        specific_force: in ``imu_link`` ``(3,)``, m/s^2.
        back_emf: of the motors ``(2,)``, V.
        duty: of the motors ``(2,)``, as a fraction of full.
        battery_voltage: V.
    """

    stamp: int
    angles: np.ndarray
    rates: np.ndarray | None
    angular_velocity: np.ndarray
    specific_force: np.ndarray
    back_emf: np.ndarray
    duty: np.ndarray
    battery_voltage: float


class Converter:
    """Converts the records of one robot, and measures the bias of its gyroscope while it is at rest.

    Args:
        calibration: of the robot.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._order = [1, 0] if calibration.swap_sides else [0, 1]
        self._signs, self._zeros = np.array(calibration.leg_signs), np.array(calibration.leg_zeros)
        self._rotation = np.array(calibration.imu_rotation)
        self._bias = np.array(calibration.acceleration_bias)
        self._scale = np.array(calibration.acceleration_scale)
        self._given = None if calibration.gyro_bias is None else np.array(calibration.gyro_bias)
        self.restart()

    def restart(self) -> None:
        """Begin again: the robot did, and with it its own calibration."""
        #: rad/s in the unit's own axes ``(3,)``; None until it is known.
        self.gyro_bias: np.ndarray | None = self._given
        self._at_rest: list[np.ndarray] = []
        self.forget()

    def forget(self) -> None:
        """Take no rate across what comes next: records were lost."""
        self._last: TelemetryRecord | None = None

    def commanded_counts(self, rates: np.ndarray) -> tuple[int, int]:
        """Return commanded rates ``(2,)``, rad/s, in the firmware's counts, order and direction."""
        first, second = (self._signs * rates)[self._order]
        return units.velocity_counts(float(first)), units.velocity_counts(float(second))

    def angles(self, position: tuple[int, int]) -> np.ndarray:
        """Return leg angles ``(2,)``, rad, from position counts."""
        angles: np.ndarray = self._signs * (units.leg_angles(np.array(position))[self._order] - self._zeros)
        return angles

    def convert(self, record: TelemetryRecord, stamp: int) -> Measurement:
        """Convert a record measured at this moment (ns)."""
        angles = self.angles(record.position)
        rates = None
        if self._last is not None and (elapsed := elapsed_us(self._last, record)):
            ways = np.array([way(*pair) for pair in zip(self._last.position, record.position, strict=True)])
            rates = self._signs * units.leg_angles(ways)[self._order] / (elapsed / 1e6)
        gyro = units.angular_velocity(np.array(record.gyro))
        self._watch_rest(record, gyro)
        self._last = record
        turned = gyro if self.gyro_bias is None else gyro - self.gyro_bias
        force = (units.specific_force(np.array(record.acceleration)) - self._bias) * self._scale
        return Measurement(
            stamp, angles, rates, self._rotation @ turned, self._rotation @ force,
            self._signs * units.back_emf(np.array(record.back_emf))[self._order],
            self._signs * units.duty(np.array(record.duty))[self._order], units.battery_voltage(record.battery))

    def _watch_rest(self, record: TelemetryRecord, gyro: np.ndarray) -> None:
        if self.gyro_bias is not None:
            return
        if self._last is None or any(record.duty) or any(
                abs(way(*pair)) > REST_WAY for pair in zip(self._last.position, record.position, strict=True)):
            self._at_rest = []
            return
        self._at_rest.append(gyro)
        if len(self._at_rest) < REST_SAMPLES:
            return
        samples = np.array(self._at_rest)
        if np.all(samples.std(axis=0) <= REST_SPREAD):
            self.gyro_bias = samples.mean(axis=0)
        # Moved by hand, perhaps: the older half says nothing any more.
        self._at_rest = self._at_rest[REST_SAMPLES // 2:]
