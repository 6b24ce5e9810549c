# SPDX-License-Identifier: Apache-2.0
"""The guard of a real robot: whatever is wrong stops it while it is armed, and keeps it from being armed else."""

from __future__ import annotations

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
NOW = 50 * SECOND
REST = np.zeros(2)
WALK = np.array([30.0, 30.0])
HERE = {"position_x": 0.0, "position_y": 0.0, "roll_cos": 1.0, "roll_sin": 0.0, "pitch_cos": 1.0, "pitch_sin": 0.0}


def make() -> tuple[MotorGate, RobotGuard]:
    gate = MotorGate(LegRateLimits(), 0.3)
    return gate, RobotGuard(gate, Monitors(
        Geofence(-1.0, 1.0, -1.0, 1.0), TiltMonitor(1.0, 0.3), BatteryMonitor(3.3, 1.0), StallMonitor(1.0),
        StopCheck(0.5), Readiness({"robot_state": 0.5})))


def settle(guard: RobotGuard, now: int = NOW) -> None:
    """Let everything be in order."""
    guard.check(now, "")
    for i in range(3):
        guard.measured(REST, REST, now + i)
    guard.heard("robot_state", now)
    guard.state_heard(HERE, now)
    guard.battery_heard(4.0, now)


def fallen(guard: RobotGuard, now: int) -> None:
    for moment in (now, now + SECOND):
        guard.state_heard({**HERE, "roll_cos": -1.0}, moment)


def empty(guard: RobotGuard, now: int) -> None:
    for moment in (now, now + 2 * SECOND):
        guard.battery_heard(3.0, moment)


def stalled(guard: RobotGuard, now: int) -> None:
    for moment in (now, now + 2 * SECOND):
        guard.measured(REST, np.array([0.95, 0.0]), moment)


WRONG: dict[str, tuple[Callable[[RobotGuard, int], None], str]] = {
    "geofence": (lambda guard, now: guard.state_heard({**HERE, "position_x": 1.5}, now), "geofence: x = 1.50 m"),
    "no number": (lambda guard, now: guard.state_heard({**HERE, "position_y": float("nan")}, now), "not finite"),
    "tilt": (fallen, "leans"),
    "battery": (empty, "battery is low: 3.00 V"),
    "stall": (stalled, "left leg or its encoder is stuck"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_stops_an_armed_robot_and_keeps_another_from_being_armed(what: str) -> None:
    act, words = WRONG[what]
    gate, guard = make()
    settle(guard)
    assert guard.may_arm(NOW, "") == ""
    gate.arm()
    guard.check(NOW, "")
    act(guard, NOW + 1)
    assert gate.state is GateState.STOPPED
    assert words in gate.reason
    assert gate.counters.safety_stops == 1

    gate, guard = make()
    settle(guard)
    act(guard, NOW)
    assert gate.state is GateState.DISARMED, "there is nothing to stop, and nothing to release"
    assert words in guard.may_arm(NOW, "")
    assert guard.problems()
    settle(guard)
    assert guard.may_arm(NOW, "") == "", "what is over is over"


@pytest.mark.parametrize(("act", "words"), [
    (lambda guard: guard.check(NOW, "no telemetry for 0.50 s"), "link lost: no telemetry for 0.50 s"),
    (lambda guard: guard.link_lost("port was unplugged"), "link lost: port was unplugged"),
    (lambda guard: guard.robot_restarted(), "restarted")])
def test_a_link_that_is_lost_stops_an_armed_robot_alone(act: Callable[[RobotGuard], None], words: str) -> None:
    gate, guard = make()
    act(guard)
    assert gate.state is GateState.DISARMED
    gate.arm()
    act(guard)
    assert gate.state is GateState.STOPPED
    assert words in gate.reason


def test_it_may_be_armed_once_everything_is_there() -> None:
    _, guard = make()
    assert guard.may_arm(NOW, "no link") == "no link; no robot_state yet"
    guard.heard("robot_state", NOW)
    assert guard.may_arm(NOW, "") == ""
    assert guard.may_arm(NOW + SECOND, "") == "robot_state is 1.0 s old"


def test_a_stop_is_followed_from_its_beginning_to_the_next_arming() -> None:
    gate, guard = make()
    guard.check(NOW, "no link yet")
    assert not guard.is_stop_verified
    assert guard.stop_problem(NOW + 10 * SECOND) == "", "nobody is connected who could be seen to stand"
    settle(guard)
    assert guard.is_stop_verified
    gate.arm()
    guard.check(NOW, "")
    guard.measured(WALK, np.array([0.5, 0.5]), NOW)
    assert not guard.is_stop_verified
    gate.stop("test")
    guard.check(NOW + SECOND, "")
    guard.measured(WALK, np.array([0.5, 0.5]), NOW + SECOND)
    assert guard.stop_problem(NOW + SECOND) == "", "it has a moment"
    guard.measured(WALK, np.array([0.5, 0.5]), NOW + 2 * SECOND)
    assert "legs still turn" in guard.stop_problem(NOW + 2 * SECOND)
    assert "legs still turn" in guard.may_arm(NOW + 2 * SECOND, "")
    for i in range(2):
        guard.measured(REST, REST, NOW + 2 * SECOND + i)
    assert guard.is_stop_verified
    assert guard.stop_problem(NOW + 2 * SECOND) == ""


def test_a_stop_without_telemetry_is_not_verified() -> None:
    gate, guard = make()
    settle(guard)
    gate.arm()
    guard.check(NOW, "")
    gate.stop("test")
    guard.check(NOW + SECOND, "port was unplugged")
    assert guard.stop_problem(NOW + 2 * SECOND) == "no telemetry since the stop: not verified"


def test_a_robot_that_tells_only_its_angles() -> None:
    _, guard = make()
    guard.check(NOW, "")
    guard.measured(None, None, NOW)
    for i in range(2):
        guard.measured(REST, None, NOW + i)
    assert guard.is_stop_verified
    assert not guard.problems()
