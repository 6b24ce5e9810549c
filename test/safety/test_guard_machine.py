# SPDX-License-Identifier: Apache-2.0
"""Guard, gate and stop together, under any sequence of events: the motors turn only while nothing is wrong."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from l2a_ros.robot.limits import LegRateLimits
from l2a_ros.safety.guard import Monitors, RobotGuard
from l2a_ros.safety.monitors import BatteryMonitor, Geofence, StallMonitor, TiltMonitor
from l2a_ros.safety.motor_gate import GateState, MotorGate
from l2a_ros.safety.readiness import Readiness
from l2a_ros.safety.stop_check import StopCheck

MS = 1_000_000
PATIENCE = 500 * MS
UPRIGHT = {"roll_sin": 0.0, "roll_cos": 1.0, "pitch_sin": 0.0, "pitch_cos": 1.0}
GOOD = np.array([20.0, 30.0])


class GuardMachine(RuleBasedStateMachine):
    """A robot with everything that may happen to it."""

    @initialize(now=st.integers(0, 2**62))
    def build(self, now: int) -> None:
        self.now = now
        self.gate = MotorGate(LegRateLimits(), 0.3, 200.0)
        self.guard = RobotGuard(self.gate, Monitors(
            Geofence(-1.0, 1.0, -1.0, 1.0), TiltMonitor(1.0, 0.0), BatteryMonitor(3.3, 0.0), StallMonitor(0.0),
            StopCheck(0.5), Readiness({"robot_state": 0.5})))
        self.wrong: dict[str, bool] = {}
        self.link = ""
        self.state_at: int | None = None
        #: Records since the last look that found the robot not armed after one that found it armed.
        self.records: list[bool] | None = None
        self.was_armed = False
        self.stopped_at = now
        self.arms = 0

    @rule(ms=st.sampled_from([0, 1, 20, 100, 300, 501]))
    def wait(self, ms: int) -> None:
        self.now += ms * MS

    @rule(x=st.sampled_from([0.0, 0.0, 0.0, 1.0, 1.5, float("nan")]), is_upright=st.sampled_from([True, True, False]))
    def state(self, x: float, is_upright: bool) -> None:
        self.guard.heard("robot_state", self.now)
        self.guard.state_heard({**UPRIGHT, "roll_cos": 1.0 if is_upright else -1.0, "position_x": x, "position_y": 0.0},
                               self.now)
        self.state_at = self.now
        self.wrong |= {"geofence": not abs(x) <= 1.0, "tilt": not is_upright}
        self.after_event()

    @rule(voltage=st.sampled_from([4.0, 4.0, 3.3, 3.2]))
    def battery(self, voltage: float) -> None:
        self.guard.battery_heard(voltage, self.now)
        self.wrong["battery"] = voltage < 3.3
        self.after_event()

    @rule(rate=st.sampled_from([0.0, 0.0, 20.0]), duty=st.sampled_from([0.0, 0.0, 0.5, 1.0]), count=st.integers(1, 3))
    def measured(self, rate: float, duty: float, count: int) -> None:
        for _ in range(count):
            self.guard.measured(np.array([rate, 0.0]), np.array([duty, 0.0]), self.now)
            if self.records is not None:
                self.records.append(rate == duty == 0.0)
        self.wrong["stall"] = rate == 0.0 and duty == 1.0
        self.after_event()

    @rule(link=st.sampled_from(["", "", "", "port is gone"]))
    def check(self, link: str) -> None:
        self.link = link
        self.guard.check(self.now, link)
        if link:
            assert self.gate.state is not GateState.ARMED
        is_armed = self.gate.state is GateState.ARMED
        if is_armed:
            self.records = None
        elif self.records is None and (self.was_armed or not link):
            self.records, self.stopped_at = [], self.now
        self.was_armed = is_armed

    @rule()
    def everything_is_well(self) -> None:
        self.state(0.0, True)
        self.battery(4.0)
        self.check("")
        self.measured(0.0, 0.0, 2)
        assert self.gate.state is GateState.ARMED or self.guard.may_arm(self.now, "") == ""

    @rule()
    def arm(self) -> None:
        reason = self.guard.may_arm(self.now, self.link)
        is_stale = self.state_at is None or self.now - self.state_at > PATIENCE
        if self.link or is_stale or any(self.wrong.values()):
            assert reason, "whatever is wrong keeps it from being armed"
        if not reason and self.gate.arm()[0]:
            self.arms += 1

    @rule(act=st.sampled_from(["disarm", "reset_stop", "stop", "restart", "lost"]))
    def halt(self, act: str) -> None:
        if act == "disarm":
            self.gate.disarm()
        elif act == "reset_stop":
            self.gate.reset_stop()
        elif act == "stop":
            self.gate.stop("estop topic")
        elif act == "restart":
            self.guard.robot_restarted()
        else:
            self.guard.link_lost("port is gone")
        if act != "reset_stop":
            assert self.gate.state is not GateState.ARMED

    @rule()
    def offer(self) -> None:
        self.gate.offer(GOOD, self.now, self.now)

    def after_event(self) -> None:
        assert set(self.guard.problems()) == {what for what, is_wrong in self.wrong.items() if is_wrong}

    @invariant()
    def motors_turn_only_while_nothing_is_wrong(self) -> None:
        if self.gate.output(self.now).any():
            assert self.gate.state is GateState.ARMED
            assert self.arms
            assert not any(self.wrong.values())
        if any(self.wrong.values()):
            assert self.gate.state is not GateState.ARMED
            assert self.guard.may_arm(self.now, "") != ""

    @invariant()
    def a_stop_is_believed_only_when_seen(self) -> None:
        if self.guard.is_stop_verified:
            assert self.records is not None
            assert [True, True] in [self.records[i:i + 2] for i in range(len(self.records))]
        if self.records is not None and True not in self.records:
            assert bool(self.guard.stop_problem(self.now)) == (self.now - self.stopped_at > PATIENCE)


GuardMachine.TestCase.settings = settings(deadline=None, max_examples=120, stateful_step_count=40)
TestGuard = GuardMachine.TestCase
