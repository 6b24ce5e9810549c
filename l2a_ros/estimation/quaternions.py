# SPDX-License-Identifier: Apache-2.0
"""Quaternions (x y z w) and rotation matrices (nine numbers, row by row) of plain numbers.

For the filter's inner loop, which runs a thousand times a second: SciPy's rotations take 10 microseconds and more for
one product of two attitudes, these take less than one. The tests compare them with SciPy's.
"""

from __future__ import annotations

import math

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Matrix = tuple[float, float, float, float, float, float, float, float, float]


def product(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return the rotation that first does ``b`` and then ``a``."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (aw * bx + ax * bw + ay * bz - az * by, aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw, aw * bw - ax * bx - ay * by - az * bz)


def conjugate(a: Quaternion) -> Quaternion:
    """Return the inverse of a unit quaternion."""
    return -a[0], -a[1], -a[2], a[3]


def normalized(a: Quaternion) -> Quaternion:
    """Return the unit quaternion of the same direction."""
    x, y, z, w = a
    scale = 1.0 / math.sqrt(x * x + y * y + z * z + w * w)
    return x * scale, y * scale, z * scale, w * scale


def from_rotation_vector(x: float, y: float, z: float) -> Quaternion:
    """Return the rotation about a vector by its length, rad."""
    square = x * x + y * y + z * z
    if square < 1e-12:
        scale, w = 0.5 - square / 48.0, 1.0 - square / 8.0
    else:
        angle = math.sqrt(square)
        scale, w = math.sin(0.5 * angle) / angle, math.cos(0.5 * angle)
    return x * scale, y * scale, z * scale, w


def rotation_vector(a: Quaternion) -> Vector:
    """Return the rotation vector of a unit quaternion, rad, no longer than pi: q and -q are the same rotation."""
    x, y, z, w = a
    if w < 0.0:
        x, y, z, w = -x, -y, -z, -w
    sine = math.sqrt(x * x + y * y + z * z)
    scale = 2.0 if sine < 1e-9 else 2.0 * math.atan2(sine, w) / sine
    return x * scale, y * scale, z * scale


def matrix(a: Quaternion) -> Matrix:
    """Return the rotation matrix of a unit quaternion."""
    x, y, z, w = a
    xx, yy, zz = 2.0 * x * x, 2.0 * y * y, 2.0 * z * z
    xy, xz, yz = 2.0 * x * y, 2.0 * x * z, 2.0 * y * z
    wx, wy, wz = 2.0 * w * x, 2.0 * w * y, 2.0 * w * z
    return 1.0 - yy - zz, xy - wz, xz + wy, xy + wz, 1.0 - xx - zz, yz - wx, xz - wy, yz + wx, 1.0 - xx - yy


def turned(m: Matrix, v: Vector) -> Vector:
    """Return the product of a matrix and a vector."""
    x, y, z = v
    return m[0] * x + m[1] * y + m[2] * z, m[3] * x + m[4] * y + m[5] * z, m[6] * x + m[7] * y + m[8] * z
