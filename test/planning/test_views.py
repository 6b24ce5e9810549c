# SPDX-License-Identifier: Apache-2.0
"""Which candidates are shown, in which order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.planning.plan import Candidates
from l2a_ros.planning.views import compared
from l2a_ros.robot.layout import STATE

costs_of = st.lists(st.one_of(st.floats(-1e6, 1e6), st.sampled_from([np.inf, np.nan, -np.inf])), max_size=40)


def candidates(costs: list[float]) -> Candidates:
    """Candidates of three steps; number i is at x = i, y = step."""
    states = np.zeros((len(costs), 3, STATE.size), dtype=np.float32)
    states[:, :, STATE.index("position_x")] = np.arange(len(costs))[:, np.newaxis]
    states[:, :, STATE.index("position_y")] = np.arange(3)
    return Candidates(states, np.array(costs, dtype=np.float64))


def shown(costs: list[float], count: int) -> tuple[list[int], list[float]]:
    """Which ones, and their shares."""
    found = compared(candidates(costs), count)
    for track, _ in found:
        np.testing.assert_array_equal(track, np.stack([np.full(3, track[0, 0]), np.arange(3)], axis=1))
    return [int(track[0, 0]) for track, _ in found], [share for _, share in found]


def test_by_hand() -> None:
    assert shown([5.0, 1.0, np.inf, 3.0, np.nan], 10) == ([0, 3, 1], [1.0, 0.5, 0.0])


def test_spread_evenly_over_the_order() -> None:
    costs = np.random.default_rng(0).permutation(101).astype(float)
    numbers, shares = shown(costs.tolist(), 5)
    np.testing.assert_array_equal(costs[numbers], [100, 75, 50, 25, 0])
    np.testing.assert_allclose(shares, [1.0, 0.75, 0.5, 0.25, 0.0])


@given(costs_of, st.integers(0, 50))
def test_the_best_is_last_the_worst_first_and_no_more_than_asked_for(costs: list[float], count: int) -> None:
    numbers, shares = shown(costs, count)
    finite = [cost for cost in costs if np.isfinite(cost)]
    assert len(numbers) == len(set(numbers)) == min(count, len(finite))
    assert all(np.isfinite(costs[number]) for number in numbers)
    assert shares == sorted(shares, reverse=True) and all(0.0 <= share <= 1.0 for share in shares)
    if numbers:
        assert costs[numbers[-1]] == min(finite) and shares[-1] == 0.0
    if len(numbers) > 1:
        assert costs[numbers[0]] == max(finite)
        assert shares[0] == pytest.approx(1.0) or max(finite) - min(finite) < 1e-11


def test_equal_costs_are_all_the_best() -> None:
    assert shown([2.0, 2.0, 2.0], 3)[1] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("costs", [[], [np.inf], [np.nan, np.inf]], ids=str)
def test_nothing_to_show(costs: list[float]) -> None:
    assert compared(candidates(costs), 60) == []
