# SPDX-License-Identifier: Apache-2.0
"""Watches everything about a real robot that must stop it, and says what keeps it from being armed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from l2a_ros.safety.monitors import BatteryMonitor, Geofence, LinkWatchdog, StallMonitor, TiltMonitor
from l2a_ros.safety.motor_gate import GateState, MotorGate
from l2a_ros.safety.readiness import Readiness
from l2a_ros.safety.stop_check import StopCheck


@dataclass
class Monitors:
    """What is watched, each by its own object."""

    geofence: Geofence
    tilt: TiltMonitor
    battery: BatteryMonitor
    stall: StallMonitor
    link: LinkWatchdog
    stop: StopCheck
    inputs: Readiness


class RobotGuard:
    """Stops a motor gate for as long as something is wrong; times are ns of one monotonic clock.

    While armed, a problem latches a stop; while disarmed, it keeps the robot from being armed.

    Args:
        gate: in front of the motors.
        monitors: what is watched.
    """

    def __init__(self, gate: MotorGate, monitors: Monitors) -> None:
        self._gate, self._monitors = gate, monitors
        self._problems: dict[str, str | None] = {}
        self._was_armed = False

    # What is heard ---------------------------------------------------------------------------------------------------

    def heard(self, name: str, now: int) -> None:
        """Take note of a message on an input that must be live."""
        self._monitors.inputs.heard(name, now)

    def state_heard(self, state: Mapping[str, float], now: int) -> None:
        """Take the elements of a state estimate by name."""
        roll = math.atan2(state["roll_sin"], state["roll_cos"])
        pitch = math.atan2(state["pitch_sin"], state["pitch_cos"])
        self._take("geofence", self._monitors.geofence.check(state["position_x"], state["position_y"]))
        self._take("tilt", self._monitors.tilt.check(roll, pitch, now))

    def battery_heard(self, voltage: float, now: int) -> None:
        """Take the battery's voltage, V."""
        self._take("battery", self._monitors.battery.check(voltage, now))

    def measured(self, rates: np.ndarray | None, duty: np.ndarray | None, now: int) -> None:
        """Take what the robot measured: leg rates ``(2,)`` in rad/s and duty ``(2,)`` as a fraction of full.

        None is what it cannot tell.
        """
        self._monitors.link.heard(now)
        if rates is not None:
            self._monitors.stop.observe(rates, duty, now)
            if duty is not None:
                self._take("stall", self._monitors.stall.check(rates, duty, now))

    def robot_restarted(self) -> None:
        """Take note that the robot has begun again: what it was told is lost."""
        if self._gate.state is GateState.ARMED:
            self._gate.stop("the robot has restarted")

    def link_lost(self, problem: str) -> None:
        """Take note that the connection to the robot is gone."""
        if self._gate.state is GateState.ARMED:
            self._gate.stop(f"link lost: {problem}")

    def _take(self, what: str, problem: str | None) -> None:
        self._problems[what] = problem
        if problem is not None and self._gate.state is GateState.ARMED:
            self._gate.stop(problem)

    # What follows ----------------------------------------------------------------------------------------------------

    def link_problem(self, now: int, connection_problem: str) -> str:
        """Say why the robot cannot be commanded: there is no connection, or nothing comes over it. Empty if it can."""
        return connection_problem or self._monitors.link.check(now) or ""

    def is_blind(self, now: int) -> bool:
        """Whether an input that must be live is not: nobody sees then where the robot goes, so it stands meanwhile."""
        return bool(self._monitors.inputs.missing(now))

    def check(self, now: int, connection_problem: str) -> None:
        """Look at what may have changed since: the link, and whether the robot has to stand now."""
        link_problem = self.link_problem(now, connection_problem)
        if link_problem and self._gate.state is GateState.ARMED:
            self._gate.stop(f"link lost: {link_problem}")
        is_armed = self._gate.state is GateState.ARMED
        if is_armed:
            self._monitors.stop.end()
        elif self._was_armed or not link_problem:
            # Before the first connection there is nothing to stop, and nobody who could be seen to stand.
            self._monitors.stop.begin(now)
        self._was_armed = is_armed

    @property
    def is_stop_verified(self) -> bool:
        """Whether the robot was seen to stand since it was stopped."""
        return self._monitors.stop.is_verified

    def stop_problem(self, now: int) -> str:
        """Say why a stop cannot be verified; empty while it can, or is under way."""
        return self._monitors.stop.problem(now)

    def describe_stop(self, now: int) -> str:
        """Return one line about the stop that is in force, or that there is none."""
        return self._monitors.stop.describe(now)

    def problems(self) -> dict[str, str]:
        """Return what is wrong now, by what is watched."""
        return {what: problem for what, problem in self._problems.items() if problem is not None}

    def may_arm(self, now: int, connection_problem: str) -> str:
        """Say what keeps the robot from being armed, a stop that was not seen yet among it; empty if nothing does."""
        link_problem = self.link_problem(now, connection_problem)
        reasons = [link_problem] if link_problem else []
        reasons += [*self._monitors.inputs.missing(now), *self.problems().values()]
        if self._gate.state is not GateState.ARMED and not self.is_stop_verified and not link_problem:
            self._monitors.stop.begin(now)  # nobody may have looked since it was disarmed
            reasons.append(self.describe_stop(now))
        return "; ".join(reasons)
