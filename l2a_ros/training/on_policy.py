# SPDX-License-Identifier: Apache-2.0
"""Driving with the model itself, for aggregation: algorithm 2 of the paper along lines, in the simulator.

Every tick the model adapts to the last M transitions and the planner follows a line with it, as on the robot. A small
share of the time random rates are driven instead: experience that only ever does what the model believes best would not
show it where it is wrong.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint import Checkpoint, load_checkpoint
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.learning.threads import torch_threads
from l2a_ros.planning.costs import make_terms
from l2a_ros.planning.engine_choice import AUTO
from l2a_ros.planning.line_follower import leg_rate_bounds
from l2a_ros.planning.line_path import LinePath, Projection
from l2a_ros.planning.random_shooting import RandomShooting, RandomShootingSettings
from l2a_ros.planning.start_up import one_thread_engine
from l2a_ros.robot.frames import planar_pose_of
from l2a_ros.robot.limits import LegRateLimits
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.training.collect import Recording, condition_label, record_driving
from l2a_ros.trials.controller import Controller
from l2a_ros.trials.paths import PUBLISHED_SHAPES, anchor, load_path

#: A line is followed until its end is nearer than ARRIVED, the robot farther beside it than LOST, m, or for LONGEST, s.
ARRIVED, LOST, LONGEST = 0.1, 0.5, 12.0
#: Lines begin at the robot, turned from its heading by up to this, rad: behaviour includes coming back to a line.
ASKEW = math.pi / 4.0
#: This share of the lines is drawn way-point by way-point instead of being one of the shipped paths.
DRAWN = 0.5
_LONGEST_HOLD = 5
#: Streams of draws, each apart from those of the recording (charge, faults).
_LINES, _EXPLORATION, _HEADING, _ENVIRONMENT = 6, 7, 8, 9
#: Seeds of rollouts begin here: above those of collections that are asked for on the command line.
_FIRST_SEED, _PER_ITERATION = 1_000_000_000, 10_000


@dataclass(frozen=True)
class OnPolicy:
    """How to drive with a model; called with a recording it makes it.

    Args:
        checkpoint: content of the model's file, so that it can travel to other processes and machines.
        method: how the model adapts; None for the method it was trained by.
        exploration: share of the time in which random rates are driven.
        candidates: action sequences per plan.
        horizon: steps per sequence.
    """

    checkpoint: bytes
    method: str | None = None
    exploration: float = 0.1
    candidates: int = 200
    horizon: int = 10

    def __post_init__(self) -> None:
        """Refuse what cannot be driven with."""
        if not 0.0 <= self.exploration <= 1.0:
            raise UserError(f"exploration must be a share from 0 to 1, not {self.exploration:g}")

    def check(self, control_period: float) -> None:
        """Refuse a method or a control period that the model was not trained for.

        Raises:
            UserError: saying which.
        """
        checkpoint = self._load()
        OnlineAdapter(checkpoint, self.method)
        if not math.isclose(checkpoint.card.control_period, control_period, rel_tol=1e-6):
            raise UserError(f"the model predicts {checkpoint.card.control_period:g} s ahead; give --control-period "
                            f"{checkpoint.card.control_period:g} instead of {control_period:g}")

    def __call__(self, recording: Recording) -> Path:
        """Make a recording; it depends on this, the recording and the kind of processor alone."""
        # The result must not depend on how many cores this machine has.
        with torch_threads(1):
            driver = OnPolicyDriver(self._load(), self, recording.seed, recording.control_period)
            heading = np.random.default_rng([recording.seed, _HEADING]).uniform(-math.pi, math.pi)
            return record_driving(recording, driver, float(heading))

    def _load(self) -> Checkpoint:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.safetensors"
            file.write_bytes(self.checkpoint)
            return load_checkpoint(file)


class OnPolicyDriver:
    """Adapts, plans and explores, tick by tick.

    Args:
        checkpoint: the model.
        policy: how to drive.
        seed: of lines, plans and exploration.
        control_period: s.
    """

    def __init__(self, checkpoint: Checkpoint, policy: OnPolicy, seed: int, control_period: float) -> None:
        self._limits = LegRateLimits()
        bounds, terms = leg_rate_bounds(self._limits), make_terms({})
        planner = RandomShooting(RandomShootingSettings(
            bounds, policy.candidates, policy.horizon, control_period, seed))
        engine = one_thread_engine(checkpoint, AUTO, terms, bounds, policy.candidates, policy.horizon)
        self._controller = Controller(OnlineAdapter(checkpoint, policy.method), engine, planner, terms, self._limits,
                                      control_period)
        self._lines = Lines(seed, control_period)
        self._share = policy.exploration
        self._rng = np.random.default_rng([seed, _EXPLORATION])
        self._left, self._drawn = 0, np.zeros(2)
        self._explores = False

    def __call__(self, stamp: int, state: np.ndarray) -> np.ndarray:
        """Return crank rates ``(2,)`` rad/s for a state ``(24,)`` with a stamp (ns)."""
        line = self._lines(*planar_pose_of(state))
        if line is not None:
            self._controller.set_path(line, stamp)
        rates = self._controller.decide(stamp, state).rates
        explored = self._explore()
        # A model without a plan (it may not be finite yet) would stand, and never learn from that.
        if self._explores or not np.any(rates):
            rates = explored
        self._controller.driven(stamp, rates)
        return rates

    def _explore(self) -> np.ndarray:
        if self._left == 0:
            self._left = int(self._rng.integers(1, _LONGEST_HOLD + 1))
            self._explores = bool(self._rng.random() < self._share)
            self._drawn = self._rng.uniform(self._limits.minimum, self._limits.maximum, 2)
        self._left -= 1
        return self._drawn.copy()


class Lines:
    """The lines to follow, one after the other, each laid in front of the robot.

    Args:
        seed: of the draws.
        control_period: s.
    """

    def __init__(self, seed: int, control_period: float) -> None:
        self._rng = np.random.default_rng([seed, _LINES])
        self._names = PUBLISHED_SHAPES
        self._longest = round(LONGEST / control_period)
        self._path: LinePath | None = None
        self._projection: Projection | None = None
        self._ticks = 0

    def __call__(self, position: np.ndarray, yaw: float) -> np.ndarray | None:
        """Return the way-points ``(n, 2)`` m of a new line if one is due, else None.

        Args:
            position: of the robot, ``(2,)`` m.
            yaw: of the robot, rad.
        """
        self._ticks += 1
        if self._path is not None and self._projection is not None:
            self._projection = self._path.project(position[np.newaxis], self._projection.segment)
            on_last = self._projection.segment[0] == self._path.segments - 1
            arrived = on_last and self._path.distance_to_end(position) < ARRIVED
            passed = on_last and self._projection.fraction[0] >= 1.0
            if not (arrived or passed or abs(self._projection.lateral_error[0]) > LOST
                    or self._ticks >= self._longest):
                return None
        points = anchor(self._shape(), position, yaw + float(self._rng.uniform(-ASKEW, ASKEW)))
        self._path, self._ticks = LinePath(points), 0
        self._projection = self._path.start(position)
        return points

    def _shape(self) -> np.ndarray:
        if self._names and self._rng.random() >= DRAWN:
            return load_path(self._names[int(self._rng.integers(len(self._names)))])
        count = int(self._rng.integers(2, 6))
        headings = np.cumsum(self._rng.uniform(-1.2, 1.2, count)) * (np.arange(count) > 0)
        steps = self._rng.uniform(0.4, 1.2, (count, 1)) * np.stack([np.cos(headings), np.sin(headings)], axis=1)
        return np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])


def plan_rollouts(folder: Path, iteration: int, count: int, terrains: Sequence[str], faults: Sequence[tuple[str, ...]],
                  run_seconds: float, control_period: float, seed: int) -> list[Recording]:
    """List the rollouts of one iteration, each in an environment drawn for it.

    Args:
        folder: for them.
        iteration: number, from 1.
        count: rollouts.
        terrains: floors to draw from.
        faults: what may break, each entry as likely as none.
        run_seconds: length of one rollout, s.
        control_period: s.
        seed: of the draws.

    Raises:
        UserError: for an unknown terrain or fault, or numbers that make no rollout.
    """
    ticks = round(run_seconds / control_period)
    if not 1 <= count <= _PER_ITERATION:
        raise UserError(f"rollouts must be 1 to {_PER_ITERATION}, not {count}")
    if ticks < 1 or not terrains:
        raise UserError(f"rollouts need a terrain, and runs longer than {run_seconds:g} s")
    for terrain in terrains:
        load_terrain(terrain)
    menu = list(dict.fromkeys([(), *faults]))
    for text in {text for entry in menu for text in entry}:
        parse_fault(text)
    rollouts = []
    for run in range(count):
        number = (seed + 1) * _FIRST_SEED + iteration * _PER_ITERATION + run
        rng = np.random.default_rng([number, _ENVIRONMENT])
        terrain = terrains[int(rng.integers(len(terrains)))]
        drawn = menu[int(rng.integers(len(menu)))]
        rollouts.append(Recording(folder / f"{condition_label(terrain, drawn)}_{run:04d}", terrain, number, ticks,
                                  control_period, drawn))
    return rollouts
