# SPDX-License-Identifier: Apache-2.0
"""The low-pass filter: against its differential equation, whatever the stamps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from l2a_ros.errors import UserError
from l2a_ros.estimation.low_pass import LowPass

MS = 1_000_000
NOW = 1_700_000_000_000_000_000
numbers = st.floats(-10.0, 10.0)


def value(low_pass: LowPass) -> tuple[float, ...]:
    assert low_pass.value is not None
    return low_pass.value


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 100), numbers, numbers), min_size=1, max_size=10), st.floats(0.03, 1.0))
def test_solves_the_differential_equation(samples: list[tuple[int, float, float]], constant: float) -> None:
    low_pass, expected, ms = LowPass(constant), np.array([1.0, -2.0]), 0
    low_pass.add(NOW, (1.0, -2.0))
    for step, *values in samples:
        ms += step
        low_pass.add(NOW + ms * MS, values)
        if step / 1000.0 >= 5.0 * constant:
            expected = np.array(values)
            continue
        expected = solve_ivp(lambda _, y, x: (np.array(x) - y) / constant, (0.0, step / 1000.0), expected,
                             args=(values,), rtol=1e-8, atol=1e-10).y[:, -1]
    assert value(low_pass) == pytest.approx(tuple(expected), abs=1e-5)


@given(st.lists(st.integers(1, 10 * MS), min_size=1, max_size=20), numbers, numbers)
def test_saying_the_same_more_often_changes_nothing(steps: list[int], before: float, after: float) -> None:
    often, once = LowPass(0.1), LowPass(0.1)
    often.add(NOW, [before])
    once.add(NOW, [before])
    stamp = NOW
    for step in steps:
        stamp += step
        assert often.add(stamp, [after])
    assert once.add(stamp, [after])
    assert value(often) == pytest.approx(value(once), abs=1e-9)


def test_first_value_counts_alone_and_constants_stay() -> None:
    low_pass = LowPass(1.0)
    assert low_pass.value is None and low_pass.stamp is None
    for i in range(5):
        assert low_pass.add(NOW + i * 37 * MS, np.array([3.7, 0.0, -1.0]))
        assert value(low_pass) == (3.7, 0.0, -1.0)
        assert low_pass.stamp == NOW + i * 37 * MS
    assert all(type(each) is float for each in value(low_pass))


def test_step_after_one_time_constant() -> None:
    low_pass = LowPass(0.2)
    low_pass.add(NOW, [0.0])
    low_pass.add(NOW + 200 * MS, [1.0])
    assert value(low_pass) == pytest.approx((1.0 - math.exp(-1.0),))


def test_a_gap_begins_anew() -> None:
    for ms, begins in ((499, False), (500, True), (60_000, True)):
        low_pass = LowPass(0.1)
        low_pass.add(NOW, [0.0])
        low_pass.add(NOW + ms * MS, [1.0])
        assert (value(low_pass) == (1.0,)) is begins


def test_zero_lets_everything_pass() -> None:
    low_pass = LowPass(0.0)
    for i in range(1, 4):
        low_pass.add(NOW + i, [float(i), -float(i)])
        assert value(low_pass) == (float(i), -float(i))


@pytest.mark.parametrize("constant", [-0.1, math.nan, math.inf])
def test_time_constants_that_are_none(constant: float) -> None:
    with pytest.raises(UserError, match="time constant"):
        LowPass(constant)


def test_bad_samples_leave_no_trace() -> None:
    low_pass, untouched = LowPass(0.1), LowPass(0.1)
    for each in (low_pass, untouched):
        each.add(NOW, [1.0, 2.0])
    for stamp, values in ((NOW + MS, [math.nan, 1.0]), (NOW + MS, [0.0, math.inf]), (NOW, [5.0, 5.0]),
                          (NOW - MS, [5.0, 5.0])):
        assert low_pass.add(stamp, values) is False
    for each in (low_pass, untouched):
        each.add(NOW + 2 * MS, [0.0, 0.0])
    assert value(low_pass) == value(untouched)
    with pytest.raises(ValueError, match="zip"):
        low_pass.add(NOW + 3 * MS, [0.0])
    low_pass.reset()
    assert low_pass.value is None
    assert low_pass.add(NOW - 3600_000 * MS, [4.0])
    assert value(low_pass) == (4.0,)
