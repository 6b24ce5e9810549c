# SPDX-License-Identifier: Apache-2.0
"""A trial in simulation: the same processes and words as `l2a sim`, started by ROS 2's own launch."""

from launch import LaunchDescription

from l2a_ros.bringup.launch_nodes import describe_launch
from l2a_ros.bringup.words import SIM


def generate_launch_description() -> LaunchDescription:
    """Return the description."""
    return describe_launch(SIM)
