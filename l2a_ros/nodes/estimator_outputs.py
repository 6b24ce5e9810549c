# SPDX-License-Identifier: Apache-2.0
"""What the estimator publishes about the body: odometry, and figures for plots and bags."""

from __future__ import annotations

import math

from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState

from l2a_ros.estimation.motion import Health, MotionEstimate
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import named_vector, to_stamp

#: What ``state_estimator/metrics`` holds.
FIGURES = ("health", "pose_age_s", "position_spread_m", "velocity_spread_m_s", "attitude_spread_rad",
           "gyro_bias_x", "gyro_bias_y", "gyro_bias_z", "mocap_latency_s", "consistency", "poses_refused",
           "velocity_x", "velocity_y", "velocity_z")
_HEALTH = {Health.WAITING: 0.0, Health.TRACKING: 1.0, Health.COASTING: 2.0, Health.LOST: 3.0}


def odometry_message(motion: MotionEstimate) -> Odometry:
    """Return the odometry of an estimate: pose in ``map``, twist in ``base_link`` (REP-105), with covariances."""
    message = Odometry()
    message.header.stamp = to_stamp(motion.stamp)
    message.header.frame_id, message.child_frame_id = names.MAP_FRAME, names.BASE_FRAME
    linear, twist = motion.body_twist()
    for target, values in ((message.pose.pose.position, motion.position), (message.twist.twist.linear, linear),
                           (message.twist.twist.angular, motion.angular_velocity)):
        target.x, target.y, target.z = (float(value) for value in values)
    q = message.pose.pose.orientation
    q.x, q.y, q.z, q.w = (float(value) for value in motion.quaternion)
    message.pose.covariance = motion.pose_covariance().ravel()
    message.twist.covariance = twist.ravel()
    return message


def metrics_message(stamp: int, motion: MotionEstimate | None, pose_age: float,
                    report: dict[str, float]) -> JointState:
    """Return the figures of a tick; NaN where there are none."""
    refused = sum(count for name, count in report.items() if name.startswith("poses refused"))
    figures = dict.fromkeys(FIGURES, math.nan) | {
        "health": _HEALTH[Health.WAITING if motion is None else motion.health], "pose_age_s": pose_age,
        "mocap_latency_s": report["mocap latency (s)"], "consistency": report["consistency of poses (1 is right)"],
        "poses_refused": float(refused)}
    if motion is not None:
        figures |= dict(zip(("position_spread_m", "velocity_spread_m_s", "attitude_spread_rad"), motion.spreads(),
                            strict=True))
        for i, axis in enumerate("xyz"):
            figures[f"gyro_bias_{axis}"] = motion.gyro_bias[i]
            figures[f"velocity_{axis}"] = motion.velocity[i]
    return named_vector(FIGURES, [float(figures[name]) for name in FIGURES], stamp)
