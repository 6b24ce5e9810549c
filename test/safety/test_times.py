# SPDX-License-Identifier: Apache-2.0
"""Durations, figures and what lasts."""

from __future__ import annotations

import math

import pytest

from l2a_ros.errors import UserError
from l2a_ros.safety.times import SECOND, Persistence, duration_or_none, figure, positive_duration


def test_durations() -> None:
    assert positive_duration("x", 0.25) == duration_or_none("x", 0.25) == SECOND // 4 == 250_000_000
    assert positive_duration("x", 0.6e-9) == 1
    assert duration_or_none("x", 0.0) == duration_or_none("x", 0.4e-9) == 0
    assert duration_or_none("x", 0.6e-9) == 1
    assert positive_duration("x", 1e9) == 10**18


@pytest.mark.parametrize("seconds", [0.0, 0.4e-9, -1.0, math.nan, math.inf, -math.inf])
def test_no_duration(seconds: float) -> None:
    with pytest.raises(UserError) as error:
        positive_duration("the patience", seconds)
    assert str(error.value) == f"the patience must be finite and above 0 s, not {seconds:g} s"


@pytest.mark.parametrize("seconds", [-1e-12, -1.0, math.nan, math.inf, -math.inf])
def test_no_duration_at_all(seconds: float) -> None:
    with pytest.raises(UserError) as error:
        duration_or_none("the patience", seconds)
    assert str(error.value) == f"the patience must be finite and at least 0 s, not {seconds:g} s"


@pytest.mark.parametrize(("value", "text"), [
    (2.314, "2.31"), (-2.0, "-2.00"), (0.0, "0.00"), (999_999.0, "999999.00"), (1e6, "1.00e+06"), (-1e6, "-1.00e+06"),
    (1e300, "1.00e+300"), (math.nan, "nan"), (math.inf, "inf")])
def test_figures_are_short(value: float, text: str) -> None:
    assert figure(value) == text
    assert figure(0.66, 1) == "0.7"


def test_what_lasts_counts_from_the_first_moment() -> None:
    lasting = Persistence(SECOND)
    assert lasting.age(True, 5 * SECOND) is None
    assert lasting.age(True, 6 * SECOND - 1) is None
    assert lasting.age(True, 6 * SECOND) == 1.0
    assert lasting.age(True, 8 * SECOND) == 3.0
    assert lasting.age(False, 8 * SECOND) is None
    assert lasting.age(True, 8 * SECOND) is None, "a break starts it again"
    assert lasting.age(True, 9 * SECOND) == 1.0


def test_without_a_duration_it_counts_at_once() -> None:
    lasting = Persistence(0)
    assert lasting.age(False, 0) is None
    assert lasting.age(True, 0) == 0.0


def test_clock_set_back_delays_it_by_no_more_than_its_duration() -> None:
    lasting = Persistence(SECOND)
    lasting.age(True, 100 * SECOND)
    assert lasting.age(True, 10 * SECOND) is None
    assert lasting.age(True, 11 * SECOND) == 1.0
