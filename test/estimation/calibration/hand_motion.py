# SPDX-License-Identifier: Apache-2.0
"""A robot in a hand, and what its sensors say: attitudes by sums of sines, so that the rates are exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.robot.samples import ImuSample, PoseSample

SECOND = 1_000_000_000
G = 9.80665
#: As measured (robot.md): of one reading, of one pose.
GYRO_NOISE, FORCE_NOISE = math.radians(0.12), 0.045
POSITION_NOISE, ANGLE_NOISE = 0.0002, math.radians(0.1)


@dataclass
class HandMotion:
    """Roll, pitch and yaw of ``base_link`` in ``map``.

    Args:
        seed: of the motion and of the noise.
        sizes: amplitudes of roll, pitch and yaw, rad.
        speeds: their frequencies, Hz.
    """

    seed: int = 0
    sizes: Sequence[float] = (0.6, 0.5, 1.0)
    speeds: Sequence[float] = (0.5, 0.37, 0.29)
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        # A hand does not swing evenly: two sines per angle.
        self._sizes = np.array([[1.0, 0.4]]) * np.array(self.sizes)[:, None]
        self._speeds = 2.0 * math.pi * np.array(self.speeds)[:, None] * self.rng.uniform(0.9, 1.1, (3, 2)) * [1.0, 2.3]
        self._phases = self.rng.uniform(0.0, 2.0 * math.pi, (3, 2))

    def _angles(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = self._speeds * seconds[:, None, None] + self._phases
        return ((self._sizes * np.sin(inside)).sum(axis=2),
                (self._sizes * self._speeds * np.cos(inside)).sum(axis=2))

    def attitudes(self, seconds: np.ndarray) -> Rotation:
        angles, _ = self._angles(seconds)
        return Rotation.from_euler("ZYX", angles[:, ::-1])

    def rates(self, seconds: np.ndarray) -> np.ndarray:
        """Return angular velocities in ``base_link``."""
        (roll, pitch, _), (roll_rate, pitch_rate, yaw_rate) = (each.T for each in self._angles(seconds))
        return np.column_stack([
            roll_rate - yaw_rate * np.sin(pitch),
            pitch_rate * np.cos(roll) + yaw_rate * np.cos(pitch) * np.sin(roll),
            yaw_rate * np.cos(pitch) * np.cos(roll) - pitch_rate * np.sin(roll)])

    def readings(self, seconds: float = 15.0, rate: float = 100.0, rotation: Rotation | None = None,
                 bias: Sequence[float] = (0.0, 0.0, 0.0), noise: float = 1.0) -> list[ImuSample]:
        """Return what a unit says whose axes ``rotation`` turns into ``base_link``."""
        times = np.arange(0.0, seconds, 1.0 / rate)
        turned = (rotation or Rotation.identity()).inv()
        force = self.attitudes(times).inv().apply([0.0, 0.0, G])
        return imu_samples(times, turned.apply(self.rates(times)) + bias, turned.apply(force), self.rng, noise)

    def poses(self, seconds: float = 15.0, rate: float = 100.0, rotation: Rotation | None = None,
              position: Sequence[float] = (0.0, 0.0, 0.0), held: Sequence[float] = (0.0, 0.0, 0.0),
              latency: float = 0.0, noise: float = 1.0) -> list[PoseSample]:
        """Return poses of a tracked body at ``position``, with axes ``rotation`` in ``base_link``.

        The point ``held`` of ``base_link`` stays where it is.
        """
        times = np.arange(0.0, seconds, 1.0 / rate)
        base = self.attitudes(times - latency)
        places = [0.3, -0.2, 0.1] + base.apply(np.array(position) - held)
        return pose_samples(times, places, base * (rotation or Rotation.identity()), self.rng, noise)


def imu_samples(times: np.ndarray, rates: np.ndarray, forces: np.ndarray, rng: np.random.Generator,
                noise: float = 1.0) -> list[ImuSample]:
    """Return readings with noise, values ``(3,)`` or ``(n, 3)``."""
    size = (len(times), 3)
    rates = np.broadcast_to(rates, size) + rng.normal(0.0, noise * GYRO_NOISE, size)
    forces = np.broadcast_to(forces, size) + rng.normal(0.0, noise * FORCE_NOISE, size)
    return [ImuSample(stamp(time), *rows) for time, *rows in zip(times, rates, forces, strict=True)]


def pose_samples(times: np.ndarray, positions: np.ndarray, attitudes: Rotation, rng: np.random.Generator,
                 noise: float = 1.0) -> list[PoseSample]:
    """Return poses with noise; ``positions`` ``(3,)`` or ``(n, 3)``, one attitude or n of them."""
    size = (len(times), 3)
    positions = np.broadcast_to(positions, size) + rng.normal(0.0, noise * POSITION_NOISE, size)
    quaternions = (attitudes * Rotation.from_rotvec(rng.normal(0.0, noise * ANGLE_NOISE, size))).as_quat()
    # Drivers do not care about the sign.
    quaternions *= rng.choice([-1.0, 1.0], (len(times), 1))
    return [PoseSample(stamp(time), *rows) for time, *rows in zip(times, positions, quaternions, strict=True)]


def stamp(seconds: float) -> int:
    """Return a stamp of a machine that has run for a while."""
    return 1_700_000_000 * SECOND + round(seconds * SECOND)
