# SPDX-License-Identifier: Apache-2.0
"""What the driver publishes of the robot's telemetry."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode

from l2a_ros.driver.measurement import Measurement
from l2a_ros.driver.session import LegAngles
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.sensor_messages import sensor_message
from l2a_ros.robot.continuity import has_begun_again
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, Sample, TelemetrySample

#: The battery changes slowly; it is published so often, ns.
BATTERY_PERIOD = 100_000_000


class DriverOutputs:
    """The publishers of the robot's sensors.

    Args:
        node: that publishes.
        has_telemetry: whether there is more than the legs' angles.
    """

    def __init__(self, node: LifecycleNode, has_telemetry: bool) -> None:
        topics = [names.JOINT_STATES]
        if has_telemetry:
            topics += [names.IMU, names.MOTOR_TELEMETRY, names.BATTERY_STATE]
        self._publishers: dict[str, Any] = {
            topic.name: node.create_lifecycle_publisher(topic.type, topic.name, topic.qos) for topic in topics}
        self._last_stamp = 0
        self._battery_stamp = 0

    def publish(self, measured: Measurement | LegAngles, shift: int) -> None:
        """Publish what was measured.

        Args:
            measured: with a stamp of the monotonic clock.
            shift: from the monotonic clock to the ROS clock, ns. It follows a ROS clock that is set.
        """
        stamp = measured.stamp + shift
        # The clocks drift against each other; stamps increase all the same, unless the ROS clock was set back.
        if not has_begun_again(stamp, self._last_stamp):
            stamp = max(stamp, self._last_stamp + 1)
        self._last_stamp = stamp
        if measured.rates is not None:
            self._send(CrankSample(stamp, measured.angles, measured.rates))
        if isinstance(measured, LegAngles):
            return
        self._send(ImuSample(stamp, measured.angular_velocity, measured.specific_force))
        self._send(TelemetrySample(stamp, measured.back_emf, measured.duty))
        if abs(stamp - self._battery_stamp) >= BATTERY_PERIOD:
            self._battery_stamp = stamp
            self._send(BatterySample(stamp, measured.battery_voltage))

    def _send(self, sample: Sample) -> None:
        topic, message = sensor_message(sample)
        self._publishers[topic.name].publish(message)
