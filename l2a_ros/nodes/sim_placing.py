# SPDX-License-Identifier: Apache-2.0
"""The simulated robot taken up and put somewhere else: RViz's 2D Pose Estimate."""

from __future__ import annotations

import math
from collections.abc import Callable

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import map_pose
from l2a_ros.safety.motor_gate import GateState, MotorGate
from l2a_ros.simulation.placement import FARTHEST


class PlacedByHand:
    """Listens to ``initialpose``; a robot that may walk is not taken up.

    Args:
        node: of the simulated world.
        gate: in front of the motors.
        place: puts the robot to x, y, m, with a yaw, rad, when the world is ready for it.
    """

    def __init__(self, node: Node, gate: MotorGate, place: Callable[[float, float, float], None]) -> None:
        self._log, self._gate, self._place = node.get_logger(), gate, place
        topic = names.INITIAL_POSE
        node.create_subscription(topic.type, topic.name, self._on_initial_pose, topic.qos)

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        try:
            (x, y, _), (i, j, k, w) = map_pose(message.header.frame_id, message.pose.pose, names.INITIAL_POSE.name)
            if self._gate.state is GateState.ARMED:
                raise UserError("the robot is not put elsewhere while it is armed; disarm it first")
            if math.hypot(x, y) > FARTHEST:
                raise UserError(f"the robot is not put further away than {FARTHEST:g} m")
        except UserError as error:
            self._log.warning(str(error))
            return
        yaw = math.atan2(2.0 * (w * k + i * j), 1.0 - 2.0 * (j * j + k * k))
        self._place(float(x), float(y), yaw)
        self._log.info(f"the robot is put to x {x:.2f} m, y {y:.2f} m, yaw {math.degrees(yaw):.0f} deg")
