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
from l2a_ros.safety.monitors import BatteryMonitor, Geofence, LinkWatchdog, StallMonitor, TiltMonitor
from l2a_ros.safety.motor_gate import GateState, MotorGate
from l2a_ros.safety.readiness import Readiness
from l2a_ros.safety.stop_check import StopCheck

SECOND = 1_000_000_000
MS = 1_000_000
START = 10**12
STATE = {"position_x": 0.0, "position_y": 0.0, "roll_sin": 0.0, "roll_cos": 1.0, "pitch_sin": 0.0, "pitch_cos": 1.0}
REST, MOVING, DRIVEN = np.zeros(2), np.array([20.0, 20.0]), np.array([0.5, 0.5])
#: s that the link may be silent, and a state old.
SILENCE, AGE = 0.25, 0.5
SILENT = "nothing heard for 0.25 s (limit 0.25 s)"
WAITING = "waiting for the legs to be at rest and the motors off"


def at(seconds: float) -> int:
    """Return a moment so long after the start, to the nanosecond."""
    return START + round(seconds * SECOND)


class Robot:
    """A gate and its guard; ``inputs`` must be live, and what is wrong counts once it lasts, s."""

    def __init__(self, inputs: tuple[str, ...] = ("robot_state",), lasting: float = 0.0) -> None:
        self.gate = MotorGate(LegRateLimits(), 0.3)
        self.guard = RobotGuard(self.gate, Monitors(
            Geofence(-1.0, 2.0, -3.0, 4.0), TiltMonitor(1.05, lasting), BatteryMonitor(3.3, lasting),
            StallMonitor(lasting), LinkWatchdog(SILENCE), StopCheck(0.5), Readiness(dict.fromkeys(inputs, AGE))))

    def ready(self, now: int = START) -> Robot:
        """Let everything be well, and the robot be seen to stand."""
        self.guard.heard("robot_state", now)
        self.guard.state_heard(STATE, now)
        self.guard.battery_heard(4.0, now)
        self.guard.measured(REST, REST, now)
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
     "the right leg or its encoder is stuck: 0.0 rad/s at 100 % duty, for 0.00 s"),
    ("stall", lambda guard: guard.measured(np.array([0.5, 30.0]), np.array([-0.95, 0.5]), START),
     "the left leg or its encoder is stuck: 0.5 rad/s at -95 % duty, for 0.00 s")]
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


@pytest.mark.parametrize(("happen", "reason"), [
    (lambda guard, now: guard.state_heard(STATE | {"roll_cos": -1.0}, now),
     "the body leans 3.14 rad (limit 1.05 rad), for 0.20 s"),
    (lambda guard, now: guard.battery_heard(3.2, now), "the battery is low: 3.20 V (limit 3.30 V), for 0.20 s"),
    (lambda guard, now: guard.measured(REST, np.array([1.0, 0.0]), now),
     "the left leg or its encoder is stuck: 0.0 rad/s at 100 % duty, for 0.20 s")])
def test_what_may_be_wrong_for_a_moment_stops_once_it_lasts(
        happen: Callable[[RobotGuard, int], None], reason: str) -> None:
    robot = Robot(lasting=0.2).armed()
    for now in (START, at(0.2) - 1):
        happen(robot.guard, now)
        assert robot.gate.state is GateState.ARMED
        assert robot.guard.problems() == {}
    happen(robot.guard, at(0.2))
    assert (robot.gate.state, robot.gate.reason) == (GateState.STOPPED, reason)


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
    robot.guard.measured(REST, REST, START + SECOND)
    assert robot.guard.may_arm(START + SECOND, "") == "robot_state is 1.0 s old"
    robot.guard.measured(np.array([20.0, 0.0]), np.array([0.5, 0.0]), START + SECOND)
    robot.guard.battery_heard(3.2, START + SECOND)
    assert robot.guard.may_arm(START + SECOND, "") == (
        "robot_state is 1.0 s old; the battery is low: 3.20 V (limit 3.30 V), for 0.00 s; "
        "the legs turn again after a verified stop: left 20.0 rad/s")


def test_silence_stops_an_armed_robot() -> None:
    robot = Robot().armed()
    robot.guard.check(at(SILENCE), "")
    assert robot.gate.state is GateState.ARMED, "silence of exactly so long is allowed"
    robot.guard.check(at(SILENCE) + 1, "")
    assert (robot.gate.state, robot.gate.reason) == (GateState.STOPPED, f"link lost: {SILENT}")
    assert robot.gate.output(START).tolist() == [0.0, 0.0]
    robot.guard.check(at(9.0), "port x is gone")
    assert robot.gate.reason == f"link lost: {SILENT}", "the first reason is the one that counts"
    robot.guard.measured(REST, REST, at(9.0))
    robot.guard.check(at(9.0), "")
    assert robot.gate.state is GateState.STOPPED, "a link that is back releases nothing"
    assert robot.gate.counters.safety_stops == 1


def test_silence_keeps_a_robot_from_being_armed_and_latches_nothing() -> None:
    robot = Robot().ready()
    silent = at(SILENCE) + 1
    robot.guard.check(silent, "")
    assert robot.gate.state is GateState.DISARMED
    assert robot.gate.counters.safety_stops == 0
    assert robot.guard.may_arm(silent, "") == SILENT
    robot.guard.measured(REST, REST, silent)
    assert robot.guard.may_arm(silent, "") == "", "there is nothing to reset"


def test_a_link_that_comes_and_goes_stops_nothing_while_it_is_heard_in_time() -> None:
    robot = Robot().armed()
    for step in range(20):
        robot.guard.check(at(step * SILENCE), "")
        robot.guard.measured(MOVING, DRIVEN, at(step * SILENCE))
    assert robot.gate.state is GateState.ARMED


def test_a_missing_connection_explains_the_silence() -> None:
    guard = Robot().guard
    assert guard.link_problem(START, "") == "nothing heard yet"
    assert guard.link_problem(START, "port x is gone") == "port x is gone"
    guard.measured(REST, REST, START)
    assert guard.link_problem(at(SILENCE), "") == ""
    assert guard.link_problem(at(SILENCE), "port x is gone") == "port x is gone"
    assert guard.link_problem(at(SILENCE) + 1, "") == SILENT
    assert guard.link_problem(at(SILENCE) + 1, "port x is gone") == "port x is gone"


@pytest.mark.parametrize(("rates", "duty"), [(REST, REST), (MOVING, None), (None, None)])
def test_whatever_the_robot_measured_was_heard(rates: np.ndarray | None, duty: np.ndarray | None) -> None:
    guard = Robot().guard
    guard.measured(rates, duty, START)
    assert guard.link_problem(START, "") == ""


def test_what_others_say_is_no_sign_of_the_robot() -> None:
    guard = Robot().guard
    guard.heard("robot_state", START)
    guard.state_heard(STATE, START)
    guard.robot_restarted()
    guard.link_lost("port x is gone")
    guard.check(START, "")
    assert guard.link_problem(START, "") == "nothing heard yet"


# Blindness -----------------------------------------------------------------------------------------------------------


def test_a_guard_is_blind_while_an_input_is_not_live() -> None:
    robot = Robot(("robot_state", "motor_commands"))
    assert robot.guard.is_blind(START)
    robot.guard.heard("robot_state", START)
    assert robot.guard.is_blind(START), "one of two"
    robot.guard.heard("motor_commands", at(0.1))
    assert not robot.guard.is_blind(at(0.1))
    assert not robot.guard.is_blind(at(AGE))
    assert robot.guard.is_blind(at(AGE) + 1)
    robot.guard.heard("robot_state", at(AGE) + 1)
    assert not robot.guard.is_blind(at(AGE) + 1), "it sees again"


def test_a_guard_that_needs_no_input_is_never_blind() -> None:
    assert not Robot(()).guard.is_blind(START)


def test_blindness_latches_nothing_and_is_no_silence() -> None:
    robot = Robot().armed()
    robot.guard.measured(MOVING, DRIVEN, at(2 * AGE))
    robot.guard.check(at(2 * AGE), "")
    assert robot.guard.is_blind(at(2 * AGE))
    assert robot.gate.state is GateState.ARMED
    assert robot.guard.link_problem(at(2 * AGE), "") == ""
    robot = Robot().ready()
    robot.guard.heard("robot_state", at(2 * AGE))
    assert robot.guard.link_problem(at(2 * AGE), "") != ""
    assert not robot.guard.is_blind(at(2 * AGE)), "a silent link blinds nobody"


# Stops ---------------------------------------------------------------------------------------------------------------


def test_a_robot_that_was_never_armed_has_to_be_seen_to_stand_too() -> None:
    """Its firmware has no watchdog of its own: it may still do what another program said."""
    robot = Robot()
    assert not robot.guard.is_stop_verified
    robot.guard.measured(MOVING, DRIVEN, START)
    robot.guard.check(START, "")
    robot.guard.measured(MOVING, DRIVEN, START + SECOND)
    assert "the legs still turn" in robot.guard.stop_problem(START + SECOND)
    assert "the legs still turn" in robot.guard.may_arm(START + SECOND, "")
    for _ in range(2):
        robot.guard.measured(REST, REST, START)
    assert robot.guard.is_stop_verified
    assert robot.guard.stop_problem(START + SECOND) == ""


def test_before_anything_was_heard_there_is_nobody_to_be_seen() -> None:
    robot = Robot()
    assert robot.guard.may_arm(START, "") == "nothing heard yet; no robot_state yet"
    for connection_problem in ("port x is gone", ""):
        robot.guard.check(START, connection_problem)
        assert robot.guard.stop_problem(at(9.0)) == "", "the patience with a stop has not begun"
        assert robot.guard.describe_stop(at(9.0)) == "no stop in force"
    robot.guard.heard("robot_state", at(9.0))
    robot.guard.measured(REST, REST, at(9.0))
    robot.guard.check(at(9.0), "")
    assert robot.guard.may_arm(at(9.0), "") == WAITING
    for _ in range(2):
        assert robot.guard.may_arm(at(9.0), "") == WAITING, "the record from before the stop does not count"
        robot.guard.measured(REST, REST, at(9.0))
    assert robot.guard.may_arm(at(9.0), "") == ""


def test_a_link_that_was_lost_while_armed_leaves_a_stop_to_be_verified() -> None:
    """The robot may walk on: its stop may have been lost too."""
    robot = Robot().armed()
    robot.guard.link_lost("port x is gone")
    robot.guard.check(START, "port x is gone")
    assert robot.guard.stop_problem(at(1.0)) == "no telemetry since the stop: not verified"
    robot.gate.reset_stop()
    assert robot.guard.may_arm(at(0.1), "port x is gone") == "port x is gone", "the stop follows from that"
    for moment in (0.7, 0.8):
        robot.guard.measured(MOVING, DRIVEN, at(moment))
        robot.guard.heard("robot_state", at(moment))
        assert robot.guard.may_arm(at(moment), "") == robot.guard.stop_problem(at(moment)) == (
            f"the legs still turn {moment} s after the stop: left 20.0 rad/s, right 20.0 rad/s")


def test_it_is_not_armed_before_its_stop_was_seen() -> None:
    robot = Robot().armed()
    robot.guard.measured(MOVING, DRIVEN, START)
    robot.gate.disarm()
    robot.guard.check(START, "")
    robot.guard.measured(MOVING, DRIVEN, START)
    assert robot.guard.may_arm(START, "") == WAITING, "within the patience too"
    robot.guard.measured(REST, REST, START)
    assert robot.guard.may_arm(START, "") == WAITING, "once is not enough"
    robot.guard.measured(REST, REST, START)
    assert robot.guard.may_arm(START, "") == ""
    robot.guard.measured(REST, DRIVEN, START)
    assert robot.guard.may_arm(START, "") == (
        "the motors are on again after a verified stop: left 50.0 %, right 50.0 %")


def test_a_stop_that_nobody_has_looked_at_yet_is_waited_for_too() -> None:
    robot = Robot().armed()
    assert robot.guard.may_arm(START, "") == "", "while armed there is no stop to wait for"
    robot.gate.disarm()
    assert robot.guard.may_arm(START, "") == WAITING
    robot.guard.check(at(0.1), "")
    assert robot.guard.stop_problem(at(0.5)) == ""
    assert robot.guard.stop_problem(at(0.5) + 1) != "", "the patience began with the question"
    for _ in range(2):
        robot.guard.measured(REST, REST, at(0.1))
    assert robot.guard.may_arm(at(0.1), "") == ""
    robot.gate.arm()
    assert robot.guard.may_arm(at(0.1), "") == ""


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
    robot.guard.measured(MOVING, DRIVEN, START + 10 * MS)
    for step in (20, 30):
        assert not robot.guard.is_stop_verified
        robot.guard.measured(REST, REST, START + step * MS)
    assert robot.guard.is_stop_verified
    assert robot.guard.stop_problem(START + SECOND) == ""
    assert robot.guard.describe_stop(START + SECOND) == "verified: the robot stands"


def test_a_stop_is_over_once_the_robot_is_armed() -> None:
    robot = Robot().armed()
    robot.guard.measured(MOVING, DRIVEN, START + SECOND)
    robot.guard.check(START + SECOND, "")
    robot.guard.measured(MOVING, DRIVEN, START + SECOND)
    assert robot.guard.stop_problem(START + 9 * SECOND) == ""


def test_patience_starts_with_the_stop() -> None:
    robot = Robot().armed()
    robot.guard.measured(MOVING, DRIVEN, START + 10 * SECOND)
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
