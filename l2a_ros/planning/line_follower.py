# SPDX-License-Identifier: Apache-2.0
"""Following a path tick by tick: where the robot is on it, what the planner is asked, what becomes of its answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.learning.adapted_model import AdaptedModel
from l2a_ros.planning.line_following import LineFollowingCost, LineFollowingWeights
from l2a_ros.planning.line_path import LinePath, Projection
from l2a_ros.planning.random_shooting import Plan, PlanStatus, RandomShooting
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.robot.frames import planar_pose_of
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.limits import STAND, LegRateLimits

#: Points of a path that says: stand.
NO_PATH = np.zeros((0, 2))


@dataclass(frozen=True)
class Decision:
    """What to command in one tick.

    Args:
        rates: crank rates ``(2,)`` rad/s; zero to stand.
        reason: ``"following"``, or why the robot stands.
        plan: the plan behind it, None when standing without one.
        lateral_error: m, left positive; NaN without a path.
    """

    rates: np.ndarray
    reason: str
    plan: Plan | None = None
    lateral_error: float = float("nan")


class LineFollower:
    """Plans along a path with the newest model.

    Args:
        engine: the dynamics model.
        planner: the search.
        weights: of the cost.
        limits: a plan's command outside of them is not used.
        control_period: s.
    """

    def __init__(self, engine: RolloutEngine, planner: RandomShooting, weights: LineFollowingWeights,
                 limits: LegRateLimits, control_period: float) -> None:
        self._engine, self._planner, self._weights = engine, planner, weights
        self._limits, self._period = limits, control_period
        self._cost: LineFollowingCost | None = None
        self._start = 0
        self._projection: Projection | None = None
        self._command = STAND
        self.limited = 0

    def warm_up(self) -> None:
        """Plan a few times along a line, so that the first real plan is not the slow one; leaves no path."""
        state = np.zeros(STATE.size)
        state[STATE.indices([n for n in STATE.names if n.endswith("_cos")])] = 1.0
        self.set_path(np.array([[0.0, 0.0], [1.0, 0.0]]), 0)
        for tick in range(5):
            self.decide(state, tick, None, 0.0)
        self._command = STAND
        self.set_path(NO_PATH, 0)

    def set_path(self, points: np.ndarray, start: int) -> None:
        """Follow points ``(n, 2)`` m in ``map`` from the tick with this stamp (ns) on; fewer than two points: stand.

        Raises:
            UserError: for points that make no path.
        """
        self._cost = LineFollowingCost(LinePath(points), self._weights) if len(points) >= 2 else None
        self._start, self._projection = start, None
        self._planner.reset()

    def restart(self) -> None:
        """Forget where on the path the robot was and what was planned: it is elsewhere now, or time jumped."""
        self._projection, self._command = None, STAND
        self._planner.reset()

    def set_weights(self, weights: LineFollowingWeights) -> None:
        """Use other weights of the cost from the next tick on."""
        self._weights = weights
        if self._cost is not None:
            self._cost = LineFollowingCost(self._cost.path, weights)

    def wants_plan(self, stamp: int) -> bool:
        """Tell whether the tick with this stamp (ns) has a path to follow."""
        return self._cost is not None and stamp >= self._start

    def stand(self, reason: str) -> Decision:
        """Return the decision to stand, and start the next plan from standing."""
        self._command = STAND
        return Decision(STAND, reason)

    def decide(self, state: np.ndarray, stamp: int, model: AdaptedModel | None, delay: float) -> Decision:
        """Decide for one tick.

        Args:
            state: ``(24,)``.
            stamp: of the state, ns.
            model: the newest adapted model; None for the trained weights.
            delay: expected time until the command takes effect, s.

        Returns:
            What to command.
        """
        cost = self._cost
        if cost is None or not self.wants_plan(stamp):
            return self.stand("no path")
        if not np.all(np.isfinite(state)):
            return self.stand("the state is not finite")
        if model is not None and model.checkpoint_id != self._engine.checkpoint.id:
            return self.stand(f"the adapted model belongs to checkpoint {model.checkpoint_id}, "
                              f"not {self._engine.checkpoint.id}")
        if model is not None and not self._engine.fits(model.change):
            return self.stand("the adapted model does not fit the checkpoint")
        position, yaw = planar_pose_of(state)
        if self._projection is None:
            self._projection = cost.start(position[np.newaxis])
        else:
            _, self._projection = cost.step(position[np.newaxis], np.array([yaw]), self._projection)
        self._engine.set_change(() if model is None else model.change)
        plan = self._planner.plan(state, self._engine, cost, self._projection, self._command,
                                  min(max(delay / self._period, 0.0), 1.0), round(stamp / 1e9 / self._period))
        lateral = float(self._projection.lateral_error[0])
        if plan.status is not PlanStatus.OK:
            return Decision(self.stand("").rates, f"no plan: {plan.status}", plan, lateral)
        rates = plan.actions[0]
        if not self._limits.admits(rates):
            self.limited += 1
            return Decision(self.stand("").rates, "the plan's command is out of range", plan, lateral)
        self._command = rates
        return Decision(rates, "following", plan, lateral)
