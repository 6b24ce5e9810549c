# SPDX-License-Identifier: Apache-2.0
"""Random shooting: the best of its own candidates, the same draws for the same tick, never a broken one."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import pytest
import torch
from planning_samples import (
    ListeningEngine,
    fragile,
    naive_rollout,
    random_change,
    random_checkpoint,
    state_at,
    walker,
)

from l2a_ros.errors import UserError
from l2a_ros.learning.network import Factors
from l2a_ros.planning.line_following import LineFollowingCost
from l2a_ros.planning.line_path import LinePath
from l2a_ros.planning.planners import make_planner, planner_names
from l2a_ros.planning.random_shooting import Plan, PlanStatus, RandomShooting, RandomShootingSettings
from l2a_ros.robot.frames import planar_pose_of
from l2a_ros.robot.layout import INPUT_SIZE
from l2a_ros.robot.limits import STAND, LegRateLimits

PATH = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.5]])
COST = LineFollowingCost(LinePath(PATH))
LIMITS = LegRateLimits()


def planner(**change: Any) -> RandomShooting:
    return RandomShooting(RandomShootingSettings(**({"candidates": 60, "horizon": 5, "longest_hold": 1} | change)))


def plan(shooting: RandomShooting, engine: ListeningEngine, state: np.ndarray | None = None, tick: int = 10,
         previous: np.ndarray = STAND, delay: float = 0.0) -> Plan:
    state = state_at() if state is None else state
    return shooting.plan(state, engine, COST, COST.start(state[np.newaxis, :2]), previous, delay, tick)


def drawn(shooting: RandomShooting, tick: int = 10) -> np.ndarray:
    """The candidates of a tick; without a delay they are the actions predicted."""
    engine = ListeningEngine(walker())
    plan(shooting, engine, tick=tick)
    return engine.actions


def naive_cost(states: np.ndarray, start: np.ndarray) -> float:
    """Cost of one predicted trajectory, step by step."""
    projection, total = COST.start(start[np.newaxis, :2]), 0.0
    for state in states.astype(np.float64):
        position, yaw = planar_pose_of(state)
        cost, projection = COST.step(position[np.newaxis], np.array([yaw]), projection)
        total += float(cost[0])
    return total


# The best ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_finds_the_best_of_its_candidates(seed: int, delay: float) -> None:
    """Against an oracle that predicts and judges every candidate alone."""
    checkpoint = random_checkpoint(seed)
    change = random_change(checkpoint, seed=seed, scale=0.1)
    engine, previous = ListeningEngine(checkpoint), np.array([20.0, 45.0])
    engine.set_change(change)
    state = state_at(0.3, 0.1, 0.2)
    found = plan(planner(seed=seed), engine, state, previous=previous, delay=delay)
    trajectories = [naive_rollout(checkpoint, change, state, actions) for actions in engine.actions]
    costs = np.array([naive_cost(states, state) for states in trajectories])
    assert found.status is PlanStatus.OK
    assert found.cost == pytest.approx(costs.min(), rel=1e-3, abs=1e-3)
    assert found.mean_cost == pytest.approx(costs.mean(), rel=1e-3, abs=1e-3)
    assert found.not_finite == 0
    best = int(costs.argmin())
    np.testing.assert_allclose(found.states, trajectories[best], rtol=1e-3, atol=1e-3)
    assert costs.std() > 1e-2, "else any candidate would do"
    # The commands of the best, not what their delay made of them.
    effective = delay * np.vstack([previous, found.actions[:-1]]) + (1.0 - delay) * found.actions
    np.testing.assert_allclose(engine.actions[best], effective, rtol=1e-5)


def test_one_candidate_is_enough() -> None:
    assert plan(planner(candidates=1, horizon=1), ListeningEngine(walker())).actions.shape == (1, 2)


@pytest.mark.parametrize(("y", "sign"), [(-0.1, 1.0), (0.1, -1.0)])
def test_turns_towards_the_path(y: float, sign: float) -> None:
    # A shorter look ahead does not pay: the heading costs more than the way back has saved by then.
    found = plan(planner(candidates=500, horizon=10, longest_hold=8), ListeningEngine(walker()), state_at(0.2, y))
    difference = (found.actions[:3, 1] - found.actions[:3, 0]).mean()
    assert sign * difference > 0.0, "the right leg faster turns left"


# The draws -----------------------------------------------------------------------------------------------------------


def test_candidates_are_within_the_limits_and_fill_them() -> None:
    limits = LegRateLimits(20.0, 30.0)
    actions = drawn(planner(candidates=400, limits=limits))
    assert actions.shape == (400, 5, 2)
    assert all(limits.admits(rates) for rates in actions.reshape(-1, 2).astype(np.float64))
    assert actions.min() < 20.1
    assert actions.max() > 29.9


@pytest.mark.parametrize("longest", [1, 2, 5, 9])
def test_each_candidate_holds_its_draws(longest: int) -> None:
    actions = drawn(planner(candidates=300, horizon=7, longest_hold=longest))
    seen = set()
    for candidate in actions:
        holds = [len(list(group)) for _, group in groupby(map(tuple, candidate.tolist()))]
        assert len(set(holds[:-1])) <= 1, "one length per candidate"
        assert holds[-1] <= holds[0]
        seen.add(holds[0])
    assert seen == {min(hold, 7) for hold in range(1, longest + 1)}


def test_draws_depend_on_seed_and_tick_only() -> None:
    first = drawn(planner(seed=3), 7)
    busy = planner(seed=3)
    for tick in range(20):
        drawn(busy, tick)
    busy.reset()
    np.testing.assert_array_equal(drawn(busy, 7), first)
    assert not np.array_equal(drawn(planner(seed=3), 8), first)
    assert not np.array_equal(drawn(planner(seed=4), 7), first)
    assert len(np.unique(first[:, 0, 0])) == 60


def test_ticks_of_years_are_fine() -> None:
    """Stamps of the wall clock make tick numbers of more than 32 bits."""
    late = 17_600_000_000
    assert not np.array_equal(drawn(planner(), late), drawn(planner(), late + 1))
    assert not np.array_equal(drawn(planner(), late), drawn(planner(), late % 2**32))


# The previous plan ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("elapsed", [1, 2, 4])
def test_previous_plan_is_candidate_0_moved_on(elapsed: int) -> None:
    shooting = planner()
    previous = plan(shooting, ListeningEngine(walker()), tick=10).actions.copy()
    actions, fresh = drawn(shooting, 10 + elapsed), drawn(planner(), 10 + elapsed)
    np.testing.assert_allclose(actions[0, :5 - elapsed], previous[elapsed:], rtol=1e-6)
    np.testing.assert_array_equal(actions[0, 5 - elapsed:], fresh[0, 5 - elapsed:])
    np.testing.assert_array_equal(actions[1:], fresh[1:])


@pytest.mark.parametrize("tick", [15, 16, 100, 10, 9])
def test_previous_plan_that_does_not_reach_is_left_out(tick: int) -> None:
    shooting = planner()
    plan(shooting, ListeningEngine(walker()), tick=10)
    np.testing.assert_array_equal(drawn(shooting, tick), drawn(planner(), tick))


def test_reset_forgets_the_previous_plan() -> None:
    shooting = planner()
    plan(shooting, ListeningEngine(walker()), tick=10)
    shooting.reset()
    np.testing.assert_array_equal(drawn(shooting, 11), drawn(planner(), 11))


def test_a_good_plan_is_kept() -> None:
    """With one new candidate per tick, the warm start is what makes the plan improve."""
    shooting, engine, state = planner(candidates=2, horizon=8), ListeningEngine(walker()), state_at(0.0, 0.05)
    costs = []
    for tick in range(20):
        costs.append(plan(shooting, engine, state, tick=tick).cost)
    cold = [plan(planner(candidates=2, horizon=8), engine, state, tick=tick).cost for tick in range(20)]
    assert np.mean(costs[1:]) <= np.mean(cold[1:])


# Delay ---------------------------------------------------------------------------------------------------------------


def test_no_delay_predicts_the_commands_themselves() -> None:
    engine = ListeningEngine(walker())
    found = plan(planner(), engine, previous=np.array([50.0, 13.0]))
    np.testing.assert_allclose(found.states, naive_rollout(walker(), None, state_at(), found.actions), atol=1e-5)


def test_whole_delay_predicts_the_previous_command_first() -> None:
    engine, previous = ListeningEngine(walker()), np.array([50.0, 13.0])
    found = plan(planner(), engine, previous=previous, delay=1.0)
    np.testing.assert_allclose(engine.actions[:, 0], np.tile(previous, (60, 1)))
    expected = naive_rollout(walker(), None, state_at(), np.vstack([previous, found.actions[:-1]]))
    np.testing.assert_allclose(found.states, expected, atol=1e-5)


def test_part_of_a_delay_blends_each_command_with_the_one_before() -> None:
    engine, previous = ListeningEngine(walker()), np.array([50.0, 13.0])
    plan(planner(), engine, previous=previous, delay=0.3)
    blended = engine.actions
    commands = drawn(planner())
    before = np.concatenate([np.tile(previous, (60, 1, 1)), commands[:, :-1]], axis=1)
    np.testing.assert_allclose(blended, 0.3 * before + 0.7 * commands, rtol=1e-5)


# Models that break ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_model_that_is_not_finite_gives_no_plan(value: float) -> None:
    checkpoint = walker()
    engine, shooting = ListeningEngine(checkpoint), planner()
    plan(shooting, ListeningEngine(checkpoint), tick=10)
    engine.set_change([Factors(torch.full((1, INPUT_SIZE), value), torch.ones(1, 24))])
    found = plan(shooting, engine, tick=11)
    assert found.status is PlanStatus.NO_FINITE_CANDIDATE
    assert found.actions.shape == (0, 2)
    assert found.states.shape == (0, 24)
    assert found.not_finite == 60
    assert np.isnan(found.cost)
    # The plan before it is not trusted any more either.
    np.testing.assert_array_equal(drawn(shooting, 12), drawn(planner(), 12))


def test_candidate_that_is_not_finite_somewhere_never_wins() -> None:
    """It blows up in an element that the cost does not look at, and would else be the fastest."""
    engine = ListeningEngine(fragile(35.0))
    for tick in range(10):
        found = plan(planner(candidates=400, horizon=3), engine, tick=tick)
        broken = ~np.isfinite(engine.states).all(axis=(1, 2))
        assert found.status is PlanStatus.OK
        assert 0 < found.not_finite == broken.sum() < 400
        np.testing.assert_array_equal(broken, (engine.actions[:, :, 0] > 35.0).any(axis=1))
        assert (found.actions[:, 0] <= 35.0).all()
        assert np.isfinite(found.states).all()
        assert np.isfinite([found.cost, found.mean_cost]).all()


# Names ---------------------------------------------------------------------------------------------------------------


def test_planners_by_name() -> None:
    settings = RandomShootingSettings(candidates=7)
    assert planner_names() == ["random_shooting"]
    made = make_planner("random_shooting", settings)
    assert isinstance(made, RandomShooting)
    assert made.settings is settings
    with pytest.raises(UserError, match="unknown planner 'cma'; known: random_shooting"):
        make_planner("cma", settings)
