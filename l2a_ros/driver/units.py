# SPDX-License-Identifier: Apache-2.0
"""Counts on the wire and SI units: every conversion of the link, once.

Sources: the ImageProc 2.5 firmware and the lab's scripts for it (scale factors of the inertial unit MPU-6000, the leg
encoder AS5048B, the battery divider and the back-EMF amplifier).
"""

from __future__ import annotations

import math

import numpy as np

#: Counts of one revolution of a leg: 14 bits of the encoder, shifted left by two.
COUNTS_PER_REVOLUTION = 65536
#: The encoder's own resolution, counts.
ENCODER_STEP = 4
#: rad per count of a leg's position.
POSITION_STEP = 2.0 * math.pi / COUNTS_PER_REVOLUTION
#: rad/s per count of a leg's commanded velocity, which is in position counts per millisecond.
VELOCITY_STEP = 1000.0 * POSITION_STEP
#: rad/s per count of the gyroscope: range 2000 deg/s.
GYRO_STEP = 1.06585e-3
#: m/s^2 per count of the accelerometer: range 8 g.
ACCELERATION_STEP = 2.3942e-3
#: V per count of the back-EMF: 10 bit of 3.3 V behind an amplifier of 15/47.
BACK_EMF_STEP = 3.3 / 1024.0 / (15.0 / 47.0)
#: V per count of the battery: 10 bit of 3.3 V behind a divider of 2.7/3.7.
BATTERY_STEP = 3.7 / 2.7 * 3.3 / 1023.0
#: Counts of full duty. The firmware itself stays within ``LARGEST_DUTY``, to have time to measure the back-EMF.
FULL_DUTY, LARGEST_DUTY = 4000, 3800
#: Range of a 16-bit signed count.
LOWEST, HIGHEST = -(2**15), 2**15 - 1


def velocity_counts(rate: float) -> int:
    """Return a commanded crank rate (rad/s) in counts per millisecond: 65.536 per revolution per second.

    Raises:
        ValueError: if it is not finite or does not fit 16 bits.
    """
    if not math.isfinite(rate):
        raise ValueError(f"a leg rate must be finite, not {rate}")
    counts = round(rate / VELOCITY_STEP)
    if not LOWEST <= counts <= HIGHEST:
        raise ValueError(f"a leg rate of {rate:g} rad/s does not fit the wire")
    return counts


def leg_angles(counts: np.ndarray) -> np.ndarray:
    """Return leg angles in rad, shape as given, from position counts."""
    angles: np.ndarray = np.asarray(counts, dtype=np.float64) * POSITION_STEP
    return angles


def angular_velocity(counts: np.ndarray) -> np.ndarray:
    """Return angular velocity in rad/s, shape as given, from gyroscope counts."""
    rates: np.ndarray = np.asarray(counts, dtype=np.float64) * GYRO_STEP
    return rates


def specific_force(counts: np.ndarray) -> np.ndarray:
    """Return specific force in m/s^2, shape as given, from accelerometer counts."""
    force: np.ndarray = np.asarray(counts, dtype=np.float64) * ACCELERATION_STEP
    return force


def back_emf(counts: np.ndarray) -> np.ndarray:
    """Return back-EMF in V, shape as given, from counts whose offset the firmware has subtracted."""
    volts: np.ndarray = np.asarray(counts, dtype=np.float64) * BACK_EMF_STEP
    return volts


def duty(counts: np.ndarray) -> np.ndarray:
    """Return duty as a fraction of full, shape as given, from counts."""
    shares: np.ndarray = np.asarray(counts, dtype=np.float64) / FULL_DUTY
    return shares


def battery_voltage(counts: int) -> float:
    """Return the battery's voltage in V from counts."""
    return counts * BATTERY_STEP
