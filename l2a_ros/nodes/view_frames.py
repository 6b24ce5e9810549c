# SPDX-License-Identifier: Apache-2.0
"""``/tf``: where ``base_link`` is in ``map``, from ``odometry``; only where tf2's message package is installed.

The other frames are fixed to the body or turn with the legs: robot_state_publisher makes them from the URDF.
"""

from __future__ import annotations

import importlib
from typing import Any

from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import SECOND, to_nanoseconds
from l2a_ros.robot.continuity import has_begun_again

PACKAGE, TOPIC = "tf2_msgs", "/tf"
#: As tf2's own broadcasters offer it.
_QOS = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST, depth=100)


def base_transform(odometry: Odometry) -> TransformStamped:
    """Return the transform that an odometry message tells, with its stamp and frames."""
    transform = TransformStamped(header=odometry.header, child_frame_id=odometry.child_frame_id)
    position, target = odometry.pose.pose.position, transform.transform.translation
    target.x, target.y, target.z = position.x, position.y, position.z
    transform.transform.rotation = odometry.pose.pose.orientation
    return transform


class BaseFrame:
    """Publishes the frame of the body, at most ``rate`` times a second by the stamps.

    Args:
        node: that publishes.
        rate: Hz.
    """

    def __init__(self, node: Node, rate: float) -> None:
        self._last: int | None = None
        # A tenth of a period early, so that a rate that divides that of odometry is kept although stamps jitter.
        self._shortest = round(0.9 * SECOND / rate)
        self._message = _message_type()
        if self._message is None:
            node.get_logger().info(f"{PACKAGE} is not installed: there is no {TOPIC}, which RViz needs")
            return
        self._publisher = node.create_publisher(self._message, TOPIC, _QOS)
        node.create_subscription(Odometry, names.ODOMETRY.name, self._on_odometry, names.SENSOR_DATA)

    def _on_odometry(self, odometry: Odometry) -> None:
        stamp = to_nanoseconds(odometry.header.stamp)
        if self._last is not None and not has_begun_again(stamp, self._last) and stamp < self._last + self._shortest:
            return
        self._last = stamp
        self._publisher.publish(self._message(transforms=[base_transform(odometry)]))


def _message_type() -> Any:
    """Return the type of ``/tf``; None where it is not installed, as beside rclpy from wheels."""
    try:
        return importlib.import_module(f"{PACKAGE}.msg").TFMessage
    except ImportError:
        return None
