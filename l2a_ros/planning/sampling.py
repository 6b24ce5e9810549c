# SPDX-License-Identifier: Apache-2.0
"""What the sampling planners share: the loop of drawing, predicting and comparing, and the plan of the tick before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.planning.plan import ActionBounds, Candidates, Cost, Model, Plan, PlanStatus, RoughModel
from l2a_ros.planning.warm_start import slide

#: So many of the candidates that a rough model finds best are predicted again by the exact one, which decides. One is
#: not enough: small errors of a step grow along some trajectories, and the minimum picks out the luckiest error.
FINALISTS = 28


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
    horizon: int = 15
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
        if self.seed < 0:
            raise UserError(f"the seed of the draws is 0 or more, not {self.seed}")


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
        counter = np.array([0, 0, 0, now % 2**64], dtype=np.uint64)
        rng = np.random.Generator(np.random.Philox(key=settings.seed, counter=counter))
        search = self._search(self.nominal(now), rng)
        final = _Final(state, model, cost)
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
            costs = np.where(finite, costs, np.inf)
            kept = int(finite.sum())
            done += 1
            lost += count - kept
            candidates = Candidates(states, costs)
            if not kept:
                continue
            mean = float(costs[finite].mean())
            final.enter(actions, states, costs)
            search.learn(actions, costs)
        best = final.winner(search.answer())
        return self._closed(best, state, now, mean, lost, done, candidates)

    def _closed(self, best: Sequence | None, state: np.ndarray, now: int, mean: float, lost: int, done: int,
                candidates: Candidates | None) -> Plan:
        if best is None:
            self.reset()
            return Plan(PlanStatus.NO_FINITE_CANDIDATE, np.zeros((0, self._common.bounds.size)),
                        np.zeros((0, len(state))), float("nan"), mean, lost, done, candidates)
        self._previous, self._begin = best.actions, now
        return Plan(PlanStatus.OK, best.actions, best.states, best.cost, mean, lost, done, candidates)


class _Final:
    """Decides between the best candidates of all iterations, by the exact model where the other one is rough."""

    def __init__(self, state: np.ndarray, model: Model, cost: Cost) -> None:
        self._state, self._model, self._cost = state, model, cost
        self._exact = model.exact if isinstance(model, RoughModel) else None
        self._best: Sequence | None = None
        self._entered: list[tuple[np.ndarray, np.ndarray]] = []

    def enter(self, actions: np.ndarray, states: np.ndarray, costs: np.ndarray) -> None:
        """Take the best of the candidates of an iteration; one at least has a finite cost."""
        if self._exact is not None:
            chosen = np.argpartition(costs, min(FINALISTS, len(costs)) - 1)[:FINALISTS]
            chosen = chosen[np.isfinite(costs[chosen])]
            self._entered.append((actions[chosen], costs[chosen]))
            return
        winner = int(np.argmin(costs))
        if self._best is None or costs[winner] < self._best.cost:
            self._best = Sequence(actions[winner].astype(np.float64), states[winner].copy(), float(costs[winner]))

    def winner(self, answer: np.ndarray | None) -> Sequence | None:
        """Return the sequence to use: the search's own answer ``(h, a)`` if it has one with a finite cost."""
        if answer is not None and (self._entered or self._best is not None):
            # It is what it is, however exactly it is predicted.
            mine = self._judged(answer[np.newaxis].astype(np.float32), self._model)
            if mine is not None:
                return mine
        if not self._entered:
            return self._best
        actions = np.concatenate([actions for actions, _ in self._entered])
        rough = np.concatenate([costs for _, costs in self._entered])
        assert self._exact is not None
        return self._judged(actions[np.argsort(rough, kind="stable")[:FINALISTS]], self._exact)

    def _judged(self, actions: np.ndarray, model: Model) -> Sequence | None:
        states = model.rollout(self._state, actions)
        costs = self._cost(states, actions)
        costs = np.where(np.isfinite(costs), costs, np.inf)
        winner = int(np.argmin(costs))
        if not np.isfinite(costs[winner]):
            return None
        return Sequence(actions[winner].astype(np.float64), states[winner].copy(), float(costs[winner]))


def _shares(total: int, rounds: int) -> list[int]:
    """Return how many candidates each round gets."""
    return [total // rounds + (i < total % rounds) for i in range(rounds)]
