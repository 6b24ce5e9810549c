# SPDX-License-Identifier: Apache-2.0
"""What is read out of messages."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path

from l2a_ros.errors import UserError
from l2a_ros.nodes.messages import path_message, path_points

POINTS = np.array([[0.0, 0.5], [1.0, -2.0], [3.0, 0.0]])


def test_path_there_and_back() -> None:
    np.testing.assert_array_equal(path_points(path_message(POINTS, 5)), POINTS)


def test_poses_of_a_path_may_leave_their_frame_to_it() -> None:
    path = path_message(POINTS, 5)
    for i, (x, y) in enumerate(POINTS):
        path.poses[i] = PoseStamped()
        path.poses[i].pose.position.x, path.poses[i].pose.position.y = x, y
    np.testing.assert_array_equal(path_points(path), POINTS)


@pytest.mark.parametrize("frame", ["odom", "", "/map", "Map", "robot1/map"])
def test_path_in_another_frame_is_refused(frame: str) -> None:
    path = path_message(POINTS, 5)
    path.header.frame_id = frame
    with pytest.raises(UserError, match=f"the path is in frame '{frame}'; send it in 'map'"):
        path_points(path)


def test_pose_in_another_frame_is_refused() -> None:
    path = path_message(POINTS, 5)
    path.poses[1] = PoseStamped()
    path.poses[1].header.frame_id = "odom"
    with pytest.raises(UserError, match="frame 'odom'"):
        path_points(path)


def test_path_without_points_needs_no_frame() -> None:
    """``ros2 topic pub reference_path nav_msgs/msg/Path {}`` makes the robot stand."""
    assert path_points(Path()).shape == (0, 2)
