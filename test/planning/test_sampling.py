# SPDX-License-Identifier: Apache-2.0
"""What all planners have in common: nominal plan, bounds, repeatability, warm start, broken candidates, lateness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from costs_samples import bound
from hypothesis import given, settings
from hypothesis import strategies as st
from known_dynamics import (
    NOW,
    PLANNERS,
    TICK,
    Recorder,
    adding,
    box,
    candidates_of,
    off_target,
    plan_of,
    small,
)
from planning_samples import fragile, state_at, walker

from l2a_ros.errors import UserError
from l2a_ros.planning.costs import make_terms
from l2a_ros.planning.line_follower import leg_rate_bounds
from l2a_ros.planning.plan import ActionBounds, PlanStatus
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.planning.sampling import FINALISTS
from l2a_ros.planning.warm_start import slide
from l2a_ros.robot.limits import LegRateLimits

every = pytest.mark.parametrize("name", PLANNERS)
#: They have several iterations; they choose one of the candidates.
iterating = pytest.mark.parametrize("name", ["cem", "mppi"])
choosing = pytest.mark.parametrize("name", ["random_shooting", "cem"])
ODD = pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])


def shares(name: str, total: int = 60) -> list[int]:
    return [total] if name == "random_shooting" else [total // 3] * 3


# The plan -------------------------------------------------------------------------------------------------------------


@every
def test_plan_is_what_it_says(name: str) -> None:
    plan, _ = plan_of(small(name))
    assert plan.status is PlanStatus.OK
    assert plan.actions.shape == plan.states.shape == (5, 2)
    actions = plan.actions[np.newaxis].astype(np.float32)
    np.testing.assert_array_equal(plan.states, Recorder(adding).rollout(np.zeros(2), actions)[0])
    assert plan.cost == pytest.approx(off_target(plan.states[np.newaxis], actions)[0], rel=1e-12)
    assert plan.not_finite == 0
    assert plan.iterations == len(shares(name))


@every
def test_candidates_are_shared_by_the_iterations(name: str) -> None:
    for total in (59, 60, 61, 3):
        batches = candidates_of(small(name, candidates=total))
        sizes = [len(batch) for batch in batches]
        assert sum(sizes) == total
        assert len(sizes) == len(shares(name)) and max(sizes) - min(sizes) <= 1


@every
def test_costs_are_those_of_the_last_iteration(name: str) -> None:
    plan, model = plan_of(small(name))
    last = model.asked[plan.iterations - 1]
    costs = off_target(Recorder(adding).rollout(np.zeros(2), last), last)
    assert plan.mean_cost == pytest.approx(costs.mean(), rel=1e-12)
    assert plan.candidates is not None
    np.testing.assert_allclose(plan.candidates.costs, costs, rtol=1e-12)
    np.testing.assert_array_equal(plan.candidates.states, Recorder(adding).rollout(np.zeros(2), last))


@every
def test_plan_is_no_worse_than_the_nominal_one_and_better_than_most(name: str) -> None:
    planner = small(name, candidates=300)
    for tick in range(5):
        plan, model = plan_of(planner, NOW + tick * TICK)
        first = model.asked[0]
        costs = off_target(Recorder(adding).rollout(np.zeros(2), first), first)
        assert plan.cost <= np.quantile(costs, 0.02)
        if name != "mppi":
            everything = np.concatenate(model.asked)
            costs = off_target(Recorder(adding).rollout(np.zeros(2), everything), everything)
            assert plan.cost == pytest.approx(costs.min(), rel=1e-12), "the best of all iterations"


@every
def test_plan_is_not_written_over_by_the_next(name: str) -> None:
    planner, model = small(name), Recorder(adding)
    first, _ = plan_of(planner, model=model)
    actions, states = first.actions.copy(), first.states.copy()
    for tick in range(1, 4):
        plan_of(planner, NOW + tick * TICK, model, start=np.full(2, 0.1 * tick))
    np.testing.assert_array_equal(first.actions, actions)
    np.testing.assert_array_equal(first.states, states)


@every
@pytest.mark.parametrize("changes", [
    {"candidates": 1, "iterations": 1}, {"candidates": 3}, {"horizon": 1}, {"bounds": box(1.0, 1)},
    {"candidates": 1, "iterations": 1, "horizon": 1, "bounds": box(1.0, 1)}], ids=str)
def test_smallest_searches(name: str, changes: dict[str, object]) -> None:
    planner, start = small(name, **changes), np.zeros(changes.get("bounds", box(1.0)).size)
    for tick in range(3):
        plan, _ = plan_of(planner, NOW + tick * TICK, start=start)
        assert plan.status is PlanStatus.OK
        assert plan.actions.shape == (changes.get("horizon", 5), len(start))
        assert np.all(np.isfinite(plan.actions)) and np.isfinite(plan.cost)


# Bounds ---------------------------------------------------------------------------------------------------------------


@st.composite
def boxes(draw: st.DrawFn) -> ActionBounds:
    """Corners that single precision does not have, and zero."""
    corner = st.one_of(st.just(0.0), st.floats(-100.0, 100.0))
    low = np.array(draw(st.lists(corner, min_size=1, max_size=3)))
    width = np.array([draw(st.floats(1e-3, 100.0)) for _ in low])
    return draw(st.sampled_from([ActionBounds(low, low + width), ActionBounds(low - width, low)]))


@every
@settings(max_examples=60)
@given(bounds=boxes(), seed=st.integers(0, 2**31), horizon=st.integers(1, 4), count=st.integers(3, 30),
       spread=st.floats(0.1, 10.0), towards=st.sampled_from([-1.0, 0.0, 1.0]), single=st.booleans())
def test_all_is_within_the_bounds(name: str, bounds: ActionBounds, seed: int, horizon: int, count: int, spread: float,
                                  towards: float, single: bool) -> None:
    """In single precision against the bounds in double precision, also where the cost drives everything to a corner."""
    planner = small(name, bounds=bounds, seed=seed, horizon=horizon, candidates=count, spread=spread,
                    smallest_spread=0.1)

    def cost(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return (towards * actions.sum(axis=(1, 2))).astype(np.float32 if single else np.float64)

    model = Recorder(adding)
    plans = [plan_of(planner, NOW + tick * 150_000_000, model, cost, start=np.zeros(bounds.size))[0]
             for tick in range(3)]
    for actions in (*model.asked, *(plan.actions for plan in plans)):
        assert np.all(actions.astype(np.float64) >= bounds.low)
        assert np.all(actions.astype(np.float64) <= bounds.high)


@pytest.mark.parametrize(("low", "high"), [
    ([0.0, 0.0], [1.0]), ([[0.0]], [[1.0]]), ([0.0, 1.0], [1.0, 1.0]), ([2.0], [1.0]), ([np.nan], [1.0]),
    ([-np.inf], [1.0]), ([0.0], [np.inf])], ids=str)
def test_what_is_no_box(low: list[float], high: list[float]) -> None:
    with pytest.raises(ValueError, match="^no box: "):
        ActionBounds(np.array(low), np.array(high))


# Repeatability --------------------------------------------------------------------------------------------------------


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))


@every
def test_draws_depend_on_seed_and_time_alone(name: str) -> None:
    first = candidates_of(small(name, seed=3))
    busy = small(name, seed=3)
    for tick in range(4):
        plan_of(busy, NOW + tick * TICK)
    busy.reset()
    assert same(candidates_of(busy), first)
    assert same(candidates_of(small(name, seed=3)), first)


@every
@pytest.mark.parametrize("change", [1, -1, 2**32, 10**6, TICK])
def test_another_time_draws_other_candidates(name: str, change: int) -> None:
    first, other = candidates_of(small(name))[0], candidates_of(small(name), NOW + change)[0]
    # But for candidate 0, which is the middle of the bounds where there is no plan before.
    assert np.mean(first[1:] == other[1:]) < 0.01


@every
def test_another_seed_draws_other_candidates(name: str) -> None:
    assert np.mean(candidates_of(small(name, seed=1))[0][1:] == candidates_of(small(name, seed=2))[0][1:]) < 0.01


@every
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("now", [0, -5, 2**63 - 1, 2**64])
def test_all_times_are_fine(name: str, now: int) -> None:
    first, other = candidates_of(small(name), now)[0], candidates_of(small(name), now + 1)[0]
    assert np.array_equal(candidates_of(small(name), now)[0], first)
    assert np.mean(first[1:] == other[1:]) < 0.01


# Warm start -----------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("elapsed", [0.0, 1.0, 2.0, 0.25, 1.5, 4.0, 4.99])
def test_the_plan_before_moved_on_is_candidate_0(name: str, elapsed: float) -> None:
    planner = small(name)
    before, _ = plan_of(planner)
    now = NOW + round(elapsed * TICK)
    expected = slide(before.actions, NOW, now, 0.1)
    assert expected is not None
    batches = candidates_of(planner, now)
    np.testing.assert_allclose(batches[0][0], expected, rtol=1e-6, atol=1e-7)
    if elapsed == 2.0:
        np.testing.assert_allclose(batches[0][0], before.actions[[2, 3, 4, 4, 4]], rtol=1e-6)


@every
@pytest.mark.parametrize("elapsed", [5.0, 5.1, 1000.0, -1e-8, -1.0])
def test_no_plan_before_it_is_over_or_after_time_went_back(name: str, elapsed: float) -> None:
    planner, now = small(name), NOW + round(elapsed * TICK)
    plan_of(planner)
    assert planner.nominal(now) is None
    assert same(candidates_of(planner, now), candidates_of(small(name), now))


@every
def test_reset_forgets_the_plan_before(name: str) -> None:
    planner = small(name)
    plan_of(planner)
    assert planner.nominal(NOW + TICK) is not None
    planner.reset()
    assert planner.nominal(NOW + TICK) is None
    assert same(candidates_of(planner, NOW + TICK), candidates_of(small(name), NOW + TICK))


@every
def test_period_is_that_of_the_settings(name: str) -> None:
    planner = small(name, period=0.05)
    before, _ = plan_of(planner)
    np.testing.assert_allclose(candidates_of(planner, NOW + TICK)[0][0], before.actions[[2, 3, 4, 4, 4]], rtol=1e-6)


@every
def test_a_good_plan_is_kept(name: str) -> None:
    """Planning the same again and again, with few candidates: what was found is not lost, and gets better."""
    first, last = [], []
    for seed in range(10):
        planner = small(name, candidates=6 if name == "random_shooting" else 9, seed=seed, temperature=0.1)
        costs = [plan_of(planner, NOW + i)[0].cost for i in range(20)]
        if name != "mppi":
            assert np.all(np.diff(costs) <= 1e-6)
        first.append(costs[0])
        last.append(costs[-1])
    assert np.mean(last) < 0.75 * np.mean(first)


# Candidates that break ------------------------------------------------------------------------------------------------


def is_fast(actions: np.ndarray) -> np.ndarray:
    """Tell which sequences break: those with a fast first action, which the costs below would else favour."""
    fast: np.ndarray = actions[:, 0, 0] > 0.2
    return fast


def prefers_fast(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(states).all(axis=(1, 2)), 5.0 - actions[:, 0, 0].astype(np.float64), np.nan)


@every
@ODD
def test_cost_that_is_not_finite_never_wins(name: str, odd: float) -> None:
    def cost(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return np.where(is_fast(actions), odd, prefers_fast(states, actions))

    planner = small(name, temperature=0.1)
    for tick in range(5):
        plan, model = plan_of(planner, NOW + tick * TICK, cost=cost)
        broken = [is_fast(batch) for batch in model.asked[:plan.iterations]]
        assert plan.status is PlanStatus.OK
        assert 0 < plan.not_finite == sum(each.sum() for each in broken) < 60
        assert plan.actions[0, 0] <= 0.2 and plan.cost == pytest.approx(5.0 - plan.actions[0, 0])
        assert plan.candidates is not None
        np.testing.assert_array_equal(np.isposinf(plan.candidates.costs), broken[-1])
        finite = prefers_fast(np.zeros((1, 1, 1)), model.asked[plan.iterations - 1][~broken[-1]])
        assert plan.mean_cost == pytest.approx(finite.mean())


@every
def test_model_that_breaks_for_some(name: str) -> None:
    planner = small(name, temperature=0.1)
    for tick in range(5):
        model = Recorder(adding, is_fast)
        plan, _ = plan_of(planner, NOW + tick * TICK, model, prefers_fast)
        assert plan.status is PlanStatus.OK
        assert plan.not_finite == sum(is_fast(batch).sum() for batch in model.asked[:plan.iterations])
        assert plan.actions[0, 0] <= 0.2 and np.all(np.isfinite(plan.states))


@every
@ODD
def test_no_finite_candidate_is_a_status_and_the_next_plan_starts_afresh(name: str, odd: float) -> None:
    planner = small(name)
    plan_of(planner)
    plan, model = plan_of(planner, NOW + TICK, cost=lambda states, _: np.full(len(states), odd))
    assert plan.status is PlanStatus.NO_FINITE_CANDIDATE
    assert plan.actions.shape == (0, 2) and plan.states.shape == (0, 2)
    assert np.isnan(plan.cost) and np.isnan(plan.mean_cost)
    assert plan.not_finite == 60 == sum(map(len, model.asked))
    assert plan.iterations == len(shares(name))
    # What was nominal then is not trusted any more.
    assert planner.nominal(NOW + 2 * TICK) is None
    later, model = plan_of(planner, NOW + 2 * TICK)
    fresh, fresh_model = plan_of(small(name), NOW + 2 * TICK)
    assert later.status is PlanStatus.OK and same(model.asked, fresh_model.asked)
    np.testing.assert_array_equal(later.actions, fresh.actions)


@iterating
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_iteration_that_is_not_finite_costs_only_itself(name: str, broken: int) -> None:
    calls = []

    def cost(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        calls.append(len(states))
        return np.full(len(states), np.nan) if len(calls) == broken + 1 else off_target(states, actions)

    plan, _ = plan_of(small(name), cost=cost)
    assert plan.status is PlanStatus.OK and plan.iterations == 3 and plan.not_finite == 20
    assert np.isfinite([plan.cost, plan.mean_cost]).all()
    assert plan.cost == pytest.approx(off_target(plan.states[np.newaxis], plan.actions[np.newaxis])[0])
    assert calls[:3] == [20, 20, 20]


# Lateness -------------------------------------------------------------------------------------------------------------


def counted(answers: list[bool]) -> Callable[[], bool]:
    """Return something that answers so, one after the other, and then fails."""
    left = iter(answers)
    return lambda: next(left)


@iterating
def test_search_that_is_late_ends_after_an_iteration(name: str) -> None:
    whole = candidates_of(small(name))
    for answers, made in (([True], 1), ([False, True], 2), ([False, False], 3)):
        plan, model = plan_of(small(name), is_late=counted(answers))
        assert plan.status is PlanStatus.OK and plan.iterations == made
        assert same(model.asked[:made], whole[:made]), "what is not late is the same"
        actions = plan.actions[np.newaxis].astype(np.float32)
        assert plan.cost == pytest.approx(off_target(adding(0.0, actions.cumsum(axis=1)), actions)[0], rel=1e-5)
        assert plan.candidates is not None and len(plan.candidates.costs) == 20
        assert len(model.asked) == made + (name == "mppi")


def test_one_iteration_is_never_late() -> None:
    plan, _ = plan_of(small("random_shooting"), is_late=counted([]))
    assert plan.status is PlanStatus.OK and plan.iterations == 1


@every
def test_plan_of_a_late_search_is_the_next_nominal_one(name: str) -> None:
    planner = small(name)
    late, _ = plan_of(planner, is_late=lambda: True)
    np.testing.assert_allclose(candidates_of(planner, NOW)[0][0], late.actions, rtol=1e-6)


# Rough models ---------------------------------------------------------------------------------------------------------


class Rough(Recorder):
    """Takes one element of an action for less than it is, the other for more; the model beside it does not."""

    def __init__(self, exact: Recorder, breaks: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        super().__init__(lambda states, actions: states + actions * np.array([0.7, 1.5]), breaks)
        self.exact = exact


@choosing
def test_exact_model_decides_between_what_a_rough_one_finds_best(name: str) -> None:
    others = 0
    for seed in range(6):
        rough = Rough(exact := Recorder(adding))
        plan, _ = plan_of(small(name, candidates=300, seed=seed), model=rough)
        actions = plan.actions[np.newaxis].astype(np.float32)
        np.testing.assert_array_equal(plan.states, Recorder(adding).rollout(np.zeros(2), actions)[0])
        everything = np.concatenate(rough.asked)
        costs = off_target(Rough(exact).rollout(np.zeros(2), everything), everything)
        finalists = everything[np.argsort(costs)[:FINALISTS]]
        (asked,) = exact.asked
        assert {each.tobytes() for each in asked} == {each.tobytes() for each in finalists}
        truth = off_target(Recorder(adding).rollout(np.zeros(2), finalists), finalists)
        assert plan.cost == pytest.approx(truth.min(), rel=1e-12)
        others += truth.argmin() != 0
    assert others, "else the rough one alone would do"


def test_average_of_a_rough_model_is_predicted_by_it() -> None:
    rough = Rough(exact := Recorder(adding))
    plan, _ = plan_of(small("mppi", candidates=300), model=rough)
    assert [len(batch) for batch in rough.asked] == [100, 100, 100, 1] and not exact.asked
    assert plan.cost == pytest.approx(off_target(plan.states[np.newaxis], plan.actions[np.newaxis])[0], rel=1e-12)


@every
def test_rough_model_with_few_candidates(name: str) -> None:
    for count in (3, FINALISTS - 1, FINALISTS, FINALISTS + 1):
        plan, _ = plan_of(small(name, candidates=count), model=Rough(Recorder(adding)))
        assert plan.status is PlanStatus.OK and np.isfinite(plan.cost)


@choosing
def test_candidates_that_the_exact_model_breaks_for_do_not_win(name: str) -> None:
    plan, _ = plan_of(small(name), model=Rough(Recorder(adding, is_fast)))
    assert plan.status is PlanStatus.OK and plan.actions[0, 0] <= 0.2 and np.isfinite(plan.cost)
    plan, _ = plan_of(small(name), model=Rough(Recorder(adding, lambda actions: np.ones(len(actions), dtype=bool))))
    assert plan.status is PlanStatus.NO_FINITE_CANDIDATE


@every
def test_candidates_that_the_rough_model_breaks_for_do_not_win(name: str) -> None:
    """Fewer are left than would enter the final."""
    model = Rough(Recorder(adding), lambda actions: actions[:, 0, 0] > -0.5)
    plan, _ = plan_of(small(name), model=model, cost=prefers_fast)
    assert (0 if name == "mppi" else 60 - FINALISTS) < plan.not_finite < 60
    assert plan.status is PlanStatus.OK and plan.actions[0, 0] <= -0.5


# With the engine and the cost of a path -------------------------------------------------------------------------------

LEG_RATES = leg_rate_bounds(LegRateLimits())


@every
@pytest.mark.parametrize(("y", "sign"), [(-0.1, 1.0), (0.1, -1.0)])
def test_turns_towards_the_path(name: str, y: float, sign: float) -> None:
    # A shorter look ahead does not pay: the heading costs more than the way back has saved by then.
    planner = small(name, bounds=LEG_RATES, candidates=500, horizon=10, temperature=0.1)
    plan = planner.plan(state_at(0.2, y), RolloutEngine(walker()), bound(make_terms({}), (0.2, y)), NOW)
    difference = (plan.actions[:3, 1] - plan.actions[:3, 0]).mean()
    assert sign * difference > 1.0, "the right leg faster turns left"


@every
def test_candidate_that_breaks_where_no_cost_looks_never_wins(name: str) -> None:
    """It blows up in an element that the cost does not mind, and would else be the fastest."""
    planner, engine = small(name, bounds=LEG_RATES, candidates=300, horizon=3), RolloutEngine(fragile(35.0))
    cost = bound(make_terms({}))
    for tick in range(5):
        plan = planner.plan(state_at(), engine, cost, NOW + tick * TICK)
        assert plan.status is PlanStatus.OK and 0 < plan.not_finite < 300
        assert np.all(plan.actions[:, 0] <= 35.0)
        assert np.all(np.isfinite(plan.states)) and np.isfinite([plan.cost, plan.mean_cost]).all()


# Settings -------------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize(("changes", "said"), [
    ({"candidates": 0}, "cannot plan with 0 candidates"),
    ({"candidates": -1}, "cannot plan with -1 candidates"),
    ({"horizon": 0}, " 0 steps of 0.1 s"),
    ({"period": 0.0}, " 5 steps of 0 s"),
    ({"period": -0.1}, " 5 steps of -0.1 s"),
    ({"period": np.nan}, " 5 steps of nan s"),
    ({"seed": -1}, "the seed of the draws is 0 or more, not -1"),
], ids=str)
def test_settings_that_make_no_search(name: str, changes: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        small(name, **changes)
    assert said in str(caught.value) and "\n" not in str(caught.value)
