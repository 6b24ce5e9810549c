# SPDX-License-Identifier: Apache-2.0
"""Quaternions of plain numbers against SciPy's rotations."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from l2a_ros.estimation import quaternions as q

UNIT = st.tuples(*[st.floats(-1.0, 1.0)] * 4).filter(lambda v: math.hypot(*v) > 0.1).map(q.normalized)
VECTOR = st.tuples(*[st.floats(-5.0, 5.0)] * 3)


@given(UNIT, UNIT)
def test_product_and_conjugate(a: q.Quaternion, b: q.Quaternion) -> None:
    expected = Rotation.from_quat(a) * Rotation.from_quat(b)
    assert (Rotation.from_quat(q.product(a, b)).inv() * expected).magnitude() < 1e-7
    np.testing.assert_allclose(q.product(a, q.conjugate(a)), [0.0, 0.0, 0.0, 1.0], atol=1e-12)


@given(VECTOR)
def test_from_rotation_vector(v: q.Vector) -> None:
    np.testing.assert_allclose(Rotation.from_quat(q.from_rotation_vector(*v)).as_matrix(),
                               Rotation.from_rotvec(v).as_matrix(), atol=1e-12)


@given(st.floats(-1e-5, 1e-5), st.floats(-1e-5, 1e-5))
def test_small_turns_lose_nothing(x: float, y: float) -> None:
    np.testing.assert_allclose(q.rotation_vector(q.from_rotation_vector(x, y, 1e-7)), [x, y, 1e-7], atol=1e-17)


@given(UNIT)
def test_rotation_vector_is_the_shorter_way(a: q.Quaternion) -> None:
    vector = q.rotation_vector(a)
    assert math.hypot(*vector) <= math.pi + 1e-12
    opposite = q.rotation_vector((-a[0], -a[1], -a[2], -a[3]))
    assert (Rotation.from_rotvec(vector).inv() * Rotation.from_quat(a)).magnitude() < 1e-6
    assert (Rotation.from_rotvec(opposite).inv() * Rotation.from_quat(a)).magnitude() < 1e-6


@given(UNIT, VECTOR)
def test_matrix_turns(a: q.Quaternion, v: q.Vector) -> None:
    m = q.matrix(a)
    np.testing.assert_allclose(np.reshape(m, (3, 3)), Rotation.from_quat(a).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(q.turned(m, v), Rotation.from_quat(a).apply(v), atol=1e-12)
