# SPDX-License-Identifier: Apache-2.0
"""Motion capture, inertial readings and the truth in a recording: which topics they are on, and their samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.estimation.quaternions import matrix, normalized, turned
from l2a_ros.experience.bag_reader import BagReader, RecordedTopic, recorded_topics
from l2a_ros.robot.mocap import MOCAP_TOPIC, MOCAP_TYPES
from l2a_ros.robot.samples import ImuSample, PoseSample

ODOMETRY = "nav_msgs/msg/Odometry"
POSE_TYPES = tuple(MOCAP_TYPES.values())
IMU_TYPES = ("sensor_msgs/msg/Imu",)
IMU_TOPIC = "imu/data_raw"
#: Instead of a topic: do without.
NONE = "none"


@dataclass(frozen=True)
class Truth:
    """Where the body really was.

    Args:
        stamp: ns.
        position: m ``(3,)``.
        quaternion: x y z w ``(4,)``.
        velocity: in the frame of the position, m/s ``(3,)``; None for a message without one.
    """

    stamp: int
    position: np.ndarray
    quaternion: np.ndarray
    velocity: np.ndarray | None = None


@dataclass(frozen=True)
class MotionTopics:
    """What is read of a recording.

    Args:
        mocap: poses that the filter gets.
        imu: readings that the filter gets; None to do without.
        truth: poses that the estimate is measured against; None for nothing.
    """

    mocap: RecordedTopic
    imu: RecordedTopic | None = None
    truth: RecordedTopic | None = None

    @property
    def names(self) -> list[str]:
        """Names, each once."""
        return list(dict.fromkeys(each.name for each in (self.mocap, self.imu, self.truth) if each is not None))

    @property
    def count(self) -> int:
        """Number of messages."""
        return sum({each.name: each.count for each in (self.mocap, self.imu, self.truth) if each is not None}.values())


def choose_topics(bag: Path, mocap: str = "", imu: str = "", truth: str = "") -> MotionTopics:
    """Return the topics that are meant.

    Args:
        bag: the recording's folder or file.
        mocap: name of the topic, or nothing: then it is the only one of a fitting type, or the usual one.
        imu: the same; ``none`` to do without.
        truth: name of the topic, or nothing for no truth.

    Raises:
        UserError: where that is not clear, with the topics there are.
    """
    topics = [each for each in recorded_topics(bag) if each.count]
    true = _named(bag, topics, truth, POSE_TYPES, "truth") if truth else None
    chosen = (_named(bag, topics, mocap, POSE_TYPES, "mocap") if mocap else
              _only(bag, [each for each in topics if each != true], POSE_TYPES, MOCAP_TOPIC, "mocap"))
    if imu == NONE:
        return MotionTopics(chosen, None, true)
    readings = (_named(bag, topics, imu, IMU_TYPES, "imu") if imu else _only(bag, topics, IMU_TYPES, IMU_TOPIC, "imu"))
    return MotionTopics(chosen, readings, true)


def _named(bag: Path, topics: Sequence[RecordedTopic], name: str, types: Sequence[str], word: str) -> RecordedTopic:
    """Return the topic of a name; without a leading slash it may be in any namespace."""
    fitting = [each for each in topics if each.type in types]
    found = [each for each in fitting if each.name in (name, f"/{name}")] or [
        each for each in fitting if _ends(each.name, name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"recording {bag}: --{word} {name} may be {_list(found)}; give the whole name")
    there = [each for each in topics if each.name in (name, f"/{name}")]
    wrong = f"is of type {there[0].type}" if there else "is not there, or empty"
    raise UserError(f"recording {bag}: --{word} {name} {wrong}; {_offer(fitting, types)}")


def _only(bag: Path, topics: Sequence[RecordedTopic], types: Sequence[str], usual: str, word: str) -> RecordedTopic:
    fitting = [each for each in topics if each.type in types]
    found = fitting if len(fitting) == 1 else [each for each in fitting if _ends(each.name, usual)]
    if len(found) == 1:
        return found[0]
    without = f", or --{word} {NONE}" if word == "imu" else ""
    cause = "which one?" if fitting else "is missing:"
    raise UserError(f"recording {bag}: --{word} TOPIC {cause} {_offer(fitting, types)}{without}")


def _ends(topic: str, name: str) -> bool:
    return not name.startswith("/") and topic.endswith(f"/{name}")


def _list(topics: Sequence[RecordedTopic]) -> str:
    return ", ".join(f"{each.name} ({each.type.rsplit('/', 1)[-1]})" for each in topics)


def _offer(fitting: Sequence[RecordedTopic], types: Sequence[str]) -> str:
    if fitting:
        return f"there are {_list(fitting)}"
    return f"no topic of the recording is of type {', '.join(types)}"


#: Where a message holds position and orientation.
_POSES: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    MOCAP_TYPES["pose"]: lambda message: (message.pose.position, message.pose.orientation),
    MOCAP_TYPES["pose_with_covariance"]: lambda message: (message.pose.pose.position, message.pose.pose.orientation),
    MOCAP_TYPES["transform"]: lambda message: (message.transform.translation, message.transform.rotation),
    MOCAP_TYPES["odometry"]: lambda message: (message.pose.pose.position, message.pose.pose.orientation),
}


def read_motion(reader: BagReader, topics: MotionTopics,
                progress: Callable[[], object] = lambda: None) -> Iterator[tuple[int, PoseSample | ImuSample | Truth]]:
    """Yield the samples of a recording with their log times (ns), in the order in which they were logged.

    Args:
        reader: of one recording, for the names of ``topics``.
        topics: which they are. One topic may be motion capture and the truth.
        progress: called for every message.
    """
    imu = topics.imu.name if topics.imu is not None else None
    truth = topics.truth.name if topics.truth is not None else None
    for each in reader:
        progress()
        message, stamp = each.message, each.stamp
        if stamp is None:
            continue
        if each.topic == imu and each.type in IMU_TYPES:
            rate, force = message.angular_velocity, message.linear_acceleration
            yield each.log_time, ImuSample(stamp, _vector(rate), _vector(force))
        elif each.type in _POSES:
            position, quaternion = (_vector(part) for part in _POSES[each.type](message))
            if each.topic == truth:
                yield each.log_time, Truth(stamp, position, quaternion, _velocity(each.type, message, quaternion))
            if each.topic == topics.mocap.name:
                yield each.log_time, PoseSample(stamp, position, quaternion)


def _vector(source: Any) -> np.ndarray:
    if hasattr(source, "w"):
        return np.array((source.x, source.y, source.z, source.w))
    return np.array((source.x, source.y, source.z))


def _velocity(kind: str, message: Any, quaternion: np.ndarray) -> np.ndarray | None:
    """Return the velocity of odometry, which is given in the body's frame, in that of the position."""
    x, y, z, w = quaternion.tolist()
    if kind != ODOMETRY or not math.hypot(x, y, z, w) > 0.0:
        return None
    linear = message.twist.twist.linear
    return np.array(turned(matrix(normalized((x, y, z, w))), (linear.x, linear.y, linear.z)))
