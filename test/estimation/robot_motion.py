# SPDX-License-Identifier: Apache-2.0
"""A body on a smooth path that is known at every moment, and what ideal or noisy sensors say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.estimation.motion import MotionEstimate
from l2a_ros.estimation.motion_filter import MotionFilter
from l2a_ros.estimation.settings import FilterSettings
from l2a_ros.robot.calibration import Mounting
from l2a_ros.robot.samples import ImuSample, PoseSample

MS = 1_000_000
SECOND = 1_000_000_000
GRAVITY = np.array([0.0, 0.0, 9.80665])
#: Everything begins here, ns: stamps of wall clocks are large.
BEGIN = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Moment:
    """The truth, at one moment or at many."""

    position: np.ndarray
    velocity: np.ndarray
    attitude: Rotation
    rate: np.ndarray
    force: np.ndarray


def _position(t: np.ndarray) -> np.ndarray:
    """A walk along x that sways and bounces, m."""
    return np.stack([0.3 * t, 0.05 * np.sin(2.0 * t), 0.04 + 0.002 * np.sin(30.0 * t)], axis=-1)


def _attitude(t: np.ndarray) -> Rotation:
    """It rolls and pitches with its stride and turns slowly."""
    return Rotation.from_euler("ZYX", np.stack(
        [0.6 * np.sin(0.8 * t), 0.05 * np.sin(25.0 * t + 1.0), 0.08 * np.sin(20.0 * t)], axis=-1))


def moments(stamps: np.ndarray, standing_until: float = 0.0) -> Moment:
    """Return the truth at stamps ``(n,)``; until ``standing_until`` (s) it stands as it is then."""
    t = (stamps - BEGIN) / SECOND
    stands = (t < standing_until)[:, None]
    t = np.maximum(t, standing_until)
    h = 1e-4
    before, now, after = (_position(t + k * h) for k in (-1, 0, 1))
    attitude = _attitude(t)
    rate = (_attitude(t - h).inv() * _attitude(t + h)).as_rotvec() / (2.0 * h)
    gain = np.where(stands, 0.0, (after - 2.0 * now + before) / h**2)
    return Moment(now, np.where(stands, 0.0, (after - before) / (2.0 * h)), attitude, np.where(stands, 0.0, rate),
                  attitude.inv().apply(gain + GRAVITY))


def moment(stamp: int, standing_until: float = 0.0) -> Moment:
    """Return the truth at one stamp."""
    many = moments(np.array([stamp]), standing_until)
    return Moment(many.position[0], many.velocity[0], many.attitude[0], many.rate[0], many.force[0])


@dataclass(frozen=True)
class Sensing:
    """How it is sensed: periods in ms (0: not at all), noise, errors, and how the sensors sit.

    A unit that averages says what was in the middle of the time since its last reading.
    """

    imu_ms: int = 5
    pose_ms: int = 10
    gyro_noise: float = 0.0
    force_noise: float = 0.0
    position_noise: float = 0.0
    attitude_noise: float = 0.0
    gyro_bias: Sequence[float] = (0.0, 0.0, 0.0)
    force_bias: Sequence[float] = (0.0, 0.0, 0.0)
    latency_ms: int = 0
    standing_until: float = 0.0
    averages: bool = False
    mounting: Mounting = Mounting()


def _poses(stamps: np.ndarray, sensing: Sensing, rng: np.random.Generator) -> list[PoseSample]:
    """Return poses that are stamped ``latency`` after they were taken."""
    true = moments(stamps - sensing.latency_ms * MS, sensing.standing_until)
    noise = Rotation.from_rotvec(rng.normal(0.0, 1.0, (len(stamps), 3)) * sensing.attitude_noise)
    positions = true.position + true.attitude.apply(sensing.mounting.mocap_position)
    positions += rng.normal(0.0, 1.0, positions.shape) * sensing.position_noise
    quaternions = (noise * true.attitude * Rotation.from_matrix(sensing.mounting.mocap_rotation)).as_quat()
    return [PoseSample(int(stamp), position, quaternion)
            for stamp, position, quaternion in zip(stamps, positions, quaternions, strict=True)]


def _readings(stamps: np.ndarray, sensing: Sensing, rng: np.random.Generator) -> list[ImuSample]:
    """Return readings."""
    asked = stamps
    if sensing.averages:
        stamps = stamps - sensing.imu_ms * MS // 2
    true, lever = moments(stamps, sensing.standing_until), np.array(sensing.mounting.imu_position)
    h = 100_000
    change = (moments(stamps + h, sensing.standing_until).rate
              - moments(stamps - h, sensing.standing_until).rate) / (2.0 * h / SECOND)
    force = true.force + np.cross(change, lever) + np.cross(true.rate, np.cross(true.rate, lever))
    turn = Rotation.from_matrix(sensing.mounting.imu_rotation).inv()
    rates = turn.apply(true.rate) + sensing.gyro_bias + rng.normal(0.0, 1.0, force.shape) * sensing.gyro_noise
    forces = turn.apply(force) + sensing.force_bias + rng.normal(0.0, 1.0, force.shape) * sensing.force_noise
    return [ImuSample(int(stamp), rate, force)
            for stamp, rate, force in zip(asked, rates, forces, strict=True)]


def record(seconds: float, sensing: Sensing, seed: int = 0, start: float = 0.0) -> list[PoseSample | ImuSample]:
    """Return all samples of a stretch of time in the order of their stamps."""
    rng = np.random.default_rng(seed)
    milliseconds = np.arange(round(1000 * start), round(1000 * seconds) + 1)
    samples: list[PoseSample | ImuSample] = []
    for period, make in ((sensing.imu_ms, _readings), (sensing.pose_ms, _poses)):
        if period:
            samples += make(BEGIN + milliseconds[milliseconds % period == 0] * MS, sensing, rng)
    return sorted(samples, key=lambda sample: sample.stamp)


#: What a filter is told that meets ideal sensors on a body that moves smoothly.
IDEAL = FilterSettings(mocap_latency=0.0, mocap_jitter=0.0, accelerometer_scale_error=0.0, imu_averaging=0.0,
                       motion_acceleration=0.1, motion_memory=10.0)


def fed(samples: Sequence[PoseSample | ImuSample], settings: FilterSettings = IDEAL,
        mounting: Mounting | None = None) -> MotionFilter:
    """Return a filter that has met these samples."""
    motion_filter = MotionFilter(settings, mounting)
    for sample in samples:
        add(motion_filter, sample)
    return motion_filter


def add(motion_filter: MotionFilter, sample: PoseSample | ImuSample) -> None:
    """Give a filter a sample."""
    if isinstance(sample, PoseSample):
        motion_filter.add_pose(sample)
    else:
        motion_filter.add_imu(sample)


def errors(estimate: MotionEstimate, standing_until: float = 0.0) -> np.ndarray:
    """Return the errors ``(9,)`` of position, velocity and attitude: true less estimated."""
    true = moment(estimate.stamp, standing_until)
    turn = (true.attitude * Rotation.from_quat(estimate.quaternion).inv()).as_rotvec()
    return np.concatenate([true.position - estimate.position, true.velocity - estimate.velocity, turn])
