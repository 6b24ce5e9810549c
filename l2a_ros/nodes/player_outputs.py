# SPDX-License-Identifier: Apache-2.0
"""What the player of recordings publishes: recorded messages, commands, simulated time, and the ticks of lock-step."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from l2a_ros.experience.bag_reader import BagMessage
from l2a_ros.experience.bag_writer import serialize
from l2a_ros.experience.damage import DAMAGE
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import motor_commands, named_vector, to_stamp
from l2a_ros.nodes.sensor_messages import mocap_topic
from l2a_ros.robot.continuity import has_begun_again

#: Longest wait until a path has reached everybody, s.
PATH_WAIT = 2.0


class PlayerOutputs:
    """The publishers of the player.

    Everything is offered reliable and deep, which every reader of these topics matches: nothing is lost on the way.

    Args:
        node: that publishes.
        played: the stack's names of the recorded topics that are played.
        mocap_type: word for the type of motion capture.
        has_estimator: whether sensors are played, and ticks announced, instead of states.
    """

    def __init__(self, node: Node, played: Collection[str], mocap_type: str, has_estimator: bool) -> None:
        topics = [*names.SENSOR_TOPICS, names.SIM_TICK] if has_estimator else [names.ROBOT_STATE]
        topics += [names.MOTOR_COMMANDS, names.REFERENCE_PATH, names.CLOCK]
        # Its type is that of the recording.
        mocap = mocap_topic(mocap_type)
        self._publishers: dict[str, Any] = {
            topic.name: node.create_publisher(mocap.type if topic is names.MOCAP_POSE else topic.type, topic.name,
                                              topic.profile(lockstep=True))
            for topic in topics}
        self._needed = [name for name in self._publishers if name in played and name != names.REFERENCE_PATH.name]
        self._counts = {topic.name: 0 for topic in names.SENSOR_TOPICS}
        self._stamps: dict[str, int] = {}
        #: Messages that could not be written as the type of this ROS.
        self.unwritable = 0

    def publish(self, name: str, message: BagMessage) -> None:
        """Publish a recorded message as it is, under the stack's name of its topic."""
        if name not in self._publishers:
            return
        try:
            data = serialize(message.type, message.message)
        except DAMAGE:
            self.unwritable += 1
            return
        if name in self._counts:
            self._count(name, message.stamp or 0)
        self._publishers[name].publish(data)
        if name == names.REFERENCE_PATH.name:
            # The next state must not overtake it.
            self._publishers[name].wait_for_all_acked(Duration(seconds=PATH_WAIT))

    def _count(self, name: str, stamp: int) -> None:
        # As the estimator counts, so that both agree when time begins again.
        self._counts[name] = 1 if has_begun_again(stamp, self._stamps.get(name)) else self._counts[name] + 1
        self._stamps[name] = stamp

    def publish_clock(self, stamp: int) -> None:
        """Publish the time of the recording, ns."""
        self._publishers[names.CLOCK.name].publish(Clock(clock=to_stamp(stamp)))

    def publish_command(self, stamp: int, rates: np.ndarray) -> None:
        """Publish what was in force ``(2,)`` rad/s after the state with this stamp (ns)."""
        self._publishers[names.MOTOR_COMMANDS.name].publish(motor_commands(rates, stamp))

    def announce_tick(self, stamp: int) -> None:
        """Say that all samples up to this moment (ns) are out, and how many they are."""
        self._publishers[names.SIM_TICK.name].publish(
            named_vector(tuple(self._counts), [float(count) for count in self._counts.values()], stamp))

    def unheard(self) -> list[str]:
        """Return the topics that nobody listens to yet although they are played."""
        needed = {*self._needed, names.SIM_TICK.name} & set(self._publishers)
        return sorted(name for name in needed if not self._publishers[name].get_subscription_count())
