# SPDX-License-Identifier: Apache-2.0
"""A trial in simulation: the same processes and words as `l2a sim`, started by ROS 2's own launch."""

from launch import LaunchDescription

from l2a_ros.bringup.words import SIM
from l2a_ros.nodes.launch_nodes import describe_launch


def generate_launch_description() -> LaunchDescription:
    """Return the description."""
    return describe_launch(SIM)
