# SPDX-License-Identifier: Apache-2.0
"""What motion capture may send, by names that need no ROS."""

from __future__ import annotations

#: Where the estimator listens, unless it is told otherwise.
MOCAP_TOPIC = "mocap/pose"
DEFAULT_MOCAP_TYPE = "pose"

#: Message types that hold the pose of the robot's base, by the word for them.
MOCAP_TYPES = {
    "pose": "geometry_msgs/msg/PoseStamped",
    "pose_with_covariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
    "transform": "geometry_msgs/msg/TransformStamped",
    "odometry": "nav_msgs/msg/Odometry",
}


def mocap_types() -> list[str]:
    """Return the words for the known message types."""
    return list(MOCAP_TYPES)
