# SPDX-License-Identifier: Apache-2.0
"""The graph as data, and that ROS reads its values with the types they have."""

import dataclasses
import importlib.util
import os
import sys
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from l2a_ros.bringup.arguments import Hardware, Settings, read_settings
from l2a_ros.bringup.environment import node_environment
from l2a_ros.bringup.failure import describe_death, exit_status
from l2a_ros.bringup.graph import (
    NodeSpec,
    graph_of,
    hardware_graph,
    parameter_text,
    record_graph,
    simulation_graph,
    trial_graph,
)
from l2a_ros.bringup.words import HARDWARE
from l2a_ros.robot.mocap import MOCAP_TOPIC
from l2a_ros.robot.share import share_file

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(
    path="straight", method="grbal", planner="random_shooting", terrain="carpet", faults=(),
    checkpoint=Path("/c/grbal.safetensors"), clock="real", duration=20.0, seed=0, out=Path("/runs/x"), record=False,
    headless=True, configs=(Path("/c/millirobot.yaml"),))
ROBOT = Hardware(port="/dev/ttyUSB3", baud=57600, profile="velociroach_gbac", calibration="/c/robot1.yaml",
                 mocap_topic="/vrpn_mocap/robot/pose", mocap_type="odometry", emulate=False)
ON_ROBOT = dataclasses.replace(SETTINGS, hardware=ROBOT)
EMULATED = dataclasses.replace(SETTINGS, hardware=dataclasses.replace(ROBOT, port="/runs/x/velociroach", emulate=True))


def by_name(graph: list[NodeSpec]) -> dict[str, NodeSpec]:
    return {spec.name: spec for spec in graph}


def test_a_simulated_trial_has_one_process_per_part() -> None:
    graph = by_name(simulation_graph(SETTINGS))
    assert list(graph) == ["mujoco_sim", "state_estimator", "adaptation", "mpc", "trial"]
    assert [name for name, spec in graph.items() if spec.ends_run] == ["trial"]
    assert [name for name, spec in graph.items() if spec.console] == ["trial"]
    assert [name for name, spec in graph.items() if spec.lifecycle] == ["mujoco_sim", "adaptation", "mpc"]
    assert all(spec.parameter_files == SETTINGS.configs for spec in graph.values())
    assert not any(spec.remappings for spec in graph.values())


def test_the_recorder_is_there_when_asked_for() -> None:
    recorded = dataclasses.replace(SETTINGS, record=True)
    assert by_name(simulation_graph(recorded))["recorder"].parameters["out"] == "/runs/x/bag"
    assert [spec.name for spec in trial_graph(recorded)] == ["recorder", "trial"]
    assert [spec.name for spec in trial_graph(SETTINGS)] == ["trial"]
    [recorder] = record_graph(Path("/bag"), SETTINGS.configs[0], "lockstep")
    assert recorder.parameters == {"use_sim_time": True, "lockstep": True, "out": "/bag"}
    assert recorder.ends_run


def test_the_live_view_is_there_when_asked_for_and_the_run_can_do_without() -> None:
    seen = dataclasses.replace(SETTINGS, view=("0.0.0.0", 8080))
    on_robot = dataclasses.replace(ON_ROBOT, view=seen.view)
    for graph in (simulation_graph(seen), trial_graph(seen), hardware_graph(on_robot)):
        view = by_name(graph)["live_view"]
        assert view.parameters == {"host": "0.0.0.0", "port": 8080, "open_browser": True}
        assert view.console and view.optional and not view.ends_run
    assert "live_view" not in by_name(trial_graph(SETTINGS))
    # Plans are made for it, so that a recording of the run may hold them too.
    recorder = by_name(simulation_graph(dataclasses.replace(seen, record=True)))["recorder"]
    assert recorder.parameters["topics"] == ("plan_markers:visualization_msgs/msg/MarkerArray",)


def test_the_simulator_notes_what_a_film_needs_when_asked_for() -> None:
    assert by_name(simulation_graph(SETTINGS))["mujoco_sim"].parameters["frames"] == ""
    filmed = by_name(simulation_graph(dataclasses.replace(SETTINGS, video=True)))
    assert filmed["mujoco_sim"].parameters["frames"] == "/runs/x/trial_frames.npz"


@pytest.mark.parametrize(("clock", "use_sim_time", "lockstep"), [
    ("real", False, False), ("2.0", True, False), ("lockstep", True, True)])
def test_every_node_follows_the_clock(clock: str, use_sim_time: bool, lockstep: bool) -> None:
    for spec in simulation_graph(dataclasses.replace(SETTINGS, clock=clock, record=True)):
        assert spec.parameters["use_sim_time"] is use_sim_time
        assert spec.parameters["lockstep"] is lockstep


def test_planner_and_model_speak_of_the_same_checkpoint() -> None:
    graph = by_name(simulation_graph(SETTINGS))
    for name in ("adaptation", "mpc", "trial"):
        assert graph[name].parameters["checkpoint"] == "/c/grbal.safetensors"
        assert graph[name].parameters["method"] == "grbal"


@pytest.mark.parametrize("settings", [SETTINGS, ON_ROBOT, EMULATED])
def test_the_nodes_exist_and_are_installed(settings: Settings) -> None:
    for spec in graph_of(dataclasses.replace(settings, record=True)):
        assert importlib.util.find_spec(spec.module) is not None, spec.module
        # Where `ros2 run` and `ros2 launch` look.
        script = ROOT / "scripts" / "nodes" / spec.name
        assert script.read_text() == (ROOT / "scripts" / "nodes" / "mpc").read_text()
        assert os.access(script, os.X_OK)


def test_a_trial_on_the_robot_has_a_driver_instead_of_the_simulator() -> None:
    graph = by_name(graph_of(dataclasses.replace(ON_ROBOT, record=True)))
    simulated = by_name(graph_of(dataclasses.replace(SETTINGS, record=True)))
    assert list(graph) == ["serial_driver", "state_estimator", "adaptation", "mpc", "recorder", "trial"]
    assert list(graph)[1:] == list(simulated)[1:]
    for name in list(graph)[1:]:
        assert dataclasses.replace(graph[name], parameters={}, remappings={}) == dataclasses.replace(
            simulated[name], parameters={}), name
    driver = graph["serial_driver"]
    assert driver.lifecycle
    assert driver.parameters == {
        "use_sim_time": False, "lockstep": False, "port": "/dev/ttyUSB3", "baud": 57600,
        "profile": "velociroach_gbac", "calibration": "/c/robot1.yaml", "port_wait": 0.0}
    assert graph["trial"].parameters["expected_nodes"] == (
        "serial_driver", "state_estimator", "adaptation", "mpc", "recorder")


def test_an_emulated_robot_is_the_other_end_of_the_drivers_port() -> None:
    graph = by_name(hardware_graph(dataclasses.replace(EMULATED, faults=("wire_drop:0.1",), seed=4, video=True)))
    assert list(graph) == ["firmware_emulator", "serial_driver", "state_estimator", "adaptation", "mpc", "trial"]
    emulator, driver = graph["firmware_emulator"].parameters, graph["serial_driver"].parameters
    assert emulator["link"] == driver["port"] == "/runs/x/velociroach"
    assert (emulator["baud"], emulator["profile"]) == (driver["baud"], driver["profile"])
    assert (emulator["terrain"], emulator["faults"], emulator["seed"]) == ("carpet", ("wire_drop:0.1",), 4)
    assert (emulator["headless"], emulator["frames"]) == (True, "/runs/x/trial_frames.npz")
    wait = driver["port_wait"]
    assert isinstance(wait, float)
    assert wait > 5.0, "the driver may be there first"


@pytest.mark.parametrize("settings", [ON_ROBOT, EMULATED])
def test_who_talks_to_motion_capture_knows_its_topic_and_type(settings: Settings) -> None:
    graph = by_name(graph_of(dataclasses.replace(settings, record=True)))
    renamed = {name for name, spec in graph.items() if spec.remappings}
    assert renamed == {"state_estimator", "recorder"} | ({"firmware_emulator"} & set(graph))
    assert all(graph[name].remappings == {MOCAP_TOPIC: "/vrpn_mocap/robot/pose"} for name in renamed)
    assert {name for name, spec in graph.items() if spec.parameters.get("mocap_type") == "odometry"} == {
        "state_estimator", "recorder"}
    assert graph["recorder"].ros_arguments()[-2:] == ["-r", "mocap/pose:=/vrpn_mocap/robot/pose"]


def test_a_topic_with_the_usual_name_is_not_renamed() -> None:
    usual = dataclasses.replace(SETTINGS, hardware=dataclasses.replace(ROBOT, mocap_topic=MOCAP_TOPIC))
    assert not any(spec.remappings for spec in hardware_graph(usual))


def test_a_graph_of_the_robot_needs_one() -> None:
    with pytest.raises(ValueError, match="name no robot"):
        hardware_graph(SETTINGS)


def test_what_the_robots_file_says_is_about_the_robot_alone() -> None:
    """The other nodes are told the same as in simulation, by the same file: nothing can drift. All know the room."""
    content = yaml.safe_load(share_file("config", "hardware.yaml").read_text())
    assert set(content) <= {"/**", "/**/serial_driver", "/**/firmware_emulator"}
    assert set(content["/**"]["ros__parameters"]) == {"geofence"}


def test_what_the_robots_file_sets_exists() -> None:
    from l2a_ros.nodes.driver_settings import SCHEMA

    known = {parameter.name for parameter in SCHEMA}
    given = yaml.safe_load(share_file("config", "hardware.yaml").read_text())["/**/serial_driver"]["ros__parameters"]
    named = {f"{name}.{inner}" for name, value in given.items() if isinstance(value, dict) for inner in value}
    named |= {name for name, value in given.items() if not isinstance(value, dict)}
    assert named <= known


def test_the_last_file_wins(tmp_path: Path) -> None:
    """As the nodes read them: shipped, the robot's, and the user's over both."""
    from rclpy.context import Context
    from rclpy.node import Node

    own = tmp_path / "own.yaml"
    own.write_text("/**/serial_driver:\n  ros__parameters:\n    poll_rate: 20.0\n    geofence: {x_max: 1.5}\n"
                   "/**:\n  ros__parameters:\n    fastest_leg_rate: 5.0\n")
    settings = read_settings({"config": str(own), "out": "out"}, datetime(2026, 11, 22), HARDWARE)
    driver = by_name(hardware_graph(settings))["serial_driver"]
    context = Context()
    context.init(args=["--ros-args", *driver.ros_arguments()])
    try:
        node = Node("serial_driver", context=context, automatically_declare_parameters_from_overrides=True)
        values = {name: node.get_parameter(name).value for name in (
            "poll_rate", "geofence.x_max", "geofence.y_max", "command_timeout", "slowest_leg_rate", "fastest_leg_rate",
            "port")}
    finally:
        context.try_shutdown()
    assert values == {"poll_rate": 20.0, "geofence.x_max": 1.5, "geofence.y_max": 10.0, "command_timeout": 0.25,
                      "slowest_leg_rate": 2.0, "fastest_leg_rate": 5.0, "port": "/dev/velociroach"}


def test_trial_and_driver_read_the_same_room(tmp_path: Path) -> None:
    from rclpy.context import Context
    from rclpy.node import Node

    own = tmp_path / "own.yaml"
    own.write_text("/**:\n  ros__parameters:\n    geofence: {x_max: 1.5}\n")
    graph = by_name(hardware_graph(read_settings({"config": str(own), "out": "out"}, datetime(2026, 11, 22), HARDWARE)))
    for name in ("serial_driver", "trial"):
        context = Context()
        context.init(args=["--ros-args", *graph[name].ros_arguments()])
        try:
            node = Node(name, context=context, automatically_declare_parameters_from_overrides=True)
            assert [node.get_parameter(f"geofence.{side}").value for side in ("x_min", "x_max", "y_min", "y_max")] == [
                -10.0, 1.5, -10.0, 10.0]
        finally:
            context.try_shutdown()


def test_parameters_become_ros_arguments() -> None:
    spec = NodeSpec("mpc", {"seed": 1, "faults": ()}, (Path("/a.yaml"), Path("/b.yaml")), {"plan": "/other/plan"})
    assert spec.ros_arguments() == [
        "--params-file", "/a.yaml", "--params-file", "/b.yaml", "-p", "mpc:seed:=1", "-p", 'mpc:faults:=[""]',
        "-r", "plan:=/other/plan"]


VALUES = [
    True, False, 0, -3, 2**40, 20.0, 1e-9, -1.5e30, 0.1,
    "", "2.0", "no", "null", "~", "0x10", "1e3", "a b", "a: b", "x:=y", "# not a comment", "'quoted'", 'dou"ble',
    "back\\slash", "[list]", "{map}", "&anchor", "*alias", "%", "Größe/μ", "日本", "motor_gain:right,0.6@5.0",
    "trailing ", [""], ["missing_leg:front_right@5.0", "motor_gain:right,0.6"], ["2.0", "no"],
]


def test_ros_reads_values_back_as_they_were() -> None:
    from rclpy.context import Context
    from rclpy.node import Node

    spec = NodeSpec("probe", {f"value_{i}": value for i, value in enumerate(VALUES)})
    context = Context()
    context.init(args=["--ros-args", *spec.ros_arguments()])
    try:
        node = Node("probe", context=context, automatically_declare_parameters_from_overrides=True)
        assert [node.get_parameter(name).value for name in spec.parameters] == VALUES
    finally:
        context.try_shutdown()


def test_who_sends_large_messages_has_room_for_them() -> None:
    """The dense change of mb_de alone: every other node has the usual settings."""
    small, large = (Path(node_environment({}, large_messages=each)["FASTDDS_DEFAULT_PROFILES_FILE"])
                    for each in (False, True))
    assert (small.name, large.name) == ("fastdds.xml", "fastdds_large.xml")
    assert "<segment_size>8388608" in large.read_text()
    for method in ("grbal", "rebal", "mb", "mb_de"):
        graph = simulation_graph(read_settings({"method": method, "out": "out"}, datetime(2026, 11, 22)))
        assert [spec.name for spec in graph if spec.large_messages] == (["adaptation"] if method == "mb_de" else [])


def test_the_users_own_middleware_settings_win() -> None:
    fresh = node_environment({})
    assert fresh["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert fresh["AMENT_PREFIX_PATH"] == sys.prefix
    assert Path(fresh["FASTDDS_DEFAULT_PROFILES_FILE"]).is_file()
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in fresh, "Fast DDS 3 warns of it"
    assert Path(node_environment({"ROS_DISTRO": "jazzy"})["FASTRTPS_DEFAULT_PROFILES_FILE"]).is_file()
    assert fresh["OMP_NUM_THREADS"] == "1"
    own = node_environment({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml",
                            "AMENT_PREFIX_PATH": "/opt/ros/jazzy"}, threads=2)
    assert not {"ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE",
                "AMENT_PREFIX_PATH"} & set(own)
    assert own["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(("code", "lines", "expected"), [
    (2, ["[INFO] up", "mpc: error: seed must be a number", ""], "mpc: error: seed must be a number"),
    (1, ["Traceback", "ValueError: x"],
     "mpc ended too early with exit code 1; its last lines:\n  Traceback\n  ValueError: x"),
    (-9, [], "mpc was killed by SIGKILL and said nothing"),
    (1, ["trial: error: not its own"],
     "mpc ended too early with exit code 1; its last lines:\n  trial: error: not its own"),
])
def test_a_death_is_described(code: int, lines: list[str], expected: str) -> None:
    assert describe_death("mpc", code, lines) == expected


def test_a_run_that_failed_never_ends_with_zero() -> None:
    assert [exit_status(code) for code in (0, 1, 2, -9)] == [1, 1, 2, 137]


def test_text_is_quoted() -> None:
    assert parameter_text("2.0") == '"2.0"'
    assert parameter_text("no") == '"no"'
    assert parameter_text(20.0) == "20.0"
    assert parameter_text(True) == "true"
    assert parameter_text(["a b", 'q"']) == '["a b", "q\\""]'
