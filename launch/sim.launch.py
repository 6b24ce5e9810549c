# SPDX-License-Identifier: Apache-2.0
"""A trial in simulation: the same processes and words as `l2a sim`, started by ROS 2's own launch."""

import sys
from collections import deque
from datetime import datetime

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, EmitEvent, ExecuteProcess, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.events import Shutdown
from launch.events.process import ProcessExited, ProcessIO
from launch_ros.actions import Node

from l2a_ros.bringup.arguments import ARGUMENTS, Settings, read_settings
from l2a_ros.bringup.environment import node_environment
from l2a_ros.bringup.failure import EXCERPT, describe_death
from l2a_ros.bringup.graph import NodeSpec, simulation_graph


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; what they start is decided once their values are known."""
    arguments = [
        DeclareLaunchArgument(
            argument.name, default_value=argument.default,
            description=argument.description
            + (f" Known: {', '.join(argument.names())}." if argument.names is not None else ""))
        for argument in ARGUMENTS]
    return LaunchDescription([*arguments, OpaqueFunction(function=start_graph)])


def start_graph(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Check the arguments before anything starts; launch shows the error and ends with a non-zero status."""
    values = {argument.name: context.launch_configurations[argument.name] for argument in ARGUMENTS}
    settings = read_settings(values, datetime.now())
    film = [film_maker(settings)] if settings.video else []
    return [*film, *(entity for spec in simulation_graph(settings) for entity in supervised_node(context, spec))]


def film_maker(settings: Settings) -> ExecuteProcess:
    """Return the process that renders the film once the shutdown has begun; launch waits for it."""
    return ExecuteProcess(
        cmd=[sys.executable, "-m", "l2a_ros.cli", "render", "--wait", str(settings.out)], name="film", output="screen",
        sigterm_timeout="3600", sigkill_timeout="10")


def supervised_node(context: LaunchContext, spec: NodeSpec) -> list[LaunchDescriptionEntity]:
    """Return a node's process and what happens at its end."""
    last_lines: deque[str] = deque(maxlen=EXCERPT)
    node = Node(
        package="l2a_ros", executable=spec.name, ros_arguments=spec.ros_arguments(),
        additional_env=node_environment(context.environment, spec.threads, spec.large_messages),
        output="screen" if spec.console else "log",
        # Everything is gone within 3 s of a Ctrl-C.
        sigterm_timeout="1.5", sigkill_timeout="1.0")

    def remember(event: ProcessIO) -> None:
        last_lines.extend(event.text.decode(errors="replace").splitlines())

    def ended(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if context.is_shutdown:
            return []
        if spec.ends_run and event.returncode == 0:
            return [EmitEvent(event=Shutdown(reason=f"{spec.name} has ended"))]
        # Only an exception gives launch a non-zero status.
        raise RuntimeError(describe_death(spec.name, event.returncode, list(last_lines)))

    return [
        node,
        RegisterEventHandler(OnProcessIO(target_action=node, on_stdout=remember, on_stderr=remember)),
        RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended)),
    ]
