# SPDX-License-Identifier: Apache-2.0
"""What of a recording is played: which of its topics are the robot's, and whether that is enough."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import RecordedTopic, find_bags, recorded_topics
from l2a_ros.experience.replay_sources import RECORDED_STATES, SENSORS
from l2a_ros.robot.mocap import DEFAULT_MOCAP_TYPE, MOCAP_TOPIC, MOCAP_TYPES

JOINT_STATE = "sensor_msgs/msg/JointState"
STATES, COMMANDS, PATH = "robot_state", "motor_commands", "reference_path"
#: What the estimator hears, by the stack's own names, and which types it may have.
SENSOR_TYPES: Mapping[str, tuple[str, ...]] = {
    MOCAP_TOPIC: tuple(MOCAP_TYPES.values()), "imu/data_raw": ("sensor_msgs/msg/Imu",), "joint_states": (JOINT_STATE,),
    "motor_telemetry": (JOINT_STATE,), "battery_state": ("sensor_msgs/msg/BatteryState",)}
PLAYED_TYPES = {**SENSOR_TYPES, STATES: (JOINT_STATE,), COMMANDS: (JOINT_STATE,), PATH: ("nav_msgs/msg/Path",)}
#: The estimator does without.
OPTIONAL = ("imu/data_raw",)
#: Poses that a person sends are none of motion capture.
_BY_HAND = ("goal_pose", "initialpose", "clicked_point")


@dataclass(frozen=True)
class ReplayTopics:
    """The topics of one robot in one recording.

    Args:
        bag: the recording.
        robot: namespace, with a slash at both ends.
        played: recorded topics by the stack's name for them.
        mocap_type: word for the type of motion capture.
        warnings: what is missing without which the replay goes on.
    """

    bag: Path
    robot: str
    played: Mapping[str, RecordedTopic]
    mocap_type: str = DEFAULT_MOCAP_TYPE
    warnings: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What pictures call the recording."""
        return "/".join(self.bag.parts[-2:])

    @property
    def names(self) -> dict[str, str]:
        """The stack's names by the recorded ones."""
        return {topic.name: name for name, topic in self.played.items()}


def find_bag(text: str) -> Path:
    """Return the one recording that a text names.

    Raises:
        UserError: if it does not exist, is none, or holds several.
    """
    if not text:
        raise UserError("name the recording to replay: a folder of rosbag2, or a .mcap, .db3 or .bag file")
    bags = find_bags(Path(text).expanduser().absolute())
    if len(bags) > 1:
        raise UserError(f"{text} holds {len(bags)} recordings; name one of them, such as {bags[0]}")
    return bags[0]


def choose_replay_topics(bag: Path, source: str = SENSORS, robot: str = "", mocap_topic: str = "",
                         without: Collection[str] = ()) -> ReplayTopics:
    """Return what is played of a recording.

    Args:
        bag: the recording.
        source: one of ``SOURCES``.
        robot: namespace; empty for the only one there is.
        mocap_topic: recorded topic with the poses; empty for ``mocap/pose``, or the only topic of such a type.
        without: topics that are left out, by the stack's names.

    Raises:
        UserError: if the recording cannot be read, or lacks what the replay needs, saying what to do.
    """
    for name in without:
        if name not in PLAYED_TYPES:
            raise UserError(f"without {name}: no such topic is played; known: {', '.join(PLAYED_TYPES)}")
    topics = [each for each in recorded_topics(bag) if each.count]
    there = ", ".join(each.name for each in topics) or "nothing"
    namespace = _namespace(bag, topics, robot, there)
    played = {name: each for each in topics for name in PLAYED_TYPES if each.name == namespace + name}
    notes = []
    if MOCAP_TOPIC not in without and (mocap_topic or MOCAP_TOPIC not in played):
        found = _mocap(bag, topics, mocap_topic)
        if found is not None:
            played[MOCAP_TOPIC] = found
            if not mocap_topic:
                notes.append(f"{found.name} is taken for motion capture; name another with mocap_topic")
    wanted = [name for name in PLAYED_TYPES if name not in without
              and (name not in SENSOR_TYPES or source == SENSORS)]
    played = {name: played[name] for name in wanted if name in played}
    for name, topic in played.items():
        if topic.type not in PLAYED_TYPES[name]:
            raise UserError(f"recording {bag} has {topic.type} on {topic.name}, expected {PLAYED_TYPES[name][0]}; "
                            f"leave it out with --without {name}")
    _check(bag, source, played, without, there)
    if COMMANDS not in played:
        notes.append("no motor_commands: the learner cannot know what was done, and never adapts")
    kinds = {full: word for word, full in MOCAP_TYPES.items()}
    kind = kinds[played[MOCAP_TOPIC].type] if MOCAP_TOPIC in played else DEFAULT_MOCAP_TYPE
    return ReplayTopics(bag, namespace, played, kind, tuple(f"{bag}: {note}" for note in notes))


def _namespace(bag: Path, topics: Sequence[RecordedTopic], robot: str, there: str) -> str:
    marks = [name for name in PLAYED_TYPES if name not in (MOCAP_TOPIC, PATH)]
    found = sorted({each.name.removesuffix(mark) for each in topics for mark in marks
                    if each.name.endswith(f"/{mark}")})
    if robot:
        wanted = f"/{robot.strip('/')}/".replace("//", "/")
        if wanted not in found:
            raise UserError(f"recording {bag} has no robot {robot}; known: {', '.join(found) or 'none'}")
        return wanted
    if len(found) > 1:
        raise UserError(f"recording {bag} holds {len(found)} robots: {', '.join(found)}; choose one with --robot")
    if not found:
        raise UserError(f"recording {bag} holds nothing of this robot, only {there}; record with 'l2a record', or "
                        "--record of a run")
    return found[0]


def _mocap(bag: Path, topics: Sequence[RecordedTopic], name: str) -> RecordedTopic | None:
    fitting = [each for each in topics if each.type in MOCAP_TYPES.values()]
    if name:
        found = [each for each in fitting if each.name.strip("/") == name.strip("/")]
        if not found:
            raise UserError(f"recording {bag} has no poses on {name}; known: "
                            f"{', '.join(each.name for each in fitting) or 'none'}")
        return found[0]
    # Odometry of another estimator is no motion capture unless somebody says so.
    likely = [each for each in fitting if each.type != MOCAP_TYPES["odometry"]
              and each.name.rsplit("/", 1)[-1] not in _BY_HAND]
    if len(likely) > 1:
        raise UserError(f"recording {bag} has no {MOCAP_TOPIC}, but {', '.join(each.name for each in likely)}; choose "
                        "one with --mocap_topic")
    return likely[0] if likely else None


def _check(bag: Path, source: str, played: Mapping[str, RecordedTopic], without: Collection[str], there: str) -> None:
    if source == RECORDED_STATES:
        if STATES not in played:
            raise UserError(f"recording {bag} has no robot_state, only {there}; replay its sensors with --from sensors")
        return
    missing = [name for name in SENSOR_TYPES if name not in played and name not in OPTIONAL]
    if missing:
        states = ("; replay the recorded states with --from robot_state" if STATES in played or STATES in without
                  else f"; it holds only {there}")
        raise UserError(f"recording {bag} has no {', '.join(missing)}, which the estimator needs{states}")
