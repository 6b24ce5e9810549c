# SPDX-License-Identifier: Apache-2.0
"""A trial on the robot: the same processes and words as `l2a hardware`, started by ROS 2's own launch."""

from launch import LaunchDescription

from l2a_ros.bringup.words import HARDWARE
from l2a_ros.nodes.launch_nodes import describe_launch


def generate_launch_description() -> LaunchDescription:
    """Return the description."""
    return describe_launch(HARDWARE)
