# SPDX-License-Identifier: Apache-2.0
"""Guard, gate and stop together, under any sequence of events: the motors turn only while nothing is wrong."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from l2a_ros.robot.limits import LegRateLimits
from l2a_ros.safety.guard import Monitors, RobotGuard
from l2a_ros.safety.monitors import BatteryMonitor, Geofence, LinkWatchdog, StallMonitor, TiltMonitor
from l2a_ros.safety.motor_gate import GateState, MotorGate
from l2a_ros.safety.readiness import Readiness
from l2a_ros.safety.stop_check import StopCheck

MS = 1_000_000
PATIENCE = AGE = 500 * MS
SILENCE = 250 * MS
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
            LinkWatchdog(0.25), StopCheck(0.5), Readiness({"robot_state": 0.5})))
        self.wrong: dict[str, bool] = {}
        self.link = ""
        self.state_at: int | None = None
        self.heard_at: int | None = None
        self.was_armed = False
        #: When the stop in force began; None for none.
        self.stopped_at: int | None = None
        self.forget_stop()
        self.arms = 0

    def forget_stop(self) -> None:
        self.stopped_at = None
        self.agreeing = 0
        self.is_verified = self.was_verified = False

    def begin_stop(self) -> None:
        if self.stopped_at is None:
            self.stopped_at = self.now

    def has_link(self, link: str) -> bool:
        return not link and self.heard_at is not None and self.now - self.heard_at <= SILENCE

    def is_blind(self) -> bool:
        return self.state_at is None or self.now - self.state_at > AGE

    @rule(ms=st.sampled_from([0, 1, 20, 100, 250, 251, 501]))
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
            self.heard_at = self.now
            if self.stopped_at is not None:
                self.record(rate == 0.0, duty == 0.0)
        self.wrong["stall"] = rate == 0.0 and duty == 1.0
        self.after_event()

    def record(self, is_at_rest: bool, is_off: bool) -> None:
        self.agreeing = self.agreeing + 1 if is_at_rest and is_off else 0
        if self.agreeing >= 2:
            self.is_verified = self.was_verified = True
        elif not is_off:
            self.is_verified = False

    @rule(link=st.sampled_from(["", "", "", "port is gone"]))
    def check(self, link: str) -> None:
        self.link = link
        stops = self.gate.counters.safety_stops
        must_stop = self.gate.state is GateState.ARMED and not self.has_link(link)
        self.guard.check(self.now, link)
        assert self.gate.counters.safety_stops == stops + must_stop, "silence latches, but only what was armed"
        is_armed = self.gate.state is GateState.ARMED
        assert not is_armed or self.has_link(link)
        if is_armed:
            self.forget_stop()
        elif self.was_armed or self.has_link(link):
            self.begin_stop()
        self.was_armed = is_armed

    def why_not(self, link: str) -> str:
        """Ask whether it may be armed, and compare with what should be said."""
        reason = self.guard.may_arm(self.now, link)
        is_armed, has_link = self.gate.state is GateState.ARMED, self.has_link(link)
        awaits_stop = not is_armed and not self.is_verified and has_link
        if awaits_stop:
            self.begin_stop()
            assert reason.endswith(self.guard.describe_stop(self.now))
            assert "no stop" not in reason
        assert bool(reason) == (not has_link or self.is_blind() or any(self.wrong.values()) or awaits_stop)
        assert reason.startswith(self.guard.link_problem(self.now, link))
        return reason

    @rule()
    def everything_is_well(self) -> None:
        self.state(0.0, True)
        self.battery(4.0)
        self.measured(0.0, 0.0, 1)
        self.check("")
        self.measured(0.0, 0.0, 2)
        assert self.why_not("") == ""

    @rule()
    def arm(self) -> None:
        if not self.why_not(self.link) and self.gate.arm()[0]:
            self.arms += 1

    @rule()
    def tell_the_motors(self) -> None:
        """As the driver does: look first, and stand while nobody sees."""
        self.check(self.link)
        if self.guard.is_blind(self.now):
            return
        if self.gate.output(self.now).any():
            assert self.has_link("") and not self.is_blind()
            assert self.stopped_at is None

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
            assert self.why_not("") != ""

    @invariant()
    def the_link_is_what_was_heard(self) -> None:
        assert bool(self.guard.link_problem(self.now, "")) != self.has_link("")
        assert self.guard.is_blind(self.now) == self.is_blind()

    @invariant()
    def a_stop_is_believed_only_when_seen(self) -> None:
        assert self.guard.is_stop_verified == self.is_verified
        has_failed = self.stopped_at is not None and not self.is_verified and (
            self.was_verified or self.now - self.stopped_at > PATIENCE)
        assert bool(self.guard.stop_problem(self.now)) == has_failed
        assert (self.guard.describe_stop(self.now) == "no stop in force") == (self.stopped_at is None)


GuardMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40)
TestGuard = GuardMachine.TestCase
