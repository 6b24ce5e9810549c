# SPDX-License-Identifier: Apache-2.0
"""Which processes a run consists of, and what each is told: data, no process is started here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from l2a_ros.bringup.arguments import Settings
from l2a_ros.bringup.replay_settings import ReplaySettings
from l2a_ros.experience.replay_sources import ADAPTATION, ESTIMATOR, MPC
from l2a_ros.learning.methods import find_method
from l2a_ros.robot.mocap import MOCAP_TOPIC
from l2a_ros.timing.clock_mode import clock_speed

ParameterValue = bool | int | float | str | Sequence[str]

#: Where the commands of a replay go instead of to the motors.
REPLAYED_COMMANDS = "replay/motor_commands"
#: What planning shows of itself, as the recorder takes it.
PLANS = "plan_markers:visualization_msgs/msg/MarkerArray"
#: The emulated robot makes its end of the line when it is up, which on a busy machine takes a while, s.
EMULATOR_WAIT = 20.0


@dataclass(frozen=True)
class NodeSpec:
    """One process of a graph.

    Args:
        name: of the node, of its module in ``l2a_ros.nodes`` and of its executable in ``lib/l2a_ros``.
        parameters: what this run sets, over ``parameter_files``.
        parameter_files: ROS 2 parameter files, later ones win.
        remappings: other names of topics and services, by those that the node uses.
        lifecycle: whether it is a managed node (it goes to active by itself).
        ends_run: whether the whole run ends when it ends.
        console: whether its output is the user's; the others' goes to log files.
        threads: threads of its linear algebra.
        large_messages: whether it sends messages of some megabytes.
        optional: whether the run goes on when it ends.
    """

    name: str
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    parameter_files: tuple[Path, ...] = ()
    remappings: Mapping[str, str] = field(default_factory=dict)
    lifecycle: bool = False
    ends_run: bool = False
    console: bool = False
    threads: int = 1
    large_messages: bool = False
    optional: bool = False

    @property
    def module(self) -> str:
        """Python module with the node's ``main``."""
        return f"l2a_ros.nodes.{self.name}"

    def ros_arguments(self) -> list[str]:
        """Return the arguments that follow ``--ros-args``."""
        arguments = [text for file in self.parameter_files for text in ("--params-file", str(file))]
        for name, value in self.parameters.items():
            # With the node's name: without it, the node's own section of a parameter file would win.
            arguments += ["-p", f"{self.name}:{name}:={parameter_text(value)}"]
        for name, other in self.remappings.items():
            arguments += ["-r", f"{name}:={other}"]
        return arguments


def parameter_text(value: ParameterValue) -> str:
    """Write a parameter value so that ROS reads back the same type.

    Text is quoted: ROS would else read the clock ``2.0`` as a number and the terrain ``no`` as false.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # JSON's escapes are YAML's; other languages' letters stay as they are.
        return json.dumps(value, ensure_ascii=False)
    # ROS cannot tell the type of an empty list.
    return f"[{', '.join(parameter_text(item) for item in value or [''])}]"


def _common(settings: Settings) -> dict[str, ParameterValue]:
    return {"use_sim_time": settings.simulated_time, "lockstep": settings.lockstep}


def _mocap(settings: Settings) -> dict[str, str]:
    """Return what who talks to motion capture must rename."""
    topic = MOCAP_TOPIC if settings.hardware is None else settings.hardware.mocap_topic
    return {} if topic == MOCAP_TOPIC else {MOCAP_TOPIC: topic}


def _mocap_type(settings: Settings) -> dict[str, ParameterValue]:
    return {} if settings.hardware is None else {"mocap_type": settings.hardware.mocap_type}


def _sensors(settings: Settings) -> dict[str, ParameterValue]:
    """Return what the estimator has to know of the sensors."""
    if settings.hardware is None:
        return {}
    return {**_mocap_type(settings), "calibration": settings.hardware.calibration}


def _trial(settings: Settings) -> NodeSpec:
    return NodeSpec("trial", {
        **_common(settings), "path": settings.path, "duration": settings.duration, "out": str(settings.out),
        "method": settings.method, "planner": settings.planner, "terrain": settings.terrain,
        "faults": settings.faults, "seed": settings.seed, "checkpoint": str(settings.checkpoint),
        # It starts once all of these hear each other; a recording would else miss the first messages.
        "expected_nodes": (*(("serial_driver",) if settings.hardware is not None else ()),
                           "state_estimator", "adaptation", "mpc", *(("recorder",) if settings.record else ())),
    }, settings.configs, ends_run=True, console=True)


def _recorder(settings: Settings) -> NodeSpec:
    # The plans are made for the view anyway.
    plans: dict[str, ParameterValue] = {"topics": (PLANS,)} if settings.view is not None else {}
    return NodeSpec("recorder", {**_common(settings), **_mocap_type(settings), "out": str(settings.bag), **plans},
                    settings.configs, _mocap(settings))


def _live_view(settings: Settings) -> list[NodeSpec]:
    """Return what shows the run, if it is to be shown. It needs no clock: it draws by the stamps of what it hears."""
    if settings.view is None:
        return []
    host, port = settings.view
    return [NodeSpec("live_view", {"host": host, "port": port, "open_browser": True}, settings.configs, console=True,
                     optional=True)]


def _simulated(settings: Settings) -> dict[str, ParameterValue]:
    return {"terrain": settings.terrain, "faults": settings.faults, "seed": settings.seed,
            "headless": settings.headless, "frames": str(settings.frames) if settings.video else ""}


def _control(settings: Settings) -> list[NodeSpec]:
    """Return what is the same on a robot and in simulation: from the sensors' topics to the motor commands."""
    common, files = _common(settings), settings.configs
    graph = [
        NodeSpec("state_estimator", {**common, **_sensors(settings)}, files, _mocap(settings)),
        NodeSpec("adaptation", {
            **common, "method": settings.method, "checkpoint": str(settings.checkpoint)}, files, lifecycle=True,
            large_messages=find_method(settings.method).carries_on),
        NodeSpec("mpc", {
            **common, "method": settings.method, "planner": settings.planner,
            "checkpoint": str(settings.checkpoint), "seed": settings.seed}, files, lifecycle=True),
    ]
    if settings.record:
        graph.append(_recorder(settings))
    return [*graph, *_live_view(settings), _trial(settings)]


def simulation_graph(settings: Settings) -> list[NodeSpec]:
    """Return the processes of a trial in simulation, the recorder among them when the run is recorded."""
    robot = NodeSpec("mujoco_sim", {**_common(settings), "clock": settings.clock, **_simulated(settings)},
                     settings.configs, lifecycle=True)
    return [robot, *_control(settings)]


def hardware_graph(settings: Settings) -> list[NodeSpec]:
    """Return the processes of a trial on the robot; of an emulated one, the robot too.

    Raises:
        ValueError: if these are not the settings of such a run.
    """
    hardware = settings.hardware
    if hardware is None:
        raise ValueError("these settings name no robot")
    common = _common(settings)
    line: dict[str, ParameterValue] = {"baud": hardware.baud, "profile": hardware.profile}
    driver = NodeSpec("serial_driver", {
        **common, **line, "port": hardware.port, "calibration": hardware.calibration,
        "port_wait": EMULATOR_WAIT if hardware.emulate else 0.0}, settings.configs, lifecycle=True)
    if not hardware.emulate:
        return [driver, *_control(settings)]
    robot = NodeSpec("firmware_emulator", {**common, **line, "link": hardware.port, **_simulated(settings)},
                     settings.configs, _mocap(settings))
    return [robot, driver, *_control(settings)]


def graph_of(settings: Settings) -> list[NodeSpec]:
    """Return the processes of the run that the settings were read for."""
    return simulation_graph(settings) if settings.hardware is None else hardware_graph(settings)


def trial_graph(settings: Settings) -> list[NodeSpec]:
    """Return the trial alone, for a robot or a simulation that runs already; with the recorder when recorded."""
    recorder = [_recorder(settings)] if settings.record else []
    return [*recorder, *_live_view(settings), _trial(settings)]


def record_graph(bag: Path, config: Path, clock: str) -> list[NodeSpec]:
    """Return the recorder alone, writing the folder ``bag`` until it is interrupted."""
    return [NodeSpec("recorder", {"use_sim_time": clock != "real", "lockstep": clock == "lockstep", "out": str(bag)},
                     (config,), ends_run=True, console=True)]


def replay_graph(settings: ReplaySettings) -> list[NodeSpec]:
    """Return the processes of a replay: the player and who answers it. No robot is among them.

    The nodes run in lock-step whatever the speed, so that nothing is lost and the same recording gives the same states.
    What mpc commands goes to a topic that no robot hears.
    """
    common: dict[str, ParameterValue] = {"use_sim_time": True, "lockstep": True,
                                         "control_period": settings.control_period}
    files = (settings.config,)
    mocap: dict[str, ParameterValue] = {"mocap_type": settings.topics.mocap_type}
    model: dict[str, ParameterValue] = {"method": settings.method, "checkpoint": str(settings.checkpoint)}
    answering = {
        ESTIMATOR: NodeSpec("state_estimator", {**common, **mocap, "calibration": settings.calibration}, files),
        ADAPTATION: NodeSpec("adaptation", {**common, **model}, files, lifecycle=True,
                             large_messages=find_method(settings.method).carries_on),
        MPC: NodeSpec("mpc", {**common, **model, "planner": settings.planner, "seed": settings.seed}, files,
                      {"motor_commands": REPLAYED_COMMANDS}, lifecycle=True)}
    graph = [answering[name] for name in settings.nodes]
    recorder = [NodeSpec("recorder", {**common, **mocap, "out": str(settings.bag), "topics": (
        f"{REPLAYED_COMMANDS}:sensor_msgs/msg/JointState",)}, files)] if settings.record else []
    player = NodeSpec("bag_player", {
        "bag": str(settings.topics.bag), "source": settings.source, "robot": settings.robot,
        "mocap_topic": settings.mocap_topic, "without": settings.without, "control_period": settings.control_period,
        "rate": clock_speed(settings.clock), "start": settings.section.start, "duration": settings.section.duration,
        "loop": settings.loop, "out": str(settings.out), "method": settings.method, "planner": settings.planner,
        "checkpoint": str(settings.checkpoint),
        "expected_nodes": tuple(spec.name for spec in (*graph, *recorder))}, files, ends_run=True, console=True)
    return [*graph, *recorder, player]
