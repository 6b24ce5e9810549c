# SPDX-License-Identifier: Apache-2.0
"""config/l2a.rviz names only what RViz 2 has (rviz_properties.yaml says where that was read) and what we publish."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from nodes.test_plan_views import CANDIDATES, PLAN, TRAINED
from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.view_markers import NAMESPACES
from l2a_ros.robot.description import robot_urdf
from l2a_ros.robot.layout import MOTOR_JOINTS

ROOT = Path(__file__).parents[1]
RVIZ = yaml.safe_load((ROOT / "test" / "rviz_properties.yaml").read_text())
CONFIG = yaml.safe_load((ROOT / "config" / "l2a.rviz").read_text())
MANAGER = CONFIG["Visualization Manager"]
DISPLAYS = {display["Name"]: display for display in MANAGER["Displays"]}
TOOLS = {tool["Class"].partition("/")[2]: tool for tool in MANAGER["Tools"]}
#: Offered by robot_state_publisher, latched (robot_state_publisher.cpp: QoS(1).transient_local()).
DESCRIPTION = "robot_description"
OURS = {topic.name: topic for topic in vars(names).values() if isinstance(topic, names.Topic)}


def is_kind(value: object, kind: Any) -> bool:
    """Tell whether a value is of a kind of rviz_properties.yaml."""
    if isinstance(kind, list):
        return value in kind
    if kind == "texts":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if kind == "colour":
        parts = str(value).split("; ")
        return len(parts) == 3 and all(re.fullmatch("[0-9]{1,3}", part) and int(part) <= 255 for part in parts)
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is {"bool": bool, "int": int, "text": str}[kind]


def wrong(config: dict[str, Any], known: dict[str, Any], where: str) -> Iterator[str]:
    """Yield what RViz does not have, or has with another kind of value."""
    for name, value in config.items():
        kind = known.get(name, known.get("*"))
        place = f"{where}/{name}"
        if kind is None:
            yield f"{place} is unknown"
        elif isinstance(kind, dict):
            yield from wrong(value, kind, place) if isinstance(value, dict) else (f"{place} has others below it",)
        elif not is_kind(value, kind):
            yield f"{place} may not be {value!r}"


def unknown_in(entries: list[dict[str, Any]], known: dict[str, Any]) -> list[str]:
    """Return what is wrong in a list of things that each have a class."""
    found = [f"class {each['Class']} is unknown" for each in entries if each["Class"] not in known]
    return found + [problem for each in entries if each["Class"] in known
                    for problem in wrong(each, known[each["Class"]], each["Class"])]


def problems(config: dict[str, Any]) -> list[str]:
    """Return what RViz would not understand of a configuration."""
    manager = config["Visualization Manager"]
    views = [manager["Views"]["Current"], *manager["Views"]["Saved"]]
    rest = {name: value for name, value in manager.items()
            if name not in ("Displays", "Tools", "Views", "Transformation")}
    transformer = manager["Transformation"]["Current"]["Class"]
    return [*unknown_in(manager["Displays"], RVIZ["displays"]), *unknown_in(manager["Tools"], RVIZ["tools"]),
            *unknown_in(views, RVIZ["views"]), *unknown_in(config["Panels"], RVIZ["panels"]),
            *wrong(rest, RVIZ["manager"], "manager"), *wrong(config["Window Geometry"], RVIZ["window"], "window"),
            *([] if transformer in RVIZ["transformers"] else [f"transformer {transformer} is unknown"])]


def test_rviz_has_everything_that_is_named() -> None:
    assert problems(CONFIG) == []
    assert list(CONFIG) == ["Panels", "Visualization Manager", "Window Geometry"]


@pytest.mark.parametrize(("place", "name", "value", "words"), [
    (("Visualization Manager", "Displays", 0), "Cell Sise", 1, "Grid/Cell Sise is unknown"),
    (("Visualization Manager", "Displays", 0), "Class", "rviz/Grid", "class rviz/Grid is unknown"),
    (("Visualization Manager", "Displays", 3), "Line Style", "Billboard", "may not be 'Billboard'"),
    (("Visualization Manager", "Displays", 3), "Color", "red; 0; 0", "may not be 'red; 0; 0'"),
    (("Visualization Manager", "Displays", 3), "Topic", "/reference_path", "has others below it"),
    (("Visualization Manager", "Displays", 3, "Topic"), "Depth", "5", "may not be '5'"),
    (("Visualization Manager", "Tools", 0), "Topic", {}, "Interact/Topic is unknown"),
    (("Visualization Manager", "Views", "Current"), "Pitch", 1.0, "TopDownOrtho/Pitch is unknown"),
    (("Window Geometry",), "Depth", 1, "window/Depth is unknown")])
def test_what_rviz_does_not_have_is_found(place: tuple[Any, ...], name: str, value: Any, words: str) -> None:
    config = inner = copy.deepcopy(CONFIG)
    for each in place:
        inner = inner[each]
    inner[name] = value
    [problem] = problems(config)
    assert words in problem


def offered(display: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the topic that a display listens to, and how."""
    topic = display["Description Topic" if "Description Topic" in display else "Topic"]
    return topic["Value"], topic


def is_latched(topic: dict[str, Any]) -> bool:
    """Check how a display listens; tell whether to what was said before, too."""
    assert topic["History Policy"] == "Keep Last"
    assert topic["Reliability Policy"] == "Reliable"
    assert topic["Depth"] >= 1
    return bool(topic["Durability Policy"] == "Transient Local")


LISTENING = [name for name, display in DISPLAYS.items() if {"Topic", "Description Topic"} & set(display)]


@pytest.mark.parametrize("name", LISTENING)
def test_displays_listen_to_what_is_published_as_it_is_offered(name: str) -> None:
    topic, profile = offered(DISPLAYS[name])
    if topic == DESCRIPTION:
        assert is_latched(profile)
        return
    ours = OURS[topic]
    assert ours.type.__name__ == DISPLAYS[name]["Class"].partition("/")[2]
    assert ours.qos.reliability == ReliabilityPolicy.RELIABLE
    assert ours.qos.history == HistoryPolicy.KEEP_LAST
    assert is_latched(profile) == (ours.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL)


def test_everything_of_a_run_is_displayed() -> None:
    topics = {offered(DISPLAYS[name])[0] for name in LISTENING}
    assert topics == {DESCRIPTION, *(topic.name for topic in (
        names.REFERENCE_PATH, names.PATH_PREVIEW, names.PLAN, names.PLAN_MARKERS, names.VIEW_MARKERS))}
    # The plan is among the markers, twice a second; as a topic of its own it costs the planner something at every tick.
    assert [name for name, display in DISPLAYS.items() if not display["Enabled"]] == ["Plan of every tick"]
    assert all(display["Enabled"] == display["Value"] for display in DISPLAYS.values())
    assert len(DISPLAYS) == len(MANAGER["Displays"]), "each name once"


def test_namespaces_of_markers_are_ours() -> None:
    assert set(DISPLAYS["Plans"]["Namespaces"]) == {CANDIDATES, PLAN, TRAINED}
    assert set(DISPLAYS["Run"]["Namespaces"]) == set(NAMESPACES)
    assert all(value is True for name in ("Plans", "Run") for value in DISPLAYS[name]["Namespaces"].values())


@pytest.mark.parametrize(("tool", "topic"), [
    ("SetGoal", names.GOAL_POSE), ("PublishPoint", names.CLICKED_POINT), ("SetInitialPose", names.INITIAL_POSE)])
def test_tools_send_to_who_listens(tool: str, topic: names.Topic) -> None:
    profile = TOOLS[tool]["Topic"]
    assert profile["Value"] == topic.name
    assert not is_latched(profile)
    assert topic.qos.durability == DurabilityPolicy.VOLATILE, "who sends without latching is heard"


def test_tools_that_look_and_measure() -> None:
    assert {"Interact", "MoveCamera", "Measure"} <= set(TOOLS)
    # Several corners are clicked one after the other.
    assert TOOLS["PublishPoint"]["Single click"] is False


def test_frames_are_those_of_the_robot_in_map() -> None:
    assert MANAGER["Global Options"]["Fixed Frame"] == names.MAP_FRAME
    links = {link.attrib["name"] for link in ElementTree.fromstring(robot_urdf()).iter("link")}
    views = [MANAGER["Views"]["Current"], *MANAGER["Views"]["Saved"]]
    named = {*DISPLAYS["Frames"]["Frames"], *(view["Target Frame"] for view in views)}
    assert named <= links | {names.MAP_FRAME, "All Enabled", "<Fixed Frame>"}


def test_a_room_of_four_metres_is_seen_from_above() -> None:
    view, window = MANAGER["Views"]["Current"], CONFIG["Window Geometry"]
    assert view["Class"] == "rviz_default_plugins/TopDownOrtho"
    # Pixels per metre; a fifth of the window is menus and panels.
    assert 4.5 <= 0.8 * window["Height"] / view["Scale"] <= 8.0
    assert 4.5 <= 0.7 * window["Width"] / view["Scale"]


def test_robot_state_publisher_finds_every_leg() -> None:
    """It moves the joints that ``joint_states`` names and those that mimic one of them; all others must be fixed."""
    for joint in ElementTree.fromstring(robot_urdf()).iter("joint"):
        mimic = joint.find("mimic")
        leader = joint.attrib["name"] if mimic is None else mimic.attrib["joint"]
        assert joint.attrib["type"] == "fixed" or leader in MOTOR_JOINTS
