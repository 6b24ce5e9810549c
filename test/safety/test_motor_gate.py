# SPDX-License-Identifier: Apache-2.0
"""The last gate before the motors, against a simple model under any sequence of events."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from l2a_ros.errors import UserError
from l2a_ros.robot.limits import LegRateLimits
from l2a_ros.safety.motor_gate import GateCounters, GateState, MotorGate

LIMITS = LegRateLimits()
LOW, HIGH = LIMITS.minimum, LIMITS.maximum
TIMEOUT = 0.3
MS = 1_000_000
LIMIT = 300 * MS
START = 1_000_000 * MS
GOOD = np.array([20.0, 30.0])
ZERO = [0.0, 0.0]


def armed() -> MotorGate:
    gate = MotorGate(LIMITS, TIMEOUT)
    assert gate.arm() == (True, "armed")
    return gate


def moving(now: int = START) -> MotorGate:
    gate = armed()
    assert gate.offer(GOOD, now, now)
    assert gate.output(now).tolist() == GOOD.tolist()
    return gate


# Rule by rule --------------------------------------------------------------------------------------------------------


def test_stands_from_the_start() -> None:
    gate = MotorGate(LIMITS, TIMEOUT)
    assert gate.state is GateState.DISARMED
    assert gate.reason == "not armed yet"
    assert gate.output(START).tolist() == ZERO
    assert not gate.offer(GOOD, START, START)
    assert gate.output(START).tolist() == ZERO
    assert gate.counters == GateCounters(ignored=1)


def test_armed_stands_until_the_first_command() -> None:
    assert armed().output(START).tolist() == ZERO


def test_command_from_before_arming_is_not_kept() -> None:
    gate = MotorGate(LIMITS, TIMEOUT)
    gate.offer(GOOD, START, START)
    gate.arm()
    assert gate.output(START).tolist() == ZERO


@pytest.mark.parametrize("rates", [
    [math.nan, 20.0], [20.0, math.inf], [LOW - 1e-9, 20.0], [20.0, HIGH + 1e-9], [0.0, 20.0], [-20.0, -20.0],
    [20.0], [20.0, 20.0, 20.0], [], [[20.0, 20.0]]], ids=str)
def test_command_that_is_not_admissible_makes_it_stand(rates: list[float]) -> None:
    gate = moving()
    assert not gate.offer(np.array(rates), START + MS, START + MS)
    assert gate.output(START + MS).tolist() == ZERO, "nothing is clipped, and the last good command is not kept"
    assert gate.counters == GateCounters(refused=1)
    assert gate.state is GateState.ARMED
    assert gate.offer(GOOD, START + 2 * MS, START + 2 * MS)
    assert gate.output(START + 2 * MS).tolist() == GOOD.tolist()


@pytest.mark.parametrize("stamp", [START, START - 1, START - 100 * MS])
def test_repeated_and_older_commands_are_late(stamp: int) -> None:
    gate = moving()
    assert not gate.offer(np.array([40.0, 40.0]), stamp, START + MS)
    assert gate.output(START + MS).tolist() == GOOD.tolist(), "the one in force is not touched"
    assert gate.counters == GateCounters(late=1)


def test_command_for_an_old_state_is_late() -> None:
    gate = armed()
    assert not gate.offer(GOOD, START - LIMIT - 1, START)
    assert gate.offer(GOOD, START - LIMIT, START)
    assert gate.counters == GateCounters(late=1)


def test_command_from_the_future_does_not_block_the_present() -> None:
    """A sender with another clock must not be the only one that is ever heard again."""
    gate = moving()
    assert not gate.offer(GOOD, START + 10_000 * MS, START + MS)
    assert gate.counters == GateCounters(late=1)
    assert gate.offer(GOOD, START + 2 * MS, START + 2 * MS)


def test_watchdog() -> None:
    gate = moving()
    assert gate.output(START + LIMIT).tolist() == GOOD.tolist()
    for _ in range(3):
        assert gate.output(START + LIMIT + 1).tolist() == ZERO
    assert gate.counters == GateCounters(timeouts=1), "one lapse is one time-out"
    assert gate.state is GateState.ARMED
    later = START + 2 * LIMIT
    assert gate.offer(GOOD, later, later)
    assert gate.output(later).tolist() == GOOD.tolist()
    gate.output(later + LIMIT + 1)
    assert gate.counters == GateCounters(timeouts=2)


def test_silence_while_standing_is_no_time_out() -> None:
    gate = armed()
    assert gate.offer(np.zeros(2), START, START)
    assert gate.output(START + 10 * LIMIT).tolist() == ZERO
    assert gate.counters == GateCounters()


def test_repeated_command_does_not_feed_the_watchdog() -> None:
    gate = moving()
    for ms in range(1, 300):
        gate.offer(GOOD, START, START + ms * MS)
    assert gate.output(START + LIMIT + 1).tolist() == ZERO


def test_stop_latches() -> None:
    gate = moving()
    gate.stop("estop topic")
    assert gate.output(START).tolist() == ZERO
    assert (gate.state, gate.reason) == (GateState.STOPPED, "estop topic")
    for act in (gate.arm, gate.disarm):
        act()
        assert gate.state is GateState.STOPPED
    assert gate.arm() == (False, "stopped: estop topic; call reset_stop first")
    assert not gate.offer(GOOD, START + MS, START + MS)
    assert gate.output(START + MS).tolist() == ZERO
    assert gate.counters == GateCounters(ignored=1, safety_stops=1)


def test_second_stop_keeps_the_first_reason() -> None:
    gate = moving()
    gate.stop("first")
    gate.stop("second")
    assert gate.reason == "first"
    assert gate.counters.safety_stops == 1


def test_stop_counts_even_when_disarmed() -> None:
    gate = MotorGate(LIMITS, TIMEOUT)
    gate.stop("estop")
    assert gate.counters.safety_stops == 1
    assert not gate.arm()[0]


def test_release_is_reset_then_arm_then_zero_first() -> None:
    gate = moving()
    gate.stop("estop")
    assert gate.reset_stop() == (True, "disarmed")
    assert gate.output(START).tolist() == ZERO
    assert not gate.offer(GOOD, START + MS, START + MS), "reset alone does not release"
    assert gate.arm()[0]
    assert gate.output(START + MS).tolist() == ZERO, "what ran before the stop is forgotten"
    assert gate.offer(GOOD, START + 2 * MS, START + 2 * MS)
    assert gate.output(START + 2 * MS).tolist() == GOOD.tolist()


@pytest.mark.parametrize("halt", [lambda gate: gate.stop("estop"), lambda gate: gate.disarm()], ids=["stop", "disarm"])
def test_command_from_before_a_halt_does_not_move_after_it(halt: Callable[[MotorGate], object]) -> None:
    gate = moving()
    halt(gate)
    gate.offer(GOOD, START + MS, START + MS)
    gate.reset_stop()
    gate.arm()
    for stamp in (START - MS, START, START + MS):
        assert not gate.offer(GOOD, stamp, START + 2 * MS)
    assert gate.output(START + 2 * MS).tolist() == ZERO
    assert gate.offer(GOOD, START + 2 * MS, START + 2 * MS)


def test_reset_without_a_stop_changes_nothing() -> None:
    gate = moving()
    assert gate.reset_stop() == (True, "armed")
    assert gate.output(START).tolist() == GOOD.tolist()


def test_disarm_stands_at_once() -> None:
    gate = moving()
    assert gate.disarm() == (True, "disarmed")
    assert gate.output(START).tolist() == ZERO
    assert gate.arm()[0]
    assert gate.output(START).tolist() == ZERO


def test_arming_twice_does_not_interrupt() -> None:
    gate = moving()
    assert gate.arm() == (True, "armed")
    assert gate.output(START).tolist() == GOOD.tolist()


def test_sender_may_use_its_array_again() -> None:
    gate, rates = armed(), GOOD.copy()
    gate.offer(rates, START, START)
    rates[:] = 1000.0
    assert gate.output(START).tolist() == GOOD.tolist()


def test_standing_output_cannot_be_changed() -> None:
    output = MotorGate(LIMITS, TIMEOUT).output(START)
    with pytest.raises(ValueError, match="read-only"):
        output[0] = 50.0


@pytest.mark.parametrize("rates", [GOOD, np.array([50.0, 13.0])], ids=str)
def test_moving_output_cannot_be_changed_by_who_reads_it(rates: np.ndarray) -> None:
    gate = MotorGate(LIMITS, TIMEOUT, fastest_acceleration=100.0)
    gate.arm()
    gate.offer(rates, START, START)
    with pytest.raises(ValueError, match="read-only"):
        gate.output(START)[0] = 90.0


def test_state_that_was_set_from_outside_stands_too() -> None:
    gate = moving()
    gate.state = GateState.DISARMED
    assert gate.output(START).tolist() == ZERO
    gate.arm()
    assert gate.output(START).tolist() == ZERO, "and is no way around zero first"


def test_command_that_could_not_be_read_makes_it_stand() -> None:
    gate = moving()
    gate.refuse()
    assert gate.output(START).tolist() == ZERO
    assert gate.counters == GateCounters(refused=1)
    assert gate.state is GateState.ARMED
    assert gate.output(START + 2 * LIMIT).tolist() == ZERO
    assert gate.counters.timeouts == 0, "a robot that stands does not time out"


@pytest.mark.parametrize("halt", [lambda gate: gate.stop("estop"), lambda gate: gate.disarm()], ids=["stop", "disarm"])
def test_command_that_could_not_be_read_is_ignored_unless_armed(halt: Callable[[MotorGate], object]) -> None:
    gate = moving()
    halt(gate)
    gate.refuse()
    assert (gate.counters.refused, gate.counters.ignored) == (0, 1)


def test_pause_forgets_the_command_and_stays_armed() -> None:
    gate = MotorGate(LIMITS, 0.3, 100.0)
    gate.arm()
    for now in (START, START + LIMIT // 2, START + LIMIT):
        assert gate.offer(np.array([50.0, 50.0]), now, now)
        fast = gate.output(now)
    assert fast.min() > LIMITS.minimum
    gate.pause()
    now = START + 3 * LIMIT
    assert not gate.output(now).any()
    assert gate.state is GateState.ARMED
    assert gate.counters == GateCounters(slewed=gate.counters.slewed)
    assert gate.offer(np.array([50.0, 50.0]), now, now)
    assert gate.output(now).tolist() == [LIMITS.minimum] * 2, "from standing again"


def test_a_time_out_is_counted_for_one_leg_too() -> None:
    gate = MotorGate(LegRateLimits(0.0, HIGH), TIMEOUT)
    gate.arm()
    assert gate.offer(np.array([0.0, 5.0]), START, START)
    assert gate.output(START + LIMIT + 1).tolist() == ZERO
    assert gate.counters == GateCounters(timeouts=1)


def test_what_it_says_is_plain() -> None:
    """Messages and diagnostics are made of it: no enumerations, no NumPy numbers."""
    gate = moving()
    assert gate.offer(np.array([0.0, 1.0]), START + MS, START + MS) is False
    assert gate.offer(GOOD, START + 2 * MS, START + 2 * MS) is True
    assert gate.offer(GOOD, START, START + 2 * MS) is False
    gate.output(START + 10 * LIMIT)
    assert type(gate.counters.timeouts) is int
    for act in (gate.arm, gate.disarm, gate.reset_stop):
        assert [type(value) for value in act()] == [bool, str]


def test_what_is_refused_need_not_be_fresh() -> None:
    gate = moving()
    assert not gate.offer(np.array([math.nan, 20.0]), START, START + MS)
    assert gate.output(START + MS).tolist() == ZERO
    assert gate.counters == GateCounters(refused=1)


def test_reasons_of_every_way_to_stand() -> None:
    gate = moving()
    assert gate.reason == ""
    gate.disarm()
    assert gate.reason == "disarmed"
    gate.stop("geofence")
    gate.reset_stop()
    assert (gate.state, gate.reason) == (GateState.DISARMED, "stop was reset")


@pytest.mark.parametrize("timeout", [0.0, -0.1, 1e-10, math.nan, math.inf])
def test_a_gate_needs_a_time_out(timeout: float) -> None:
    with pytest.raises(UserError, match="the time-out of commands must be finite and above 0 s"):
        MotorGate(LIMITS, timeout)


# A clock that is set -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("back", [LIMIT + 1, 3_600_000 * MS])
def test_clock_set_back_ends_the_command(back: int) -> None:
    """Else the last command would hold until the clock has caught up, with nobody able to say otherwise."""
    gate = moving()
    assert gate.output(START - back).tolist() == ZERO
    assert gate.counters == GateCounters(timeouts=1)
    assert gate.output(START).tolist() == ZERO, "and it stays ended"


def test_clock_set_back_a_little_changes_nothing() -> None:
    gate = moving()
    assert gate.output(START - LIMIT).tolist() == GOOD.tolist()


def test_honest_commands_are_heard_after_the_clock_was_set_back() -> None:
    gate = moving()
    then = START - 3_600_000 * MS
    assert gate.offer(GOOD, then, then)
    assert gate.output(then).tolist() == GOOD.tolist()
    assert not gate.offer(GOOD, START, then + MS), "those from before are of another clock now"
    assert not gate.offer(GOOD, then, then + MS), "and the rules are as before"
    assert gate.counters == GateCounters(late=2)


@pytest.mark.parametrize(("back", "is_set_back"), [(LIMIT, False), (LIMIT + 1, True)])
def test_newest_stamp_is_forgotten_only_when_it_cannot_be_honest(back: int, is_set_back: bool) -> None:
    gate = moving()
    assert gate.offer(GOOD, START - back, START - back) is is_set_back


def test_clock_set_forward_ends_the_command() -> None:
    gate = moving()
    then = START + 3_600_000 * MS
    assert gate.output(then).tolist() == ZERO
    assert gate.offer(GOOD, then, then)
    assert gate.output(then).tolist() == GOOD.tolist()


def test_time_may_be_any_whole_number() -> None:
    gate = armed()
    for now in (0, 10**30, -(10**30)):
        assert gate.offer(GOOD, now, now)
        assert gate.output(now).tolist() == GOOD.tolist()
        assert gate.output(now + LIMIT + 1).tolist() == ZERO


# Speeding up ---------------------------------------------------------------------------------------------------------


def slow_gate(acceleration: float = 100.0) -> MotorGate:
    gate = MotorGate(LIMITS, TIMEOUT, acceleration)
    gate.arm()
    return gate


def send(gate: MotorGate, rates: list[float], now: int) -> list[float]:
    assert gate.offer(np.array(rates), now, now)
    output: list[float] = gate.output(now).tolist()
    return output


def test_speeding_up_is_ramped_and_counted_once_for_a_command() -> None:
    gate = slow_gate()
    assert send(gate, [20.0, 50.0], START) == [LOW, LOW], "the slowest admissible rate first"
    assert gate.is_limiting
    assert gate.output(START + 50 * MS) == pytest.approx([LOW + 5.0, LOW + 5.0])
    assert gate.output(START + 100 * MS) == pytest.approx([20.0, LOW + 10.0])
    assert gate.is_limiting
    assert gate.counters == GateCounters(slewed=1)
    assert send(gate, [20.0, 50.0], START + 200 * MS) == pytest.approx([20.0, LOW + 20.0])
    assert gate.counters == GateCounters(slewed=2)
    send(gate, [20.0, 50.0], START + 300 * MS)
    assert send(gate, [20.0, 50.0], START + 400 * MS) == [20.0, 50.0]
    assert not gate.is_limiting
    assert gate.counters == GateCounters(slewed=3)


def test_slowing_down_and_standing_are_never_delayed() -> None:
    gate = slow_gate(1e5)
    send(gate, [50.0, 50.0], START)
    gate.output(START + 10 * MS)
    assert send(gate, [13.0, 40.0], START + 20 * MS) == [13.0, 40.0]
    assert send(gate, ZERO, START + 20 * MS + 1) == ZERO
    assert not gate.is_limiting


HALTS: list[Callable[[MotorGate], object]] = [
    lambda gate: gate.stop("estop"), lambda gate: gate.disarm(), lambda gate: gate.refuse(),
    lambda gate: gate.offer(np.array([math.nan, 1.0]), START + 100 * MS, START + 100 * MS),
    lambda gate: gate.output(START + 100 * MS + LIMIT + 1)]


@pytest.mark.parametrize("halt", HALTS, ids=["stop", "disarm", "refuse", "refused", "time-out"])
def test_ramp_starts_from_zero_after_every_halt(halt: Callable[[MotorGate], object]) -> None:
    gate = slow_gate()
    send(gate, [50.0, 50.0], START)
    assert gate.output(START + 100 * MS) == pytest.approx([LOW + 10.0] * 2)
    halt(gate)
    assert not gate.is_limiting
    gate.reset_stop()
    gate.arm()
    assert send(gate, [50.0, 50.0], START + 110 * MS) == [LOW, LOW]


def test_arming_again_does_not_disturb_the_ramp() -> None:
    gate = slow_gate()
    send(gate, [50.0, 50.0], START)
    gate.arm()
    assert gate.output(START + 100 * MS) == pytest.approx([LOW + 10.0] * 2)


def test_late_command_does_not_disturb_the_ramp() -> None:
    gate = slow_gate()
    send(gate, [50.0, 50.0], START)
    assert not gate.offer(np.array([50.0, 50.0]), START, START + MS)
    assert gate.output(START + 100 * MS) == pytest.approx([LOW + 10.0] * 2)
    assert gate.counters == GateCounters(late=1, slewed=1)


def test_motors_that_were_told_nothing_for_long_start_again() -> None:
    gate = slow_gate(50.0)
    send(gate, [50.0, 50.0], START)
    gate.output(START + 100 * MS)
    gate.offer(np.array([50.0, 50.0]), START + 300 * MS, START + 300 * MS)
    assert gate.output(START + 100 * MS + LIMIT) == pytest.approx([LOW + 20.0] * 2)
    gate.offer(np.array([50.0, 50.0]), START + 600 * MS, START + 600 * MS)
    assert gate.output(START + 100 * MS + 2 * LIMIT + 1).tolist() == [LOW, LOW]


def test_without_a_limit_the_command_comes_out_as_it_is() -> None:
    gate = moving()
    assert gate.output(START) is gate.output(START + MS)
    assert not gate.is_limiting
    assert gate.counters == GateCounters()


@pytest.mark.parametrize("acceleration", [-1.0, math.nan, math.inf])
def test_acceleration_that_will_not_do_is_refused(acceleration: float) -> None:
    with pytest.raises(UserError, match="acceleration must be finite and at least 0 rad/s"):
        MotorGate(LIMITS, TIMEOUT, acceleration)


# Any sequence --------------------------------------------------------------------------------------------------------


rates_strategy = st.one_of(
    st.tuples(st.floats(LOW, HIGH), st.floats(LOW, HIGH)), st.just((0.0, 0.0)),
    st.tuples(st.floats(), st.floats()), st.tuples(st.floats(-HIGH, 2 * HIGH), st.floats(LOW, HIGH)))


class GateMachine(RuleBasedStateMachine):
    """The gate beside the plainest model of its rules: a state, the accepted command, five counters."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = MotorGate(LIMITS, TIMEOUT)
        self.now = START
        self.state = "disarmed"
        self.accepted: tuple[list[float], int, int] | None = None  # rates, stamp, arrival
        self.newest: int | None = None
        self.counts = GateCounters()
        self.lapsed = False

    @initialize(now=st.integers(0, 2**62))
    def begin(self, now: int) -> None:
        self.now = now

    @rule(ms=st.integers(0, 450), ns=st.sampled_from([0, 0, 1]))
    def wait(self, ms: int, ns: int) -> None:
        self.now += ms * MS + ns

    @rule()
    def arm(self) -> None:
        success, _ = self.gate.arm()
        assert success is (self.state != "stopped")
        if self.state == "disarmed":
            self.state, self.accepted = "armed", None

    @rule()
    def disarm(self) -> None:
        assert self.gate.disarm()[0]
        self.state = "stopped" if self.state == "stopped" else "disarmed"
        self.accepted = None

    @rule()
    def stop(self) -> None:
        self.gate.stop("test")
        self.counts.safety_stops += self.state != "stopped"
        self.state, self.accepted = "stopped", None

    @rule()
    def reset_stop(self) -> None:
        assert self.gate.reset_stop()[0]
        self.state = "disarmed" if self.state == "stopped" else self.state

    @rule(rates=rates_strategy, age_ms=st.sampled_from([0, 0, 0, 50, 299, 300, 301, 1000, -10, -5000]),
          ns=st.sampled_from([0, 0, -1, 1]))
    def offer(self, rates: tuple[float, float], age_ms: int, ns: int) -> None:
        stamp = self.now - age_ms * MS + ns
        got = self.gate.offer(np.array(rates), stamp, self.now)
        left, right = rates
        in_range = (left == right == 0.0) or (LOW <= left <= HIGH and LOW <= right <= HIGH)
        late = abs(self.now - stamp) > LIMIT or (self.newest is not None and stamp <= self.newest)
        self.newest = self.newest if late else stamp
        if self.state != "armed":
            self.counts.ignored += 1
            assert not got
        elif not in_range:
            self.counts.refused += 1
            assert not got
            if self.accepted is not None:
                self.accepted = ([0.0, 0.0], *self.accepted[1:])
        elif late:
            self.counts.late += 1
            assert not got
        else:
            assert got
            self.accepted, self.lapsed = (list(rates), stamp, self.now), False

    @invariant()
    def output_is_what_the_model_allows(self) -> None:
        output = self.gate.output(self.now)
        assert output.shape == (2,)
        assert np.all(np.isfinite(output))
        expected = [0.0, 0.0]
        if self.state == "armed" and self.accepted is not None:
            rates, _, arrival = self.accepted
            if self.now - arrival <= LIMIT:
                expected = rates
            elif not self.lapsed:
                self.lapsed = True
                self.counts.timeouts += any(rates)
        assert output.tolist() == expected
        assert not output.any() or LIMITS.admits(output)

    @invariant()
    def state_and_counters_agree(self) -> None:
        assert str(self.gate.state) == self.state
        assert self.gate.counters == self.counts
        assert self.gate.reason or self.state == "armed", "a robot that stands says why"


GateMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40)
TestGate = GateMachine.TestCase
