# SPDX-License-Identifier: Apache-2.0
"""Sensor samples as messages, and back: one table for the simulator, the driver and the estimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, TransformStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import BatteryState, Imu, JointState

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import layout_vector, named_vector, to_nanoseconds, to_stamp
from l2a_ros.nodes.parameters import Parameter
from l2a_ros.robot.layout import MOTOR_JOINTS, MOTOR_TELEMETRY
from l2a_ros.robot.mocap import DEFAULT_MOCAP_TYPE, MOCAP_TYPES, mocap_types
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample, TelemetrySample

#: Of nodes that listen to motion capture. On which topic is a matter of remapping.
MOCAP_PARAMETER = Parameter("mocap_type", DEFAULT_MOCAP_TYPE, "message type of mocap/pose", choices=mocap_types())

#: Where a message of motion capture holds position and orientation.
_POSES: dict[Any, Callable[[Any], tuple[Any, Any]]] = {
    PoseStamped: lambda message: (message.pose.position, message.pose.orientation),
    PoseWithCovarianceStamped: lambda message: (message.pose.pose.position, message.pose.pose.orientation),
    TransformStamped: lambda message: (message.transform.translation, message.transform.rotation),
    Odometry: lambda message: (message.pose.pose.position, message.pose.pose.orientation),
}
_CLASSES = {f"{each.__module__.split('.')[0]}/msg/{each.__name__}": each for each in _POSES}


def mocap_topic(kind: str) -> names.Topic:
    """Return the topic of motion capture with the message type that a word of ``MOCAP_TYPES`` stands for.

    Its reader is best effort, which matches reliable publishers too.
    """
    return replace(names.MOCAP_POSE, type=_CLASSES[MOCAP_TYPES[kind]])


def sensor_message(sample: Sample) -> tuple[names.Topic, Any]:
    """Return the topic a sample belongs to and its message."""
    message: Any
    if isinstance(sample, PoseSample):
        topic, message = names.MOCAP_POSE, PoseStamped()
        message.header.frame_id = names.MAP_FRAME
        _set(message.pose.position, "xyz", sample.position)
        _set(message.pose.orientation, "xyzw", sample.quaternion)
    elif isinstance(sample, ImuSample):
        topic, message = names.IMU, Imu()
        message.header.frame_id = names.IMU_FRAME
        # REP-145: the field "orientation" is not provided.
        message.orientation_covariance[0] = -1.0
        _set(message.angular_velocity, "xyz", sample.angular_velocity)
        _set(message.linear_acceleration, "xyz", sample.specific_force)
    elif isinstance(sample, CrankSample):
        topic, message = names.JOINT_STATES, JointState()
        message.name = list(MOTOR_JOINTS)
        message.position = [float(value) for value in sample.angles]
        message.velocity = [float(value) for value in sample.rates]
    elif isinstance(sample, TelemetrySample):
        topic = names.MOTOR_TELEMETRY
        message = named_vector(MOTOR_TELEMETRY.names, np.concatenate([sample.back_emf, sample.duty]), sample.stamp)
    else:
        topic, message = names.BATTERY_STATE, BatteryState()
        message.voltage, message.present = float(sample.voltage), True
        message.power_supply_technology = BatteryState.POWER_SUPPLY_TECHNOLOGY_LIPO
    message.header.stamp = to_stamp(sample.stamp)
    return topic, message


def sensor_sample(topic: names.Topic, message: Any) -> Sample:
    """Return the sample in a message of a sensor topic.

    Raises:
        UserError: if it lacks what the robot needs, naming it.
    """
    stamp = to_nanoseconds(message.header.stamp)
    if topic.name == names.MOCAP_POSE.name:
        position, orientation = _POSES[topic.type](message)
        return PoseSample(stamp, _get(position, "xyz"), _get(orientation, "xyzw"))
    if topic is names.IMU:
        return ImuSample(stamp, _get(message.angular_velocity, "xyz"), _get(message.linear_acceleration, "xyz"))
    if topic is names.JOINT_STATES:
        try:
            chosen = [message.name.index(joint) for joint in MOTOR_JOINTS]
            return CrankSample(stamp, np.array([message.position[i] for i in chosen]),
                               np.array([message.velocity[i] for i in chosen]))
        except (ValueError, IndexError):
            raise UserError(f"joint_states lacks position or velocity of {' or '.join(MOTOR_JOINTS)}") from None
    if topic is names.MOTOR_TELEMETRY:
        values = layout_vector(MOTOR_TELEMETRY, message, "motor_telemetry")
        return TelemetrySample(stamp, values[:2], values[2:])
    return BatterySample(stamp, float(message.voltage))


def _set(target: Any, fields: str, values: np.ndarray) -> None:
    for name, value in zip(fields, values, strict=True):
        setattr(target, name, float(value))


def _get(source: Any, fields: str) -> np.ndarray:
    return np.array([getattr(source, name) for name in fields])
