# SPDX-License-Identifier: Apache-2.0
"""How faults are written, and when they act."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.robot.layout import LEGS, SIDES
from l2a_ros.simulation.fault_schedule import FaultSchedule
from l2a_ros.simulation.faults import (
    FAULT_KINDS,
    Fault,
    FaultKind,
    body_fault_names,
    fault_names,
    parse_fault,
    parse_faults,
)

KNOWN = "battery, dead_motor, encoder_slip, foot_grip, imu_bias, missing_leg, mocap_dropout, mocap_latency, "


@pytest.mark.parametrize(("text", "expected"), [
    ("missing_leg:front_right@5.0", ("missing_leg", "front_right", (), 5.0)),
    ("missing_leg:hind_left", ("missing_leg", "hind_left", (), 0.0)),
    ("worn_leg:middle_left,0.25@2", ("worn_leg", "middle_left", (0.25,), 2.0)),
    ("foot_grip:front_right,0.3", ("foot_grip", "front_right", (0.3,), 0.0)),
    ("motor_gain:right,0.6", ("motor_gain", "right", (0.6,), 0.0)),
    ("motor_gain:left,2@0", ("motor_gain", "left", (2.0,), 0.0)),
    ("motor_gain:left,0", ("motor_gain", "left", (0.0,), 0.0)),
    ("motor_gain: left , 1e-1 @ 3", ("motor_gain", "left", (0.1,), 3.0)),
    ("dead_motor:left@1e3", ("dead_motor", "left", (), 1000.0)),
    ("  dead_motor:right@.5 ", ("dead_motor", "right", (), 0.5)),
    ("payload:0.02", ("payload", "", (0.02,), 0.0)),
    ("shell_weight:14.2", ("shell_weight", "", (14.2, 0.0, 0.0, 0.0125), 0.0)),
    ("shell_weight:14.2,0.03,-0.02@1", ("shell_weight", "", (14.2, 0.03, -0.02, 0.0125), 1.0)),
    ("shell_weight:14.2,0.03,-0.02,0", ("shell_weight", "", (14.2, 0.03, -0.02, 0.0), 0.0)),
    ("battery:3.4", ("battery", "", (3.4,), 0.0)),
    ("encoder_slip:left,-0.1", ("encoder_slip", "left", (-0.1,), 0.0)),
    ("pose_shift:0.03,0,-0.2", ("pose_shift", "", (0.03, 0.0, -0.2), 0.0)),
    ("mocap_dropout:0.5@3.0", ("mocap_dropout", "", (0.5,), 3.0)),
    ("mocap_latency:0.05", ("mocap_latency", "", (0.05,), 0.0)),
    ("mocap_outlier:0.5", ("mocap_outlier", "", (0.5,), 0.0)),
    ("imu_bias:0.1,-0.1,0.5", ("imu_bias", "", (0.1, -0.1, 0.5), 0.0)),
    ("packet_loss:1", ("packet_loss", "", (1.0,), 0.0)),
    ("stuck_encoder:left@2", ("stuck_encoder", "left", (), 2.0)),
    ("wire_corrupt:0.01", ("wire_corrupt", "", (0.01,), 0.0)),
    ("unplug:0.5@3", ("unplug", "", (0.5,), 3.0)),
    ("reboot@3", ("reboot", "", (), 3.0)), ("wrong_firmware", ("wrong_firmware", "", (), 0.0)),
])
def test_good(text: str, expected: tuple[str, str, tuple[float, ...], float]) -> None:
    fault = parse_fault(text)
    assert (fault.name, fault.part, fault.values, fault.onset) == expected
    assert fault.text == text.strip()


@pytest.mark.parametrize(("text", "expected"), [
    ("", f"unknown fault ''; known: {KNOWN}"), ("flat_tyre:left", f"unknown fault 'flat_tyre'; known: {KNOWN}"),
    ("Missing_leg:front_left", "unknown fault"), (":left", "unknown fault"), ("@5", "unknown fault"),
    ("missing_leg", "write missing_leg:LEG with LEG one of front_left"), ("missing_leg:", "write missing_leg:LEG"),
    ("missing_leg@5", "write missing_leg:LEG"), ("missing_leg:front_left,hind_left", "write missing_leg:LEG"),
    ("missing_leg:left", "unknown part 'left'; known: front_left, middle_left"),
    ("missing_leg:front_left:5", "unknown part 'front_left:5'"),
    ("missing_leg:front_left@", "'' must be a number"), ("missing_leg:front_left@soon", "'soon' must be a number"),
    ("missing_leg:front_left@-1", "'-1' must be a number from 0"), ("missing_leg:front_left@nan", "must be a number"),
    ("missing_leg:front_left@inf", "must be a number"), ("missing_leg:front_left@1@2", "'1@2' must be a number"),
    ("motor_gain", "write motor_gain:SIDE,FACTOR"), ("motor_gain:right", "write motor_gain:SIDE,FACTOR"),
    ("motor_gain:0.6,right", "unknown part '0.6'; known: left, right"),
    ("motor_gain:right,0.6,1", "write motor_gain:SIDE,FACTOR"), ("motor_gain:right,", "'' must be a number"),
    ("motor_gain:right,0.6,", "write motor_gain"),
    ("motor_gain:right,-0.1", "from 0 to 2"), ("motor_gain:right,2.01", "from 0 to 2"),
    ("motor_gain:right,half", "'half' must be a number"), ("motor_gain:right,nan", "must be a number"),
    ("dead_motor", "write dead_motor:SIDE"), ("dead_motor:front_left", "unknown part 'front_left'; known: left, right"),
    ("dead_motor:left,right", "write dead_motor:SIDE"),
    ("payload", "write payload:KILOGRAMS, for example payload:0.02"), ("payload:", "write payload:KILOGRAMS"),
    ("payload:0", "from 0.001 to 0.5"), ("payload:0.02,1", "write payload"), ("payload:20", "from 0.001 to 0.5"),
    ("shell_weight", "write shell_weight:GRAMS[,X,Y,Z], for example shell_weight:14.2,0.03,0.02"),
    ("shell_weight:1,0,0,0,0", "write shell_weight"), ("shell_weight:14.2,1", "'1' must be a number from -0.1 to 0.1"),
    ("battery:0", "from 2.5 to 4.5"), ("battery:3.7,3.6", "write battery:VOLTS"),
    ("encoder_slip:0.1", "write encoder_slip:SIDE,SHARE with SIDE one of left, right"),
    ("encoder_slip:left,1", "from -0.5 to 0.9"), ("pose_shift:0.1,0.1", "write pose_shift:X,Y,YAW, for example"),
    ("pose_shift:0,0,4", "from -3.14159 to 3.14159"), ("mocap_dropout:0", "from 0.001"),
    ("mocap_dropout", "write mocap_dropout:SECONDS"), ("mocap_latency:-0.1", "from 0 to 2"),
    ("mocap_outlier:often", "'often' must be a number"), ("imu_bias:1", "write imu_bias:X,Y,Z"),
    ("packet_loss:1.1", "from 0 to 1"), ("packet_loss:20%", "'20%' must be a number"),
    ("worn_leg:left,0.3", "unknown part 'left'; known: front_left"), ("worn_leg:front_left,0.7", "from 0 to 0.6"),
    ("foot_grip:front_left", "write foot_grip:LEG,FACTOR with LEG one of front_left"),
    ("foot_grip:front_left,0.04", "from 0.05 to 3"), ("foot_grip:front_left,3.1", "from 0.05 to 3"),
    ("reboot:1", "write reboot, for example reboot@3.0"), ("stuck_encoder", "write stuck_encoder:SIDE"),
    ("wire_delay:-1", "from 0 to 2"), ("unplug", "write unplug:SECONDS"), ("wire_drop:2", "from 0 to 1"),
])
def test_bad(text: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_fault(text)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", fault_names())
def test_the_example_in_the_message_is_a_good_one(name: str) -> None:
    with pytest.raises(UserError, match=f"write {name}.* for example {name}") as caught:
        parse_fault(f"{name}:1,2,3,4,5,6")
    assert parse_fault(str(caught.value).rpartition("for example ")[2]).name == name


def test_known_faults() -> None:
    assert ", ".join(fault_names()).startswith(KNOWN)
    for leg in LEGS:
        assert parse_fault(f"missing_leg:{leg}").part == leg
    for side in SIDES:
        assert parse_fault(f"dead_motor:{side}").part == side
    assert [fault.text for fault in parse_faults(["", "dead_motor:left", " ", "payload:0.1"])] == [
        "dead_motor:left", "payload:0.1"]


def test_a_fault_of_the_wire_is_refused_where_there_is_none() -> None:
    texts = ["payload:0.1", "wire_drop:0.1@3"]
    assert [fault.name for fault in parse_faults(texts)] == ["payload", "wire_drop"]
    with pytest.raises(UserError, match=r"fault 'wire_drop:0.1@3' strikes the wire .* l2a hardware --emulate"):
        parse_faults(texts, has_wire=False)
    assert set(fault_names()) - set(body_fault_names()) == {
        "wire_drop", "wire_corrupt", "wire_delay", "wire_duplicate", "wire_reorder", "silence", "unplug", "reboot",
        "wrong_firmware"}
    assert len(parse_faults([FAULT_KINDS[name].example for name in body_fault_names()], has_wire=False)) == len(
        body_fault_names())


def _written(item: tuple[str, FaultKind]) -> st.SearchStrategy[tuple[str, Fault]]:
    """Draw a fault of one kind and its text."""
    name, kind = item
    part = st.sampled_from(kind.parts) if kind.parts else st.just("")
    numbers = st.tuples(*(st.floats(number.low, number.high) for number in kind.numbers))

    def write(drawn: tuple[str, tuple[float, ...], float | None]) -> tuple[str, Fault]:
        part, values, onset = drawn
        text = f"{name}:{','.join([part] * bool(part) + [repr(value) for value in values])}"
        text += "" if onset is None else f"@{onset!r}"
        return text, Fault(name, part, values, onset or 0.0, text)

    return st.tuples(part, numbers, st.none() | st.floats(0.0, 1e6)).map(write)


FAULTS = st.sampled_from(sorted(FAULT_KINDS.items())).flatmap(_written)


@settings(max_examples=300)
@given(FAULTS)
def test_what_is_written_is_what_is_read(written: tuple[str, Fault]) -> None:
    text, fault = written
    assert parse_fault(text) == fault
    assert parse_fault(parse_fault(text).text) == fault


@settings(max_examples=500)
@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=30) | st.tuples(
    st.sampled_from(fault_names()), st.sampled_from([":", "@", ",", ""]),
    st.text(alphabet="left_right,:@.0123456789-efn ", max_size=20)).map("".join))
def test_any_text_is_a_fault_or_one_line(text: str) -> None:
    try:
        fault = parse_fault(text)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        kind = FAULT_KINDS[fault.name]
        assert 0.0 <= fault.onset < math.inf
        assert all(number.low <= value <= number.high for number, value in zip(kind.numbers, fault.values, strict=True))


# When they act -------------------------------------------------------------------------------------------------------


def _active(schedule: FaultSchedule, now: int) -> list[str]:
    schedule.advance(now)
    return [fault.text for fault in schedule.active]


def test_each_acts_from_its_onset_on_to_the_millisecond() -> None:
    texts = ["dead_motor:left@0.3", "payload:0.1", "mocap_dropout:0.05@0.2", "battery:3.4@0.2005"]
    schedule = FaultSchedule(parse_faults(texts))
    assert not schedule.active, "nothing acts before time begins"
    acting = {now: _active(schedule, now) for now in range(400)}
    for text, moments in zip(texts, (range(300, 400), range(400), range(200, 250), range(201, 400)), strict=True):
        assert [now for now, active in acting.items() if text in active] == list(moments), text
    assert [fault.text for fault in schedule.waiting] == ["mocap_dropout:0.05@0.2"]


def test_advance_says_when_something_changes() -> None:
    schedule = FaultSchedule(parse_faults(["mocap_dropout:0.02@0.01", "mocap_dropout:0.01@0.02"]))
    assert [now for now in range(50) if schedule.advance(now)] == [10, 20, 30]


def test_replacing_keeps_what_stays_and_counts_from_now() -> None:
    schedule = FaultSchedule(parse_faults(["dead_motor:left@0.1", "payload:0.1@0.5"]))
    assert _active(schedule, 200) == ["dead_motor:left@0.1"]
    schedule.replace(parse_faults(["payload:0.1@0.5", "dead_motor:right@0.1", "battery:3.4"]), 200)
    assert _active(schedule, 200) == ["battery:3.4"], "what was removed heals at once"
    assert _active(schedule, 299) == ["battery:3.4"]
    assert _active(schedule, 300) == ["dead_motor:right@0.1", "battery:3.4"]
    assert _active(schedule, 500) == ["payload:0.1@0.5", "dead_motor:right@0.1", "battery:3.4"], "as it was to be"
    schedule.replace([], 600)
    assert _active(schedule, 600) == []


def test_restarting_counts_every_onset_from_zero() -> None:
    schedule = FaultSchedule()
    schedule.replace(parse_faults(["dead_motor:left@0.1"]), 1000)
    assert _active(schedule, 1100) == ["dead_motor:left@0.1"]
    schedule.restart()
    assert _active(schedule, 99) == []
    assert _active(schedule, 100) == ["dead_motor:left@0.1"]


@settings(max_examples=200)
@given(st.lists(FAULTS.map(lambda written: written[1]), max_size=5), st.integers(0, 2000), st.integers(0, 2000))
def test_looking_every_millisecond_or_once_is_the_same(faults: list[Fault], first: int, more: int) -> None:
    one, other = FaultSchedule(faults), FaultSchedule(faults)
    for now in range(0, first + more, 7):
        one.advance(now)
    for schedule in (one, other):
        schedule.advance(first + more)
    assert one.active == other.active
    assert set(one.active) | set(one.waiting) == set(faults)
