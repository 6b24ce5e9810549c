# SPDX-License-Identifier: Apache-2.0
"""The recorder as a real process over DDS: known messages in, the same messages in the bag."""

from __future__ import annotations

import array
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Bool, Header, String, UInt8MultiArray

from l2a_ros.experience.bag_reader import BagMessage, read_bag
from l2a_ros.experience.bag_writer import typestore
from l2a_ros.nodes.interfaces import (
    ADAPTED_MODEL,
    ESTOP,
    MOCAP_POSE,
    RECORDED,
    REFERENCE_PATH,
    ROBOT_STATE,
    SENSOR_TOPICS,
)
from l2a_ros.nodes.messages import named_vector, path_message, to_stamp
from l2a_ros.nodes.recorder import has_header, leading_stamp, type_name

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def talker(ros_isolation: int) -> Iterator[Node]:
    """A node that publishes."""
    context = Context()
    rclpy.init(context=context, domain_id=ros_isolation)
    node = rclpy.create_node("talker", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def start_recorder(out: Path, *parameters: str, lockstep: bool = False) -> subprocess.Popen[str]:
    values = [f"out:={out}", f"lockstep:={str(lockstep).lower()}", *parameters]
    arguments = [text for value in values for text in ("-p", value)]
    return subprocess.Popen([sys.executable, "-m", "l2a_ros.nodes.recorder", "--ros-args", *arguments], cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONPATH": str(ROOT)})


def end_recorder(process: subprocess.Popen[str], sent: signal.Signals = signal.SIGINT) -> str:
    process.send_signal(sent)
    try:
        output, errors = process.communicate(timeout=5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        pytest.fail(f"the recorder did not end\n{output}\n{errors}")
    assert process.returncode == 0, errors
    assert errors == ""
    return output


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def until_heard(publisher: Any, message: Any) -> None:
    """Wait until the recorder hears a reliable publisher.

    The publisher knows of the recorder before the recorder knows of it, on a busy machine by more than a second,
    and keeps no more than its own depth for it until then. Once this message is acknowledged, whether as received or as
    from before, both know.
    """
    until(lambda: publisher.get_subscription_count() > 0)
    publisher.publish(message)
    assert publisher.wait_for_all_acked(Duration(seconds=15.0))


def example(kind: Any, index: int) -> Any:
    """Return a message of a type with the stamp ``index`` seconds where it has one."""
    if kind is JointState:
        return named_vector(["a", "b"], [index, 0.5], index * 10**9)
    if kind is UInt8MultiArray:
        return UInt8MultiArray(data=array.array("B", bytes([index]) * 200_000))
    if kind is Bool:
        return Bool(data=True)
    if kind is DiagnosticArray:
        return DiagnosticArray(header=Header(stamp=to_stamp(index * 10**9)),
                               status=[DiagnosticStatus(name="motor gate")])
    if kind is REFERENCE_PATH.type:
        return path_message(np.array([[0.0, 0.0], [1.0, 0.0]]), index * 10**9)
    message = kind()
    message.header.stamp = to_stamp(index * 10**9)
    return message


@pytest.mark.parametrize(("lockstep", "sent"), [(False, signal.SIGINT), (True, signal.SIGTERM)])
def test_every_topic_is_recorded_with_its_type(
        talker: Node, tmp_path: Path, lockstep: bool, sent: signal.Signals) -> None:
    publishers = [(topic, talker.create_publisher(topic.type, topic.name, topic.profile(lockstep)))
                  for topic in RECORDED]
    latched = {REFERENCE_PATH.name, ESTOP.name}
    for topic, publisher in publishers:
        if topic.name in latched:
            publisher.publish(example(topic.type, 1))
    before = time.time_ns()
    recorder = start_recorder(tmp_path / "bag", lockstep=lockstep)
    until(lambda: all(publisher.get_subscription_count() for _, publisher in publishers))
    # The publisher knows of the recorder before the recorder knows of it: the first messages may be lost.
    for index in range(2, 102):
        for topic, publisher in publishers:
            if topic.name not in latched:
                publisher.publish(example(topic.type, index))
        time.sleep(0.02)
    for _, publisher in publishers:
        publisher.wait_for_all_acked(Duration(seconds=5.0))
    output = end_recorder(recorder, sent)
    after = time.time_ns()
    reader = read_bag(tmp_path / "bag")
    messages = list(reader)
    assert reader.warnings == []
    assert f"{len(messages)} messages" in output
    found: dict[str, list[BagMessage]] = {}
    for message in messages:
        found.setdefault(message.topic, []).append(message)
    for topic in RECORDED:
        name = topic.name if topic.name.startswith("/") else f"/{topic.name}"
        assert {each.type for each in found[name]} == {type_name(topic.type)}
        count = len(found[name])
        assert count == 1 if topic.name in latched else 25 <= count <= 100, name
        if has_header(topic.type):
            stamps = [each.stamp for each in found[name]]
            assert stamps == [i * 10**9 for i in ([1] if topic.name in latched else range(102 - count, 102))]
        for each in found[name]:
            if lockstep and has_header(topic.type):
                assert each.log_time == each.stamp
            else:
                assert before <= each.log_time <= after
    model = [bytes(each.message.data) for each in found["/adapted_model"]]
    assert model == [bytes([i]) * 200_000 for i in range(102 - len(model), 102)]
    assert found["/robot_state"][-1].message.position.tolist() == [101.0, 0.5]


def test_message_published_just_before_the_signal_is_in_the_bag(talker: Node, tmp_path: Path) -> None:
    publisher = talker.create_publisher(ROBOT_STATE.type, ROBOT_STATE.name, 200)
    recorder = start_recorder(tmp_path / "bag")
    until_heard(publisher, example(JointState, 0))
    for index in range(1, 150):
        publisher.publish(example(JointState, index))
    assert publisher.wait_for_all_acked(Duration(seconds=5.0))
    end_recorder(recorder)
    stamps = [each.stamp for each in read_bag(tmp_path / "bag")]
    assert stamps[-149:] == [i * 10**9 for i in range(1, 150)]


def test_killed_recorder_leaves_what_it_had_flushed(talker: Node, tmp_path: Path) -> None:
    # Deep enough for all that is said before a busy recorder has found the publisher.
    publisher = talker.create_publisher(ROBOT_STATE.type, ROBOT_STATE.name, 200)
    recorder = start_recorder(tmp_path / "bag")
    until_heard(publisher, example(JointState, 0))
    for index in range(1, 40):
        publisher.publish(example(JointState, index))
        time.sleep(0.02)
    assert publisher.wait_for_all_acked(Duration(seconds=5.0))
    time.sleep(1.6)
    recorder.kill()
    recorder.communicate()
    reader = read_bag(tmp_path / "bag")
    stamps = [each.stamp for each in reader]
    assert stamps[-39:] == [i * 10**9 for i in range(1, 40)]
    assert reader.warnings


def test_further_topics(talker: Node, tmp_path: Path) -> None:
    publisher = talker.create_publisher(String, "/notes", 10)
    recorder = start_recorder(tmp_path / "bag", "topics:=['/notes:std_msgs/msg/String']")
    until(lambda: publisher.get_subscription_count() > 0)
    for _ in range(25):
        publisher.publish(String(data="wheel slipped"))
        time.sleep(0.02)
    end_recorder(recorder)
    assert {(each.topic, each.message.data) for each in read_bag(tmp_path / "bag")} == {("/notes", "wheel slipped")}


@pytest.mark.parametrize(("parameters", "message"), [
    (["out:=''"], "parameter out must name the folder"),
    (["topics:=['/notes']"], "is not NAME:TYPE"),
    (["topics:=['/notes:std_msgs/msg/Nothing']"], "is not installed"),
    (["topics:=['/notes:nothing_msgs/msg/String']"], "is not installed"),
])
def test_bad_parameter_is_one_line_and_makes_no_bag(tmp_path: Path, parameters: list[str], message: str) -> None:
    recorder = start_recorder(tmp_path / "bag", *parameters)
    _, errors = recorder.communicate(timeout=20.0)
    assert recorder.returncode == 2
    assert len(errors.strip().splitlines()) == 1
    assert errors.startswith("recorder: error: ")
    assert message in errors
    assert not (tmp_path / "bag").exists()


def test_existing_bag_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    recorder = start_recorder(tmp_path / "bag")
    _, errors = recorder.communicate(timeout=20.0)
    assert recorder.returncode == 2
    assert "exists already" in errors


def test_stamp_is_read_from_the_serialised_bytes() -> None:
    stamp = 12 * 10**9 + 345
    for topic in RECORDED:
        if has_header(topic.type):
            message = topic.type()
            message.header.stamp = to_stamp(stamp)
            assert leading_stamp(serialize_message(message)) == stamp
    assert {topic.name for topic in RECORDED if not has_header(topic.type)} == {ADAPTED_MODEL.name, ESTOP.name}
    pose = typestore().types["geometry_msgs/msg/PoseStamped"]
    assert pose.__name__.endswith("PoseStamped")
    message = typestore().deserialize_cdr(serialize_message(PoseStamped(header=Header(stamp=to_stamp(stamp)))),
                                          "geometry_msgs/msg/PoseStamped")
    assert leading_stamp(bytes(typestore().serialize_cdr(message, "geometry_msgs/msg/PoseStamped",
                                                         little_endian=False))) == stamp
    assert MOCAP_POSE in SENSOR_TOPICS
    assert type_name(Imu) == "sensor_msgs/msg/Imu"
