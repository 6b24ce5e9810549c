# SPDX-License-Identifier: Apache-2.0
"""Following a path tick by tick: it stands, and says why, whenever it cannot follow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from planning_samples import adapted, naive_rollout, random_change, random_checkpoint, state_at, walker

from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.network import Factors
from l2a_ros.planning.line_follower import LineFollower
from l2a_ros.planning.line_following import LineFollowingWeights
from l2a_ros.planning.random_shooting import PlanStatus, RandomShooting, RandomShootingSettings
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.robot.layout import INPUT_SIZE, STATE
from l2a_ros.robot.limits import LegRateLimits

STEP = 100_000_000
START = 10 * STEP
PATH = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])


def follower(checkpoint: Checkpoint | None = None, limits: LegRateLimits | None = None, path: bool = True,
             candidates: int = 200) -> LineFollower:
    made = LineFollower(RolloutEngine(checkpoint or walker()),
                        RandomShooting(RandomShootingSettings(candidates=candidates, horizon=10, longest_hold=8)),
                        LineFollowingWeights(), limits or LegRateLimits(), 0.1)
    if path:
        made.set_path(PATH, START)
    return made


def assert_stands(made: LineFollower, reason: str, state: np.ndarray | None = None, stamp: int = START,
                  model: object = None) -> None:
    decision = made.decide(state_at() if state is None else state, stamp, model, 0.0)  # type: ignore[arg-type]
    assert decision.rates.tolist() == [0.0, 0.0]
    assert decision.reason == reason


def test_follows() -> None:
    decision = follower().decide(state_at(0.1, 0.03), START, None, 0.0)
    assert decision.reason == "following"
    assert LegRateLimits().admits(decision.rates)
    assert decision.rates.any()
    assert decision.plan is not None
    np.testing.assert_array_equal(decision.rates, decision.plan.actions[0])
    assert decision.lateral_error == pytest.approx(0.03)


def test_closed_loop_reaches_the_path_and_its_end() -> None:
    """The model is the world here, so that only the planning can be wrong."""
    checkpoint, made, state = walker(), follower(), state_at(0.0, 0.15, 0.3)
    lateral = []
    for tick in range(70):
        decision = made.decide(state, START + tick * STEP, None, 0.0)
        assert decision.reason == "following"
        lateral.append(decision.lateral_error)
        state = naive_rollout(checkpoint, None, state, decision.rates[np.newaxis])[0].astype(np.float64)
        if state[0] > 1.9:
            break
    assert lateral[0] == pytest.approx(0.15)
    assert max(abs(error) for error in lateral[15:]) < 0.02
    assert state[0] > 1.9, "it also got somewhere"


def test_no_path() -> None:
    assert_stands(follower(path=False), "no path")
    assert not follower(path=False).wants_plan(START)


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.zeros((1, 2))])
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
    assert made.wants_plan(START + 5 * STEP)
    assert made.decide(state_at(), START + 5 * STEP, None, 0.0).reason == "following"


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
    assert_stands(made, f"the adapted model belongs to checkpoint {other.id}, not {walker().id}",
                  model=adapted(other, random_change(other)))


def test_model_that_does_not_fit() -> None:
    checkpoint = walker()
    for change in (random_change(random_checkpoint(5)), random_change(checkpoint) * 2,
                   [Factors(torch.zeros(1, 5), torch.zeros(1, 24))]):
        assert_stands(follower(), "the adapted model does not fit the checkpoint", model=adapted(checkpoint, change))


def test_model_that_is_not_finite() -> None:
    checkpoint, made = walker(), follower()
    model = adapted(checkpoint, [Factors(torch.full((1, INPUT_SIZE), math.nan), torch.ones(1, 24))])
    decision = made.decide(state_at(), START, model, 0.0)
    assert decision.rates.tolist() == [0.0, 0.0]
    assert decision.reason == "no plan: no_finite_candidate"
    assert decision.plan is not None
    assert decision.plan.status is PlanStatus.NO_FINITE_CANDIDATE
    assert made.decide(state_at(), START + STEP, None, 0.0).reason == "following"


def test_adapted_model_is_the_one_planned_with_and_only_for_its_tick() -> None:
    """A change that swaps the sides makes the plan turn the other way."""
    checkpoint, made, state = walker(), follower(), state_at(0.0, -0.1)
    # 8 mrad per rad/s of difference to the right; the second row takes out the bias that the first one brings.
    forward, backward = torch.zeros(2, INPUT_SIZE), torch.zeros(2, 24)
    forward[0, -2], forward[0, -1] = 0.008, -0.008
    backward[0, STATE.index("yaw_sin")], backward[1, STATE.index("yaw_sin")] = 1.0, -1.0
    models = [None, adapted(checkpoint, [Factors(forward, backward)]), None]
    turns = []
    for tick, model in enumerate(models):
        plan = made.decide(state, START + 20 * tick * STEP, model, 0.0).plan
        assert plan is not None
        turns.append(float((plan.actions[:3, 1] - plan.actions[:3, 0]).mean()))
    assert turns[0] > 0.0
    assert turns[1] < 0.0
    assert turns[2] > 0.0, "the trained weights again"


def test_command_out_of_range_is_not_used() -> None:
    made = follower(limits=LegRateLimits(1.0, 2.0))
    assert_stands(made, "the plan's command is out of range")
    assert made.limited == 1


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.5, -1.0])
def test_delay_is_filled_with_the_command_before(delay: float) -> None:
    checkpoint, made = walker(), follower()
    first = made.decide(state_at(), START, None, 0.0).rates
    second = made.decide(state_at(0.04), START + STEP, None, delay)
    assert second.plan is not None
    share = min(max(delay / 0.1, 0.0), 1.0)
    held = share * first + (1.0 - share) * second.rates
    expected = naive_rollout(checkpoint, None, state_at(0.04), held[np.newaxis])[0]
    np.testing.assert_allclose(second.plan.states[0], expected, atol=1e-5)


def test_after_standing_the_command_before_is_zero() -> None:
    checkpoint, made = walker(), follower()
    made.decide(state_at(), START, None, 0.0)
    assert made.stand("estop").reason == "estop"
    decision = made.decide(state_at(), START + STEP, None, 0.1)
    assert decision.plan is not None
    np.testing.assert_allclose(decision.plan.states[0], state_at(), atol=1e-6)
    assert checkpoint.id == walker().id


def test_same_ticks_are_the_same_decisions() -> None:
    runs = []
    for _ in range(2):
        made = follower()
        runs.append([made.decide(state_at(0.03 * i, 0.02), START + i * STEP, None, 0.02).rates for i in range(6)])
    np.testing.assert_array_equal(runs[0], runs[1])


def test_new_path_begins_at_its_beginning() -> None:
    made = follower()
    for tick in range(10):
        made.decide(state_at(0.3 * tick, 0.0), START + tick * STEP, None, 0.0)
    made.set_path(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), START)
    decision = made.decide(state_at(0.1, 0.2), START + 11 * STEP, None, 0.0)
    assert decision.lateral_error == pytest.approx(-0.1), "on the first segment, to its right"


def test_segment_is_remembered_from_tick_to_tick() -> None:
    made = follower()
    made.set_path(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]), START)
    errors = [made.decide(state_at(x, y), START + tick * STEP, None, 0.0).lateral_error
              for tick, (x, y) in enumerate([(0.5, 0.01), (0.98, 0.05), (0.95, 0.5), (0.9, 0.2)])]
    assert errors[0] == pytest.approx(0.01)
    assert errors[2] == pytest.approx(0.05)
    assert errors[3] == pytest.approx(0.1), "still on the second segment, though the first is as near"


def test_bad_path_is_refused() -> None:
    for points in ([[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [math.nan, 1.0]]):
        with pytest.raises(UserError):
            follower().set_path(np.array(points), START)


def test_restart_keeps_the_path_and_forgets_the_rest() -> None:
    made, new = follower(), follower()
    for tick in range(5):
        made.decide(state_at(0.3 * tick, 0.05), START + tick * STEP, None, 0.05)
    made.restart()
    again, first = (each.decide(state_at(0.2, 0.0), START + 9 * STEP, None, 0.05) for each in (made, new))
    assert again.reason == "following"
    np.testing.assert_array_equal(again.rates, first.rates)
    assert again.lateral_error == first.lateral_error


def test_warm_up_leaves_no_path() -> None:
    made = follower(path=False)
    made.warm_up()
    assert_stands(made, "no path", stamp=START + 10**12)
