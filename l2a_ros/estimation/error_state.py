# SPDX-License-Identifier: Apache-2.0
"""The error-state Kalman filter: nominal motion by strapdown integration, 18 errors with their covariance.

Errors, in this order: position and velocity in ``map``, attitude as a rotation vector about the axes of ``map`` (true
= exp(error) * estimated), gyroscope and accelerometer bias in ``base_link`` axes, and the scale errors of the
accelerometer's axes: of a hit of 0.2 m/s, 3 % are more than all noise of the readings. With the attitude error about
fixed axes the effect of many readings on the covariance is a handful of sums, so that the covariance need not follow
every reading (Sola, "Quaternion kinematics for the error-state Kalman filter", section 7, has both choices; PX4's
estimator sums up readings for the same reason).

A :class:`FilterState` is never changed but replaced where arrays are concerned: a copy of it is a snapshot.
"""

from __future__ import annotations

import copy
import math

import numpy as np

from l2a_ros.estimation.inertial import Stretch
from l2a_ros.estimation.motion import ATTITUDE, POSITION, VELOCITY
from l2a_ros.estimation.quaternions import (
    Quaternion,
    Vector,
    conjugate,
    from_rotation_vector,
    matrix,
    normalized,
    product,
    rotation_vector,
)
from l2a_ros.estimation.settings import FilterSettings

#: Standard gravity, m/s^2.
GRAVITY = 9.80665
SIZE = 18
GYRO_BIAS, ACCELEROMETER_BIAS, ACCELEROMETER_SCALE = (slice(3 * i, 3 * i + 3) for i in range(3, 6))
#: Errors of the motion, and of the inertial unit.
MOTION, SENSORS = slice(0, GYRO_BIAS.start), slice(GYRO_BIAS.start, SIZE)
#: What a pose measures.
_MEASURED = np.array([0, 1, 2, 6, 7, 8])
#: The covariance follows the motion at least this often, s: within it the body is taken to turn little.
LONGEST_STEP = 0.01
#: Time over which the mean velocity is taken, s: a few strides of 2 to 9 Hz.
STRIDES = 0.3
_ZERO3: Vector = (0.0, 0.0, 0.0)
_ZERO9 = (0.0,) * 9


class FilterState:
    """The body, the biases, how sure both are, and what happened since that was last worked out.

    Args:
        stamp: ns.
        position: m in ``map``, of the inertial unit.
        velocity: m/s in ``map``.
        quaternion: attitude of ``base_link`` in ``map``.
        covariance: ``(18, 18)``.
    """

    __slots__ = ("covariance", "force_bias", "force_scale", "gain_variance", "gyro_bias", "kept", "lever", "lever_way",
                 "mean_velocity", "position", "quaternion", "seconds", "stamp", "turn_variance", "velocity",
                 "way_force", "way_gyro", "way_scale", "way_way", "way_way_scale")

    def __init__(self, stamp: int, position: Vector, velocity: Vector, quaternion: Quaternion,
                 covariance: np.ndarray, gyro_bias: Vector = _ZERO3, force_bias: Vector = _ZERO3,
                 force_scale: Vector = _ZERO3) -> None:
        self.stamp, self.position, self.velocity, self.quaternion = stamp, position, velocity, quaternion
        self.gyro_bias, self.force_bias, self.force_scale = gyro_bias, force_bias, force_scale
        self.covariance = covariance
        #: Over some strides, m/s in ``map``: what is left of the velocity where nothing measures it.
        self.mean_velocity = velocity
        self._forget_sums()

    def _forget_sums(self) -> None:
        self.seconds = 0.0
        #: Share of an error of the velocity that is left.
        self.kept = 1.0
        #: Sums of force (turned into map) over time, once and twice.
        self.lever, self.lever_way = _ZERO3, _ZERO3
        #: Sums of the attitude's matrix over time: for the gyroscope's bias, the accelerometer's once and twice.
        self.way_gyro, self.way_force, self.way_way = _ZERO9, _ZERO9, _ZERO9
        #: And times the force on each axis, for the accelerometer's scale, once and twice.
        self.way_scale, self.way_way_scale = _ZERO9, _ZERO9
        self.turn_variance, self.gain_variance = _ZERO3, _ZERO3

    def copy(self) -> FilterState:
        """Return a snapshot."""
        return copy.copy(self)

    def advance(self, stretch: Stretch, stamp: int) -> None:
        """Move along a stretch that ends at this moment (ns)."""
        dt = stretch.seconds
        half = 0.5 * dt
        wx, wy, wz = stretch.rate
        bx, by, bz = self.gyro_bias
        kx, ky, kz = stretch.rate_trust
        # By two halves: the force acts, on the whole, at the attitude in the middle.
        turn = from_rotation_vector(kx * (wx - bx) * half, ky * (wy - by) * half, kz * (wz - bz) * half)
        middle = product(self.quaternion, turn)
        self.quaternion = normalized(product(middle, turn))
        m = matrix(middle)
        fx, fy, fz = stretch.force
        bx, by, bz = self.force_bias
        sx, sy, sz = self.force_scale
        fx, fy, fz = (fx - bx) * (1.0 - sx), (fy - by) * (1.0 - sy), (fz - bz) * (1.0 - sz)
        ax, ay, az = stretch.force_trust
        if ax == 1.0 and ay == 1.0 and az == 1.0:
            gx, gy, gz = (m[0] * fx + m[1] * fy + m[2] * fz, m[3] * fx + m[4] * fy + m[5] * fz,
                          m[6] * fx + m[7] * fy + m[8] * fz)
            lx, ly, lz = gx, gy, gz - GRAVITY
        else:
            # Trusted is the acceleration, not the weight.
            ux, uy, uz = (ax * (fx - GRAVITY * m[6]), ay * (fy - GRAVITY * m[7]), az * (fz - GRAVITY * m[8]))
            lx, ly, lz = (m[0] * ux + m[1] * uy + m[2] * uz, m[3] * ux + m[4] * uy + m[5] * uz,
                          m[6] * ux + m[7] * uy + m[8] * uz)
            share = (ax + ay + az) / 3.0
            gx, gy, gz = lx, ly, lz + share * GRAVITY
            # What readings leave out that follow each other too slowly would look like an error of their scale.
            fx = fy = fz = 0.0
        (px, py, pz), (vx, vy, vz), (ux, uy, uz) = self.position, self.velocity, self.mean_velocity
        if ax + ay + az < 3.0:
            # A body that shakes does not run away: what it has too much of its mean velocity, it loses.
            kept = math.exp(-(1.0 - (ax + ay + az) / 3.0) * dt / stretch.memory)
            lost = (1.0 - kept) / dt
            lx, ly, lz = lx - lost * (vx - ux), ly - lost * (vy - uy), lz - lost * (vz - uz)
            self.kept *= kept
        share = min(1.0, dt / STRIDES)
        self.mean_velocity = (ux + share * (vx - ux), uy + share * (vy - uy), uz + share * (vz - uz))
        self.position = (px + (vx + half * lx) * dt, py + (vy + half * ly) * dt, pz + (vz + half * lz) * dt)
        self.velocity = (vx + lx * dt, vy + ly * dt, vz + lz * dt)
        self.stamp = stamp
        # What the covariance will need.
        (sx, sy, sz), (dx, dy, dz) = self.lever, self.lever_way
        c = half * dt
        self.lever_way = (dx + sx * dt + gx * c, dy + sy * dt + gy * c, dz + sz * dt + gz * c)
        self.lever = (sx + gx * dt, sy + gy * dt, sz + gz * dt)
        f, w, g = self.way_force, self.way_way, self.way_gyro
        n0, n1, n2, n3, n4, n5, n6, n7, n8 = (m[0] * ax, m[1] * ay, m[2] * az, m[3] * ax, m[4] * ay, m[5] * az,
                                              m[6] * ax, m[7] * ay, m[8] * az)
        self.way_way = (w[0] + f[0] * dt + n0 * c, w[1] + f[1] * dt + n1 * c, w[2] + f[2] * dt + n2 * c,
                        w[3] + f[3] * dt + n3 * c, w[4] + f[4] * dt + n4 * c, w[5] + f[5] * dt + n5 * c,
                        w[6] + f[6] * dt + n6 * c, w[7] + f[7] * dt + n7 * c, w[8] + f[8] * dt + n8 * c)
        u, w = self.way_scale, self.way_way_scale
        xc, yc, zc = fx * c, fy * c, fz * c
        self.way_way_scale = (
            w[0] + u[0] * dt + n0 * xc, w[1] + u[1] * dt + n1 * yc, w[2] + u[2] * dt + n2 * zc,
            w[3] + u[3] * dt + n3 * xc, w[4] + u[4] * dt + n4 * yc, w[5] + u[5] * dt + n5 * zc,
            w[6] + u[6] * dt + n6 * xc, w[7] + u[7] * dt + n7 * yc, w[8] + u[8] * dt + n8 * zc)
        xc, yc, zc = fx * dt, fy * dt, fz * dt
        self.way_scale = (u[0] + n0 * xc, u[1] + n1 * yc, u[2] + n2 * zc, u[3] + n3 * xc, u[4] + n4 * yc,
                          u[5] + n5 * zc, u[6] + n6 * xc, u[7] + n7 * yc, u[8] + n8 * zc)
        self.way_force = (f[0] + n0 * dt, f[1] + n1 * dt, f[2] + n2 * dt, f[3] + n3 * dt, f[4] + n4 * dt,
                          f[5] + n5 * dt, f[6] + n6 * dt, f[7] + n7 * dt, f[8] + n8 * dt)
        kx, ky, kz = kx * dt, ky * dt, kz * dt
        self.way_gyro = (g[0] + m[0] * kx, g[1] + m[1] * ky, g[2] + m[2] * kz, g[3] + m[3] * kx, g[4] + m[4] * ky,
                         g[5] + m[5] * kz, g[6] + m[6] * kx, g[7] + m[7] * ky, g[8] + m[8] * kz)
        (a, b, c), (d, e, f2) = self.turn_variance, stretch.turn_variance
        self.turn_variance = (a + d, b + e, c + f2)
        (a, b, c), (d, e, f2) = self.gain_variance, stretch.gain_variance
        self.gain_variance = (a + d, b + e, c + f2)
        self.seconds += dt

    def catch_up(self, settings: FilterSettings) -> None:
        """Let the covariance follow the motion up to now."""
        dt = self.seconds
        if dt == 0.0:
            return
        kept, transition = self.kept, _IDENTITY.copy()
        (lx, ly, lz), (wx, wy, wz) = self.lever, self.lever_way
        drift = 0.5 * (1.0 + kept) * dt
        # All at once: NumPy takes as long for one cell.
        transition.put(_CELLS, [
            drift, drift, drift, kept, kept, kept, lz, -ly, -lz, lx, ly, -lx, wz, -wy, -wz, wx, wy, -wx,
            *[-each for part in (self.way_gyro, self.way_force, self.way_way, self.way_scale, self.way_way_scale)
              for each in part]])
        covariance = transition @ self.covariance @ transition.T
        rotation = np.array(matrix(self.quaternion)).reshape(3, 3)
        covariance[ATTITUDE, ATTITUDE] += (rotation * self.turn_variance) @ rotation.T
        gain = (rotation * self.gain_variance) @ rotation.T
        covariance[VELOCITY, VELOCITY] += gain
        half = (0.5 * dt) * gain
        covariance[POSITION, VELOCITY] += half
        covariance[VELOCITY, POSITION] += half
        covariance[POSITION, POSITION] += (dt * dt / 3.0) * gain
        diagonal = covariance.reshape(-1)[::SIZE + 1]
        diagonal[GYRO_BIAS] += settings.gyro_bias_walk**2 * dt
        diagonal[ACCELEROMETER_BIAS] += settings.accelerometer_bias_walk**2 * dt
        self.covariance = covariance
        self._forget_sums()

    def innovation(self, position: Vector, quaternion: Quaternion, noise: np.ndarray) -> Innovation:
        """Return how far a pose (of the same point) is from the prediction; the covariance must have caught up.

        Args:
            position: m in ``map``.
            quaternion: attitude in ``map``.
            noise: covariance of the pose ``(6, 6)``: position, attitude about the axes of ``map``.
        """
        p = self.position
        rx, ry, rz = rotation_vector(product(quaternion, conjugate(self.quaternion)))
        residual = np.array([position[0] - p[0], position[1] - p[1], position[2] - p[2], rx, ry, rz])
        cross = self.covariance[:, _MEASURED]
        return Innovation(residual, cross, cross[_MEASURED] + noise)

    def correct(self, innovation: Innovation) -> None:
        """Take a pose in."""
        self._correct(innovation.cross, innovation.inverse, innovation.residual)

    def correct_gyro_bias(self, bias: Vector, spread: float) -> None:
        """Take in that the bias of the gyroscope was measured, rad/s; the covariance must have caught up."""
        cross = self.covariance[:, GYRO_BIAS]
        inverse = np.linalg.inv(cross[GYRO_BIAS] + np.eye(3) * spread**2)
        self._correct(cross, inverse, np.array(bias) - self.gyro_bias)

    def _correct(self, cross: np.ndarray, inverse: np.ndarray, residual: np.ndarray) -> None:
        gain = cross @ inverse
        error = (gain @ residual).tolist()
        covariance = self.covariance - gain @ cross.T
        # Rounding would make it lopsided in time.
        self.covariance = 0.5 * (covariance + covariance.T)
        p, v = self.position, self.velocity
        self.position = (p[0] + error[0], p[1] + error[1], p[2] + error[2])
        self.velocity = (v[0] + error[3], v[1] + error[4], v[2] + error[5])
        self.quaternion = normalized(product(from_rotation_vector(*error[6:9]), self.quaternion))
        b, a = self.gyro_bias, self.force_bias
        self.gyro_bias = (b[0] + error[9], b[1] + error[10], b[2] + error[11])
        self.force_bias = (a[0] + error[12], a[1] + error[13], a[2] + error[14])
        a = self.force_scale
        self.force_scale = (a[0] + error[15], a[1] + error[16], a[2] + error[17])

    def position_spread(self) -> float:
        """Return the largest standard deviation of the position on an axis of ``map``, m."""
        return math.sqrt(max(self.covariance[0, 0], self.covariance[1, 1], self.covariance[2, 2]))


class Innovation:
    """A pose against its prediction.

    Args:
        residual: ``(6,)``, m and rad.
        cross: covariance of all errors with what was predicted ``(18, 6)``.
        covariance: of the residual ``(6, 6)``.
    """

    __slots__ = ("cross", "distance", "inverse", "residual")

    def __init__(self, residual: np.ndarray, cross: np.ndarray, covariance: np.ndarray) -> None:
        self.residual, self.cross = residual, cross
        self.inverse = np.linalg.inv(covariance)
        #: Squared Mahalanobis distance.
        self.distance = float(residual @ self.inverse @ residual)


_IDENTITY = np.eye(SIZE)


def _cells(rows: slice, columns: slice) -> np.ndarray:
    grid: np.ndarray = np.arange(SIZE * SIZE).reshape(SIZE, SIZE)[rows, columns].ravel()
    return grid


def _skew_cells(rows: slice) -> list[int]:
    """Return the cells of minus a cross product with the attitude error."""
    r, c = rows.start, ATTITUDE.start
    return [(r + i) * SIZE + c + j for i, j in ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1))]


#: What the transition has beside ones on its diagonal, in the order in which it is filled.
_CELLS = np.concatenate([
    [i * SIZE + 3 + i for i in range(3)], [(3 + i) * SIZE + 3 + i for i in range(3)], _skew_cells(VELOCITY),
    _skew_cells(POSITION), _cells(ATTITUDE, GYRO_BIAS), _cells(VELOCITY, ACCELEROMETER_BIAS),
    _cells(POSITION, ACCELEROMETER_BIAS), _cells(VELOCITY, ACCELEROMETER_SCALE),
    _cells(POSITION, ACCELEROMETER_SCALE)]).astype(np.int64)
