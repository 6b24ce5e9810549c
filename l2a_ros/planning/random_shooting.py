# SPDX-License-Identifier: Apache-2.0
"""Random shooting: draw action sequences, predict them all, take the best (paper section 6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch

from l2a_ros.experience.transitions import effective_action
from l2a_ros.planning.line_following import LineFollowingCost
from l2a_ros.planning.line_path import Projection
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.robot.frames import planar_pose
from l2a_ros.robot.limits import LegRateLimits


class PlanStatus(StrEnum):
    """Whether there is a plan."""

    OK = "ok"
    NO_FINITE_CANDIDATE = "no_finite_candidate"


@dataclass(frozen=True)
class RandomShootingSettings:
    """How to search.

    Args:
        candidates: action sequences per plan (n).
        horizon: steps per sequence (h).
        longest_hold: a candidate holds each of its draws for the same number of steps, itself drawn from 1 to this.
            1 is the published way (a new draw every step); longer holds reach sharp turns with fewer candidates, since
            independent draws average out.
        limits: admissible crank rates; actions are drawn uniformly within them.
        seed: of the draws; with the tick's number it fixes them.
    """

    candidates: int = 200
    horizon: int = 10
    longest_hold: int = 7
    limits: LegRateLimits = LegRateLimits()
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """The best sequence found.

    Args:
        status: OK, or why there is none (then actions and states are empty).
        actions: crank rates to command from now on, ``(h, 2)`` rad/s.
        states: predicted states after each step, ``(h, 24)``.
        cost: summed cost of the sequence.
        mean_cost: over all finite candidates.
        not_finite: candidates whose cost was not finite.
    """

    status: PlanStatus
    actions: np.ndarray
    states: np.ndarray
    cost: float
    mean_cost: float
    not_finite: int


class RandomShooting:
    """The planner of the published robot. Candidate 0 is the previous plan, moved on by the elapsed ticks.

    Args:
        settings: how to search.
    """

    def __init__(self, settings: RandomShootingSettings) -> None:
        self.settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget the previous plan."""
        self._previous: np.ndarray | None = None
        self._previous_tick = 0

    def _candidates(self, tick: int) -> np.ndarray:
        settings, limits = self.settings, self.settings.limits
        # Counter-based, so that the draws of a tick do not depend on how many ticks were planned before.
        rng = np.random.Generator(np.random.Philox(key=settings.seed, counter=[0, 0, 0, tick]))
        shape = (settings.candidates, settings.horizon, 2)
        drawn: np.ndarray = rng.uniform(limits.minimum, limits.maximum, shape)
        if settings.longest_hold > 1:
            hold = rng.integers(1, settings.longest_hold + 1, (settings.candidates, 1))
            source = np.arange(settings.horizon) // hold * hold
            drawn = np.take_along_axis(drawn, source[:, :, np.newaxis], axis=1)
        if self._previous is not None:
            elapsed = tick - self._previous_tick
            if 0 < elapsed < settings.horizon:
                drawn[0, :-elapsed] = self._previous[elapsed:]
        return drawn

    def plan(self, state: np.ndarray, engine: RolloutEngine, cost: LineFollowingCost, projection: Projection,
             previous_command: np.ndarray, delay_fraction: float, tick: int) -> Plan:
        """Plan from a state.

        Args:
            state: ``(24,)``.
            engine: the model of this tick.
            cost: what is wanted.
            projection: where the state is on the path.
            previous_command: rates that hold until the new command takes effect, ``(2,)`` rad/s.
            delay_fraction: how long that is, over the control period, 0 to 1.
            tick: number of the control period, for the draws and for moving the previous plan on.

        Returns:
            The plan.
        """
        commands = self._candidates(tick)
        before = np.concatenate([np.broadcast_to(previous_command, (len(commands), 1, 2)), commands[:, :-1]], axis=1)
        effective = effective_action(before, commands, delay_fraction)
        trajectory = engine.rollout(torch.from_numpy(state.astype(np.float32)),
                                    torch.from_numpy(effective.astype(np.float32)))
        positions, yaws = planar_pose(trajectory)
        costs = cost.trajectory_cost(positions.numpy().astype(np.float64), yaws.numpy().astype(np.float64), projection)
        # A candidate may blow up in elements that the cost does not look at.
        costs[~torch.isfinite(trajectory).all(dim=-1).all(dim=-1).numpy()] = np.inf
        finite = np.isfinite(costs)
        lost = int(len(costs) - finite.sum())
        if lost == len(costs):
            self.reset()
            return Plan(PlanStatus.NO_FINITE_CANDIDATE, np.zeros((0, 2)), np.zeros((0, state.shape[0])),
                        float("nan"), float("nan"), lost)
        best = int(np.argmin(costs))
        self._previous, self._previous_tick = commands[best], tick
        return Plan(PlanStatus.OK, commands[best], trajectory[best].numpy(), float(costs[best]),
                    float(costs[finite].mean()), lost)
