# SPDX-License-Identifier: Apache-2.0
"""What is settled before the first tick: which backend computes, and whether a plan fits into its budget here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.planning.costs import PathCost, Term
from l2a_ros.planning.engine_choice import AUTO, SINGLE, Choice, EngineSettings, Probe, choose
from l2a_ros.planning.line_follower import NO_PATH, LineFollower
from l2a_ros.planning.line_path import LinePath
from l2a_ros.planning.noise import held_uniform
from l2a_ros.planning.plan import ActionBounds
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.robot.frames import frame_tables, planar_pose_of, with_planar_pose
from l2a_ros.robot.layout import STATE

#: Where the robot stands beside a straight line in the probes: m and rad.
_PLACES = ((0.0, 0.0), (0.05, 0.5), (-0.1, -0.3), (0.02, 1.2))
#: Problems on which backends are compared where none is timed.
_UNTIMED = 2
#: Plans before the measured ones: buffers, caches and thread pools come to be.
_WARM_UP, _MEASURED = 5, 15
#: Share of the budget that an advised size should take: a machine is not always as idle as at its start.
_ROOM = 0.9


def typical_state(checkpoint: Checkpoint) -> np.ndarray:
    """Return a state ``(24,)`` of the mean of what the model was trained on, at the origin, looking along x.

    Of an angle the mean is the direction of the mean pair, which of a leg that goes round is near none at all.
    """
    state, tables = np.zeros(STATE.size), frame_tables(checkpoint.frame)
    seen = list(tables.seen)
    state[seen] = checkpoint.inputs.mean.numpy()[:len(seen)]
    for pair in map(list, tables.circles):
        length = np.hypot(*state[pair])
        state[pair] = state[pair] / length if length > 0.0 else (1.0, 0.0)
    return with_planar_pose(state, np.zeros(2), 0.0)


def engine_probes(checkpoint: Checkpoint, terms: Sequence[Term], bounds: ActionBounds, candidates: int,
                  horizon: int) -> list[Probe]:
    """Return planning problems along a line, with as many candidates and steps as will be planned with."""
    rng = np.random.default_rng(0)
    path = PathCost(LinePath(np.array([[-1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])), terms)
    probes = []
    for lateral, yaw in _PLACES:
        position = np.array([0.0, lateral])
        state = with_planar_pose(typical_state(checkpoint), position, yaw)
        actions = held_uniform(rng, bounds, candidates, horizon, horizon)
        cost = path.at(path.start(position), bounds.middle)
        probes.append(Probe(state, actions, cost))
    return probes


def one_thread_engine(checkpoint: Checkpoint, precision: str, terms: Sequence[Term], bounds: ActionBounds,
                      candidates: int, horizon: int) -> RolloutEngine:
    """Return what predicts where several processes plan beside each other: on one thread, chosen without a clock.

    Args:
        checkpoint: the model.
        precision: of the hidden layers; ``auto`` for ``bfloat16`` where the processor has it and it agrees with single
            precision, which then decides between the best.
        terms: of the cost.
        bounds: of the actions, rad/s.
        candidates: action sequences per plan.
        horizon: steps per sequence.

    Raises:
        UserError: for a precision that this machine does not have.
    """
    probes = engine_probes(checkpoint, terms, bounds, candidates, horizon)[:_UNTIMED]

    def chosen(name: str) -> Choice:
        return choose(checkpoint, EngineSettings(device="cpu", precision=name, threads=1), probes, None)

    if precision == AUTO:
        try:
            choice = chosen("bfloat16")
        except UserError:
            choice = chosen(SINGLE)
    else:
        choice = chosen(precision)
    return RolloutEngine(checkpoint, choice.backend, choice.exact)


@dataclass(frozen=True)
class Measured:
    """How long plans take on this machine.

    Args:
        p50: s.
        p90: s.
    """

    p50: float
    p90: float


def warm_up(follower: LineFollower, state: np.ndarray, control_period: float, clock: Callable[[], float]) -> Measured:
    """Plan along a line, so that the first real plan is not the slow one, and measure it; leaves no path.

    Args:
        follower: to warm up.
        state: to plan from, ``(24,)``.
        control_period: s.
        clock: seconds.
    """
    position, _ = planar_pose_of(state)
    limited = follower.limited
    follower.set_path(np.array([position, position + [1.0, 0.0], position + [1.0, 1.0]]), 0)
    durations = []
    for tick in range(_WARM_UP + _MEASURED):
        begin = clock()
        follower.decide(state, round(tick * control_period * 1e9), None, 0.3 * control_period)
        durations.append(clock() - begin)
    follower.set_path(NO_PATH, 0)
    follower.restart()
    follower.limited = limited
    p50, p90 = np.percentile(durations[_WARM_UP:], [50, 90])
    return Measured(float(p50), float(p90))


def advice(seconds: float, budget: float, candidates: int, horizon: int) -> str | None:
    """Say what would fit, if a plan of this many candidates and steps takes longer than its budget; None if it fits.

    Args:
        seconds: that a plan takes.
        budget: s.
        candidates: per plan.
        horizon: steps of each.
    """
    if seconds <= budget:
        return None
    share = _ROOM * budget / seconds
    fewer, shorter = int(candidates * share), int(horizon * share)
    choices = [f"candidates {fewer}"] * (fewer >= 1) + [f"horizon {shorter}"] * (shorter >= 1)
    fits = f"{' or '.join(choices)} would fit" if choices else "nothing would fit"
    return (f"planning with {candidates} candidates of {horizon} steps takes {1e3 * seconds:.0f} ms here, its budget "
            f"is {1e3 * budget:.0f} ms; {fits}")
