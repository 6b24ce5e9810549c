# SPDX-License-Identifier: Apache-2.0
"""The gate with limited acceleration, on a clock that may be set, against what must hold whatever happens."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from l2a_ros.robot.limits import LegRateLimits
from l2a_ros.safety.motor_gate import GateState, MotorGate

LIMITS = LegRateLimits()
LOW, HIGH = LIMITS.minimum, LIMITS.maximum
MS = 1_000_000
LIMIT = 300 * MS

rates_strategy = st.one_of(
    st.tuples(st.floats(LOW, HIGH), st.floats(LOW, HIGH)), st.tuples(st.floats(LOW, HIGH), st.floats(LOW, HIGH)),
    st.just((0.0, 0.0)), st.just((LOW, HIGH)), st.tuples(st.floats(), st.floats()),
    st.tuples(st.floats(-HIGH, 2 * HIGH), st.floats(LOW, HIGH)))


class SafetyMachine(RuleBasedStateMachine):
    """Keeps of every offer what a sceptic would need, and looks at every output."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.acceleration = 0.0
        self.is_released = self.is_latched = False
        #: The accepted command in force: rates, stamp, arrival; None after anything that ends it.
        self.command: tuple[tuple[float, float], int, int] | None = None
        self.accepted_stamps: set[int] = set()
        #: What the motors were told last, and when; zero after anything that ends a command.
        self.told: tuple[list[float], int] | None = None
        self.ramped_commands = 0
        self.is_counted = False
        self.is_watched = True

    @initialize(now=st.integers(0, 2**62), acceleration=st.sampled_from([0.0, 1.0, 100.0, 300.0, 1e5]))
    def begin(self, now: int, acceleration: float) -> None:
        self.now, self.acceleration = now, acceleration
        self.gate = MotorGate(LIMITS, LIMIT / 1e9, acceleration)

    def end_command(self) -> None:
        self.command = self.told = None

    @rule(ms=st.sampled_from([0, 1, 20, 50, 100, 299, 300, 301]), ns=st.sampled_from([0, 0, 1, -1]))
    def wait(self, ms: int, ns: int) -> None:
        self.now += ms * MS + ns

    @rule(ms=st.sampled_from([-3_600_000, -1000, -301, -300, -100, 5000]))
    def set_clock(self, ms: int) -> None:
        self.now += ms * MS
        # What was accepted before is of another clock: its stamps may come again, honestly.
        if ms < 0:
            self.accepted_stamps.clear()

    @rule(is_watched=st.booleans())
    def watch(self, is_watched: bool) -> None:
        self.is_watched = is_watched

    @rule()
    def arm(self) -> None:
        assert self.gate.arm()[0] is not self.is_latched
        if not self.is_latched and not self.is_released:
            self.is_released = True
            assert not self.gate.output(self.now).any(), "the first output after arming is zero"
            self.end_command()

    @rule()
    def disarm(self) -> None:
        self.gate.disarm()
        self.is_released = False
        self.end_command()

    @rule()
    def stop(self) -> None:
        self.gate.stop("test")
        self.is_released, self.is_latched = False, True
        self.end_command()

    @rule()
    def reset_stop(self) -> None:
        self.gate.reset_stop()
        self.is_latched = False

    @rule()
    def refuse(self) -> None:
        self.gate.refuse()
        self.end_command()

    @rule(rates=rates_strategy, age_ms=st.sampled_from([0, 0, 0, 0, 1, 50, 300, 301, -300, -301, 3_600_000]),
          ns=st.sampled_from([0, 0, -1, 1]))
    def offer(self, rates: tuple[float, float], age_ms: int, ns: int) -> None:
        stamp = self.now - age_ms * MS + ns
        got = self.gate.offer(np.array(rates), stamp, self.now)
        in_range = rates == (0.0, 0.0) or all(LOW <= rate <= HIGH for rate in rates)
        if got:
            assert self.is_released
            assert in_range
            assert abs(self.now - stamp) <= LIMIT
            assert stamp not in self.accepted_stamps, "a stamp moves the robot once"
            self.accepted_stamps.add(stamp)
            self.command = rates, stamp, self.now
            self.is_counted = False
        elif not in_range:
            self.end_command()

    @rule()
    @precondition(lambda self: self.is_released)
    def fresh_command_is_heard_within_the_time_out(self) -> None:
        """Whatever came before: an honest sender is heard at once, or once stamps from ahead have passed."""
        start = self.now
        while not self.gate.offer(np.array([LOW, HIGH]), self.now, self.now):
            self.now += 50 * MS
            assert self.now - start <= LIMIT + 50 * MS
        self.accepted_stamps.add(self.now)
        self.command, self.is_counted = ((LOW, HIGH), self.now, self.now), False

    @invariant()
    def output_is_safe(self) -> None:
        if not self.is_watched:
            return
        output = self.gate.output(self.now).tolist()
        assert len(output) == 2
        assert all(map(math.isfinite, output))
        if any(output):
            assert self.is_released
            assert not self.is_latched
            assert self.command is not None, "nothing moves without a command that came after arming"
            commanded, _, arrival = self.command
            assert abs(self.now - arrival) <= LIMIT
            assert all(LOW <= rate <= most <= HIGH for rate, most in zip(output, commanded, strict=True))
        if self.command is not None and abs(self.now - self.command[2]) > LIMIT:
            self.end_command()
        self.check_ramp(output)

    def check_ramp(self, output: list[float]) -> None:
        if self.command is None:
            assert not any(output)
            assert not self.gate.is_limiting
            return
        commanded = self.command[0]
        before, at = self.told if self.told is not None else ([0.0, 0.0], self.now)
        self.told = (output, self.now)
        elapsed = self.now - at
        if abs(elapsed) > LIMIT:
            before, elapsed = [0.0, 0.0], 0
        gain = self.acceleration * max(0, elapsed) / 1e9
        is_short = False
        for rate, now, then in zip(commanded, output, before, strict=True):
            most = rate if not self.acceleration else max(LOW, then + gain) if then else LOW
            assert now <= most * (1 + 1e-12)
            assert math.isclose(now, min(rate, most), rel_tol=1e-12), "and no slower than it must be"
            is_short |= now < rate
        assert self.gate.is_limiting is is_short, "a command that is not followed at once is never hidden"
        if is_short and not self.is_counted:
            self.is_counted = True
            self.ramped_commands += 1

    @invariant()
    def state_and_counters_agree(self) -> None:
        expected = GateState.STOPPED if self.is_latched else (
            GateState.ARMED if self.is_released else GateState.DISARMED)
        assert self.gate.state is expected
        assert self.gate.counters.slewed == self.ramped_commands


SafetyMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestSafety = SafetyMachine.TestCase
