# SPDX-License-Identifier: Apache-2.0
"""Random shooting: near the optimum where it can be, the best of draws over the whole box, each held for a while."""

from __future__ import annotations

import numpy as np
import pytest
from costs_samples import bound
from known_dynamics import (
    NOW,
    TICK,
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
from planning_samples import ListeningEngine, naive_rollout, random_change, random_checkpoint, state_at

from l2a_ros.errors import UserError
from l2a_ros.planning.costs import make_terms
from l2a_ros.planning.line_follower import leg_rate_bounds
from l2a_ros.planning.plan import ActionBounds
from l2a_ros.robot.limits import LegRateLimits

NAME = "random_shooting"


@pytest.mark.parametrize("seed", range(6))
def test_nears_the_optimum_of_a_short_linear_problem(seed: int) -> None:
    """Two steps, 4000 candidates: at most 6 % more than least squares; doing nothing costs 91 % more."""
    problem, bounds = two_actions(horizon=2), box(2.0)
    actions, best = problem.best(bounds)
    assert np.abs(actions).max() < 1.5, "no bound matters"
    assert excess(problem, bounds, best, NAME, seed, candidates=4000, longest_hold=1) < 0.06


@pytest.mark.parametrize("seed", range(6))
def test_nears_the_optimum_within_bounds(seed: int) -> None:
    """The same, bounds in the way: at most 6 % more than bounded least squares; doing nothing costs 70 % more."""
    problem, bounds = two_actions(horizon=2), box(0.8)
    actions, best = problem.best(bounds)
    assert np.isclose(np.abs(actions), 0.8, rtol=1e-3).sum() == 2
    assert excess(problem, bounds, best, NAME, seed, candidates=4000, longest_hold=1) < 0.06


@pytest.mark.parametrize("seed", range(4))
def test_swings_a_pendulum_up_as_an_exhaustive_search_does(seed: int) -> None:
    """20000 candidates that hold for up to 10 of 20 steps: at most 4 % more than the best of all 7^5 sequences of held
    torques; hanging costs 31 % more."""
    pendulum = Pendulum()
    _, best = pendulum.best_of(7)
    assert excess(pendulum, box(5.0, 1), best, NAME, seed, candidates=20000, longest_hold=10) < 0.04


@pytest.mark.parametrize("seed", range(3))
def test_drives_a_cart_nearly_as_well_as_is_possible(seed: int) -> None:
    """1000 candidates of 8 steps, replanned: 7 % more than with the best plans; doing nothing costs 300 % more."""
    assert excess_of_driving(cart(8), box(0.6, 1), NAME, seed, candidates=1000, longest_hold=4) < 0.07


def test_draws_fill_the_box() -> None:
    bounds = ActionBounds(np.array([20.0, -3.0]), np.array([30.0, 0.5]))
    (actions,) = candidates_of(small(NAME, bounds=bounds, candidates=2000))
    share = (actions - bounds.low) / (bounds.high - bounds.low)
    for t in range(5):
        np.testing.assert_allclose(np.quantile(share[:, t], [0.001, 0.25, 0.5, 0.75, 0.999], axis=0),
                                   np.tile([[0.0], [0.25], [0.5], [0.75], [1.0]], 2), atol=0.04)


def test_one_step_holds_are_the_published_way() -> None:
    (actions,) = candidates_of(small(NAME, candidates=300, longest_hold=1))
    assert np.all(np.diff(actions, axis=1) != 0.0)


def test_only_candidate_0_is_the_plan_before() -> None:
    planner = small(NAME)
    before, _ = plan_of(planner)
    (actions,), (fresh,) = candidates_of(planner, NOW + TICK), candidates_of(small(NAME), NOW + TICK)
    np.testing.assert_allclose(actions[0], before.actions[[1, 2, 3, 4, 4]], rtol=1e-6)
    np.testing.assert_array_equal(actions[1:], fresh[1:])


@pytest.mark.parametrize("seed", range(3))
def test_plan_along_a_path_is_the_best_by_an_oracle(seed: int) -> None:
    """The engine and the published cost, against every candidate predicted step by step and judged alone."""
    checkpoint = random_checkpoint(seed)
    change = random_change(checkpoint, seed=seed, scale=0.1)
    engine, state = ListeningEngine(checkpoint), state_at(0.3, 0.1, 0.2)
    engine.set_change(change)
    cost = bound(make_terms({}), (0.3, 0.1))
    planner = small(NAME, bounds=leg_rate_bounds(LegRateLimits()), seed=seed)
    plan = planner.plan(state, engine, cost, NOW)
    trajectories = [naive_rollout(checkpoint, change, state, actions) for actions in engine.actions]
    costs = np.array([cost(states[np.newaxis], actions[np.newaxis])[0]
                      for states, actions in zip(trajectories, engine.actions, strict=True)])
    assert plan.cost == pytest.approx(costs.min(), rel=1e-3, abs=1e-3)
    assert plan.mean_cost == pytest.approx(costs.mean(), rel=1e-3, abs=1e-3)
    np.testing.assert_allclose(plan.states, trajectories[costs.argmin()], rtol=1e-3, atol=1e-3)
    assert costs.std() > 1e-2, "else any candidate would do"


def test_plan_is_the_cheapest_candidate() -> None:
    plan, model = plan_of(small(NAME))
    (actions,) = model.asked
    costs = off_target(Recorder(adding).rollout(np.zeros(2), actions), actions)
    np.testing.assert_array_equal(plan.actions, actions[costs.argmin()].astype(np.float64))


def test_holds_of_no_step_are_refused() -> None:
    with pytest.raises(UserError, match="1 step or more, not 0"):
        small(NAME, longest_hold=0)
