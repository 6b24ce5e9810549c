# SPDX-License-Identifier: Apache-2.0
"""Recordings of a body on a circle that looks about, for the tests of the estimator on recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from scipy.spatial.transform import Rotation

from l2a_ros.experience.bag_writer import message_type, serialize, typestore

POSE, COVARIANCE, TRANSFORM, ODOMETRY = (
    "geometry_msgs/msg/PoseStamped", "geometry_msgs/msg/PoseWithCovarianceStamped",
    "geometry_msgs/msg/TransformStamped", "nav_msgs/msg/Odometry")
POSE_TYPES = (POSE, COVARIANCE, TRANSFORM, ODOMETRY)
IMU = "sensor_msgs/msg/Imu"
START = 1_700_000_000 * 10**9
RADIUS, TURN = 0.5, 0.6
#: It looks so far to the sides of its way, rad, and so fast, rad/s.
SWING, PACE = 0.2, 8.0

#: Topic, log time (ns), type, message.
Logged = tuple[str, int, str, Any]


def position(t: float) -> np.ndarray:
    """On the circle, m, t in s."""
    return np.array([RADIUS * np.cos(TURN * t), RADIUS * np.sin(TURN * t), 0.05])


def attitude(t: float) -> Rotation:
    """Along the circle, and about."""
    return Rotation.from_rotvec([0.0, 0.0, TURN * t + 0.5 * np.pi + SWING * np.sin(PACE * t)])


def quaternion(t: float) -> np.ndarray:
    """The same, x y z w."""
    return attitude(t).as_quat()


def velocity(t: float) -> np.ndarray:
    """In the frame of the circle, m/s."""
    return RADIUS * TURN * np.array([-np.sin(TURN * t), np.cos(TURN * t), 0.0])


def rate(t: float) -> np.ndarray:
    """Angular velocity in the body's axes, rad/s."""
    return np.array([0.0, 0.0, TURN + SWING * PACE * np.cos(PACE * t)])


def force(t: float) -> np.ndarray:
    """Specific force in the body's axes, m/s^2."""
    centripetal = -RADIUS * TURN**2 * np.array([np.cos(TURN * t), np.sin(TURN * t), 0.0])
    return attitude(t).inv().apply(centripetal + [0.0, 0.0, 9.81])


def header(stamp: int, frame: str) -> Any:
    """A header; the length of its frame moves everything behind it."""
    time = message_type("builtin_interfaces/msg/Time")(sec=stamp // 10**9, nanosec=stamp % 10**9)
    return message_type("std_msgs/msg/Header")(stamp=time, frame_id=frame)


def vector(kind: str, values: Sequence[float]) -> Any:
    """A vector, point or quaternion."""
    return message_type(f"geometry_msgs/msg/{kind}")(*(float(value) for value in values))


def pose_message(kind: str, stamp: int, place: Sequence[float], turned: Sequence[float],
                 twist: Sequence[float] = (0.0, 0.0, 0.0)) -> Any:
    """A message with a pose, and as odometry with a velocity in the body's axes, m/s."""
    head = header(stamp, "world")
    pose = message_type("geometry_msgs/msg/Pose")(vector("Point", place), vector("Quaternion", turned))
    if kind == POSE:
        return message_type(kind)(head, pose)
    if kind == TRANSFORM:
        return message_type(kind)(head, "body", message_type("geometry_msgs/msg/Transform")(
            vector("Vector3", place), vector("Quaternion", turned)))
    uncertain = message_type("geometry_msgs/msg/PoseWithCovariance")(pose, np.zeros(36))
    if kind == COVARIANCE:
        return message_type(kind)(head, uncertain)
    moving = message_type("geometry_msgs/msg/Twist")(vector("Vector3", twist), vector("Vector3", [0, 0, 0]))
    return message_type(kind)(head, "body", uncertain,
                              message_type("geometry_msgs/msg/TwistWithCovariance")(moving, np.zeros(36)))


def imu_message(stamp: int, t: float) -> Any:
    """A reading."""
    return message_type(IMU)(header(stamp, "imu"), vector("Quaternion", [0, 0, 0, 1]), np.zeros(9),
                             vector("Vector3", rate(t)), np.zeros(9), vector("Vector3", force(t)), np.zeros(9))


def poses(topic: str, kind: str = POSE, duration: float = 2.0, per_second: float = 100.0, noise: float = 0.0,
          delay: int = 0, has_twist: bool = True) -> list[Logged]:
    """Poses on the circle; ``noise`` in m and rad, logged ``delay`` ns after their stamps."""
    rng = np.random.default_rng(1)
    logged = []
    for i in range(round(duration * per_second)):
        t = i / per_second
        stamp = START + round(1e9 * t)
        turned = (Rotation.from_rotvec(rng.normal(0.0, noise, 3)) * attitude(t)).as_quat()
        twist = attitude(t).inv().apply(velocity(t)) if has_twist else np.zeros(3)
        message = pose_message(kind, stamp, position(t) + rng.normal(0.0, noise, 3), turned, twist)
        logged.append((topic, stamp + delay, kind, message))
    return logged


def readings(topic: str, duration: float = 2.0, per_second: float = 200.0) -> list[Logged]:
    """Readings of a body on the circle."""
    logged: list[Logged] = []
    for i in range(round(duration * per_second)):
        stamp = START + round(1e9 * i / per_second)
        logged.append((topic, stamp, IMU, imu_message(stamp, i / per_second)))
    return logged


def write_motion(path: Path, logged: Sequence[Logged], empty: Mapping[str, str] | None = None,
                 storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """Write a bag; ``empty`` are topics without a message, with their types."""
    kinds = {topic: kind for topic, _, kind, _ in logged} | dict(empty or {})
    with Writer(path, version=9, storage_plugin=storage) as bag:
        topics = {topic: bag.add_connection(topic, kind, typestore=typestore()) for topic, kind in kinds.items()}
        for topic, log_time, kind, message in sorted(logged, key=lambda each: each[1]):
            bag.write(topics[topic], log_time, serialize(kind, message))
    return path


def write_ros1(path: Path, logged: Sequence[Logged]) -> Path:
    """Write a bag of ROS 1."""
    from rosbags.rosbag1 import Writer as Ros1Writer
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS1_NOETIC)
    with Ros1Writer(path) as bag:
        topics = {topic: bag.add_connection(topic, kind, typestore=types)
                  for topic, kind in {topic: kind for topic, _, kind, _ in logged}.items()}
        for number, (topic, log_time, kind, message) in enumerate(sorted(logged, key=lambda each: each[1])):
            fields = {name: getattr(message, name) for name in message.__dataclass_fields__ if name != "__msgtype__"}
            fields["header"] = types.types["std_msgs/msg/Header"](
                seq=number, stamp=message.header.stamp, frame_id=message.header.frame_id)
            bag.write(topics[topic], log_time, types.serialize_ros1(types.types[kind](**fields), kind))
    return path
