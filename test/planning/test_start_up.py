# SPDX-License-Identifier: Apache-2.0
"""Before the first tick: problems to measure on, a follower that is warm and knows nothing, and advice that fits."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from planning_samples import fragile, random_checkpoint, state_at, walker

from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint import Checkpoint, load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.planning.costs import make_terms
from l2a_ros.planning.engine_choice import AGREEMENT, disagreement
from l2a_ros.planning.line_follower import LineFollower, leg_rate_bounds
from l2a_ros.planning.planners import make_planner, planner_names
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.planning.start_up import advice, engine_probes, one_thread_engine, typical_state, warm_up
from l2a_ros.robot.frames import planar_pose_of
from l2a_ros.robot.layout import STATE, Frame
from l2a_ros.robot.limits import LegRateLimits

STEP = 100_000_000
BOUNDS = leg_rate_bounds(LegRateLimits())
PATH = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
SHIPPED = ("grbal", "rebal", "mb")


def some_models() -> list[Checkpoint]:
    return [*(load_checkpoint(shipped_checkpoint(method)) for method in SHIPPED), walker(),
            *(random_checkpoint(seed, frame=frame) for seed in range(3) for frame in Frame)]


def assert_valid(state: np.ndarray) -> None:
    assert state.shape == (STATE.size,)
    assert state.dtype == np.float64
    assert np.isfinite(state).all()
    for name in ("roll", "pitch", "yaw", "left_leg", "right_leg"):
        assert np.hypot(*state[STATE.indices([f"{name}_cos", f"{name}_sin"])]) == pytest.approx(1.0), name


# A typical state -----------------------------------------------------------------------------------------------------


def test_typical_state_is_a_state_at_the_origin_looking_along_x() -> None:
    """The mean of cosines and sines of legs that go round is no angle: near the centre of the circle."""
    for checkpoint in some_models():
        state = typical_state(checkpoint)
        assert_valid(state)
        position, yaw = planar_pose_of(state)
        assert position.tolist() == [0.0, 0.0]
        assert yaw == 0.0


def test_typical_state_is_what_the_model_knows() -> None:
    for method in SHIPPED:
        named = STATE.named(typical_state(load_checkpoint(shipped_checkpoint(method))))
        assert 3.0 < named["battery_voltage"] < 4.5
        assert 12.0 < named["left_leg_velocity"] < 57.0
        assert named["roll_cos"] > 0.9
        assert named["pitch_cos"] > 0.9
        assert np.hypot(named["velocity_x"], named["velocity_y"]) < 1.0


# Problems to measure on ----------------------------------------------------------------------------------------------


def test_probes_are_problems_of_the_size_that_will_be_planned() -> None:
    checkpoint = random_checkpoint()
    probes = engine_probes(checkpoint, make_terms({}), BOUNDS, 40, 7)
    engine, poses = RolloutEngine(checkpoint), set()
    for probe in probes:
        assert_valid(probe.state)
        assert probe.actions.shape == (40, 7, 2)
        assert probe.actions.dtype == np.float32
        assert (probe.actions >= BOUNDS.low).all()
        assert (probe.actions <= BOUNDS.high).all()
        costs = probe.cost(engine.rollout(probe.state, probe.actions), probe.actions)
        assert np.isfinite(costs).all()
        assert costs.std() > 1e-3, "else any sequence would do"
        position, yaw = planar_pose_of(probe.state)
        poses.add((*position, yaw))
    assert len(poses) == len(probes) >= 3
    assert len({probe.actions.tobytes() for probe in probes}) == len(probes)


def test_probes_are_the_same_every_time() -> None:
    one, other = (engine_probes(random_checkpoint(), make_terms({}), BOUNDS, 10, 3) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.actions, b.actions)
        np.testing.assert_array_equal(a.state, b.state)


# Warm and new --------------------------------------------------------------------------------------------------------


class Ticking:
    """A clock on which every plan takes a given time."""

    def __init__(self, durations: list[float]) -> None:
        self._times = [0.0]
        for duration in durations:
            self._times += [self._times[-1] + duration, self._times[-1] + duration + 100.0]
        self._readings = iter(self._times)

    def __call__(self) -> float:
        return next(self._readings)


def follower(checkpoint: Checkpoint, planner: str = "random_shooting", limits: LegRateLimits | None = None,
             longest_fallback: int = 1) -> LineFollower:
    settings = {"bounds": BOUNDS, "candidates": 60, "horizon": 5}
    return LineFollower(RolloutEngine(checkpoint), make_planner(planner, settings), make_terms({}),
                        limits or LegRateLimits(), 0.1, longest_fallback)


def warm(made: LineFollower) -> LineFollower:
    warm_up(made, typical_state(walker()), 0.1, itertools.count().__next__)
    return made


@pytest.mark.parametrize("planner", planner_names())
@pytest.mark.parametrize("make", [walker, random_checkpoint, fragile])
@pytest.mark.parametrize("first", [0, 15 * STEP, 1_760_000_000_123_456_789])
def test_warm_follower_decides_as_a_new_one(planner: str, make: object, first: int) -> None:
    """Also in the very ticks that were planned to warm up, for which it might still have a plan."""
    checkpoint = make()  # type: ignore[operator]
    decisions = []
    for made in (follower(checkpoint, planner), warm(follower(checkpoint, planner))):
        assert not made.wants_plan(first)
        assert made.decide(state_at(), first, None, 0.03).reason == "no path"
        made.set_path(PATH, first)
        decisions.append([made.decide(state_at(0.03 * tick, 0.05), first + tick * STEP, None, 0.13)
                          for tick in range(4)])
        assert made.limited == 0
    for new, warmed in zip(*decisions, strict=True):
        assert new.reason == "following"
        np.testing.assert_array_equal(new.rates, warmed.rates)
        assert new.plan is not None
        assert warmed.plan is not None
        np.testing.assert_array_equal(new.plan.states, warmed.plan.states)
        assert new.lateral_error == warmed.lateral_error
        assert new.terms == warmed.terms


def test_warm_up_without_a_plan_leaves_nothing_either() -> None:
    """A model that has no finite plan, or whose commands are not used."""
    for made in (follower(fragile(0.0), longest_fallback=5), follower(walker(), limits=LegRateLimits(1.0, 2.0))):
        warm(made)
        assert not made.wants_plan(10**18)
        assert made.limited == 0, "nobody commanded anything"
        assert made.decide(state_at(), 0, None, 0.0).reason == "no path"


def test_the_first_plans_are_not_counted() -> None:
    slow = [9.0] * 5
    taken = warm_up(follower(walker()), typical_state(walker()), 0.1, Ticking([*slow, *([0.02] * 15)]))
    assert (taken.p50, taken.p90) == pytest.approx((0.02, 0.02))
    taken = warm_up(follower(walker()), typical_state(walker()), 0.1,
                    Ticking([*slow, *(0.01 * i for i in range(1, 16))]))
    assert taken.p50 == pytest.approx(0.08)
    assert 0.13 <= taken.p90 <= 0.15


# Advice --------------------------------------------------------------------------------------------------------------


def test_what_fits_needs_no_advice() -> None:
    assert advice(0.05, 0.06, 500, 10) is None
    assert advice(0.06, 0.06, 500, 10) is None


def test_advice_in_words() -> None:
    assert advice(0.12, 0.06, 500, 10) == (
        "planning with 500 candidates of 10 steps takes 120 ms here, its budget is 60 ms; "
        "candidates 225 or horizon 4 would fit")
    assert advice(1.2, 0.06, 500, 10) == (
        "planning with 500 candidates of 10 steps takes 1200 ms here, its budget is 60 ms; candidates 22 would fit")
    assert advice(1.2, 0.06, 5, 100) == (
        "planning with 5 candidates of 100 steps takes 1200 ms here, its budget is 60 ms; horizon 4 would fit")
    assert advice(1.2, 0.06, 1, 1) == (
        "planning with 1 candidates of 1 steps takes 1200 ms here, its budget is 60 ms; nothing would fit")


@given(st.floats(1e-6, 100.0), st.floats(0.001, 1.0), st.integers(1, 100000), st.integers(1, 100))
@example(0.0600001, 0.06, 1, 1)
def test_what_is_advised_fits(seconds: float, budget: float, candidates: int, horizon: int) -> None:
    """Where a plan takes as long as it has candidates and steps."""
    text = advice(seconds, budget, candidates, horizon)
    assert (text is None) == (seconds <= budget)
    if text is None:
        return
    sizes = {"candidates": candidates, "horizon": horizon}
    advised = re.findall(r"(candidates|horizon) (\d+)", text.split(";")[1])
    assert bool(advised) == ("nothing would fit" not in text)
    for name, number in advised:
        assert 1 <= int(number) < sizes[name]
        assert seconds * int(number) / sizes[name] <= budget
        # ... and it is not needlessly small: a fifth more would be tight.
        assert seconds * (int(number) + 1) / sizes[name] > 0.8 * budget
    for name in sizes.keys() - {name for name, _ in advised}:
        assert 0.9 * budget < seconds / sizes[name], "one alone does not fit with room"


def test_one_thread_engine_predicts_as_the_plain_one() -> None:
    """Single precision to rounding; what ``auto`` takes agrees on what is best; a precision nobody has is refused."""
    checkpoint, terms = load_checkpoint(shipped_checkpoint("grbal")), make_terms({})
    probe = engine_probes(checkpoint, terms, BOUNDS, 40, 6)[0]
    truth = RolloutEngine(checkpoint).rollout(probe.state, probe.actions)
    single = one_thread_engine(checkpoint, "float32", terms, BOUNDS, 40, 6)
    np.testing.assert_allclose(single.rollout(probe.state, probe.actions), truth, rtol=1e-3, atol=1e-3)
    quick = one_thread_engine(checkpoint, "auto", terms, BOUNDS, 40, 6)
    assert disagreement(quick, probe, probe.cost(truth, probe.actions)) <= AGREEMENT
    with pytest.raises(UserError, match="float64"):
        one_thread_engine(checkpoint, "float64", terms, BOUNDS, 40, 6)
