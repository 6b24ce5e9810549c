# SPDX-License-Identifier: Apache-2.0
"""The one description of the robot: legs, couplings, phases, masses."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from l2a_ros.robot.description import coupled_joints, robot_urdf
from l2a_ros.robot.layout import LEGS, MOTOR_JOINTS, SIDES

URDF = ElementTree.fromstring(robot_urdf())


def child(element: ElementTree.Element, tag: str) -> ElementTree.Element:
    found = element.find(tag)
    assert found is not None, f"{element.attrib} has no {tag}"
    return found


#: The joint that carries each link.
JOINTS = {child(joint, "child").attrib["link"]: joint for joint in URDF.iter("joint")}


def numbers(text: str) -> list[float]:
    return [float(value) for value in text.split()]


def phase(leg: str) -> float:
    """Crank angle of a leg against the zero of its joint, rad."""
    roll, pitch, yaw = numbers(child(JOINTS[f"{leg}_leg"], "origin").attrib["rpy"])
    assert (roll, yaw) == (0.0, 0.0)
    return pitch


def apart(first: str, second: str) -> float:
    """How far two legs are apart in phase, rad, 0 to pi."""
    return abs(math.remainder(phase(first) - phase(second), 2.0 * math.pi))


def test_it_is_plain_urdf() -> None:
    assert URDF.tag == "robot"
    assert URDF.attrib["name"] == "millirobot"
    assert "xacro" not in robot_urdf().split("<robot", 1)[1]


def test_links_and_joints() -> None:
    links = {link.attrib["name"] for link in URDF.iter("link")}
    assert links == {"base_link", "imu_link", *(f"{leg}_leg" for leg in LEGS)}
    names = [joint.attrib["name"] for joint in URDF.iter("joint")]
    assert len(names) == len(set(names)) == 7
    assert set(MOTOR_JOINTS) <= set(names)
    assert {child(joint, "parent").attrib["link"] for joint in URDF.iter("joint")} == {"base_link"}


@pytest.mark.parametrize("leg", LEGS)
def test_leg_turns_about_y_without_end(leg: str) -> None:
    joint = JOINTS[f"{leg}_leg"]
    assert joint.attrib["type"] == "continuous"
    assert numbers(child(joint, "axis").attrib["xyz"]) == [0.0, 1.0, 0.0]
    limit = child(joint, "limit")
    assert float(limit.attrib["effort"]) > 0.0
    assert float(limit.attrib["velocity"]) > 9.0 * 2.0 * math.pi, "the fastest command must be possible"


@pytest.mark.parametrize("side", SIDES)
def test_three_legs_of_a_side_turn_together(side: str) -> None:
    followers = {f"front_{side}_leg_joint", f"hind_{side}_leg_joint"}
    assert {name for name, leader in coupled_joints().items() if leader == f"{side}_leg"} == followers
    assert JOINTS[f"middle_{side}_leg"].attrib["name"] == f"{side}_leg", "the motor's joint"
    for name in followers:
        mimic = next(child(joint, "mimic") for joint in URDF.iter("joint") if joint.attrib["name"] == name)
        assert float(mimic.attrib["multiplier"]) == 1.0
        assert float(mimic.attrib["offset"]) == 0.0


def test_nothing_else_is_coupled() -> None:
    assert len(coupled_joints()) == 4


def test_phases_are_the_alternating_tripod() -> None:
    for side in SIDES:
        assert apart(f"front_{side}", f"hind_{side}") == pytest.approx(0.0)
        assert apart(f"middle_{side}", f"front_{side}") == pytest.approx(math.pi)
    for place in ("front", "middle", "hind"):
        assert apart(f"{place}_left", f"{place}_right") == pytest.approx(math.pi)
    tripod = ["front_left", "hind_left", "middle_right"]
    assert all(apart(tripod[0], leg) == pytest.approx(0.0) for leg in tripod)
    assert all(apart(tripod[0], leg) == pytest.approx(math.pi) for leg in LEGS if leg not in tripod)
    assert phase("front_left") == pytest.approx(0.0), "at zero the first tripod is down"


def test_legs_stand_where_their_names_say() -> None:
    places = {leg: numbers(child(JOINTS[f"{leg}_leg"], "origin").attrib["xyz"]) for leg in LEGS}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        front, middle, hind = (places[f"{place}_{side}"] for place in ("front", "middle", "hind"))
        assert front[0] > middle[0] == 0.0 > hind[0]
        assert front[0] == pytest.approx(-hind[0])
        assert all(sign * place[1] > 0.0 for place in (front, middle, hind))
    for place in ("front", "middle", "hind"):
        left, right = places[f"{place}_left"], places[f"{place}_right"]
        assert left == pytest.approx([right[0], -right[1], right[2]])


def test_masses_and_inertias_are_plausible() -> None:
    masses = {link.attrib["name"]: float(child(child(link, "inertial"), "mass").attrib["value"])
              for link in URDF.iter("link") if link.find("inertial") is not None}
    assert set(masses) == {"base_link", *(f"{leg}_leg" for leg in LEGS)}
    assert 0.030 <= sum(masses.values()) <= 0.070, "30 g bare, 70 g with shell and markers"
    assert len({masses[f"{leg}_leg"] for leg in LEGS}) == 1
    for link in URDF.iter("link"):
        if link.find("inertial") is None:
            continue
        inertia = child(child(link, "inertial"), "inertia")
        moments = sorted(float(inertia.attrib[key]) for key in ("ixx", "iyy", "izz"))
        assert moments[0] > 0.0
        assert moments[2] <= sum(moments[:2]) * (1 + 1e-9), f"{link.attrib['name']}: no body has such an inertia"


def test_body_is_as_long_as_published() -> None:
    base = next(link for link in URDF.iter("link") if link.attrib["name"] == "base_link")
    box = child(child(child(base, "collision"), "geometry"), "box")
    assert numbers(box.attrib["size"])[0] == pytest.approx(0.100)


@pytest.mark.parametrize("leg", LEGS)
def test_foot_of_every_leg_can_touch_the_floor(leg: str) -> None:
    link = next(link for link in URDF.iter("link") if link.attrib["name"] == f"{leg}_leg")
    collision = child(link, "collision")
    x, y, z = numbers(child(collision, "origin").attrib["xyz"])
    assert (x, y) == (0.0, 0.0)
    reach = -z + float(child(child(collision, "geometry"), "sphere").attrib["radius"])
    assert 0.010 < reach < 0.030
