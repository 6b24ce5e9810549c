# SPDX-License-Identifier: Apache-2.0
"""Following a path tick by tick: it stands, and says why, whenever it cannot follow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_samples import adapted, fragile, naive_rollout, random_change, random_checkpoint, state_at, walker

from l2a_ros.errors import UserError
from l2a_ros.learning.adapted_model import AdaptedModel
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.network import Factors, Layer
from l2a_ros.planning.costs import Term, make_terms
from l2a_ros.planning.line_follower import NO_PATH, Decision, LineFollower, Task, leg_rate_bounds
from l2a_ros.planning.plan import Plan, PlanStatus
from l2a_ros.planning.planners import make_planner, planner_names
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.planning.torch_rollout import TorchRollout
from l2a_ros.robot.frames import part_of_a_step
from l2a_ros.robot.layout import INPUT_SIZE, STATE
from l2a_ros.robot.limits import LegRateLimits

STEP = 100_000_000
START = 10 * STEP
PATH = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
every_planner = pytest.mark.parametrize("planner", planner_names())


def follower(checkpoint: Checkpoint | None = None, limits: LegRateLimits | None = None, path: bool = True,
             planner: str = "random_shooting", engine: RolloutEngine | None = None, longest_fallback: int = 1,
             terms: Sequence[Term] | None = None, **settings: Any) -> LineFollower:
    given_ = {"bounds": leg_rate_bounds(LegRateLimits()), "candidates": 60, "horizon": 5} | settings
    made = LineFollower(engine or RolloutEngine(checkpoint or walker()), make_planner(planner, given_),
                        make_terms({}) if terms is None else terms, limits or LegRateLimits(), 0.1, longest_fallback)
    if path:
        made.set_path(PATH, START)
    return made


def assert_stands(made: LineFollower, reason: str, state: np.ndarray | None = None, stamp: int = START,
                  model: AdaptedModel | None = None) -> Decision:
    decision = made.decide(state_at() if state is None else state, stamp, model, 0.0)
    assert decision.rates.tolist() == [0.0, 0.0]
    assert decision.reason == reason
    assert decision.terms == {}
    assert not decision.is_fallback
    return decision


def plan_of(decision: Decision | None) -> Plan:
    assert decision is not None
    assert decision.plan is not None
    return decision.plan


def task_of(made: LineFollower, state: np.ndarray, stamp: int, delay: float = 0.0,
            model: AdaptedModel | None = None) -> Task:
    task = made.prepare(state, stamp, model, delay)
    assert isinstance(task, Task)
    return task


def assert_same(one: Decision | None, other: Decision | None) -> None:
    assert one is not None
    assert other is not None
    assert (one.reason, one.terms, one.is_fallback) == (other.reason, other.terms, other.is_fallback)
    np.testing.assert_array_equal(one.rates, other.rates)
    np.testing.assert_equal(one.lateral_error, other.lateral_error)
    assert (one.plan is None) == (other.plan is None)
    if one.plan is not None and other.plan is not None:
        np.testing.assert_array_equal(one.plan.actions, other.plan.actions)
        np.testing.assert_array_equal(one.plan.states, other.plan.states)


def broken(checkpoint: Checkpoint) -> AdaptedModel:
    """A model with which no candidate is finite."""
    return adapted(checkpoint, [Factors(torch.full((1, INPUT_SIZE), math.nan), torch.ones(1, STATE.size))])


# Following -----------------------------------------------------------------------------------------------------------


@every_planner
def test_follows(planner: str) -> None:
    decision = follower(planner=planner).decide(state_at(0.1, 0.03), START, None, 0.0)
    assert decision.reason == "following"
    assert LegRateLimits().admits(decision.rates)
    assert decision.rates.any()
    np.testing.assert_array_equal(decision.rates, plan_of(decision).actions[0])
    assert decision.lateral_error == pytest.approx(0.03)
    assert not decision.is_fallback


@every_planner
def test_closed_loop_reaches_the_path_and_its_end(planner: str) -> None:
    """The model is the world here, so that only the planning can be wrong."""
    checkpoint, state = walker(), state_at(0.0, 0.15, 0.3)
    made = follower(planner=planner, candidates=200, horizon=10)
    lateral = []
    for tick in range(70):
        decision = made.decide(state, START + tick * STEP, None, 0.0)
        assert decision.reason == "following"
        lateral.append(decision.lateral_error)
        state = naive_rollout(checkpoint, None, state, decision.rates[np.newaxis])[0].astype(np.float64)
        if state[0] > 1.9:
            break
    assert lateral[0] == pytest.approx(0.15)
    assert max(abs(error) for error in lateral[20:]) < 0.03
    assert state[0] > 1.9, "it also got somewhere"


@every_planner
def test_same_ticks_are_the_same_decisions(planner: str) -> None:
    first, second = ([made.decide(state_at(0.03 * i, 0.02), START + i * STEP, None, 0.02 * i) for i in range(6)]
                     for made in (follower(planner=planner), follower(planner=planner)))
    for one, other in zip(first, second, strict=True):
        assert_same(one, other)


@every_planner
def test_plan_before_is_where_the_search_begins(planner: str) -> None:
    """With one candidate a tick it is all there is."""
    made = follower(planner=planner, candidates=1, iterations=1)
    first = plan_of(made.decide(state_at(), START, None, 0.0)).actions
    for tick in range(1, 4):
        plan = plan_of(made.decide(state_at(), START + tick * STEP, None, 0.0))
        np.testing.assert_allclose(plan.actions[:5 - tick], first[tick:], rtol=1e-6)


@every_planner
def test_terms_add_up_to_the_cost(planner: str) -> None:
    """Also where a rough model predicts and an exact one decides."""
    checkpoint = random_checkpoint(hidden=(30, 30))
    exact = TorchRollout(checkpoint.frame)
    rough = TorchRollout(checkpoint.frame, dtype=torch.bfloat16)
    for engine in (RolloutEngine(checkpoint), RolloutEngine(checkpoint, rough, exact)):
        terms = make_terms({"action_rate": {"weight": 2.0}, "effort": {"weight": 0.5, "power": 2.0}})
        made = follower(engine=engine, planner=planner, terms=terms)
        for tick in range(3):
            decision = made.decide(state_at(0.01 * tick, 0.1), START + tick * STEP, None, 0.05)
            assert set(decision.terms) == {term.name for term in terms} == {
                "lateral", "progress", "heading", "action_rate", "effort"}
            assert sum(decision.terms.values()) == pytest.approx(plan_of(decision).cost, rel=1e-9)
            assert len({round(value, 9) for value in decision.terms.values()}) == len(terms)


def test_other_terms_from_the_next_tick_on() -> None:
    made = follower()
    assert set(made.decide(state_at(), START, None, 0.0).terms) == {"lateral", "progress", "heading"}
    made.decide(state_at(0.04, 0.05), START + STEP, None, 0.0)
    task = task_of(made, state_at(0.08, 0.05), START + 2 * STEP)
    made.set_terms(make_terms({"heading": {"weight": 0.0}, "effort": {"weight": 1.0}}))
    decision = made.finish(task, made.solve(task))
    assert decision is not None
    assert set(decision.terms) == {"lateral", "progress", "heading"}, "what was begun is finished"
    decision = made.decide(state_at(0.12, 0.05), START + 3 * STEP, None, 0.0)
    assert set(decision.terms) == {"lateral", "progress", "effort"}
    assert decision.lateral_error == pytest.approx(0.05)
    fresh = follower(path=False)
    fresh.set_terms(make_terms({"heading": {"weight": 0.0}}))
    fresh.set_path(PATH, START)
    assert set(fresh.decide(state_at(), START, None, 0.0).terms) == {"lateral", "progress"}


def test_a_search_that_is_late_ends() -> None:
    made = follower(planner="cem")
    assert plan_of(made.decide(state_at(), START, None, 0.0, lambda: True)).iterations == 1
    assert plan_of(made.decide(state_at(), START + STEP, None, 0.0, lambda: False)).iterations > 1


# The path ------------------------------------------------------------------------------------------------------------


def test_no_path() -> None:
    decision = assert_stands(follower(path=False), "no path")
    assert decision.plan is None
    assert math.isnan(decision.lateral_error)
    assert not follower(path=False).wants_plan(START)


@pytest.mark.parametrize("points", [NO_PATH, np.zeros((1, 2))])
def test_path_that_was_taken_away(points: np.ndarray) -> None:
    made = follower()
    assert made.wants_plan(START)
    made.set_path(points, START)
    assert not made.wants_plan(START)
    assert_stands(made, "no path")


def test_path_that_starts_later() -> None:
    made = follower()
    made.set_path(PATH, START + 5 * STEP)
    for tick in range(5):
        assert not made.wants_plan(START + tick * STEP)
        assert_stands(made, "no path", stamp=START + tick * STEP)
    assert not made.wants_plan(START + 5 * STEP - 1)
    assert made.wants_plan(START + 5 * STEP)
    assert made.decide(state_at(), START + 5 * STEP, None, 0.0).reason == "following"


def test_new_path_begins_at_its_beginning() -> None:
    made = follower()
    for tick in range(10):
        made.decide(state_at(0.3 * tick, 0.0), START + tick * STEP, None, 0.0)
    made.set_path(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), START)
    decision = made.decide(state_at(0.1, 0.2), START + 11 * STEP, None, 0.0)
    assert decision.lateral_error == pytest.approx(-0.1), "on the first segment, to its right"


def test_new_path_forgets_the_plan_but_not_what_was_sent() -> None:
    """The robot goes on as it was told to until the first command along the new path takes effect."""
    made = follower()
    first = made.decide(state_at(), START, None, 0.1).rates
    made.set_path(PATH + [0.0, 0.1], START)
    task = task_of(made, state_at(0.04), START + STEP, 0.1)
    assert task.begins_anew
    np.testing.assert_array_equal(task.in_force, first)
    [(duration, rates)] = task.until_effect
    assert duration == pytest.approx(0.1)
    np.testing.assert_array_equal(rates, first)


def test_segment_is_remembered_from_tick_to_tick() -> None:
    made = follower()
    made.set_path(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]), START)
    errors = [made.decide(state_at(x, y), START + tick * STEP, None, 0.0).lateral_error
              for tick, (x, y) in enumerate([(0.5, 0.01), (0.98, 0.05), (0.95, 0.5), (0.9, 0.2)])]
    assert errors[0] == pytest.approx(0.01)
    assert errors[2] == pytest.approx(0.05)
    assert errors[3] == pytest.approx(0.1), "still on the second segment, though the first is as near"


def test_bad_path_is_refused_and_the_one_before_is_kept() -> None:
    for points in ([[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [math.nan, 1.0]]):
        made, other = follower(), follower()
        made.decide(state_at(), START, None, 0.0)
        other.decide(state_at(), START, None, 0.0)
        with pytest.raises(UserError):
            made.set_path(np.array(points), START + 99 * STEP)
        assert_same(made.decide(state_at(0.04), START + STEP, None, 0.0),
                    other.decide(state_at(0.04), START + STEP, None, 0.0))


@every_planner
def test_restart_keeps_the_path_and_forgets_the_rest(planner: str) -> None:
    made, new = follower(planner=planner), follower(planner=planner)
    for tick in range(5):
        made.decide(state_at(0.3 * tick, 0.05), START + tick * STEP, None, 0.05)
    made.restart()
    # Also of the time that the plans before were made for.
    for tick in (4, 9):
        again, first = (each.decide(state_at(0.2, 0.0), START + tick * STEP, None, 0.05) for each in (made, new))
        assert again.reason == "following"
        assert_same(again, first)


# What it does not plan with ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["position_x", "yaw_cos", "battery_voltage"])
def test_state_that_is_not_finite(name: str, value: float) -> None:
    state = state_at()
    state[STATE.index(name)] = value
    made = follower()
    assert_stands(made, "the state is not finite", state)
    assert made.decide(state_at(), START + STEP, None, 0.0).reason == "following", "one bad tick is one bad tick"


def test_model_of_another_checkpoint() -> None:
    made, other = follower(), random_checkpoint(5)
    with pytest.raises(UserError, match=f"belongs to checkpoint {other.id}, not {walker().id}; give both"):
        made.check_model(adapted(other, random_change(other)))


def test_model_that_does_not_fit() -> None:
    checkpoint = walker()
    for change in (random_change(random_checkpoint(5)), random_change(checkpoint) * 2,
                   [Factors(torch.zeros(1, 5), torch.zeros(1, 24))], [Layer(torch.zeros(24, 5), torch.zeros(24))]):
        with pytest.raises(UserError, match="the adapted model does not fit the checkpoint"):
            follower().check_model(adapted(checkpoint, change))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_model_that_is_not_finite(value: float) -> None:
    checkpoint = walker()
    dense = Layer(torch.zeros(24, INPUT_SIZE), torch.zeros(24))
    dense.bias[3] = value
    for change in ([dense], [Factors(torch.full((1, INPUT_SIZE), value), torch.ones(1, 24))]):
        with pytest.raises(UserError, match="the adapted model is not finite"):
            follower().check_model(adapted(checkpoint, change))


def test_model_that_is_fine() -> None:
    made, checkpoint = follower(), walker()
    for change in ((), random_change(checkpoint), [Layer(torch.zeros(24, INPUT_SIZE), torch.zeros(24))]):
        made.check_model(adapted(checkpoint, change))


def test_adapted_model_is_the_one_planned_with_and_only_for_its_tick() -> None:
    """A change that swaps the sides makes the plan turn the other way."""
    checkpoint, state = walker(), state_at(0.0, -0.1)
    made = follower(candidates=200, horizon=10)
    # 8 mrad per rad/s of difference to the right; the second row takes out the bias that the first one brings.
    forward, backward = torch.zeros(2, INPUT_SIZE), torch.zeros(2, 24)
    forward[0, -2], forward[0, -1] = 0.008, -0.008
    backward[0, STATE.index("yaw_sin")], backward[1, STATE.index("yaw_sin")] = 1.0, -1.0
    models = [None, adapted(checkpoint, [Factors(forward, backward)]), adapted(checkpoint, ())]
    turns = []
    for tick, model in enumerate(models):
        plan = plan_of(made.decide(state, START + 20 * tick * STEP, model, 0.0))
        turns.append(float((plan.actions[:3, 1] - plan.actions[:3, 0]).mean()))
    assert turns[0] > 0.0
    assert turns[1] < 0.0
    assert turns[2] > 0.0, "the trained weights again"


@pytest.mark.parametrize("delay", [0.0, 0.1])
def test_prediction_of_the_trained_weights_beside_the_plan(delay: float) -> None:
    checkpoint, made = random_checkpoint(), follower(random_checkpoint())
    model = adapted(checkpoint, random_change(checkpoint))
    first = made.decide(state_at(), START, model, 0.0).rates
    task = task_of(made, state_at(0.1), START + STEP, delay, model)
    plan = made.solve(task).plan
    trained = made.predict_trained(task, plan.actions)
    held = np.vstack([*([first] * round(delay / 0.1)), plan.actions])
    expected = naive_rollout(checkpoint, None, state_at(0.1), held)[-len(plan.actions):]
    np.testing.assert_allclose(trained, expected, rtol=1e-3, atol=1e-3)
    assert np.abs(trained - plan.states).max() > 1e-2, "the adapted model predicts something else"
    kept = trained.copy()
    other = task_of(made, state_at(0.5), START + STEP, delay, model)
    made.predict_trained(other, plan.actions)
    np.testing.assert_array_equal(trained, kept)
    # ... and the next plan is with the adapted model as ever.
    fresh = follower(random_checkpoint())
    fresh.decide(state_at(), START, model, 0.0)
    assert_same(made.finish(other, made.solve(other)), fresh.decide(state_at(0.5), START + STEP, model, delay))


def test_command_out_of_range_is_not_used() -> None:
    made = follower(limits=LegRateLimits(1.0, 2.0))
    for tick in range(3):
        decision = assert_stands(made, "the plan's command is out of range", stamp=START + tick * STEP)
        assert plan_of(decision).status is PlanStatus.OK
        assert decision.lateral_error == 0.0
        assert made.limited == tick + 1
    task = task_of(made, state_at(), START + 5 * STEP, 0.1)
    assert task.in_force.tolist() == [0.0, 0.0], "nor taken for one that was sent"
    assert task.begins_anew


def test_bounds_are_the_limits() -> None:
    bounds = leg_rate_bounds(LegRateLimits(3.0, 4.0))
    assert (bounds.low.tolist(), bounds.high.tolist()) == ([3.0, 3.0], [4.0, 4.0])


# In steps ------------------------------------------------------------------------------------------------------------


@every_planner
def test_in_steps_is_the_same_as_at_once(planner: str) -> None:
    steps, at_once = follower(planner=planner), follower(planner=planner)
    checkpoint = walker()
    for tick in range(6):
        state, stamp = state_at(0.03 * tick, 0.05), START + tick * STEP
        model = broken(checkpoint) if tick in (2, 3) else adapted(checkpoint, random_change(checkpoint, scale=1e-4))
        task = task_of(steps, state, stamp, 0.07, model)
        assert_same(steps.finish(task, steps.solve(task)), at_once.decide(state, stamp, model, 0.07))


MEANWHILE: dict[str, Callable[[LineFollower], object]] = {
    "another path": lambda made: made.set_path(PATH + 0.05, START),
    "no path": lambda made: made.set_path(NO_PATH, START),
    "restart": lambda made: made.restart(),
    "stand": lambda made: made.stand("estop", START + 2 * STEP),
    "bad state": lambda made: made.decide(np.full(STATE.size, np.nan), START + 2 * STEP, None, 0.0),
}


@every_planner
@pytest.mark.parametrize("solved_before", [True, False])
@pytest.mark.parametrize("meanwhile", MEANWHILE.values(), ids=MEANWHILE)
def test_what_has_become_void_leaves_no_trace(planner: str, solved_before: bool,
                                              meanwhile: Callable[[LineFollower], object]) -> None:
    """Against a follower that was never asked."""
    made, other = follower(planner=planner), follower(planner=planner)
    for each in (made, other):
        each.decide(state_at(0.0, 0.05), START, None, 0.05)
    task = task_of(made, state_at(0.04, 0.05), START + STEP, 0.05)
    answer = made.solve(task) if solved_before else None
    for each in (made, other):
        meanwhile(each)
    assert made.finish(task, made.solve(task) if answer is None else answer) is None
    for tick in range(2, 5):
        decisions = [each.decide(state_at(0.04 * tick, 0.05), START + tick * STEP, None, 0.05)
                     for each in (made, other)]
        assert_same(*decisions)
        assert decisions[0].reason == ("no path" if meanwhile is MEANWHILE["no path"] else "following")


def test_a_tick_that_was_never_finished_leaves_no_command() -> None:
    made = follower()
    first = made.decide(state_at(), START, None, 0.1).rates
    task = task_of(made, state_at(0.04, 0.2, 1.5), START + STEP, 0.1)
    assert not np.array_equal(made.solve(task).plan.actions[0], first)
    np.testing.assert_array_equal(task_of(made, state_at(0.08), START + 2 * STEP, 0.1).in_force, first)


# Delay ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.0, -1.0])
def test_without_a_delay_the_plan_begins_at_the_state(delay: float) -> None:
    made = follower()
    made.decide(state_at(), START, None, 0.0)
    plan = plan_of(made.decide(state_at(0.04), START + STEP, None, delay))
    np.testing.assert_allclose(plan.states, naive_rollout(walker(), None, state_at(0.04), plan.actions), atol=1e-5)


@pytest.mark.parametrize("delay", [0.003, 0.025, 0.08, 0.1])
def test_until_its_effect_the_command_before_is_taken_to_hold(delay: float) -> None:
    checkpoint, made, state = walker(), follower(), state_at(0.04)
    first = made.decide(state_at(), START, None, delay).rates
    plan = plan_of(made.decide(state, START + STEP, None, delay))
    begin = part_of_a_step(state, naive_rollout(checkpoint, None, state, first[np.newaxis])[0], delay / 0.1)
    np.testing.assert_allclose(plan.states, naive_rollout(checkpoint, None, begin, plan.actions), atol=1e-5)
    assert np.abs(begin - state).max() > 1e-4


def test_a_delay_of_one_period_is_the_published_rule() -> None:
    """The first action of every plan is the one already executing."""
    checkpoint, made = walker(), follower()
    first = made.decide(state_at(), START, None, 0.1).rates
    plan = plan_of(made.decide(state_at(0.04), START + STEP, None, 0.1))
    expected = naive_rollout(checkpoint, None, state_at(0.04), np.vstack([first, plan.actions]))
    np.testing.assert_allclose(plan.states, expected[1:], atol=1e-5)


@pytest.mark.parametrize("periods", [1, 2, 3])
def test_in_a_world_that_is_late_every_prediction_comes_true(periods: int) -> None:
    """Whatever was sent in the ticks between is taken into account, from standing on."""
    checkpoint, made, state = walker(), follower(longest_fallback=3), state_at(0.0, 0.05)
    sent, states, plans = [np.zeros(2)] * periods, [], []
    for tick in range(12):
        states.append(state)
        model = broken(checkpoint) if tick in (7, 8) else None
        decision = made.decide(state, START + tick * STEP, model, periods * 0.1)
        plans.append(decision)
        sent.append(decision.rates)
        state = state if not sent[tick].any() else naive_rollout(
            checkpoint, None, state, sent[tick][np.newaxis])[0].astype(np.float64)
    assert [decision.is_fallback for decision in plans] == [tick in (7, 8) for tick in range(12)]
    compared = 0
    for tick in range(12 - periods - 1):
        if not plans[tick].is_fallback:
            np.testing.assert_allclose(plan_of(plans[tick]).states[0], states[tick + periods + 1], atol=1e-4)
            compared += 1
    assert compared >= 6


@settings(max_examples=40)
@given(st.lists(st.integers(0, 25), min_size=2, max_size=6))
def test_what_holds_when_follows_from_what_was_sent(delays: list[int]) -> None:
    """With delays that change from tick to tick a command may be overtaken by the next, or wait for long."""
    made, sent = follower(candidates=5, horizon=2), []

    def in_force(time: int) -> np.ndarray:
        return next((rates for effect, rates in reversed(sent) if effect <= time), np.zeros(2))

    for tick, delay in enumerate(delays):
        stamp = START + tick * STEP
        effect = stamp + delay * STEP // 10
        task = task_of(made, state_at(), stamp, delay / 100.0)
        assert task.effect == effect
        np.testing.assert_array_equal(task.in_force, in_force(effect))
        found = [rates for duration, rates in task.until_effect for _ in range(round(duration * 100))]
        expected = [in_force(stamp + i * STEP // 10) for i in range(delay)]
        np.testing.assert_array_equal(np.reshape(found, (-1, 2)), np.reshape(expected, (-1, 2)))
        decision = made.finish(task, made.solve(task))
        assert decision is not None
        sent.append((effect, decision.rates))


def test_where_the_plan_begins_is_predicted_exactly() -> None:
    """Also where the search is by a rough model."""
    checkpoint = random_checkpoint(hidden=(30, 30))
    rough = TorchRollout(checkpoint.frame, dtype=torch.bfloat16)
    made = follower(engine=RolloutEngine(checkpoint, rough, TorchRollout(checkpoint.frame)))
    first = made.decide(state_at(), START, None, 0.3).rates
    for tick in (1, 2):
        made.decide(state_at(), START + tick * STEP, None, 0.3)
    task = task_of(made, state_at(), START + 3 * STEP, 0.1)
    np.testing.assert_array_equal(task.until_effect[0][1], first)
    plan = made.solve(task).plan
    expected = naive_rollout(checkpoint, None, state_at(), np.vstack([first, plan.actions]))[1:]
    np.testing.assert_allclose(plan.states, expected, atol=2e-5)


def test_after_standing_nothing_moves_until_the_effect() -> None:
    made = follower()
    made.decide(state_at(), START, None, 0.0)
    decision = made.stand("estop", START + STEP)
    assert (decision.reason, decision.rates.tolist(), decision.plan) == ("estop", [0.0, 0.0], None)
    plan = plan_of(made.decide(state_at(), START + STEP, None, 0.1))
    np.testing.assert_allclose(plan.states, naive_rollout(walker(), None, state_at(), plan.actions), atol=1e-5)


def test_first_change_of_command_is_from_the_one_in_force() -> None:
    terms = make_terms({"action_rate": {"weight": 3.0, "fastest": 50.0}})
    made, in_force = follower(terms=terms), np.zeros(2)
    for tick in range(4):
        decision = made.decide(state_at(), START + tick * STEP, None, 0.1)
        changes = np.diff(np.vstack([in_force, plan_of(decision).actions]), axis=0)
        expected = 3.0 * np.sqrt(np.square(changes / 50.0).mean(axis=1)).sum()
        assert decision.terms["action_rate"] == pytest.approx(expected, rel=1e-5)
        in_force = decision.rates


def test_projection_of_the_cost_is_where_the_plan_begins() -> None:
    """What is passed until then is no progress of the plan's."""
    made = follower(terms=make_terms({"lateral": {"weight": 0.0}, "heading": {"weight": 0.0}}))
    first = made.decide(state_at(), START, None, 0.1).rates
    decision = made.decide(state_at(0.04), START + STEP, None, 0.1)
    way = 0.0005 * plan_of(decision).actions.sum()
    assert decision.terms["progress"] == pytest.approx(-10.0 * way, rel=0.05)
    assert first.sum() * 0.0005 > 0.2 * way, "else it would not matter"


# No plan -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("longest", [0, 1, 3])
@every_planner
def test_without_a_plan_the_one_before_is_followed_for_a_while(planner: str, longest: int) -> None:
    checkpoint, made = walker(), follower(planner=planner, longest_fallback=longest)
    tick = 0
    for _ in range(2):
        good = plan_of(made.decide(state_at(0.0, 0.05), START + tick * STEP, None, 0.0)).actions
        for i in range(1, longest + 1):
            decision = made.decide(state_at(0.0, 0.05), START + (tick + i) * STEP, broken(checkpoint), 0.0)
            assert decision.is_fallback
            assert decision.reason == "no plan: no_finite_candidate, following the plan before"
            assert decision.lateral_error == pytest.approx(0.05)
            assert plan_of(decision).status is PlanStatus.NO_FINITE_CANDIDATE
            np.testing.assert_allclose(decision.rates, good[i])
        for i in range(longest + 1, longest + 4):
            assert_stands(made, "no plan: no_finite_candidate", stamp=START + (tick + i) * STEP,
                          model=broken(checkpoint))
        tick += longest + 4
    decision = made.decide(state_at(0.0, 0.05), START + tick * STEP, None, 0.0)
    assert decision.reason == "following"
    assert made.limited == 0


def test_a_good_plan_between_begins_the_count_anew() -> None:
    checkpoint, made = walker(), follower(longest_fallback=1)
    found = [made.decide(state_at(), START + tick * STEP, broken(checkpoint) if tick % 2 else None, 0.0)
             for tick in range(6)]
    assert [decision.is_fallback for decision in found] == [False, True] * 3
    assert all(decision.rates.any() for decision in found)


def test_command_of_an_old_plan_is_one_that_was_sent() -> None:
    checkpoint, made = walker(), follower(longest_hold=1)
    first = made.decide(state_at(0.0, 0.2, 1.0), START, None, 0.1)
    second = made.decide(state_at(), START + STEP, broken(checkpoint), 0.1)
    assert second.is_fallback
    assert not np.array_equal(first.rates, second.rates)
    np.testing.assert_array_equal(task_of(made, state_at(), START + 2 * STEP, 0.1).in_force, second.rates)


def test_part_of_a_tick_is_part_of_two_actions() -> None:
    checkpoint, made = walker(), follower(longest_hold=1)
    good = plan_of(made.decide(state_at(), START, None, 0.02)).actions
    decision = made.decide(state_at(), START + STEP, broken(checkpoint), 0.05)
    np.testing.assert_allclose(decision.rates, 0.7 * good[1] + 0.3 * good[2])
    assert np.abs(good[2] - good[1]).max() > 1.0


def test_an_old_plan_that_is_over_is_not_followed() -> None:
    checkpoint, made = walker(), follower(longest_fallback=10, horizon=3)
    made.decide(state_at(), START, None, 0.0)
    for tick in (1, 2):
        assert made.decide(state_at(), START + tick * STEP, broken(checkpoint), 0.0).is_fallback
    assert_stands(made, "no plan: no_finite_candidate", stamp=START + 3 * STEP, model=broken(checkpoint))


@pytest.mark.parametrize("forget", [lambda made: made.restart(), lambda made: made.set_path(PATH, START),
                                    lambda made: made.stand("estop", START + STEP)], ids=["restart", "path", "stand"])
def test_no_plan_of_another_life_is_followed(forget: Callable[[LineFollower], object]) -> None:
    checkpoint, made = walker(), follower(longest_fallback=5)
    made.decide(state_at(), START, None, 0.0)
    forget(made)
    assert_stands(made, "no plan: no_finite_candidate", stamp=START + 2 * STEP, model=broken(checkpoint))


def test_command_of_an_old_plan_is_checked_too() -> None:
    made = follower(longest_fallback=5)
    made.decide(state_at(), START, None, 0.0)
    made._limits = LegRateLimits(1.0, 2.0)
    assert_stands(made, "no plan: no_finite_candidate", stamp=START + STEP, model=broken(walker()))


def test_first_tick_without_a_plan_stands() -> None:
    assert_stands(follower(longest_fallback=5), "no plan: no_finite_candidate", model=broken(walker()))
    assert_stands(follower(fragile(0.0)), "no plan: no_finite_candidate")
