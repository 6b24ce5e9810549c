# SPDX-License-Identifier: Apache-2.0
"""What the robot's sensors say, whoever reads them: simulator or driver. Stamps in ns, SI units, REP-103 frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PoseSample:
    """Motion-capture pose of ``base_link`` in ``map``: position ``(3,)`` m, quaternion ``(4,)`` x y z w."""

    stamp: int
    position: np.ndarray
    quaternion: np.ndarray


@dataclass(frozen=True)
class ImuSample:
    """Inertial reading in ``imu_link`` (REP-145): angular velocity ``(3,)`` rad/s, specific force ``(3,)`` m/s^2."""

    stamp: int
    angular_velocity: np.ndarray
    specific_force: np.ndarray


@dataclass(frozen=True)
class CrankSample:
    """Encoders, left then right: angles ``(2,)`` rad unwrapped, rates ``(2,)`` rad/s."""

    stamp: int
    angles: np.ndarray
    rates: np.ndarray


@dataclass(frozen=True)
class TelemetrySample:
    """Motor telemetry, left then right: back-EMF ``(2,)`` V, duty ``(2,)`` as a fraction of full."""

    stamp: int
    back_emf: np.ndarray
    duty: np.ndarray


@dataclass(frozen=True)
class BatterySample:
    """Battery voltage, V."""

    stamp: int
    voltage: float


Sample = PoseSample | ImuSample | CrankSample | TelemetrySample | BatterySample
