# SPDX-License-Identifier: Apache-2.0
"""What the emulated robot publishes beside its port: motion capture's view of it, and the truth for tests and soaks."""

from __future__ import annotations

import array
from collections.abc import Sequence

from rclpy.node import Node
from std_msgs.msg import UInt8MultiArray

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import named_vector
from l2a_ros.nodes.sensor_messages import sensor_message
from l2a_ros.robot.samples import PoseSample

#: Elements of ``emulator/truth``.
TRUTH = ("left_leg_rate", "right_leg_rate", "motors_on", "plugged", "commanded_left", "commanded_right",
         "frames_received", "frames_bad", "replies_sent")


class EmulatorOutputs:
    """The publishers of the emulated robot.

    Args:
        node: that publishes.
    """

    def __init__(self, node: Node) -> None:
        self._pose, self._truth, self._records = (
            node.create_publisher(topic.type, topic.name, topic.qos)
            for topic in (names.MOCAP_POSE, names.EMULATOR_TRUTH, names.EMULATOR_RECORDS))

    def publish_poses(self, poses: Sequence[PoseSample]) -> None:
        """Publish what arrived from motion capture."""
        for pose in poses:
            self._pose.publish(sensor_message(pose)[1])

    def publish_truth(self, values: Sequence[float], stamp: int) -> None:
        """Publish the values of ``TRUTH`` at a moment, ns."""
        self._truth.publish(named_vector(TRUTH, [float(value) for value in values], stamp))

    def publish_record(self, record: bytes) -> None:
        """Publish a telemetry record that was sent."""
        self._records.publish(UInt8MultiArray(data=array.array("B", record)))
