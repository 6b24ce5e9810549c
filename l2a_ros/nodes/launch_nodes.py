# SPDX-License-Identifier: Apache-2.0
"""A graph for ROS 2's own launch: what the launch files share.

Only launch files import this, so that the rest runs where there is no launch. It is in the package because a launch
file cannot import another one once it is installed.
"""

from __future__ import annotations

import sys
from collections import deque
from datetime import datetime

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, EmitEvent, ExecuteProcess, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.events import Shutdown
from launch.events.process import ProcessExited, ProcessIO
from launch_ros.actions import Node

from l2a_ros.bringup.arguments import Settings, check_connection, read_settings
from l2a_ros.bringup.environment import node_environment
from l2a_ros.bringup.failure import EXCERPT, describe_death
from l2a_ros.bringup.graph import NodeSpec, graph_of, replay_graph
from l2a_ros.bringup.replay_settings import read_replay_settings
from l2a_ros.bringup.words import REPLAY, arguments_of


def describe_launch(run: str) -> LaunchDescription:
    """Return the description of a run: its words as arguments; what they start is decided once their values are known.

    Args:
        run: as in :mod:`l2a_ros.bringup.words`.
    """
    arguments = arguments_of(run)

    def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        # Before anything starts: launch shows the error and ends with a non-zero status.
        values = {argument.name: context.launch_configurations[argument.name] for argument in arguments}
        if run == REPLAY:
            graph = replay_graph(read_replay_settings(values, datetime.now()))
            return [entity for spec in graph for entity in _supervised_node(context, spec)]
        settings = read_settings(values, datetime.now(), run)
        check_connection(settings)
        film = [_film_maker(settings)] if settings.video else []
        return [*film, *(entity for spec in graph_of(settings) for entity in _supervised_node(context, spec))]

    declared = [DeclareLaunchArgument(argument.name, default_value=argument.default, description=argument.help(run))
                for argument in arguments]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def _film_maker(settings: Settings) -> ExecuteProcess:
    """Return the process that renders the film once the shutdown has begun; launch waits for it."""
    return ExecuteProcess(
        cmd=[sys.executable, "-m", "l2a_ros.cli", "render", "--wait", str(settings.out)], name="film", output="screen",
        sigterm_timeout="3600", sigkill_timeout="10")


def _supervised_node(context: LaunchContext, spec: NodeSpec) -> list[LaunchDescriptionEntity]:
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
        if context.is_shutdown or spec.optional:
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
