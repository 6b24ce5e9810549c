# SPDX-License-Identifier: Apache-2.0
"""Following a path tick by tick: where the robot is on it, what the planner is asked, what becomes of its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.learning.adapted_model import AdaptedModel
from l2a_ros.planning.commands import SentCommands, rolled_forward
from l2a_ros.planning.costs import PathCost, Term
from l2a_ros.planning.line_path import LinePath, Projection
from l2a_ros.planning.plan import ActionBounds, Plan, PlanStatus
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.planning.sampling import SamplingPlanner
from l2a_ros.planning.warm_start import slide
from l2a_ros.robot.frames import planar_pose_of
from l2a_ros.robot.limits import STAND, LegRateLimits

#: Points of a path that says: stand.
NO_PATH = np.zeros((0, 2))
_SECOND = 1_000_000_000


def leg_rate_bounds(limits: LegRateLimits) -> ActionBounds:
    """Return the box that crank rates are searched in."""
    return ActionBounds(np.full(2, limits.minimum), np.full(2, limits.maximum))


@dataclass(frozen=True)
class Decision:
    """What to command in one tick.

    Args:
        rates: crank rates ``(2,)`` rad/s; zero to stand.
        reason: ``"following"``, or why the robot stands.
        plan: the plan behind it, None when standing without one.
        lateral_error: m, left positive; NaN without a path.
        terms: what each term of the cost adds to the plan's.
        is_fallback: whether the command is what was left of an earlier plan.
    """

    rates: np.ndarray
    reason: str
    plan: Plan | None = None
    lateral_error: float = float("nan")
    terms: dict[str, float] = field(default_factory=dict)
    is_fallback: bool = False


@dataclass(frozen=True)
class Task:
    """A tick that is to be planned: all that it takes, so that another thread can do it.

    Args:
        state: ``(24,)``.
        stamp: of the state, ns.
        effect: when the command takes effect, ns.
        model: the newest adapted model; None for the trained weights.
        cost: of the path.
        projection: of the state.
        until_effect: what is in force from ``stamp`` to ``effect``, durations (s) with rates ``(2,)`` rad/s.
        in_force: rates at ``effect``, ``(2,)`` rad/s.
        begins_anew: whether the plan before is to be forgotten.
        epoch: of the follower; a task of an earlier one is void.
    """

    state: np.ndarray
    stamp: int
    effect: int
    model: AdaptedModel | None
    cost: PathCost
    projection: Projection
    until_effect: Sequence[tuple[float, np.ndarray]]
    in_force: np.ndarray
    begins_anew: bool
    epoch: int


@dataclass(frozen=True)
class Answer:
    """What came out of a task: the plan, and what each term of the cost adds to its cost."""

    plan: Plan
    terms: dict[str, float]


class LineFollower:
    """Plans along a path with the newest model.

    ``decide`` does a whole tick. Where messages are to be served meanwhile, ``solve`` alone may run in another thread,
    between ``prepare`` and ``finish``: it touches the model and the planner, they everything else.

    Args:
        engine: the dynamics model.
        planner: the search.
        terms: of the cost.
        limits: a plan's command outside of them is not used.
        control_period: s.
        longest_fallback: ticks in a row for which an earlier plan is followed when there is no new one.
    """

    def __init__(self, engine: RolloutEngine, planner: SamplingPlanner, terms: Sequence[Term], limits: LegRateLimits,
                 control_period: float, longest_fallback: int = 1) -> None:
        self._engine, self._planner, self._terms = engine, planner, terms
        self._limits, self._period, self._longest_fallback = limits, control_period, longest_fallback
        self._cost: PathCost | None = None
        self._start = 0
        self._projection: Projection | None = None
        self._sent = SentCommands()
        self._begins_anew = True
        self._epoch = 0
        self._good: tuple[np.ndarray, int] | None = None
        self._fallbacks = 0
        self.limited = 0

    def set_path(self, points: np.ndarray, start: int) -> None:
        """Follow points ``(n, 2)`` m in ``map`` from the tick with this stamp (ns) on; fewer than two points: stand.

        Raises:
            UserError: for points that make no path.
        """
        self._cost = PathCost(LinePath(points), self._terms) if len(points) >= 2 else None
        self._start = start
        self._forget_plan()

    def restart(self) -> None:
        """Forget where on the path the robot was and what was planned: it is elsewhere now, or time jumped."""
        self._sent.clear()
        self._forget_plan()

    def _forget_plan(self) -> None:
        self._projection, self._good, self._fallbacks = None, None, 0
        self._begins_anew = True
        self._epoch += 1

    def set_terms(self, terms: Sequence[Term]) -> None:
        """Use other terms of the cost from the next tick on."""
        self._terms = terms
        if self._cost is not None:
            self._cost = PathCost(self._cost.path, terms)

    def wants_plan(self, stamp: int) -> bool:
        """Tell whether the tick with this stamp (ns) has a path to follow."""
        return self._cost is not None and stamp >= self._start

    def stand(self, reason: str, effect: int) -> Decision:
        """Return the decision to stand from ``effect`` (ns) on; what is being planned is void."""
        self._sent.add(effect, STAND)
        self._good, self._fallbacks = None, 0
        self._begins_anew = True
        self._epoch += 1
        return Decision(STAND, reason)

    def check_model(self, model: AdaptedModel) -> None:
        """Refuse an adapted model that cannot be planned with.

        Raises:
            UserError: saying why.
        """
        expected = self._engine.checkpoint.id
        if model.checkpoint_id != expected:
            raise UserError(f"the adapted model belongs to checkpoint {model.checkpoint_id}, not {expected}; give both "
                            "nodes the same one")
        if not self._engine.fits(model.change):
            raise UserError("the adapted model does not fit the checkpoint")
        if not model.is_finite:
            raise UserError("the adapted model is not finite")

    def decide(self, state: np.ndarray, stamp: int, model: AdaptedModel | None, delay: float,
               is_late: Callable[[], bool] | None = None) -> Decision:
        """Decide for one tick.

        Args:
            state: ``(24,)``.
            stamp: of the state, ns.
            model: the newest adapted model, checked; None for the trained weights.
            delay: expected time until the command takes effect, s.
            is_late: asked between the iterations of the search; if it says so, the search ends there.

        Returns:
            What to command.
        """
        task = self.prepare(state, stamp, model, delay)
        if isinstance(task, Decision):
            return task
        decision = self.finish(task, self.solve(task, is_late))
        assert decision is not None
        return decision

    def prepare(self, state: np.ndarray, stamp: int, model: AdaptedModel | None, delay: float) -> Task | Decision:
        """Return what is to be planned, or the decision to stand if nothing is; arguments as for ``decide``."""
        effect = stamp + round(delay * _SECOND)
        cost = self._cost
        if cost is None or not self.wants_plan(stamp):
            return self.stand("no path", effect)
        if not np.all(np.isfinite(state)):
            return self.stand("the state is not finite", effect)
        position, _ = planar_pose_of(state)
        self._projection = (cost.start(position) if self._projection is None
                            else cost.advance(position, self._projection))
        return Task(state, stamp, effect, model, cost, self._projection, self._sent.between(stamp, effect),
                    self._sent.at(effect), self._begins_anew, self._epoch)

    def solve(self, task: Task, is_late: Callable[[], bool] | None = None) -> Answer:
        """Plan."""
        if task.begins_anew:
            self._planner.reset()
        self._engine.set_change(() if task.model is None else task.model.change)
        state = rolled_forward(task.state, self._engine.exact or self._engine, task.until_effect, self._period)
        projection = task.projection
        if task.until_effect:
            projection = task.cost.advance(planar_pose_of(state)[0], projection)
        cost = task.cost.at(projection, task.in_force)
        plan = self._planner.plan(state, self._engine, cost, task.effect, is_late)
        if plan.status is PlanStatus.OK:
            cost(plan.states[np.newaxis], plan.actions[np.newaxis].astype(np.float32))
            return Answer(plan, {name: float(values[0]) for name, values in cost.contributions.items()})
        return Answer(plan, {})

    def predict_trained(self, task: Task, actions: np.ndarray) -> np.ndarray:
        """Return what the trained weights alone predict for a plan's actions ``(h, 2)``: states ``(h, 24)``."""
        self._engine.set_change(())
        model = self._engine.exact or self._engine
        state = rolled_forward(task.state, model, task.until_effect, self._period)
        predicted: np.ndarray = model.rollout(state, actions[np.newaxis])[0].copy()
        return predicted

    def finish(self, task: Task, answer: Answer) -> Decision | None:
        """Return what to command; None if the task has become void meanwhile."""
        if task.epoch != self._epoch:
            return None
        self._begins_anew = False
        plan, lateral = answer.plan, float(task.projection.lateral_error[0])
        if plan.status is not PlanStatus.OK:
            return self._without_plan(task, plan, lateral)
        rates = plan.actions[0]
        if not self._limits.admits(rates):
            self.limited += 1
            reason = "the plan's command is out of range"
            return Decision(self.stand(reason, task.effect).rates, reason, plan, lateral)
        self._good, self._fallbacks = (plan.actions, task.effect), 0
        self._sent.add(task.effect, rates)
        return Decision(rates, "following", plan, lateral, answer.terms)

    def _without_plan(self, task: Task, plan: Plan, lateral: float) -> Decision:
        reason = f"no plan: {plan.status}"
        left = None if self._good is None else slide(*self._good, task.effect, self._period)
        if left is None or self._fallbacks >= self._longest_fallback or not self._limits.admits(left[0]):
            return Decision(self.stand(reason, task.effect).rates, reason, plan, lateral)
        self._fallbacks += 1
        self._sent.add(task.effect, left[0])
        return Decision(left[0], f"{reason}, following the plan before", plan, lateral, is_fallback=True)
