# SPDX-License-Identifier: Apache-2.0
"""Measures whether plans fit into their budget on this machine, as the planning node does at its start; no node."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.context import Context
from rclpy.node import Node

from l2a_ros.nodes.mpc_report import StartUp
from l2a_ros.nodes.mpc_start import SCHEMA, start_up
from l2a_ros.nodes.parameters import declare


def plan_budget(arguments: Sequence[str]) -> StartUp:
    """Return what the planning node would find out with these ROS arguments.

    Raises:
        UserError: for a checkpoint or parameters that cannot be used.
    """
    context = Context()
    context.init(args=["--ros-args", "--log-level", "error", *arguments])
    try:
        node = Node("mpc", context=context, start_parameter_services=False)
        _, found = start_up(node, declare(node, SCHEMA))
        node.destroy_node()
    finally:
        context.try_shutdown()
    return found
