# SPDX-License-Identifier: Apache-2.0
"""Planning problems whose best answer is known, and a model that notes what it is asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.optimize import lsq_linear

from l2a_ros.planning.plan import ActionBounds, Cost, Plan
from l2a_ros.planning.planners import make_planner
from l2a_ros.planning.sampling import SamplingPlanner

#: Next states ``(n, s)`` from states ``(n, s)`` and actions ``(n, a)``.
Step = Callable[[np.ndarray, np.ndarray], np.ndarray]

PLANNERS = ("random_shooting", "cem", "mppi")
#: A time of these years, and a step, ns.
NOW, TICK = 1_795_000_000_123_456_789, 100_000_000
#: How to search, in all, so that the tests do not depend on what is the default.
PLAIN = {
    "candidates": 500, "horizon": 10, "period": 0.1, "seed": 0, "longest_hold": 7, "iterations": 3, "elites": 0.1,
    "spread": 0.5, "smallest_spread": 0.05, "momentum": 0.1, "smoothness": 0.7, "temperature": 1.0, "decay": 0.7,
    "control_cost": 0.0}


def box(reach: float, size: int = 2) -> ActionBounds:
    """Return bounds around zero."""
    return ActionBounds(np.full(size, -reach), np.full(size, reach))


class Recorder:
    """Predicts with a known step, and keeps every batch of actions that it was asked about.

    What it returns is written over by the next call for as many sequences, as a model may do.

    Args:
        step: in double precision.
        breaks: tells which of the sequences ``(n, h, a)`` end in NaN, ``(n,)``.
    """

    def __init__(self, step: Step, breaks: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        self._step, self._breaks = step, breaks
        self._buffers: dict[tuple[int, ...], np.ndarray] = {}
        self.asked: list[np.ndarray] = []

    def rollout(self, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return states after each step, ``(n, h, s)`` float32."""
        assert actions.dtype == np.float32
        self.asked.append(actions.copy())
        shape = (*actions.shape[:2], len(state))
        out = self._buffers.setdefault(shape, np.empty(shape, dtype=np.float32))
        states = np.tile(np.asarray(state, dtype=np.float64), (len(actions), 1))
        for t in range(actions.shape[1]):
            states = self._step(states, actions[:, t].astype(np.float64))
            out[:, t] = states
        if self._breaks is not None:
            out[self._breaks(actions), -1] = np.nan
        return out


def adding(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The simplest step: an action is added to the state."""
    return states + actions


def off_target(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Cost: squares of the distance to a point, and of the actions a little."""
    distance = states.astype(np.float64) - np.array([0.3, -0.4])[:states.shape[2]]
    return np.square(distance).sum(axis=(1, 2)) + 0.1 * np.square(actions, dtype=np.float64).sum(axis=(1, 2))


def small(name: str, **changes: object) -> SamplingPlanner:
    """Return a planner for quick tests of what it does, not of how well."""
    return make_planner(name, PLAIN | {"bounds": box(1.0), "candidates": 60, "horizon": 5} | changes)


def plan_of(planner: SamplingPlanner, now: int = NOW, model: Recorder | None = None, cost: Cost = off_target,
            is_late: Callable[[], bool] | None = None, start: np.ndarray | None = None) -> tuple[Plan, Recorder]:
    """Return a plan, and the model that it was made with."""
    model = Recorder(adding) if model is None else model
    return planner.plan(np.zeros(2) if start is None else start, model, cost, now, is_late), model


def candidates_of(planner: SamplingPlanner, now: int = NOW, **others: Any) -> list[np.ndarray]:
    """Return the candidates of each iteration of a plan, ``(n, h, a)``."""
    plan, model = plan_of(planner, now, **others)
    return model.asked[:plan.iterations]


# Problems -------------------------------------------------------------------------------------------------------------


class Problem(Protocol):
    """Something to plan."""

    @property
    def begin(self) -> np.ndarray:
        """Where from, ``(s,)``."""

    @property
    def horizon(self) -> int:
        """Steps."""

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return the next states."""

    def cost(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return the cost of trajectories."""


@dataclass(frozen=True)
class LinearProblem:
    """Minimise the sum of ``|x|^2 + of_action * |u|^2`` over a horizon, with ``x+ = A x + B u``.

    The states are those after each step.

    Args:
        a: A, ``(s, s)``.
        b: B, ``(s, a)``.
        begin: ``(s,)``.
        horizon: steps.
        of_action: weight.
    """

    a: np.ndarray
    b: np.ndarray
    begin: np.ndarray
    horizon: int
    of_action: float

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return the next states."""
        return states @ self.a.T + actions @ self.b.T

    def cost(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return the cost of trajectories, ``(n,)``."""
        return (np.square(states, dtype=np.float64).sum(axis=(1, 2))
                + self.of_action * np.square(actions, dtype=np.float64).sum(axis=(1, 2)))

    def best(self, bounds: ActionBounds, begin: np.ndarray | None = None) -> tuple[np.ndarray, float]:
        """Return the optimal actions within bounds, ``(h, a)``, and their cost: a bounded least squares problem."""
        size, count = self.b.shape
        forced, free = np.zeros((self.horizon, size, self.horizon, count)), np.zeros((self.horizon, size, size))
        power = np.eye(size)
        for t in range(self.horizon):
            if t:
                forced[t] = np.tensordot(self.a, forced[t - 1], axes=1)
            forced[t, :, t] += self.b
            power = self.a @ power
            free[t] = power
        unknowns = self.horizon * count
        matrix = np.vstack([forced.reshape(-1, unknowns), np.sqrt(self.of_action) * np.eye(unknowns)])
        from_begin = -free.reshape(-1, size) @ (self.begin if begin is None else begin)
        found = lsq_linear(matrix, np.concatenate([from_begin, np.zeros(unknowns)]),
                           (np.tile(bounds.low, self.horizon), np.tile(bounds.high, self.horizon)), tol=1e-12)
        assert found.success
        return found.x.reshape(self.horizon, count), 2.0 * float(found.cost)


def two_actions(horizon: int) -> LinearProblem:
    """Two coupled elements of an action; it goes away from zero by itself."""
    return LinearProblem(np.array([[1.0, 0.3], [-0.2, 1.1]]), np.array([[0.5, 0.0], [0.2, 0.5]]),
                         np.array([1.5, -1.0]), horizon, 0.5)


def cart(horizon: int) -> LinearProblem:
    """A mass to be pushed to zero, steps of 0.2 s."""
    return LinearProblem(np.array([[1.0, 0.2], [0.0, 1.0]]), np.array([[0.02], [0.2]]), np.array([1.0, 0.0]), horizon,
                         0.3)


@dataclass(frozen=True)
class Pendulum:
    """A pendulum that its motor cannot lift at once: angle from upright (rad) and rate (rad/s), torque in N m.

    1 kg at 1 m, semi-implicit steps of 0.1 s, from hanging at rest.

    Args:
        torque: the largest.
        blocks: in the sequences to compare with, the torque is constant in each of so many blocks ...
        hold: ... of so many steps.
    """

    torque: float = 5.0
    blocks: int = 5
    hold: int = 4

    @property
    def begin(self) -> np.ndarray:
        """Hanging."""
        return np.array([np.pi, 0.0])

    @property
    def horizon(self) -> int:
        """Steps."""
        return self.blocks * self.hold

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return the next states."""
        rate = states[:, 1] + 0.1 * (9.81 * np.sin(states[:, 0]) + actions[:, 0])
        return np.stack([states[:, 0] + 0.1 * rate, rate], axis=1)

    def cost(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return the sum of height below upright, speed a little, and torque a little, ``(n,)``."""
        angle, rate = states.astype(np.float64).transpose(2, 0, 1)
        return (1.0 - np.cos(angle) + 0.01 * np.square(rate)
                + 0.001 * np.square(actions[..., 0], dtype=np.float64)).sum(axis=1)

    def best_of(self, levels: int) -> tuple[np.ndarray, float]:
        """Return the best of all sequences with so many evenly spaced torques, ``(h, 1)``, and its cost."""
        torques = np.linspace(-self.torque, self.torque, levels, dtype=np.float32)
        sequences = np.array(list(itertools.product(torques, repeat=self.blocks)))
        actions = np.repeat(sequences, self.hold, axis=1)[:, :, np.newaxis]
        costs = self.cost(Recorder(self.step).rollout(self.begin, actions), actions)
        winner = int(np.argmin(costs))
        return actions[winner], float(costs[winner])


def excess(problem: Problem, bounds: ActionBounds, best: float, name: str, seed: int, **settings: object) -> float:
    """Return by how much the plan of a planner costs more than the best, as a share of that.

    Also checks that doing nothing costs at least 30 % more, and that the plan is what it says it is.
    """
    idle = np.zeros((1, problem.horizon, bounds.size), dtype=np.float32)
    assert problem.cost(Recorder(problem.step).rollout(problem.begin, idle), idle)[0] > 1.3 * best
    planner = make_planner(name, PLAIN | {"bounds": bounds, "horizon": problem.horizon, "seed": seed} | settings)
    plan = planner.plan(problem.begin, Recorder(problem.step), problem.cost, NOW)
    actions = plan.actions[np.newaxis].astype(np.float32)
    assert np.all(plan.actions >= bounds.low) and np.all(plan.actions <= bounds.high)
    again = problem.cost(Recorder(problem.step).rollout(problem.begin, actions), actions)
    np.testing.assert_allclose(plan.cost, again[0], rtol=1e-6)
    return plan.cost / best - 1.0


def cost_of_driving(problem: LinearProblem, ticks: int, policy: Callable[[np.ndarray, int], np.ndarray]) -> float:
    """Return what applying the first action of a plan again and again costs; the policy gets the state and the time."""
    state, total = problem.begin, 0.0
    for tick in range(ticks):
        action = policy(state, NOW + tick * TICK)
        state = problem.step(state[np.newaxis], action[np.newaxis])[0]
        total += problem.cost(state[np.newaxis, np.newaxis], action[np.newaxis, np.newaxis])[0]
    return float(total)


def excess_of_driving(problem: LinearProblem, bounds: ActionBounds, name: str, seed: int, **settings: object) -> float:
    """Return by how much driving for 30 ticks costs more than with the best plans, as a share of that."""
    best = cost_of_driving(problem, 30, lambda state, _: problem.best(bounds, state)[0][0])
    planner = make_planner(name, PLAIN | {"bounds": bounds, "horizon": problem.horizon, "seed": seed} | settings)
    model = Recorder(problem.step)
    driven = cost_of_driving(problem, 30, lambda state, now: planner.plan(
        state, model, problem.cost, now).actions[0])
    return driven / best - 1.0
