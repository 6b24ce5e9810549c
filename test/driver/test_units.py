# SPDX-License-Identifier: Apache-2.0
"""Conversions against the published scales, worked out here anew."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.driver import units

G = 9.80665


@pytest.mark.parametrize(("revolutions", "counts"), [
    (0.0, 0), (1.0, 66), (2.0, 131), (6.0, 393), (9.0, 590), (12.0, 786), (-6.0, -393), (499.9, 32761)])
def test_commanded_velocity(revolutions: float, counts: int) -> None:
    assert units.velocity_counts(2.0 * math.pi * revolutions) == counts


@given(st.floats(-499.0, 499.0))
def test_commanded_velocity_is_within_half_a_count(revolutions: float) -> None:
    assert abs(units.velocity_counts(2.0 * math.pi * revolutions) - 65.536 * revolutions) <= 0.5 + 1e-9


@pytest.mark.parametrize("rate", [math.nan, math.inf, -math.inf, 3142.0, -3143.0, 1e300])
def test_velocity_that_the_wire_cannot_carry(rate: float) -> None:
    with pytest.raises(ValueError, match="leg rate"):
        units.velocity_counts(rate)


@pytest.mark.parametrize(("counts", "volts"), [(783, 3.46), (882, 3.90), (954, 4.22)])
def test_battery(counts: int, volts: float) -> None:
    assert units.battery_voltage(counts) == pytest.approx(volts, abs=0.005)


def test_legs() -> None:
    assert units.leg_angles(np.array([0, 65536, -32768, 1])) == pytest.approx(
        [0.0, 2.0 * math.pi, -math.pi, 95.87e-6], abs=1e-8)


def test_inertial_unit() -> None:
    # 16.375 counts per deg/s and 4096 counts per g.
    assert np.degrees(units.angular_velocity(np.array([16375, -16375, 0]))) == pytest.approx(
        [1000.0, -1000.0, 0.0], rel=2e-4)
    assert units.specific_force(np.array([4096, -8192, 0])) == pytest.approx([G, -2.0 * G, 0.0], rel=1e-4)


def test_back_emf() -> None:
    assert units.back_emf(np.array([1024, -100])) == pytest.approx([3.3 * 47.0 / 15.0, -100 * 3.3 / 1024 / (15 / 47)])


def test_duty() -> None:
    assert units.duty(np.array([4000, -3800, 0])) == pytest.approx([1.0, -0.95, 0.0])


def test_the_encoder_has_14_bits() -> None:
    assert units.COUNTS_PER_REVOLUTION // units.ENCODER_STEP == 2**14
