# SPDX-License-Identifier: Apache-2.0
"""Names, order and units of state and action: everything that is stored or sent depends on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.robot.layout import ACTION, LEGS, MOTOR_JOINTS, MOTOR_TELEMETRY, SIDES, STATE, Layout

#: Written out on purpose: recordings and checkpoints of users hold these names in this order.
GOLDEN_STATE = [
    "position_x", "position_y", "position_z", "velocity_x", "velocity_y", "velocity_z", "roll_cos", "roll_sin",
    "pitch_cos", "pitch_sin", "yaw_cos", "yaw_sin", "angular_velocity_x", "angular_velocity_y",
    "angular_velocity_z", "left_leg_cos", "left_leg_sin", "right_leg_cos", "right_leg_sin", "left_leg_velocity",
    "right_leg_velocity", "left_back_emf", "right_back_emf", "battery_voltage",
]


def test_state_layout_is_the_golden_one() -> None:
    assert list(STATE.names) == GOLDEN_STATE
    assert STATE.size == 24
    units = dict(STATE.elements)
    assert units["position_x"] == "m"
    assert units["velocity_z"] == "m/s"
    assert units["angular_velocity_y"] == units["left_leg_velocity"] == "rad/s"
    assert units["right_back_emf"] == units["battery_voltage"] == "V"
    assert all(units[name] == "1" for name in GOLDEN_STATE if name.endswith(("_cos", "_sin")))


def test_ids_are_the_golden_ones() -> None:
    """An id that changes makes every checkpoint and recording a stranger, so a change must be meant."""
    assert STATE.id == "59ee0c4009f3"
    assert ACTION.id == "125f2f87f882"


def test_action_and_motors() -> None:
    assert ACTION.names == MOTOR_JOINTS == ("left_leg", "right_leg")
    assert {unit for _, unit in ACTION.elements} == {"rad/s"}
    assert SIDES == ("left", "right")
    assert LEGS == ("front_left", "middle_left", "hind_left", "front_right", "middle_right", "hind_right")
    assert MOTOR_TELEMETRY.names == ("left_back_emf", "right_back_emf", "left_duty", "right_duty")


@pytest.mark.parametrize("layout", [STATE, ACTION, MOTOR_TELEMETRY], ids=lambda layout: layout.name)
def test_names_are_unique_and_indices_follow_them(layout: Layout) -> None:
    assert len(set(layout.names)) == layout.size
    assert layout.indices(layout.names) == list(range(layout.size))
    assert layout.indices(tuple(reversed(layout.names))) == list(reversed(range(layout.size)))
    with pytest.raises(KeyError, match=f"{layout.name} has no element 'tail'"):
        layout.index("tail")


def test_id_tells_name_order_and_unit_apart() -> None:
    base = Layout("a", (("x", "m"), ("y", "rad")))
    assert base.id == Layout("another name", base.elements).id
    others = [Layout("a", (("y", "rad"), ("x", "m"))), Layout("a", (("x", "m"), ("y", "deg"))),
              Layout("a", (("x", "m"),)), Layout("a", (("x", "m"), ("z", "rad")))]
    assert len({base.id, *(other.id for other in others)}) == 5


@pytest.mark.parametrize(("names", "expected"), [
    (GOLDEN_STATE[1:], "recording b does not match the robot's state layout: missing position_x"),
    ([*GOLDEN_STATE, "tail", "ear"], "recording b does not match the robot's state layout: unexpected tail, ear"),
    (["tail", *GOLDEN_STATE[1:-1]], "recording b does not match the robot's state layout: "
     "missing position_x, battery_voltage; unexpected tail"),
    ([GOLDEN_STATE[1], GOLDEN_STATE[0], *GOLDEN_STATE[2:]],
     "recording b does not match the robot's state layout: same elements in another order or repeated"),
    ([*GOLDEN_STATE, "position_x"],
     "recording b does not match the robot's state layout: same elements in another order or repeated"),
])
def test_wrong_names_are_named(names: list[str], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        STATE.check_names(names, "recording b")
    assert str(caught.value) == expected


def test_right_names_pass_as_any_sequence() -> None:
    STATE.check_names(GOLDEN_STATE, "list")
    STATE.check_names(tuple(GOLDEN_STATE), "tuple")


@settings(max_examples=50)
@given(st.permutations(range(24)), st.lists(st.floats(-1e6, 1e6), min_size=24, max_size=24))
def test_vector_does_not_depend_on_the_order_of_its_values(order: list[int], numbers: list[float]) -> None:
    named = {STATE.names[i]: numbers[i] for i in order}
    vector = STATE.vector(named)
    assert vector.dtype == np.float64
    np.testing.assert_array_equal(vector, numbers)
    assert STATE.named(vector) == named


def test_vector_needs_every_element_and_no_other() -> None:
    with pytest.raises(UserError, match="missing right_leg"):
        ACTION.vector({"left_leg": 1.0})
    with pytest.raises(UserError, match="unexpected tail"):
        ACTION.vector({"left_leg": 1.0, "right_leg": 1.0, "tail": 0.0})
    with pytest.raises(ValueError, match="zip"):
        ACTION.named(np.zeros(3))
