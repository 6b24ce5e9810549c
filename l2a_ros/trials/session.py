# SPDX-License-Identifier: Apache-2.0
"""A trial from first message to report, without ROS: what was heard, where the path lies, how it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.planning.line_path import LinePath
from l2a_ros.robot.continuity import has_begun_again
from l2a_ros.safety.motor_gate import NOT_READY
from l2a_ros.trials.log import SECOND, LoopTimes, Row, TrialLog, TrialSettings, planar_pose
from l2a_ros.trials.paths import PathShape, Shape
from l2a_ros.trials.report import build_report, write_trial
from l2a_ros.trials.room import NO_WALLS, Room
from l2a_ros.trials.script import Abandoned

ARMED, DISARMED, STOPPED = "armed", "disarmed", "stopped"
#: Before the start a state must be younger than this, or than three periods, seconds.
FRESH = 0.5


class Session:
    """Takes what the node hears, at moments (seconds, any clock) and with stamps (ns) given by the caller.

    Order of calls: ``lay_path`` once a state was heard, ``begin`` when the robot is armed, ``write`` at the end, and
    ``forget`` before the next trial.

    Args:
        shape: of the path; way-points ``(n, 2)``, m, are seen from the start pose.
        settings: what was asked for.
        room: that the path must stay in.
    """

    def __init__(self, shape: Shape | np.ndarray, settings: TrialSettings, room: Room = NO_WALLS) -> None:
        self.settings = settings
        self.log: TrialLog | None = None
        self._heard_armed = False
        self.times = LoopTimes(settings.control_period)
        #: Stamps of the newest state and command, ns, and of the newest tick of the world; -1 before the first.
        self.state_stamp = self.command_stamp = self.tick_stamp = -1
        #: When anything was last heard of the state, s.
        self.state_heard_at = -math.inf
        self._shape = PathShape(shape) if isinstance(shape, np.ndarray) else shape
        self._room = room
        self._state: np.ndarray | None = None
        self._path: LinePath | None = None
        self._begin_after = -1
        self._planner_values: dict[str, float] = {}
        self._gate: dict[str, str] = {}
        self._stops_before: int | None = None
        self._jump = ""

    def state_heard(self, stamp: int, state: np.ndarray, moment: float, loop_moment: float) -> Row | None:
        """Take a state; return its row if it is a new one of the running trial.

        Args:
            stamp: of the state, ns.
            state: shape ``(24,)``.
            moment: when it arrived, s, on the clock that timeouts run on.
            loop_moment: the same on the clock that the control loop runs on (simulated where time is simulated).
        """
        self.state_heard_at, self.tick_stamp = moment, stamp
        if has_begun_again(stamp, self.state_stamp):
            self.time_jumped(f"time jumped back by {(self.state_stamp - stamp) / SECOND:.3f} s")
        if stamp <= self.state_stamp:
            return None
        self.state_stamp, self._state = stamp, state
        row = self.log.add_state(stamp, state) if self.log is not None and not self._jump else None
        if row is not None:
            self.times.state_arrived(stamp, loop_moment)
        return row

    def no_state_heard(self, stamp: int) -> None:
        """Take note of a tick, ns, for which there is no state."""
        # On a topic of its own it may be seen after the state of the next tick.
        self.tick_stamp = max(self.tick_stamp, stamp)

    def time_jumped(self, what: str) -> None:
        """Take note that the clock or the stamps jumped: before the start nothing is lost, later all is.

        Args:
            what: happened, one line.
        """
        if self.log is None:
            self.state_stamp = self.command_stamp = -1
        elif not self.log.finished:
            self._jump = self._jump or f"{what}; was the simulation or the recording started again?"

    def pose_set(self) -> None:
        """Take note that somebody says where the robot is: a running trial has no way from one place to the other."""
        if self.log is not None and not self.log.finished:
            self._jump = self._jump or "the pose was set by hand (initialpose) while the robot walked"

    def command_heard(self, stamp: int, rates: np.ndarray, loop_moment: float) -> None:
        """Take a motor command of shape ``(2,)``, rad/s."""
        self.command_stamp = max(self.command_stamp, stamp)
        if self.log is not None and stamp > self._begin_after:
            self.log.add_command(stamp, rates)
            self.times.command_arrived(stamp, loop_moment)

    def metrics_heard(self, source: str, stamp: int, values: Mapping[str, float]) -> None:
        """Take the metrics of a node."""
        if source == "mpc":
            self._planner_values = dict(values)
            self.times.planner_reported(stamp, values)
        if self.log is not None and stamp > self._begin_after:
            self.log.add_metrics(source, stamp, values)

    def gate_heard(self, values: Mapping[str, str], message: str) -> None:
        """Take the state of the motor gate: ``safety_stops`` (cumulative) and ``state``."""
        self._gate = {**values, "message": message}
        # Before it is heard as armed in this trial, "disarmed" is old news.
        self._heard_armed = self._heard_armed or (self.log is not None and values.get("state") == ARMED)
        if self.log is not None and self._stops_before is None:
            # First heard in the middle of the trial: all stops were before it, unless this one holds now.
            self._stops_before = self._stops() - (self._gate.get("state") == STOPPED)

    def position(self, moment: float) -> np.ndarray:
        """Return where the robot is, ``(2,)``, m, at a moment of the clock of ``state_heard``.

        Raises:
            UserError: if that is not known.
        """
        if self._state is None or (not self.settings.lockstep and "robot_state" in self.silent(moment)):
            raise UserError("it is not known where the robot is: there is no fresh robot_state")
        return planar_pose(self._state)[0]

    def lay_path(self) -> LinePath:
        """Lay the path for the robot as it stands now.

        Raises:
            RuntimeError: if no state was heard.
            UserError: if the path leaves the room, or is none from there.
        """
        if self._state is None:
            raise RuntimeError("the path is laid at the robot's pose: a state must come first")
        path = LinePath(self._shape.laid(*planar_pose(self._state)))
        self._room.check_path(path.points)
        self._path = path
        return path

    def begin(self, moment: float) -> TrialLog:
        """Begin: the first row is the next new state.

        Raises:
            RuntimeError: if the path was not laid.
        """
        if self._path is None:
            raise RuntimeError("lay the path before the trial begins")
        self.state_heard_at = moment
        self._begin_after = self.state_stamp
        self._stops_before = self._stops() if self._gate else None
        self.times = LoopTimes(self.settings.control_period)
        self.times.planner_reported(-1, self._planner_values)
        self.log = TrialLog(self._path, self.settings)
        return self.log

    @property
    def safety_stops(self) -> int:
        """How often the motor gate stopped the robot since the trial began."""
        return 0 if self._stops_before is None else max(0, self._stops() - self._stops_before)

    @property
    def not_ready(self) -> str:
        """What keeps the robot from being armed, by its own word; empty if nothing does, or if it does not tell."""
        return self._gate.get(NOT_READY, "")

    @property
    def outcome(self) -> str:
        """How the trial ended by itself; empty if it did not."""
        return "" if self.log is None else self.log.outcome

    def silent(self, moment: float) -> list[str]:
        """Name the topics that were not heard, or not lately, at a moment of the clock of ``state_heard``."""
        age = moment - self.state_heard_at
        missing = ["robot_state"] if age > max(FRESH, 3 * self.settings.control_period) else []
        return missing + (["motor_commands"] if self.command_stamp < 0 else [])

    def check(self, moment: float, patience: float) -> None:
        """Check that the trial can go on.

        Args:
            moment: now, s, on the clock of ``state_heard``.
            patience: longest time without a state, s.

        Raises:
            Abandoned: if time jumped, the robot was stopped or its state stays away.
        """
        if self._jump:
            raise Abandoned(self._jump)
        if self.safety_stops > 0:
            raise Abandoned(f"the robot was stopped: {self._gate.get('message') or 'motor gate'}")
        if self._heard_armed and self._gate.get("state") == DISARMED:
            raise Abandoned("the robot was disarmed by somebody else")
        if moment - self.state_heard_at > patience:
            raise Abandoned(f"no robot_state for {patience:g} s; is state_estimator or the robot gone?")

    def write(self, folder: Path, ended: str, more: Mapping[str, Any] | None = None,
              pictures: bool = True) -> tuple[dict[str, Any], list[Path]] | None:
        """Write the files of the trial; return the report and their paths, or None if there is no row.

        Args:
            folder: for them.
            ended: why the trial ended, a few words.
            more: further entries of the report.
            pictures: whether to draw the trial.

        Raises:
            UserError: if the folder cannot be written.
        """
        if self.log is None or self.log.last is None:
            return None
        report = {**build_report(self.log, self.times, self.safety_stops, ended), **(more or {})}
        return report, write_trial(folder, self.log, report, pictures)

    def forget(self) -> None:
        """Forget the trial that is over, not what was heard of the robot."""
        self.log = self._path = self._stops_before = None
        self._heard_armed, self._jump = False, ""

    def _stops(self) -> int:
        try:
            return int(self._gate.get("safety_stops") or 0)
        except ValueError:
            return 0
