# SPDX-License-Identifier: Apache-2.0
"""What the sampling planners share: the loop of drawing, predicting and comparing, and the plan of the tick before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.planning.plan import ActionBounds, Candidates, Cost, Model, Plan, PlanStatus
from l2a_ros.planning.warm_start import slide


@dataclass(frozen=True)
class SamplingSettings:
    """How much is searched, and where.

    Args:
        bounds: of the actions.
        candidates: action sequences per plan, over all iterations together.
        horizon: steps per sequence.
        period: of a step, s.
        seed: of the draws; with the time of a plan it fixes them.
    """

    bounds: ActionBounds
    candidates: int = 500
    horizon: int = 10
    period: float = 0.1
    seed: int = 0

    @property
    def rounds(self) -> int:
        """How many iterations the candidates are shared by."""
        return 1

    def __post_init__(self) -> None:
        """Refuse what cannot be searched with."""
        if self.candidates < self.rounds or self.horizon < 1 or not self.period > 0.0:
            raise UserError(f"cannot plan with {self.candidates} candidates in {self.rounds} iterations, "
                            f"{self.horizon} steps of {self.period:g} s")


@dataclass(frozen=True)
class Sequence:
    """An action sequence that was predicted: actions ``(h, a)``, states ``(h, s)`` and cost."""

    actions: np.ndarray
    states: np.ndarray
    cost: float


class Search(ABC):
    """The search for one plan."""

    @abstractmethod
    def draw(self, count: int) -> np.ndarray:
        """Return candidates ``(count, h, a)`` float32 within the bounds; the nominal sequence is the first."""

    @abstractmethod
    def learn(self, actions: np.ndarray, costs: np.ndarray) -> None:
        """Take in what candidates ``(n, h, a)`` cost, ``(n,)``; one at least is finite."""

    def answer(self) -> np.ndarray | None:
        """Return the sequence ``(h, a)`` to use instead of the best candidate, if that is how the method works."""
        return None


class SamplingPlanner(ABC):
    """Plans by comparing sampled action sequences.

    The plan of the tick before, moved on to now, is the nominal sequence; so a good plan is never lost by bad luck.

    Args:
        settings: how much is searched, and where.
    """

    def __init__(self, settings: SamplingSettings) -> None:
        self._common = settings
        self.reset()

    @abstractmethod
    def _search(self, nominal: np.ndarray | None, rng: np.random.Generator) -> Search:
        """Begin a search from the nominal sequence ``(h, a)``, if there is one."""

    def reset(self) -> None:
        """Forget the previous plan."""
        self._previous: np.ndarray | None = None
        self._begin = 0

    def nominal(self, now: int) -> np.ndarray | None:
        """Return what is left of the previous plan at a time (ns), ``(h, a)``."""
        if self._previous is None:
            return None
        return slide(self._previous, self._begin, now, self._common.period)

    def plan(self, state: np.ndarray, model: Model, cost: Cost, now: int,
             is_late: Callable[[], bool] | None = None) -> Plan:
        """Plan from a state.

        Args:
            state: when the first action takes effect, ``(s,)``.
            model: predicts.
            cost: what is wanted.
            now: that time, ns: moves the previous plan on, and seeds the draws.
            is_late: asked before every iteration but the first; if it says so, the search ends there.

        Returns:
            The plan.
        """
        settings = self._common
        # Counter-based, so that the draws of a tick do not depend on how many were planned before.
        rng = np.random.Generator(np.random.Philox(key=settings.seed, counter=[0, 0, 0, now % 2**64]))
        search = self._search(self.nominal(now), rng)
        best: Sequence | None = None
        lost = done = 0
        mean = float("nan")
        candidates = None
        for count in _shares(settings.candidates, settings.rounds):
            if done and is_late is not None and is_late():
                break
            actions = search.draw(count)
            states = model.rollout(state, actions)
            costs = cost(states, actions)
            finite = np.isfinite(costs)
            kept = int(finite.sum())
            done += 1
            lost += count - kept
            candidates = Candidates(states, costs)
            if not kept:
                continue
            mean = float(costs[finite].mean())
            winner = int(np.argmin(np.where(finite, costs, np.inf)))
            if best is None or costs[winner] < best.cost:
                best = Sequence(actions[winner].astype(np.float64), states[winner].copy(), float(costs[winner]))
            search.learn(actions, np.where(finite, costs, np.inf))
        if best is not None:
            best = _answered(search.answer(), best, state, model, cost)
        return self._closed(best, state, now, mean, lost, done, candidates)

    def _closed(self, best: Sequence | None, state: np.ndarray, now: int, mean: float, lost: int, done: int,
                candidates: Candidates | None) -> Plan:
        if best is None:
            self.reset()
            return Plan(PlanStatus.NO_FINITE_CANDIDATE, np.zeros((0, self._common.bounds.size)),
                        np.zeros((0, len(state))), float("nan"), mean, lost, done, candidates)
        self._previous, self._begin = best.actions, now
        return Plan(PlanStatus.OK, best.actions, best.states, best.cost, mean, lost, done, candidates)


def _answered(actions: np.ndarray | None, best: Sequence, state: np.ndarray, model: Model, cost: Cost) -> Sequence:
    """Return the search's own answer with its prediction, or the best candidate if that is not finite."""
    if actions is None:
        return best
    one = actions[np.newaxis].astype(np.float32)
    # The candidates of the last iteration stay as they are: they may still be looked at.
    states = model.rollout(state, one)
    costs = cost(states, one)
    return Sequence(one[0].astype(np.float64), states[0].copy(), float(costs[0])) if np.isfinite(costs[0]) else best


def _shares(total: int, rounds: int) -> list[int]:
    """Return how many candidates each round gets."""
    return [total // rounds + (i < total % rounds) for i in range(rounds)]
