# SPDX-License-Identifier: Apache-2.0
"""How faults are written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.robot.layout import LEGS, SIDES
from l2a_ros.simulation.faults import fault_names, parse_fault


@pytest.mark.parametrize(("text", "expected"), [
    ("missing_leg:front_right@5.0", ("missing_leg", "front_right", 0.0, 5.0)),
    ("missing_leg:hind_left", ("missing_leg", "hind_left", 0.0, 0.0)),
    ("motor_gain:right,0.6", ("motor_gain", "right", 0.6, 0.0)),
    ("motor_gain:left,2@0", ("motor_gain", "left", 2.0, 0.0)),
    ("motor_gain:left,0", ("motor_gain", "left", 0.0, 0.0)),
    ("motor_gain: left , 1e-1 @ 3", ("motor_gain", "left", 0.1, 3.0)),
    ("dead_motor:left@1e3", ("dead_motor", "left", 0.0, 1000.0)),
    ("  dead_motor:right@.5 ", ("dead_motor", "right", 0.0, 0.5)),
])
def test_good(text: str, expected: tuple[str, str, float, float]) -> None:
    fault = parse_fault(text)
    assert (fault.name, fault.part, fault.value, fault.onset) == expected
    assert fault.text == text.strip()


@pytest.mark.parametrize(("text", "expected"), [
    ("", "unknown fault ''; known: dead_motor, missing_leg, motor_gain"),
    ("flat_tyre:left", "unknown fault 'flat_tyre'; known: dead_motor, missing_leg, motor_gain"),
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
])
def test_bad(text: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_fault(text)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_known_faults() -> None:
    assert fault_names() == ["dead_motor", "missing_leg", "motor_gain"]
    for leg in LEGS:
        assert parse_fault(f"missing_leg:{leg}").part == leg
    for side in SIDES:
        assert parse_fault(f"dead_motor:{side}").part == side


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=30) | st.tuples(
    st.sampled_from(["missing_leg", "motor_gain", "dead_motor"]), st.sampled_from([":", "@", ",", ""]),
    st.text(alphabet="left_right,:@.0123456789-efn ", max_size=20)).map("".join))
def test_any_text_is_a_fault_or_one_line(text: str) -> None:
    try:
        fault = parse_fault(text)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert fault.name in fault_names()
        assert fault.onset >= 0.0
        assert 0.0 <= fault.value <= 2.0
