# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy method: near the optimum, mean and spread those of the elites, nothing good is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from known_dynamics import (
    Pendulum,
    Recorder,
    adding,
    box,
    candidates_of,
    cart,
    excess,
    excess_of_driving,
    off_target,
    plan_of,
    small,
    two_actions,
)

from l2a_ros.errors import UserError

NAME = "cem"
#: How to search where the optimum is wanted.
THOROUGH = {"candidates": 2000, "iterations": 8}


# The optimum ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_finds_the_optimum_of_a_linear_problem(seed: int) -> None:
    """Four steps of two elements, 2000 candidates: at most 0.5 % more than least squares; doing nothing costs 300 %
    more."""
    problem, bounds = two_actions(horizon=4), box(2.0)
    actions, best = problem.best(bounds)
    assert np.abs(actions).max() < 1.7, "no bound matters"
    assert excess(problem, bounds, best, NAME, seed, smoothness=0.0, **THOROUGH) < 0.005


@pytest.mark.parametrize("seed", range(6))
def test_finds_the_optimum_within_bounds(seed: int) -> None:
    """The same, bounds in the way: at most 1.5 % more than bounded least squares; doing nothing costs 200 % more."""
    problem, bounds = two_actions(horizon=4), box(0.8)
    actions, best = problem.best(bounds)
    assert np.isclose(np.abs(actions), 0.8, rtol=1e-3).sum() >= 3
    assert excess(problem, bounds, best, NAME, seed, smoothness=0.0, **THOROUGH) < 0.015


@pytest.mark.parametrize("seed", range(6))
def test_swings_a_pendulum_up_as_an_exhaustive_search_does(seed: int) -> None:
    """2000 candidates of 20 steps: at most 2 % more than the best of all 7^5 sequences of held torques; hanging costs
    31 % more."""
    pendulum = Pendulum()
    _, best = pendulum.best_of(7)
    assert excess(pendulum, box(5.0, 1), best, NAME, seed, spread=1.0, smoothness=0.9, **THOROUGH) < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_drives_a_cart_nearly_as_well_as_is_possible(seed: int) -> None:
    """1000 candidates of 8 steps, replanned: 0.4 % more than with the best plans; doing nothing costs 300 % more,
    planning afresh each time 0.5 to 1.6 %."""
    assert excess_of_driving(cart(8), box(0.6, 1), NAME, seed, candidates=1000, iterations=4) < 0.004


# By hand --------------------------------------------------------------------------------------------------------------


def costs_of(actions: np.ndarray) -> np.ndarray:
    return off_target(Recorder(adding).rollout(np.zeros(2), actions), actions)


def test_mean_follows_the_elites_and_the_best_before() -> None:
    """Candidate 0 of every iteration is the mean."""
    batches = candidates_of(small(NAME, candidates=150, elites=0.2, momentum=0.25))
    mean, best = np.zeros((5, 2)), None
    for batch in batches:
        np.testing.assert_allclose(batch[0], mean, atol=1e-6)
        costs = costs_of(batch)
        elites = batch[np.argsort(costs)[:10]].astype(np.float64)
        if best is not None:
            elites = np.concatenate([elites, best[np.newaxis]])
        best = elites[costs_of(elites.astype(np.float32)).argmin()]
        mean = 0.25 * mean + 0.75 * elites.mean(axis=0)


def test_spread_follows_the_elites() -> None:
    """Bounds far away, 4000 candidates per iteration: standard deviations within 6 %."""
    settings = {"bounds": box(100.0), "candidates": 8000, "iterations": 2, "elites": 0.05, "spread": 0.02,
                "smallest_spread": 1e-6, "momentum": 0.5}
    first, second = candidates_of(small(NAME, **settings))
    np.testing.assert_allclose(first[1:].std(axis=0), 2.0, rtol=0.06)
    elites = first[np.argsort(costs_of(first))[:200]]
    np.testing.assert_allclose(second[1:].std(axis=0), 0.5 * 2.0 + 0.5 * elites.std(axis=0), rtol=0.06)
    assert elites.std() < 1.5


def test_spread_does_not_shrink_below_the_smallest() -> None:
    settings = {"bounds": box(100.0), "candidates": 9000, "spread": 0.02, "smallest_spread": 0.01, "elites": 0.001}
    batches = candidates_of(small(NAME, **settings))
    np.testing.assert_allclose(batches[-1][1:].std(axis=0).min(), 1.0, rtol=0.06)
    assert np.all(batches[-1][1:].std(axis=0) > 0.94)


def test_elites_that_are_not_finite_are_left_out() -> None:
    """Fewer are finite than there would be elites."""
    def cost(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return np.where(actions[:, 0, 0] < 0.7, np.nan, off_target(states, actions))

    first, second, *_ = candidates_of(small(NAME, candidates=150, elites=0.5, momentum=0.0), cost=cost)
    finite = first[first[:, 0, 0] >= 0.7]
    assert 0 < len(finite) < 25
    np.testing.assert_allclose(second[0], finite.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(("count", "elites"), [(1, 0.1), (2, 0.1), (3, 0.1), (3, 1.0), (2, 0.5)])
def test_at_least_two_elites_if_there_are_as_many(count: int, elites: float) -> None:
    first, second = candidates_of(small(NAME, candidates=2 * count, iterations=2, elites=elites, momentum=0.0))
    wanted = max(2, round(elites * count))
    np.testing.assert_allclose(second[0], first[np.argsort(costs_of(first))[:wanted]].mean(axis=0), atol=1e-6)


def test_best_of_all_iterations_is_the_plan() -> None:
    """Also of the first: later ones draw where it is dear."""
    calls = []

    def dearer(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        calls.append(len(states))
        return off_target(states, actions) + 10.0 * len(calls)

    plan, model = plan_of(small(NAME), cost=dearer)
    first = model.asked[0]
    np.testing.assert_array_equal(plan.actions, first[costs_of(first).argmin()].astype(np.float64))


@pytest.mark.parametrize("changes", [
    {"iterations": 0}, {"elites": 0.0}, {"elites": 1.1}, {"elites": np.nan}, {"spread": 0.01},
    {"smallest_spread": 0.0}, {"smallest_spread": 0.6}, {"momentum": 1.0}, {"momentum": -0.1}, {"smoothness": 1.0},
    {"smoothness": -0.1}], ids=str)
def test_settings_that_make_no_search(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="^cem needs [^\n]*$") as caught:
        small(NAME, **changes)
    assert next(iter(changes)).removeprefix("smallest_") in str(caught.value)


def test_more_iterations_than_candidates() -> None:
    with pytest.raises(UserError, match="cannot plan with 4 candidates in 5 iterations"):
        small(NAME, candidates=4, iterations=5)
