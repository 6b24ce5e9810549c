# SPDX-License-Identifier: Apache-2.0
"""From the sensors' own frames to the filter's, and from there to ``base_link``.

The filter follows the point where the inertial unit sits, in the axes of ``base_link``: there its readings need no
angular acceleration.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.estimation.error_state import MOTION, FilterState
from l2a_ros.estimation.inertial import Six
from l2a_ros.estimation.motion import ATTITUDE, POSITION, VELOCITY
from l2a_ros.estimation.pose_checks import Pose
from l2a_ros.estimation.quaternions import Vector, conjugate, matrix, normalized, product, turned
from l2a_ros.robot.calibration import Mounting
from l2a_ros.robot.samples import PoseSample

_NONE: Vector = (0.0, 0.0, 0.0)


def _plain(rows: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    return tuple(float(value) for row in rows for value in row)


class MountedSensors:
    """Applies a mounting.

    Args:
        mounting: how the sensors sit on the body.
    """

    def __init__(self, mounting: Mounting) -> None:
        turn = np.array(mounting.mocap_rotation, dtype=float)
        self._from_base = conjugate(tuple(Rotation.from_matrix(turn).as_quat().tolist()))
        self._lever: Vector = tuple(map(float, mounting.imu_position))  # type: ignore[assignment]
        #: From the tracked body's origin to the inertial unit, in base_link.
        self._way: Vector = tuple(  # type: ignore[assignment]
            float(a - b) for a, b in zip(mounting.imu_position, mounting.mocap_position, strict=True))
        self._turn = np.array(mounting.imu_rotation, dtype=float)
        self._biases = (np.array(mounting.gyro_bias), np.array(mounting.acceleration_bias),
                        np.array(mounting.acceleration_scale))
        plain = Mounting()
        self._as_published = mounting.imu_rotation == plain.imu_rotation and (
            mounting.gyro_bias, mounting.acceleration_bias, mounting.acceleration_scale) == (
            plain.gyro_bias, plain.acceleration_bias, plain.acceleration_scale)

    def reading(self, rate: list[float], force: list[float]) -> Six:
        """Return a reading in the axes of ``base_link``: rate (rad/s) and force (m/s^2) in one row."""
        if not self._as_published:
            gyro, bias, scale = self._biases
            rate = (self._turn @ (np.array(rate) - gyro)).tolist()
            force = (self._turn @ ((np.array(force) - bias) * scale)).tolist()
        return rate[0], rate[1], rate[2], force[0], force[1], force[2]

    def pose(self, sample: PoseSample) -> Pose:
        """Return a pose of the tracked body as one of the inertial unit."""
        position, quaternion = sample.position.tolist(), sample.quaternion.tolist()
        x, y, z, w = quaternion
        attitude = normalized(product((x, y, z, w), self._from_base))
        return Pose(sample.stamp, _moved(position, attitude, self._way), attitude, (*position, *quaternion))

    def base_pose(self, sample: PoseSample) -> Pose:
        """Return a pose of ``base_link`` as one of the inertial unit."""
        position, quaternion = sample.position.tolist(), sample.quaternion.tolist()
        attitude = normalized((quaternion[0], quaternion[1], quaternion[2], quaternion[3]))
        return Pose(sample.stamp, _moved(position, attitude, self._lever), attitude, (*position, *quaternion))

    def base_motion(self, state: FilterState, rate: Vector) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return position and velocity of ``base_link`` and the covariance ``(9, 9)`` of both and the attitude.

        Args:
            state: of the inertial unit.
            rate: angular velocity in ``base_link``, rad/s.
        """
        position, velocity, covariance = (np.array(state.position), np.array(state.velocity),
                                          state.covariance[MOTION, MOTION].copy())
        if self._lever == _NONE:
            return position, velocity, covariance
        m = matrix(state.quaternion)
        lever = np.array(turned(m, self._lever))
        swing = np.array(turned(m, tuple(np.cross(rate, self._lever).tolist())))
        change = np.eye(9)
        change[POSITION, ATTITUDE] = _cross(lever)
        change[VELOCITY, ATTITUDE] = _cross(swing)
        return position - lever, velocity - swing, change @ covariance @ change.T


def _moved(position: list[float], attitude: tuple[float, float, float, float], way: Vector) -> Vector:
    if way == _NONE:
        return position[0], position[1], position[2]
    x, y, z = turned(matrix(attitude), way)
    return position[0] + x, position[1] + y, position[2] + z


def _cross(v: np.ndarray) -> np.ndarray:
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
