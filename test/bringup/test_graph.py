# SPDX-License-Identifier: Apache-2.0
"""The graph as data, and that ROS reads its values with the types they have."""

import dataclasses
import importlib.util
import sys
from datetime import datetime
from pathlib import Path

import pytest

from l2a_ros.bringup.arguments import Settings, read_settings
from l2a_ros.bringup.environment import node_environment
from l2a_ros.bringup.failure import describe_death, exit_status
from l2a_ros.bringup.graph import NodeSpec, parameter_text, record_graph, simulation_graph, trial_graph

SETTINGS = Settings(
    path="straight", method="grbal", planner="random_shooting", terrain="carpet", faults=(),
    checkpoint=Path("/c/grbal.safetensors"), clock="real", duration=20.0, seed=0, out=Path("/runs/x"), record=False,
    headless=True, config=Path("/c/millirobot.yaml"))


def by_name(graph: list[NodeSpec]) -> dict[str, NodeSpec]:
    return {spec.name: spec for spec in graph}


def test_a_simulated_trial_has_one_process_per_part() -> None:
    graph = by_name(simulation_graph(SETTINGS))
    assert list(graph) == ["mujoco_sim", "state_estimator", "adaptation", "mpc", "trial"]
    assert [name for name, spec in graph.items() if spec.ends_run] == ["trial"]
    assert [name for name, spec in graph.items() if spec.console] == ["trial"]
    assert [name for name, spec in graph.items() if spec.lifecycle] == ["mujoco_sim", "adaptation", "mpc"]
    assert all(spec.parameter_files == (SETTINGS.config,) for spec in graph.values())


def test_the_recorder_is_there_when_asked_for() -> None:
    recorded = dataclasses.replace(SETTINGS, record=True)
    assert by_name(simulation_graph(recorded))["recorder"].parameters["out"] == "/runs/x/bag"
    assert [spec.name for spec in trial_graph(recorded)] == ["recorder", "trial"]
    assert [spec.name for spec in trial_graph(SETTINGS)] == ["trial"]
    [recorder] = record_graph(Path("/bag"), SETTINGS.config, "lockstep")
    assert recorder.parameters == {"use_sim_time": True, "lockstep": True, "out": "/bag"}
    assert recorder.ends_run


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


def test_the_nodes_exist() -> None:
    for spec in simulation_graph(dataclasses.replace(SETTINGS, record=True)):
        assert importlib.util.find_spec(spec.module) is not None, spec.module


def test_parameters_become_ros_arguments() -> None:
    spec = NodeSpec("mpc", {"seed": 1, "faults": ()}, (Path("/a.yaml"),))
    assert spec.ros_arguments() == ["--params-file", "/a.yaml", "-p", "mpc:seed:=1", "-p", 'mpc:faults:=[""]']


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
