# SPDX-License-Identifier: Apache-2.0
"""Recorded sensor messages as samples, without ROS."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.robot.layout import MOTOR_JOINTS, MOTOR_TELEMETRY
from l2a_ros.robot.mocap import MOCAP_TOPIC, MOCAP_TYPES
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample, TelemetrySample


def recorded_sample(name: str, kind: str, stamp: int, message: Any) -> Sample:
    """Return the sample in a recorded message.

    Args:
        name: the stack's name of its topic.
        kind: type of the message.
        stamp: ns.
        message: decoded.

    Raises:
        UserError: if it lacks what the robot needs.
    """
    if name == MOCAP_TOPIC:
        if kind == MOCAP_TYPES["transform"]:
            place, attitude = message.transform.translation, message.transform.rotation
        else:
            pose = message.pose if kind == MOCAP_TYPES["pose"] else message.pose.pose
            place, attitude = pose.position, pose.orientation
        return PoseSample(stamp, _vector(place, "xyz"), _vector(attitude, "xyzw"))
    if name == "imu/data_raw":
        return ImuSample(stamp, _vector(message.angular_velocity, "xyz"), _vector(message.linear_acceleration, "xyz"))
    if name == "joint_states":
        try:
            chosen = [list(message.name).index(joint) for joint in MOTOR_JOINTS]
            return CrankSample(stamp, np.array([message.position[i] for i in chosen]),
                               np.array([message.velocity[i] for i in chosen]))
        except (ValueError, IndexError):
            raise UserError(f"joint_states lacks position or velocity of {' or '.join(MOTOR_JOINTS)}") from None
    if name == "motor_telemetry":
        MOTOR_TELEMETRY.check_names(message.name, name)
        values = np.array(message.position, dtype=np.float64)
        if values.size != MOTOR_TELEMETRY.size:
            raise UserError(f"{name} has {values.size} values for {MOTOR_TELEMETRY.size} names")
        return TelemetrySample(stamp, values[:2], values[2:])
    return BatterySample(stamp, float(message.voltage))


def _vector(source: Any, fields: str) -> np.ndarray:
    return np.array([getattr(source, field) for field in fields], dtype=np.float64)
