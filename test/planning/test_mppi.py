# SPDX-License-Identifier: Apache-2.0
"""MPPI: near the optimum, the same updates as pytorch-mppi from the same noise, the average by hand."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from known_dynamics import (
    NOW,
    TICK,
    Pendulum,
    Problem,
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
from l2a_ros.planning.mppi import Mppi, MppiSearch, MppiSettings
from l2a_ros.planning.plan import ActionBounds

NAME = "mppi"
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
    assert excess(problem, bounds, best, NAME, seed, temperature=0.05, smoothness=0.0, **THOROUGH) < 0.005


@pytest.mark.parametrize("seed", range(6))
def test_finds_the_optimum_within_bounds(seed: int) -> None:
    """The same, bounds in the way: at most 3 % more than bounded least squares; doing nothing costs 200 % more.

    An average of candidates does not lie on the bounds, where the optimum does.
    """
    problem, bounds = two_actions(horizon=4), box(0.8)
    actions, best = problem.best(bounds)
    assert np.isclose(np.abs(actions), 0.8, rtol=1e-3).sum() >= 3
    assert excess(problem, bounds, best, NAME, seed, temperature=0.02, smoothness=0.0, **THOROUGH) < 0.03


@pytest.mark.parametrize("seed", range(6))
def test_swings_a_pendulum_up_better_than_an_exhaustive_search(seed: int) -> None:
    """2000 candidates of 20 steps: no worse than the best of all 7^5 sequences of held torques, since it need not hold
    them; hanging costs 31 % more."""
    pendulum = Pendulum()
    _, best = pendulum.best_of(7)
    assert excess(pendulum, box(5.0, 1), best, NAME, seed, temperature=0.1, spread=1.0, decay=0.8, smoothness=0.8,
                  **THOROUGH) < 0.0


@pytest.mark.parametrize("seed", range(3))
def test_drives_a_cart_nearly_as_well_as_is_possible(seed: int) -> None:
    """1000 candidates of 8 steps, replanned: 1.1 % more than with the best plans; doing nothing costs 300 % more,
    planning afresh each time 1.2 to 2 %."""
    assert excess_of_driving(cart(8), box(0.6, 1), NAME, seed, candidates=1000, temperature=0.05) < 0.011


# pytorch-mppi ---------------------------------------------------------------------------------------------------------


class Given:
    """Hands out noise that was drawn before; number 0 of each batch is zero, as the nominal plan is candidate 0."""

    def __init__(self, batches: list[np.ndarray]) -> None:
        self._batches = iter(batches)

    def draw(self, rng: np.random.Generator, count: int, size: int) -> np.ndarray:
        batch = next(self._batches)
        assert batch.shape == (count, batch.shape[1], size)
        return batch.astype(np.float32)


class Fed(Mppi):
    """Ours, with given noise."""

    batches: Iterator[list[np.ndarray]]

    def _search(self, nominal: np.ndarray | None, rng: np.random.Generator) -> MppiSearch:
        return MppiSearch(self.settings, Given(next(self.batches)), nominal, rng)


@pytest.fixture
def library() -> ModuleType:
    return pytest.importorskip("pytorch_mppi", exc_type=ImportError)


def theirs(library: ModuleType, problem: Problem, settings: MppiSettings, deviation: np.ndarray, noise: np.ndarray,
           nominal: np.ndarray) -> np.ndarray:
    """Return what one iteration of pytorch-mppi makes of a nominal plan, all in double precision."""
    class FedMppi(library.MPPI):
        def _sample_noise(self, shape: tuple[int, ...]) -> torch.Tensor:
            assert shape == noise.shape[:2]
            return torch.from_numpy(noise * deviation)

    def step(states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(problem.step(states.numpy(), actions.numpy()))

    def cost(states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(problem.cost(states.numpy()[:, np.newaxis], actions.numpy()[:, np.newaxis]))

    mppi = FedMppi(step, cost, len(problem.begin), torch.from_numpy(np.diag(deviation**2)), num_samples=len(noise),
                   horizon=len(nominal), lambda_=settings.temperature, u_min=torch.from_numpy(settings.bounds.low),
                   u_max=torch.from_numpy(settings.bounds.high), U_init=torch.from_numpy(nominal.copy()))
    mppi.command(torch.from_numpy(problem.begin), shift_nominal_trajectory=False)
    updated: np.ndarray = mppi.U.numpy()
    return updated


@pytest.mark.parametrize("iterations", [1, 4])
@pytest.mark.parametrize("temperature", [0.3, 3.0, 100.0])
@pytest.mark.parametrize(("problem", "bounds"), [
    (two_actions(6), box(3.0)),
    (two_actions(6), ActionBounds(np.array([-0.4, -0.1]), np.array([0.3, 0.9]))),
    (Pendulum(), box(5.0, 1)),
], ids=["bounds far away", "bounds in the way", "pendulum"])
@pytest.mark.parametrize("decay", [1.0, 0.6])
def test_updates_are_those_of_pytorch_mppi(library: ModuleType, problem: Problem, bounds: ActionBounds,
                                           temperature: float, iterations: int, decay: float) -> None:
    """Three ticks, the plan before moved on: every updated nominal plan within 1e-4 of the reach.

    Both count steering away from no action as published, and both average what the bounds left of the noise.
    """
    rng = np.random.default_rng(5)
    settings = MppiSettings(bounds, candidates=200 * iterations, horizon=problem.horizon, period=0.1,
                            iterations=iterations, temperature=temperature, spread=0.6, decay=decay, control_cost=1.0)
    ticks = rng.standard_normal((3, iterations, 200, problem.horizon, bounds.size))
    ticks[:, :, 0] = 0.0
    planner = Fed(settings)
    planner.batches = iter([list(batches) for batches in ticks])
    nominal = np.tile(bounds.middle, (problem.horizon, 1))
    moved = []
    for tick, batches in enumerate(ticks):
        before = nominal
        for i, noise in enumerate(batches):
            nominal = theirs(library, problem, settings, 0.6 * decay**i * bounds.half_range, noise, nominal)
        plan = planner.plan(problem.begin, Recorder(problem.step), problem.cost, NOW + tick * TICK)
        np.testing.assert_allclose(plan.actions, nominal, rtol=1e-4, atol=1e-4 * bounds.half_range.min())
        moved.append(np.abs(nominal - before).max())
        nominal = np.concatenate([nominal[1:], nominal[-1:]])
    assert max(moved) > 0.01 * bounds.half_range.min(), "else there is nothing to compare"


# By hand --------------------------------------------------------------------------------------------------------------


def averaged(actions: np.ndarray, temperature: float) -> np.ndarray:
    """Return the candidates' average, weighted by their cost."""
    actions = actions.astype(np.float64)
    costs = off_target(Recorder(adding).rollout(np.zeros(2), actions.astype(np.float32)), actions)
    weights = np.exp(-(costs - costs.min()) / temperature)
    mean: np.ndarray = np.einsum("n,nha->ha", weights, actions) / weights.sum()
    return mean


@pytest.mark.parametrize("temperature", [1e-6, 0.1, 1.0, 1e6])
def test_plan_is_the_weighted_average(temperature: float) -> None:
    plan, model = plan_of(small(NAME, temperature=temperature))
    for before, after in zip(model.asked[:-1], model.asked[1:], strict=True):
        np.testing.assert_allclose(after[0], averaged(before, temperature), atol=1e-5)
    np.testing.assert_array_equal(plan.actions, model.asked[-1][0].astype(np.float64))


def test_temperature_goes_from_the_best_candidate_to_the_plain_average() -> None:
    (actions,) = candidates_of(small(NAME, iterations=1))
    costs = off_target(Recorder(adding).rollout(np.zeros(2), actions), actions)
    cold, _ = plan_of(small(NAME, iterations=1, temperature=1e-6))
    np.testing.assert_allclose(cold.actions, actions[costs.argmin()], atol=1e-6)
    hot, _ = plan_of(small(NAME, iterations=1, temperature=1e9))
    np.testing.assert_allclose(hot.actions, actions.mean(axis=0), atol=1e-6)


def test_spread_and_its_decay() -> None:
    bounds = ActionBounds(np.array([-100.0, -1000.0]), np.array([100.0, 1000.0]))
    batches = candidates_of(small(NAME, bounds=bounds, candidates=6000, spread=0.1, decay=0.5, smoothness=0.4))
    for i, batch in enumerate(batches):
        np.testing.assert_allclose((batch - batch[0])[1:].std(axis=0),
                                   np.tile([10.0 * 0.5**i, 100.0 * 0.5**i], (5, 1)), rtol=0.06)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_control_cost_takes_its_share_of_the_nominal_plan(share: float) -> None:
    """With nothing else to mind, of white noise: the mean of a normal distribution so tilted moves by just that."""
    bounds = ActionBounds(np.full(2, -99.0), np.full(2, 101.0))
    plan, _ = plan_of(small(NAME, bounds=bounds, candidates=20000, iterations=1, spread=0.1, smoothness=0.0,
                            control_cost=share), cost=lambda states, _: np.zeros(len(states)))
    assert plan.actions.mean() == pytest.approx(1.0 - share, abs=0.1)


def test_control_cost_is_not_part_of_the_plans_cost() -> None:
    plan, _ = plan_of(small(NAME, control_cost=1.0))
    assert plan.cost == pytest.approx(off_target(plan.states[np.newaxis], plan.actions[np.newaxis])[0], rel=1e-12)


def test_average_that_is_not_finite_gives_way_to_the_best_candidate() -> None:
    """Round an obstacle on either side is fine, the average is not."""
    def round_an_obstacle(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return np.where(np.abs(actions[:, 0, 0]) < 0.3, np.inf, np.abs(actions[:, 0, 0]))

    plan, model = plan_of(small(NAME, iterations=1, candidates=300, temperature=1.0), cost=round_an_obstacle)
    assert np.abs(model.asked[1][0, 0, 0]) < 0.3
    costs = round_an_obstacle(model.asked[0], model.asked[0])
    np.testing.assert_array_equal(plan.actions, model.asked[0][costs.argmin()].astype(np.float64))


@pytest.mark.parametrize("single", [False, True])
def test_average_stays_within_bounds_of_zero(single: bool) -> None:
    """Rounding must not carry it past them: a motor that may not turn back must not be told to, however slowly."""
    bounds = ActionBounds(np.zeros(2), np.full(2, 46.3))
    for seed in range(200):
        plan, _ = plan_of(small(NAME, bounds=bounds, candidates=30, seed=seed, spread=3.0), cost=lambda _, actions:
                          actions.sum(axis=(1, 2), dtype=np.float32 if single else np.float64))
        assert np.all(plan.actions >= 0.0)


@pytest.mark.parametrize("changes", [
    {"iterations": 0}, {"temperature": 0.0}, {"temperature": -1.0}, {"temperature": np.inf}, {"temperature": np.nan},
    {"spread": 0.0}, {"spread": np.nan}, {"decay": 0.0}, {"decay": 1.1}, {"smoothness": 1.0}, {"smoothness": -0.1},
    {"control_cost": -0.1}, {"control_cost": 1.1}], ids=str)
def test_settings_that_make_no_search(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="^mppi needs [^\n]*$") as caught:
        small(NAME, **changes)
    assert next(iter(changes)).replace("_", " ") in str(caught.value)


def test_more_iterations_than_candidates() -> None:
    with pytest.raises(UserError, match="cannot plan with 4 candidates in 5 iterations"):
        small(NAME, candidates=4, iterations=5)
