# SPDX-License-Identifier: Apache-2.0
"""The guard of a real robot: what stops it, what keeps it from being armed, and what is said about it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from l2a_ros.robot.limits import LegRateLimits
from l2a_ros.safety.guard import Monitors, RobotGuard
from l2a_ros.safety.monitors import BatteryMonitor, Geofence, StallMonitor, TiltMonitor
from l2a_ros.safety.motor_gate import GateState, MotorGate
from l2a_ros.safety.readiness import Readiness
from l2a_ros.safety.stop_check import StopCheck

SECOND = 1_000_000_000
MS = 1_000_000
START = 10**12
STATE = {"position_x": 0.0, "position_y": 0.0, "roll_sin": 0.0, "roll_cos": 1.0, "pitch_sin": 0.0, "pitch_cos": 1.0}
REST, MOVING = np.zeros(2), np.array([20.0, 20.0])


class Robot:
    """A gate and its guard."""

    def __init__(self) -> None:
        self.gate = MotorGate(LegRateLimits(), 0.3)
        self.guard = RobotGuard(self.gate, Monitors(
            Geofence(-1.0, 2.0, -3.0, 4.0), TiltMonitor(1.05, 0.0), BatteryMonitor(3.3, 0.0), StallMonitor(0.0),
            StopCheck(0.5), Readiness({"robot_state": 0.5})))

    def ready(self, now: int = START) -> Robot:
        """Let everything be well, and the robot be seen to stand."""
        self.guard.heard("robot_state", now)
        self.guard.state_heard(STATE, now)
        self.guard.battery_heard(4.0, now)
        self.guard.check(now, "")
        for _ in range(2):
            self.guard.measured(REST, REST, now)
        return self

    def armed(self, now: int = START) -> Robot:
        """Arm it, and let it walk."""
        self.ready(now)
        assert self.guard.may_arm(now, "") == ""
        self.gate.arm()
        self.guard.check(now, "")
        assert self.gate.offer(MOVING, now, now)
        return self


PROBLEMS: list[tuple[str, Callable[[RobotGuard], None], str]] = [
    ("geofence", lambda guard: guard.state_heard(STATE | {"position_x": 2.5}, START),
     "outside the geofence: x = 2.50 m (limit 2.00 m)"),
    ("geofence", lambda guard: guard.state_heard(STATE | {"position_y": -3.5}, START),
     "outside the geofence: y = -3.50 m (limit -3.00 m)"),
    ("tilt", lambda guard: guard.state_heard(STATE | {"roll_sin": math.sin(1.2), "roll_cos": math.cos(1.2)}, START),
     "the body leans 1.20 rad (limit 1.05 rad), for 0.00 s"),
    ("tilt", lambda guard: guard.state_heard(STATE | {"pitch_sin": math.sin(2.9), "pitch_cos": math.cos(2.9)}, START),
     "the body leans 2.90 rad (limit 1.05 rad), for 0.00 s"),
    ("tilt", lambda guard: guard.state_heard(STATE | {"roll_sin": math.nan}, START),
     "the attitude is not finite: roll = nan rad, pitch = 0 rad"),
    ("geofence", lambda guard: guard.state_heard(STATE | {"position_x": math.nan}, START),
     "the position is not finite: x = nan m, y = 0 m"),
    ("battery", lambda guard: guard.battery_heard(3.2, START), "the battery is low: 3.20 V (limit 3.30 V), for 0.00 s"),
    ("stall", lambda guard: guard.measured(np.array([30.0, 0.0]), np.array([0.5, 1.0]), START),
     "the right leg or its encoder is stuck: 0.0 rad/s at 100 % duty, for 0.00 s")]
IDS = [f"{what}{i}" for i, (what, _, _) in enumerate(PROBLEMS)]


@pytest.mark.parametrize(("what", "happen", "reason"), PROBLEMS, ids=IDS)
def test_a_problem_stops_an_armed_robot(what: str, happen: Callable[[RobotGuard], None], reason: str) -> None:
    robot = Robot().armed()
    assert robot.gate.output(START).tolist() == MOVING.tolist()
    happen(robot.guard)
    assert (robot.gate.state, robot.gate.reason) == (GateState.STOPPED, reason)
    assert robot.gate.output(START).tolist() == [0.0, 0.0]
    assert robot.guard.problems() == {what: reason}


@pytest.mark.parametrize(("what", "happen", "reason"), PROBLEMS, ids=IDS)
def test_a_problem_keeps_a_robot_from_being_armed(
        what: str, happen: Callable[[RobotGuard], None], reason: str) -> None:
    robot = Robot().ready()
    happen(robot.guard)
    assert robot.gate.state is GateState.DISARMED, "nothing latches that did not stop anything"
    assert robot.gate.counters.safety_stops == 0
    assert reason in robot.guard.may_arm(START, "").split("; ")
    robot.ready()
    assert robot.guard.problems() == {}
    assert robot.guard.may_arm(START, "") == "", f"the {what} is well again"


def test_a_problem_that_passed_leaves_the_stop_latched() -> None:
    robot = Robot().armed()
    robot.guard.battery_heard(3.0, START)
    robot.guard.battery_heard(4.0, START)
    assert robot.gate.state is GateState.STOPPED
    assert robot.guard.problems() == {}


def test_states_and_measures_that_are_well_change_nothing() -> None:
    robot = Robot().armed()
    for step in range(100):
        now = START + step * 20 * MS
        robot.guard.heard("robot_state", now)
        robot.guard.state_heard(STATE | {"position_x": 1.9, "roll_sin": 0.5, "roll_cos": 0.87}, now)
        robot.guard.battery_heard(3.4, now)
        robot.guard.measured(MOVING, np.array([0.95, 0.5]), now)
        robot.guard.check(now, "")
    assert robot.gate.state is GateState.ARMED


# The link ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("happen", "reason"), [
    (lambda guard: guard.check(START, "no telemetry for 0.41 s"), "link lost: no telemetry for 0.41 s"),
    (lambda guard: guard.link_lost("port x is gone"), "link lost: port x is gone"),
    (lambda guard: guard.robot_restarted(), "the robot has restarted")])
def test_a_link_that_fails_stops_an_armed_robot(happen: Callable[[RobotGuard], None], reason: str) -> None:
    robot = Robot().armed()
    happen(robot.guard)
    assert (robot.gate.state, robot.gate.reason) == (GateState.STOPPED, reason)
    idle = Robot().ready()
    happen(idle.guard)
    assert idle.gate.state is GateState.DISARMED
    assert idle.gate.counters.safety_stops == 0


def test_what_keeps_it_from_being_armed_is_said_all_at_once() -> None:
    robot = Robot()
    robot.guard.battery_heard(3.2, START)
    assert robot.guard.may_arm(START, "no link") == (
        "no link; no robot_state yet; the battery is low: 3.20 V (limit 3.30 V), for 0.00 s")
    robot.ready()
    assert robot.guard.may_arm(START + SECOND, "") == "robot_state is 1.0 s old"


# Stops ---------------------------------------------------------------------------------------------------------------


def test_a_robot_that_was_never_armed_has_to_be_seen_to_stand_too() -> None:
    """Its firmware has no watchdog of its own: it may still do what another program said."""
    robot = Robot()
    assert not robot.guard.is_stop_verified
    robot.guard.check(START, "")
    robot.guard.measured(MOVING, np.array([0.5, 0.5]), START)
    assert "the legs still turn" in robot.guard.stop_problem(START + SECOND)
    assert "the legs still turn" in robot.guard.may_arm(START + SECOND, "")
    for _ in range(2):
        robot.guard.measured(REST, REST, START)
    assert robot.guard.is_stop_verified
    assert robot.guard.stop_problem(START + SECOND) == ""


HALTS: list[Callable[[Robot], object]] = [
    lambda robot: robot.gate.disarm(), lambda robot: robot.gate.stop("estop topic"),
    lambda robot: robot.guard.battery_heard(3.0, START)]


@pytest.mark.parametrize("halt", HALTS, ids=["disarm", "stop", "battery"])
def test_a_stop_is_verified(halt: Callable[[Robot], object]) -> None:
    robot = Robot().armed()
    assert not robot.guard.is_stop_verified
    halt(robot)
    assert not robot.guard.is_stop_verified, "even before anybody has looked"
    robot.guard.check(START, "")
    assert robot.guard.stop_problem(START + SECOND // 2) == ""
    assert robot.guard.describe_stop(START).startswith("waiting for the legs")
    assert robot.guard.stop_problem(START + SECOND) == "no telemetry since the stop: not verified"
    robot.guard.measured(MOVING, np.array([0.5, 0.5]), START + 10 * MS)
    for step in (20, 30):
        assert not robot.guard.is_stop_verified
        robot.guard.measured(REST, REST, START + step * MS)
    assert robot.guard.is_stop_verified
    assert robot.guard.stop_problem(START + SECOND) == ""
    assert robot.guard.describe_stop(START + SECOND) == "verified: the robot stands"


def test_a_stop_is_over_once_the_robot_is_armed() -> None:
    robot = Robot().armed()
    robot.guard.check(START + SECOND, "")
    robot.guard.measured(MOVING, np.array([0.5, 0.5]), START + SECOND)
    assert robot.guard.stop_problem(START + 9 * SECOND) == ""


def test_patience_starts_with_the_stop() -> None:
    robot = Robot().armed()
    robot.guard.check(START + 10 * SECOND, "")
    robot.gate.disarm()
    for step in range(5):
        robot.guard.check(START + 10 * SECOND + step * 100 * MS, "")
    assert robot.guard.stop_problem(START + 10 * SECOND + 500 * MS) == ""
    assert robot.guard.stop_problem(START + 10 * SECOND + 500 * MS + 1) != ""


def test_a_robot_that_tells_only_what_its_legs_do() -> None:
    robot = Robot().armed()
    robot.gate.disarm()
    robot.guard.check(START, "")
    robot.guard.measured(None, None, START)
    assert robot.guard.stop_problem(START + SECOND) == "no telemetry since the stop: not verified"
    for _ in range(2):
        robot.guard.measured(REST, None, START)
    assert robot.guard.is_stop_verified
    assert robot.guard.problems() == {}


def test_any_number_of_problems_in_any_order_is_one_stop() -> None:
    for order in itertools.permutations(PROBLEMS[::3]):
        robot = Robot().armed()
        for _, happen, _ in order:
            happen(robot.guard)
        assert robot.gate.reason == order[0][2]
        assert robot.gate.counters.safety_stops == 1
