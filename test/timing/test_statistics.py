# SPDX-License-Identifier: Apache-2.0
"""Percentiles of the newest measurements."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.timing.statistics import Statistics


def test_empty_is_nan() -> None:
    summary = Statistics().summary()
    assert list(summary) == ["p50", "p99", "max"]
    assert all(math.isnan(value) for value in summary.values())
    assert len(Statistics()) == 0


def test_known_numbers() -> None:
    statistics = Statistics()
    for value in range(101):
        statistics.add(float(value))
    assert statistics.summary() == {"p50": 50.0, "p99": 99.0, "max": 100.0}
    assert len(statistics) == 101


def test_only_the_newest_count() -> None:
    statistics = Statistics(capacity=10)
    statistics.add(1e9)
    for value in range(10):
        statistics.add(float(value))
    assert len(statistics) == 10
    assert statistics.summary() == {"p50": 4.5, "p99": pytest.approx(8.91), "max": 9.0}


@settings(max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.integers(1, 50))
def test_against_sorting(numbers: list[float], capacity: int) -> None:
    statistics = Statistics(capacity)
    for number in numbers:
        statistics.add(number)
    kept = sorted(numbers[-capacity:])
    summary = statistics.summary()
    assert summary["max"] == kept[-1]
    assert summary["p50"] == pytest.approx(float(np.median(kept)))
    assert kept[0] <= summary["p50"] <= summary["p99"] <= summary["max"] or math.isclose(
        summary["p99"], summary["max"]) or math.isclose(summary["p50"], summary["p99"])
    assert all(type(value) is float for value in summary.values())
