# SPDX-License-Identifier: Apache-2.0
"""Conversions between messages and the numbers the pure packages work with."""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped
from nav_msgs.msg import Path
from sensor_msgs.msg import JointState

from l2a_ros.errors import UserError
from l2a_ros.nodes.interfaces import MAP_FRAME
from l2a_ros.robot.layout import ACTION, Layout

SECOND = 1_000_000_000


def to_nanoseconds(stamp: Time) -> int:
    """Return a message stamp in nanoseconds."""
    return int(stamp.sec) * SECOND + int(stamp.nanosec)


def to_stamp(nanoseconds: int) -> Time:
    """Return a message stamp from nanoseconds."""
    return Time(sec=nanoseconds // SECOND, nanosec=nanoseconds % SECOND)


def named_vector(names: Sequence[str], values: Sequence[float] | np.ndarray, stamp: int) -> JointState:
    """Build a named vector: ``name[i]`` is the element, ``position[i]`` its value in SI units."""
    message = JointState()
    message.header.stamp = to_stamp(stamp)
    message.name = list(names)
    message.position = array.array("d", np.asarray(values, dtype=np.float64).tobytes())
    return message


def layout_vector(layout: Layout, message: JointState, source: str) -> np.ndarray:
    """Return the values of a named vector, shape ``(layout.size,)``, after checking its names.

    Raises:
        UserError: if the names are not the layout's, or there is not one value for each.
    """
    layout.check_names(message.name, source)
    if len(message.position) != layout.size:
        raise UserError(f"{source} has {len(message.position)} values for {layout.size} names")
    return np.array(message.position, dtype=np.float64)


def named_values(message: JointState) -> dict[str, float]:
    """Return a named vector as a dictionary."""
    return dict(zip(message.name, message.position, strict=True))


def motor_commands(rates: np.ndarray, stamp: int) -> JointState:
    """Build a motor command, rates of shape ``(2,)`` in rad/s, answering the state with this stamp (ns)."""
    message = JointState()
    message.header.stamp = to_stamp(stamp)
    message.name = list(ACTION.names)
    message.velocity = [float(rate) for rate in rates]
    return message


def commanded_rates(message: JointState) -> np.ndarray:
    """Return the rates of a motor command, shape ``(2,)``, rad/s.

    Raises:
        UserError: if the joints are not the robot's, or there is not one rate for each.
    """
    ACTION.check_names(message.name, "the motor command")
    if len(message.velocity) != ACTION.size:
        raise UserError(f"the motor command has {len(message.velocity)} rates for {ACTION.size} joints")
    return np.array(message.velocity, dtype=np.float64)


def path_message(points: np.ndarray, stamp: int) -> Path:
    """Build a path in ``map`` from points of shape ``(n, 2)`` in metres; headings follow the segments."""
    path = Path()
    path.header.frame_id = MAP_FRAME
    path.header.stamp = to_stamp(stamp)
    for i, (x, y) in enumerate(points):
        pose = PoseStamped()
        pose.header = path.header
        pose.pose.position.x, pose.pose.position.y = float(x), float(y)
        ahead = points[min(i + 1, len(points) - 1)] - points[max(min(i, len(points) - 2), 0)]
        yaw = float(np.arctan2(ahead[1], ahead[0]))
        pose.pose.orientation.z, pose.pose.orientation.w = float(np.sin(yaw / 2)), float(np.cos(yaw / 2))
        path.poses.append(pose)
    return path


def map_point(frame: str, point: Point, name: str) -> np.ndarray:
    """Return x and y of a point in ``map``, shape ``(2,)``, metres.

    Args:
        frame: of the message.
        point: in it.
        name: what to call it.

    Raises:
        UserError: if it is in another frame: nothing is transformed here.
    """
    if frame != MAP_FRAME:
        raise UserError(f"{name} is in frame '{frame}'; set RViz's fixed frame to {MAP_FRAME}")
    return np.array([point.x, point.y], dtype=np.float64)


def map_pose(frame: str, pose: Pose, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return position ``(3,)``, metres, and quaternion ``(4,)``, x y z w, of a pose in ``map``, named or not.

    Args:
        frame: of the message; empty means ``map``.
        pose: in it.
        name: what to call it.

    Raises:
        UserError: if it is in another frame, or is none.
    """
    if frame not in ("", MAP_FRAME):
        raise UserError(f"{name} is in frame '{frame}'; set RViz's fixed frame to {MAP_FRAME}")
    position = np.array([pose.position.x, pose.position.y, pose.position.z])
    quaternion = np.array([getattr(pose.orientation, each) for each in "xyzw"])
    norm = float(np.linalg.norm(quaternion))
    if not np.all(np.isfinite(position)) or not abs(norm - 1.0) < 0.1:
        raise UserError(f"{name} holds no pose")
    return position, quaternion / norm


def path_points(path: Path) -> np.ndarray:
    """Return the points of a path in ``map``, shape ``(n, 2)``, metres; one without points needs no frame.

    Raises:
        UserError: if it, or one of its poses, is in another frame: nothing is transformed here.
    """
    named = {path.header.frame_id, *(pose.header.frame_id or path.header.frame_id for pose in path.poses)}
    other = sorted(named - {MAP_FRAME})
    if path.poses and other:
        raise UserError(f"the path is in frame '{other[0]}'; send it in '{MAP_FRAME}'")
    return np.array([[p.pose.position.x, p.pose.position.y] for p in path.poses], dtype=np.float64).reshape(-1, 2)
