# SPDX-License-Identifier: Apache-2.0
"""RViz beside a run: a simulation, a robot or a replay that was started elsewhere, or starts later."""

import os

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from l2a_ros.bringup.arguments import read_config
from l2a_ros.bringup.environment import node_environment
from l2a_ros.bringup.graph import NodeSpec
from l2a_ros.errors import UserError
from l2a_ros.robot.description import robot_urdf
from l2a_ros.robot.share import share_file

#: Not ours, and not everywhere.
PACKAGES = ("rviz2", "robot_state_publisher")
#: How often the legs are drawn, Hz.
LEGS_RATE = 50.0


def generate_launch_description() -> LaunchDescription:
    """Return the description."""
    return LaunchDescription([
        DeclareLaunchArgument("use_sim_time", default_value="false", choices=["true", "false"], description=(
            "Whether time comes from /clock: true beside a simulation whose clock is not real, and beside a replay.")),
        DeclareLaunchArgument("config", default_value="", description=(
            "ROS 2 parameter file with what differs from the shipped config/millirobot.yaml, such as the geofence.")),
        DeclareLaunchArgument("rviz_config", default_value="", description=(
            "What RViz shows; empty means the shipped config/l2a.rviz.")),
        OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return RViz, the frames of the robot's parts, and what draws the run; closing RViz ends all."""
    check_packages()
    given = context.launch_configurations
    simulated = given["use_sim_time"] == "true"
    files = (read_config(""), *([read_config(given["config"])] if given["config"] else []))
    views = NodeSpec("views", {"use_sim_time": simulated}, files)
    time_source = {"use_sim_time": simulated}
    description = ParameterValue(robot_urdf(), value_type=str)
    return [
        Node(package="robot_state_publisher", executable="robot_state_publisher", output="log", parameters=[
            {"robot_description": description, "publish_frequency": LEGS_RATE, **time_source}]),
        Node(package="l2a_ros", executable=views.name, ros_arguments=views.ros_arguments(), output="log",
             additional_env=node_environment(context.environment)),
        Node(package="rviz2", executable="rviz2", output="log", arguments=["-d", rviz_config(given["rviz_config"])],
             parameters=[time_source], on_exit=Shutdown(reason="RViz was closed"))]


def rviz_config(text: str) -> str:
    """Return the file that RViz reads.

    Raises:
        UserError: if there is no such file.
    """
    if not text:
        return str(share_file("config", "l2a.rviz"))
    if not os.path.isfile(text):
        raise UserError(f"rviz_config {text} does not exist; leave it out for the shipped one")
    return os.path.abspath(text)


def check_packages() -> None:
    """Refuse to start where RViz or what it needs is missing.

    Raises:
        UserError: naming what is.
    """
    missing = [package for package in PACKAGES if not is_installed(package)]
    if missing:
        distribution = os.environ.get("ROS_DISTRO", "kilted")
        names = " ".join(f"ros-{distribution}-{package.replace('_', '-')}" for package in missing)
        raise UserError(f"{' and '.join(missing)} cannot be found; install with: sudo apt install {names}; "
                        "docs/rviz.md names what shows a run without RViz")


def is_installed(package: str) -> bool:
    """Tell whether a ROS package is there."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True
