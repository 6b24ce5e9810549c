# SPDX-License-Identifier: Apache-2.0
"""Whether a stop is believed only when it is seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from l2a_ros.errors import UserError
from l2a_ros.safety.stop_check import AGREEING, OFF, REST, StopCheck, StopState

SECOND = 1_000_000_000
MS = 1_000_000
START = 10**12
PATIENCE = 500 * MS
REST_RECORD = ([0.0, 0.0], [0.0, 0.0])
DRIVEN = ([12.1, 0.0], [0.2, 0.0])
PUSHED = ([12.1, -3.0], [0.0, 0.0])


def check(*records: tuple[list[float], list[float] | None], every: int = 20 * MS, begun: bool = True) -> StopCheck:
    """Return a stop that began at START and was followed by records."""
    stop = StopCheck(0.5)
    if begun:
        stop.begin(START)
    for i, (rates, duty) in enumerate(records):
        stop.observe(np.array(rates), None if duty is None else np.array(duty), START + (i + 1) * every)
    return stop


def look(stop: StopCheck, now: int) -> tuple[str, str, str]:
    return str(stop.state(now)), stop.problem(now), stop.describe(now)


def test_without_a_stop_there_is_nothing_to_verify() -> None:
    for stop in (StopCheck(0.5), check(*[REST_RECORD] * 9, begun=False), check(DRIVEN, begun=False)):
        assert look(stop, START + 10 * SECOND) == ("idle", "", "no stop in force")
        assert not stop.is_verified, "only what was seen is verified"
        assert not stop.must_repeat
        assert not stop.is_pushed


def test_records_from_before_the_stop_prove_nothing() -> None:
    stop = check(*[REST_RECORD] * 9, begun=False)
    stop.begin(START)
    assert stop.state(START) is StopState.PENDING
    stop.observe(np.zeros(2), np.zeros(2), START + MS)
    assert not stop.is_verified


def test_a_stop_that_is_seen() -> None:
    stop = check(DRIVEN, PUSHED, REST_RECORD)
    assert look(stop, START + 60 * MS) == ("pending", "", "waiting for the legs to be at rest and the motors off")
    assert stop.must_repeat
    stop.observe(np.zeros(2), np.zeros(2), START + 80 * MS)
    assert stop.is_verified
    assert not stop.must_repeat
    for later in (0, SECOND, 100 * SECOND):
        assert look(stop, START + 80 * MS + later) == ("verified", "", "verified: the robot stands")


def test_one_record_is_not_enough_and_two_have_to_be_in_a_row() -> None:
    assert AGREEING == 2
    stop = check(REST_RECORD, DRIVEN, REST_RECORD, PUSHED, REST_RECORD)
    assert not stop.is_verified
    assert look(stop, START + PATIENCE + 1)[:2] == (
        "failed", "only one record shows the robot at rest: not verified")


@pytest.mark.parametrize("now", [START, START + PATIENCE, START - PATIENCE])
def test_patience(now: int) -> None:
    assert check().state(now) is StopState.PENDING
    assert check().problem(now) == ""


@pytest.mark.parametrize("now", [START + PATIENCE + 1, START + 10 * SECOND, START - PATIENCE - 1])
def test_silence(now: int) -> None:
    expected = "no telemetry since the stop: not verified"
    assert look(check(), now) == ("failed", expected, expected)
    assert check().must_repeat


@pytest.mark.parametrize(("record", "expected"), [
    (([12.1, 0.0], [0.2, 0.0]), "the legs still turn 0.6 s after the stop: left 12.1 rad/s"),
    (([12.1, -20.0], [0.2, -0.3]), "the legs still turn 0.6 s after the stop: left 12.1 rad/s, right -20.0 rad/s"),
    (([0.0, 3.0], [0.0, 0.0]), "the legs still turn 0.6 s after the stop: right 3.0 rad/s; the motors are off, so "
                               "something else turns them"),
    (([0.0, 3.0], [0.1, 0.0]), "the legs still turn 0.6 s after the stop: right 3.0 rad/s"),
    (([0.0, 3.0], None), "the legs still turn 0.6 s after the stop: right 3.0 rad/s"),
    (([0.4, 0.0], [0.0, -0.25]), "the motors are still on 0.6 s after the stop: right -25.0 %"),
    (([0.0, 0.0], [0.002, 0.5]), "the motors are still on 0.6 s after the stop: left 0.2 %, right 50.0 %"),
    (([math.nan, 0.0], [0.0, 0.0]), "the telemetry of the legs is not finite 0.6 s after the stop"),
    (([0.0, 0.0], [0.0, math.inf]), "the telemetry of the legs is not finite 0.6 s after the stop"),
    (([0.0, -math.inf], None), "the telemetry of the legs is not finite 0.6 s after the stop")])
def test_a_stop_that_is_not_obeyed(record: tuple[list[float], list[float] | None], expected: str) -> None:
    stop = check(*[record] * 30)
    assert look(stop, START + 30 * 20 * MS) == ("failed", expected, expected)
    assert stop.must_repeat
    assert not stop.is_verified


def test_how_old_the_last_record_is_is_said_too() -> None:
    stop = check(DRIVEN, every=100 * MS)
    text = "the legs still turn 0.1 s after the stop: left 12.1 rad/s"
    assert stop.problem(START + 100 * MS + PATIENCE) == text
    assert stop.problem(START + 100 * MS + PATIENCE + 1) == f"{text}; no telemetry for 0.5 s since"
    assert stop.problem(START + 4100 * MS) == f"{text}; no telemetry for 4.0 s since"


def test_a_stop_that_is_obeyed_late() -> None:
    stop = check(*[DRIVEN] * 50)
    assert stop.state(START + SECOND) is StopState.FAILED
    for i in range(2):
        stop.observe(np.zeros(2), np.zeros(2), START + SECOND + i * MS)
    assert stop.state(START + 2 * SECOND) is StopState.VERIFIED
    assert not stop.must_repeat


@pytest.mark.parametrize(("rates", "duty", "is_rest"), [
    ([0.0, np.nextafter(REST, 0)], [0.0, 0.0], True), ([0.0, -np.nextafter(REST, 0)], [0.0, 0.0], True),
    ([0.0, REST], [0.0, 0.0], False), ([-REST, 0.0], [0.0, 0.0], False),
    ([0.0, 0.0], [np.nextafter(OFF, 0), 0.0], True), ([0.0, 0.0], [0.0, -np.nextafter(OFF, 0)], True),
    ([0.0, 0.0], [OFF, 0.0], False), ([0.0, 0.0], [0.0, -OFF], False)])
def test_rest_has_an_edge(rates: list[float], duty: list[float], is_rest: bool) -> None:
    assert check(*[(rates, duty)] * 2).is_verified is is_rest


@pytest.mark.parametrize(("duty", "is_pushed"), [
    ([0.0, np.nextafter(OFF, 0)], True), ([0.0, OFF], False), ([-OFF, 0.0], False), ([0.0, math.nan], False)])
def test_only_motors_that_are_known_to_be_off_are_not_driving(duty: list[float], is_pushed: bool) -> None:
    assert check(([12.1, 0.0], duty)).is_pushed is is_pushed


def test_thresholds_are_below_every_motion_and_above_the_resolution() -> None:
    slowest, encoder_step = 4 * math.pi, 2 * math.pi / 2**14
    assert encoder_step / 0.01 < REST < slowest / 10
    assert 1 / 4000 < OFF < 0.01


def test_a_robot_that_cannot_tell_whether_its_motors_are_on() -> None:
    stop = check(*[([0.0, 0.0], None)] * 2)
    assert stop.is_verified
    assert not stop.is_pushed
    stop.observe(np.array([0.0, 3.0]), None, START + SECOND)
    assert look(stop, START + SECOND)[:2] == ("failed", "the legs turn again after a verified stop: right 3.0 rad/s")
    assert not stop.is_pushed, "it may be driven"


# After it was verified -----------------------------------------------------------------------------------------------


def test_legs_turned_by_hand_do_not_undo_a_stop() -> None:
    stop = check(REST_RECORD, REST_RECORD, PUSHED)
    assert look(stop, START + SECOND) == (
        "verified", "", "verified: the motors are off; the legs are turned from outside: left 12.1 rad/s, "
                        "right -3.0 rad/s")
    assert (stop.is_pushed, stop.is_verified, stop.must_repeat) == (True, True, False)
    assert stop.is_pushed is True
    stop.observe(np.zeros(2), np.zeros(2), START + SECOND)
    assert not stop.is_pushed
    assert stop.describe(START + SECOND) == "verified: the robot stands"


@pytest.mark.parametrize(("record", "expected"), [
    (([12.1, 0.0], [0.2, 0.0]), "the legs turn again after a verified stop: left 12.1 rad/s"),
    (([0.0, 0.0], [0.0, 0.2]), "the motors are on again after a verified stop: right 20.0 %"),
    (([12.1, 0.0], [0.0, 0.2]), "the legs turn again after a verified stop: left 12.1 rad/s"),
    (([math.nan, 0.0], [0.0, 0.0]), "the telemetry of the legs is not finite again after a verified stop"),
    (([12.1, 0.0], [0.0, math.nan]), "the telemetry of the legs is not finite again after a verified stop")])
@pytest.mark.parametrize("when", [1, 10 * SECOND])
def test_a_stop_that_comes_undone(record: tuple[list[float], list[float]], expected: str, when: int) -> None:
    """At once, within the patience or long after it: nothing may move a robot that was seen to stand."""
    stop = check(REST_RECORD, REST_RECORD)
    stop.observe(np.array(record[0]), np.array(record[1]), START + 40 * MS + when)
    assert look(stop, START + 40 * MS + when) == ("failed", expected, expected)
    assert stop.must_repeat
    assert not stop.is_verified
    assert not stop.is_pushed


def test_a_stop_that_came_undone_and_is_obeyed_again() -> None:
    stop = check(REST_RECORD, REST_RECORD, DRIVEN, REST_RECORD)
    assert stop.problem(START + 80 * MS) == "only one record shows the robot at rest: not verified"
    stop.observe(np.zeros(2), np.zeros(2), START + 100 * MS)
    assert stop.state(START + 100 * MS) is StopState.VERIFIED
    stop.observe(*map(np.array, DRIVEN), START + 120 * MS)
    assert stop.state(START + 120 * MS) is StopState.FAILED


def test_a_stop_that_came_undone_and_is_pushed_then_stays_failed() -> None:
    stop = check(REST_RECORD, REST_RECORD, DRIVEN, PUSHED)
    assert look(stop, START + 80 * MS)[:2] == (
        "failed", "the legs turn again after a verified stop: left 12.1 rad/s, right -3.0 rad/s; the motors are off, "
                  "so something else turns them")
    assert stop.is_pushed


# Begin and end -------------------------------------------------------------------------------------------------------


def test_saying_stop_again_does_not_start_the_patience_anew() -> None:
    stop = check(DRIVEN)
    stop.begin(START + 400 * MS)
    assert stop.state(START + PATIENCE + 1) is StopState.FAILED
    assert stop.problem(START + PATIENCE + 1).startswith("the legs still turn 0.0 s after the stop")


def test_saying_stop_again_does_not_undo_what_was_seen() -> None:
    stop = check(REST_RECORD, REST_RECORD)
    stop.begin(START + SECOND)
    assert stop.is_verified


@pytest.mark.parametrize("records", [
    [REST_RECORD] * 2, [REST_RECORD], [DRIVEN] * 2, [REST_RECORD, REST_RECORD, DRIVEN], [PUSHED]])
def test_the_next_stop_starts_from_nothing(records: list[tuple[list[float], list[float] | None]]) -> None:
    stop = check(*records)
    stop.end()
    assert look(stop, START + SECOND) == ("idle", "", "no stop in force")
    assert not stop.is_pushed
    stop.observe(*map(np.array, DRIVEN), START + SECOND)
    stop.begin(START + 2 * SECOND)
    assert not stop.is_verified
    assert look(stop, START + 2 * SECOND + PATIENCE)[0] == "pending"
    assert stop.problem(START + 2 * SECOND + PATIENCE + 1) == "no telemetry since the stop: not verified"
    stop.observe(np.zeros(2), np.zeros(2), START + 3 * SECOND)
    assert not stop.is_verified, "records of the stop before do not count"


@pytest.mark.parametrize("patience", [0.0, -1.0, math.nan, math.inf])
def test_patience_is_checked(patience: float) -> None:
    with pytest.raises(UserError) as error:
        StopCheck(patience)
    assert str(error.value) == f"the patience with a stop must be finite and above 0 s, not {patience:g} s"


@pytest.mark.parametrize(("rates", "duty"), [(1, 2), (3, 2), (2, 1), (2, 3)])
def test_a_robot_has_two_legs(rates: int, duty: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        check(([0.0] * rates, [0.0] * duty))


# Any sequence --------------------------------------------------------------------------------------------------------


class StopMachine(RuleBasedStateMachine):
    """A stop beside a list of everything that was seen since it began."""

    @initialize(now=st.integers(0, 2**62))
    def begin_at(self, now: int) -> None:
        self.stop, self.now = StopCheck(0.5), now
        self.begun: int | None = None
        self.seen: list[str] = []

    @rule(ms=st.sampled_from([0, 1, 20, 100, 499, 500, 501]), ns=st.sampled_from([0, 1]))
    def wait(self, ms: int, ns: int) -> None:
        self.now += ms * MS + ns

    @rule()
    def begin(self) -> None:
        self.stop.begin(self.now)
        if self.begun is None:
            self.begun, self.seen = self.now, []

    @rule()
    def end(self) -> None:
        self.stop.end()
        self.begun, self.seen = None, []

    @rule(rate=st.sampled_from([0.0, 0.0, 0.0, 0.49, 0.5, -12.0, math.nan]), side=st.booleans(),
          duty=st.sampled_from([0.0, 0.0, 0.0, -0.2, None, math.inf]))
    def observe(self, rate: float, duty: float | None, side: bool) -> None:
        rates = np.array([rate, 0.0] if side else [0.0, rate])
        self.stop.observe(rates, None if duty is None else np.array([0.0, duty]), self.now)
        is_finite = math.isfinite(rate) and (duty is None or math.isfinite(duty))
        is_still, is_off = abs(rate) < 0.5, not duty
        kind = "rest" if is_still and is_off else "pushed" if is_off and duty is not None else "driven"
        self.seen.append(kind if is_finite else "driven")

    def expected(self) -> str:
        """Read the whole list anew."""
        if self.begun is None:
            return "idle"
        is_verified = has_relapsed = False
        for before, kind in zip(["", *self.seen], self.seen, strict=False):
            if kind == before == "rest":
                is_verified, has_relapsed = True, False
            elif kind == "driven" and is_verified:
                is_verified, has_relapsed = False, True
        late = self.now - self.begun > PATIENCE
        return "verified" if is_verified else "failed" if has_relapsed or late else "pending"

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "stop"):
            return
        state, problem, text = look(self.stop, self.now)
        assert state == self.expected()
        assert bool(problem) == (state == "failed"), "what failed is never silent"
        assert text
        assert "\n" not in text
        assert self.stop.is_verified == (state == "verified")
        assert self.stop.must_repeat == (state in ("pending", "failed"))


StopMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40)
TestStop = StopMachine.TestCase
