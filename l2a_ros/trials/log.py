# SPDX-License-Identifier: Apache-2.0
"""What happened in a trial, joined on the stamps of the states: pure bookkeeping, no clock is read here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from l2a_ros.planning.costs import PUBLISHED, PathCost, plain_terms
from l2a_ros.planning.line_path import LinePath, Projection
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.robot.limits import STAND

SECOND = 1_000_000_000
#: The end of a path is reached within this distance of its last point, metres.
END_DISTANCE = 0.1
#: A robot that has missed the end is past it when it is so far beyond, along the last segment, metres: nearer it may
#: still turn round. Without this it would be driven away from the path until the time is up.
PAST_END = 0.3
#: A control period counts as overrun when it lasts longer than this many nominal ones.
OVERRUN = 1.5

_POSITION = STATE.indices(["position_x", "position_y"])
_YAW_COS, _YAW_SIN = STATE.index("yaw_cos"), STATE.index("yaw_sin")
_LEG_RATES = STATE.indices(["left_leg_velocity", "right_leg_velocity"])


def planar_pose(state: np.ndarray) -> tuple[np.ndarray, float]:
    """Return position ``(2,)`` in metres and yaw in rad of a state of shape ``(24,)``."""
    return state[_POSITION], math.atan2(state[_YAW_SIN], state[_YAW_COS])


@dataclass(frozen=True)
class TrialSettings:
    """What was asked for; goes into the report as it is.

    Args:
        path: name or file of the path shape.
        method: how the model adapts.
        planner: how the plan is made.
        terrain: name of the ground.
        faults: injected faults.
        seed: seed of the world and of the planner.
        checkpoint: name of the checkpoint.
        control_period: nominal control period, s.
        duration: time given, s.
        lockstep: whether the world waited for each command.
        weights: of the terms of the cost, by name. Only the published terms, of power 1 as published, whatever else
            the planner weighs: what a trial cost can then be compared with others.
    """

    path: str
    method: str
    planner: str
    terrain: str = ""
    faults: tuple[str, ...] = ()
    seed: int = 0
    checkpoint: str = ""
    control_period: float = 0.1
    duration: float = 20.0
    lockstep: bool = False
    weights: Mapping[str, float] = field(default_factory=lambda: dict(PUBLISHED))


@dataclass(frozen=True)
class Row:
    """One state of the trial and what belongs to it.

    Args:
        stamp: of the state, ns.
        elapsed: time since the first row, s.
        state: shape ``(24,)``, layout ``STATE``.
        command: the motor command that answered this state, shape ``(2,)``, rad/s; NaN when none was heard.
        segment: index of the path's segment.
        lateral_error: metres, left positive.
        progress: arc length along the path, metres.
        heading_error: robot minus segment, rad, in ``[-pi, pi]``.
        cost: of the step that ended here; NaN in the first row, which no step led to.
    """

    stamp: int
    elapsed: float
    state: np.ndarray
    command: np.ndarray
    segment: int
    lateral_error: float
    progress: float
    heading_error: float
    cost: float

    @property
    def position(self) -> np.ndarray:
        """Position ``(2,)``, metres."""
        return planar_pose(self.state)[0]

    @property
    def leg_rates(self) -> np.ndarray:
        """Measured leg rates, shape ``(2,)``, rad/s."""
        return self.state[_LEG_RATES]

    def metrics(self) -> dict[str, float]:
        """Return the row's numbers by the names they are published under."""
        return {"lateral_error_m": self.lateral_error, "progress_m": self.progress, "cost": self.cost,
                "elapsed_s": self.elapsed}


class TrialLog:
    """Collects the rows of a trial and knows when it is over.

    States may repeat and commands may come before their state or not at all: everything is joined on the stamp. A state
    that is not newer than the last one is ignored, and so is everything after the end.

    Args:
        path: the path in ``map``.
        settings: what was asked for.
    """

    def __init__(self, path: LinePath, settings: TrialSettings) -> None:
        self.path = path
        self.settings = settings
        self.completed = False
        #: The end was missed by more than it may be, and the robot is beyond it.
        self.passed = False
        self.timed_out = False
        self.metrics: dict[str, list[tuple[int, float]]] = {}
        self._cost = PathCost(path, plain_terms(settings.weights))
        self._rows: list[Row] = []
        self._commands: dict[int, np.ndarray] = {}
        self._projection: Projection | None = None

    @property
    def finished(self) -> bool:
        """Whether the end of the path was reached, or passed, or the time is up."""
        return self.completed or self.passed or self.timed_out

    @property
    def outcome(self) -> str:
        """How the trial ended by itself, in words; empty while it goes on."""
        if self.completed:
            return "end of path"
        if self.passed:
            return "passed the end"
        return "time is up" if self.timed_out else ""

    @property
    def answered(self) -> bool:
        """Whether the command that answers the last row was heard."""
        return bool(self._rows) and self._rows[-1].stamp in self._commands

    @property
    def last(self) -> Row | None:
        """The newest row (without its command)."""
        return self._rows[-1] if self._rows else None

    def rows(self) -> list[Row]:
        """Return all rows, each with the command that answered it."""
        nothing = np.full(2, np.nan)
        return [Row(row.stamp, row.elapsed, row.state, self._commands.get(row.stamp, nothing), row.segment,
                    row.lateral_error, row.progress, row.heading_error, row.cost) for row in self._rows]

    def add_state(self, stamp: int, state: np.ndarray) -> Row | None:
        """Take a state of shape ``(24,)``; return its row, or None if it was not new or the trial is over."""
        last = self.last
        if self.finished or (last is not None and stamp <= last.stamp):
            return None
        position = state[_POSITION]
        if self._projection is None or last is None:
            projection = self._cost.start(position)
            cost, elapsed = math.nan, 0.0
        else:
            projection = self._cost.advance(position, self._projection)
            cost, elapsed = self._step_cost(state, self._projection), (stamp - self._rows[0].stamp) / SECOND
        self._projection = projection
        row = Row(stamp=stamp, elapsed=elapsed, state=np.array(state, dtype=np.float64), command=np.full(2, np.nan),
                  segment=int(projection.segment[0]), lateral_error=float(projection.lateral_error[0]),
                  progress=float(projection.arc_length[0]),
                  heading_error=float(self.path.heading_error(projection.segment, state[_YAW_COS], state[_YAW_SIN])[0]),
                  cost=cost)
        self._rows.append(row)
        self.completed = (row.segment == self.path.segments - 1
                          and self.path.distance_to_end(position) <= END_DISTANCE)
        self.passed = not self.completed and bool(self.path.beyond_end(projection)[0] > PAST_END)
        # Half a period of slack: stamps in real time jitter, and a trial of 20 s has 200 steps, not 201.
        self.timed_out = (not (self.completed or self.passed)
                          and elapsed >= self.settings.duration - 0.5 * self.settings.control_period)
        return row

    def _step_cost(self, state: np.ndarray, before: Projection) -> float:
        """Return the cost of the step that led to a state ``(24,)``; ``+inf`` if it is not finite."""
        step = self._cost.at(before, STAND)
        step(state[np.newaxis, np.newaxis], np.zeros((1, 1, ACTION.size)))
        # Of the terms, not of the sum: that is infinite also for a state which is broken where no term looks.
        cost = sum(float(each[0]) for each in step.contributions.values())
        return cost if math.isfinite(cost) else math.inf

    def add_command(self, stamp: int, rates: np.ndarray) -> None:
        """Take a motor command of shape ``(2,)``, rad/s, that answers the state with this stamp."""
        self._commands.setdefault(stamp, np.array(rates, dtype=np.float64))

    def add_metrics(self, source: str, stamp: int, values: Mapping[str, float]) -> None:
        """Take the metrics that a node published; kept under ``source/element``."""
        for name, value in values.items():
            self.metrics.setdefault(f"{source}/{name}", []).append((stamp, float(value)))


class LoopTimes:
    """Statistics of the control loop from moments that the caller measured on one clock, in seconds.

    Args:
        control_period: nominal period, s.
    """

    def __init__(self, control_period: float) -> None:
        self.control_period = control_period
        self._states: dict[int, float] = {}
        self._commands: dict[int, float] = {}
        self._reported: dict[int, float] = {}
        self._overruns: tuple[float, float] | None = None

    @property
    def last_period(self) -> float:
        """The newest period, s; NaN before the second state."""
        arrivals = list(self._states.values())[-2:]
        return arrivals[1] - arrivals[0] if len(arrivals) == 2 else math.nan

    def state_arrived(self, stamp: int, moment: float) -> None:
        """Note when the state with this stamp arrived; repeated states keep their first arrival."""
        self._states.setdefault(stamp, moment)

    def command_arrived(self, stamp: int, moment: float) -> None:
        """Note when the command that answers the state with this stamp arrived."""
        self._commands.setdefault(stamp, moment)

    def planner_reported(self, stamp: int, values: Mapping[str, float]) -> None:
        """Take the planner's own ``state_to_command_s`` and cumulative ``overruns``, where it publishes them."""
        latency = values.get("state_to_command_s", math.nan)
        if math.isfinite(latency):
            self._reported[stamp] = latency
        overruns = values.get("overruns", math.nan)
        if math.isfinite(overruns):
            self._overruns = (overruns if self._overruns is None else self._overruns[0], overruns)

    def periods(self) -> np.ndarray:
        """Return the periods between the states, shape ``(n - 1,)``, s."""
        return np.diff(np.array(list(self._states.values())))

    def latencies(self) -> np.ndarray:
        """Return the times from state to command, s: the planner's own where reported, else as heard here."""
        if self._reported:
            return np.array([value for stamp, value in self._reported.items() if stamp in self._states])
        return np.array([max(0.0, moment - self._states[stamp]) for stamp, moment in self._commands.items()
                         if stamp in self._states])

    def overruns(self) -> int:
        """Return the number of periods that were too long, plus the overruns the planner reported meanwhile."""
        late = int(np.count_nonzero(self.periods() > OVERRUN * self.control_period))
        return late + (int(self._overruns[1] - self._overruns[0]) if self._overruns else 0)
