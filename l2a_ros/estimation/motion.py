# SPDX-License-Identifier: Apache-2.0
"""What the filter says of the body: pose, twist, how sure it is, and whether they may be used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.spatial.transform import Rotation

#: Where each error stands in a covariance.
POSITION, VELOCITY, ATTITUDE = (slice(3 * i, 3 * i + 3) for i in range(3))


class Health(StrEnum):
    """Whether there is an estimate, and what it rests on."""

    #: No pose was believed yet.
    WAITING = "waiting"
    #: Corrected by motion capture.
    TRACKING = "tracking"
    #: Motion capture is silent or refused; the estimate goes on without it, less sure every moment.
    COASTING = "coasting"
    #: It went on without motion capture for too long, or is not sure enough any more: nothing may move by it.
    LOST = "lost"

    @property
    def is_live(self) -> bool:
        """Whether the robot may move by it."""
        return self in (Health.TRACKING, Health.COASTING)


@dataclass(frozen=True)
class MotionEstimate:
    """The body at one moment.

    Args:
        stamp: ns.
        position: of ``base_link`` in ``map`` ``(3,)``, m.
        quaternion: attitude of ``base_link`` in ``map`` ``(4,)``, x y z w.
        velocity: of ``base_link`` in ``map`` ``(3,)``, m/s.
        angular_velocity: in ``base_link`` ``(3,)``, rad/s.
        covariance: of the errors of position (m), velocity (m/s) and attitude (rotation vector about the axes of
            ``map``, rad) ``(9, 9)``.
        angular_velocity_spread: standard deviation of the angular velocity ``(3,)``, rad/s.
        gyro_bias: rad/s in ``imu_link`` ``(3,)``, already taken off.
        acceleration_bias: m/s^2 in ``imu_link`` ``(3,)``, already taken off.
        health: whether it may be used.
        since: moment since which it follows one track, ns: then it was begun, or put somewhere else.
    """

    stamp: int
    position: np.ndarray
    quaternion: np.ndarray
    velocity: np.ndarray
    angular_velocity: np.ndarray
    covariance: np.ndarray
    angular_velocity_spread: np.ndarray
    gyro_bias: np.ndarray
    acceleration_bias: np.ndarray
    health: Health
    since: int

    def spreads(self) -> tuple[float, float, float]:
        """Return the largest standard deviation on an axis of position (m), velocity (m/s) and attitude (rad)."""
        deviations = np.sqrt(self.covariance.diagonal())
        position, velocity, attitude = (float(deviations[block].max()) for block in (POSITION, VELOCITY, ATTITUDE))
        return position, velocity, attitude

    def pose_covariance(self) -> np.ndarray:
        """Return the covariance of position (m) and attitude (rad, about the axes of ``map``) ``(6, 6)``."""
        pose = np.r_[POSITION, ATTITUDE]
        covariance: np.ndarray = self.covariance[np.ix_(pose, pose)]
        return covariance

    def body_twist(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the velocity in ``base_link`` ``(3,)``, m/s, and the covariance of the whole twist ``(6, 6)``.

        The velocity there is the turned one: an error of the attitude turns it.
        """
        back = Rotation.from_quat(self.quaternion).as_matrix().T
        x, y, z = self.velocity
        change = np.hstack([back, back @ np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])])
        moving = np.r_[VELOCITY, ATTITUDE]
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = change @ self.covariance[np.ix_(moving, moving)] @ change.T
        covariance[3:, 3:] = np.diag(self.angular_velocity_spread**2)
        return back @ self.velocity, covariance
