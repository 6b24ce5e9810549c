# SPDX-License-Identifier: Apache-2.0
"""What the simulated world publishes: samples, simulated time, and the ticks of lock-step."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode
from rosgraph_msgs.msg import Clock

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import named_vector, to_stamp
from l2a_ros.nodes.sensor_messages import sensor_message
from l2a_ros.robot.samples import Sample


class SimOutputs:
    """The publishers of the simulated world; counts the samples of each topic.

    Args:
        node: that publishes.
        lockstep: whether ticks are announced.
        simulated_time: whether there is a /clock.
    """

    def __init__(self, node: LifecycleNode, lockstep: bool, simulated_time: bool) -> None:
        topics = [*names.SENSOR_TOPICS, *[names.CLOCK] * simulated_time, *[names.SIM_TICK] * lockstep]
        self._publishers: dict[str, Any] = {
            topic.name: node.create_lifecycle_publisher(topic.type, topic.name, topic.profile(lockstep))
            for topic in topics}
        self._counts = {topic.name: 0 for topic in names.SENSOR_TOPICS}

    def publish(self, sample: Sample) -> None:
        """Publish a sample."""
        topic, message = sensor_message(sample)
        self._counts[topic.name] += 1
        self._publishers[topic.name].publish(message)

    def publish_clock(self, stamp: int) -> None:
        """Publish the time, ns, where it is simulated."""
        if names.CLOCK.name in self._publishers:
            self._publishers[names.CLOCK.name].publish(Clock(clock=to_stamp(stamp)))

    def announce_tick(self, stamp: int) -> None:
        """Say that all samples up to this moment (ns) are out, and how many they are."""
        self._publishers[names.SIM_TICK.name].publish(
            named_vector(tuple(self._counts), [float(count) for count in self._counts.values()], stamp))

    def are_heard(self) -> bool:
        """Tell whether somebody listens to every topic that lock-step needs."""
        return all(self._publishers[name].get_subscription_count()
                   for name in (*self._counts, names.SIM_TICK.name))
