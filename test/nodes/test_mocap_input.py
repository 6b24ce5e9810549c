# SPDX-License-Identifier: Apache-2.0
"""Motion capture of any type, name and quality of service over DDS, into the nodes as the graph starts them."""

from __future__ import annotations

import math
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, TransformStamped
from nav_msgs.msg import Odometry
from nodes.support import NodeProcess, Peer, assert_refused, until
from rclpy.duration import Duration
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from l2a_ros.bringup.arguments import read_settings
from l2a_ros.bringup.graph import NodeSpec, hardware_graph
from l2a_ros.bringup.words import HARDWARE
from l2a_ros.experience.bag_reader import read_bag
from l2a_ros.experience.streams import read_streams
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import named_values, to_stamp
from l2a_ros.nodes.sensor_messages import mocap_topic, sensor_message
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.mocap import MOCAP_TYPES, mocap_types
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, TelemetrySample

POSITION, YAW = (0.4, -0.3, 0.05), 0.7
#: What drivers of motion capture publish with.
QOS = {
    "best effort": QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=1,
                              deadline=Duration(seconds=0.01)),
    "reliable": QoSProfile(reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST, depth=1000),
}


def pose_message(kind: str, stamp: int) -> Any:
    """Return the robot's pose at a moment as a driver would say it."""
    message: Any
    if kind == "transform":
        message = TransformStamped(child_frame_id="robot")
        place, turn = message.transform.translation, message.transform.rotation
    else:
        message = {"pose": PoseStamped, "pose_with_covariance": PoseWithCovarianceStamped, "odometry": Odometry}[kind]()
        pose = message.pose if kind == "pose" else message.pose.pose
        place, turn = pose.position, pose.orientation
    message.header.frame_id, message.header.stamp = "world", to_stamp(stamp)
    place.x, place.y, place.z = POSITION
    turn.z, turn.w = math.sin(YAW / 2), math.cos(YAW / 2)
    return message


def graph(folder: Path, **words: str) -> dict[str, NodeSpec]:
    settings = read_settings({"record": "true", "out": str(folder), **words}, datetime(2026, 11, 24), HARDWARE)
    return {spec.name: spec for spec in hardware_graph(settings)}


def process(spec: NodeSpec) -> NodeProcess:
    return NodeProcess(spec.name, ["--ros-args", *spec.ros_arguments()])


def drive(peer: Peer, mocap: Any, kind: str, seconds: float = 30.0) -> None:
    """Let all sensors speak until there are some states."""
    def spoken() -> bool:
        stamp = time.time_ns()
        for topic, message in map(sensor_message, [
                ImuSample(stamp, np.zeros(3), np.array([0.0, 0.0, 9.8])), CrankSample(stamp, np.zeros(2), np.zeros(2)),
                TelemetrySample(stamp, np.zeros(2), np.zeros(2)), BatterySample(stamp, 3.9)]):
            peer.publish(topic, message, to_nobody=True)
        mocap.publish(pose_message(kind, stamp))
        time.sleep(0.01)
        return len(peer.of(names.ROBOT_STATE)) >= 8

    until(spoken, "no robot_state", seconds)


@pytest.mark.parametrize("qos", list(QOS))
@pytest.mark.parametrize("kind", mocap_types())
def test_every_type_and_quality_of_service_is_heard_and_recorded(tmp_path: Path, kind: str, qos: str) -> None:
    nodes = graph(tmp_path, mocap_topic="/vrpn_mocap/robot/pose", mocap_type=kind)
    with Peer() as peer:
        peer.listen(names.ROBOT_STATE)
        mocap = peer.node.create_publisher(mocap_topic(kind).type, "/vrpn_mocap/robot/pose", QOS[qos])
        peer.offer(*names.SENSOR_TOPICS)
        with process(nodes["recorder"]), process(nodes["state_estimator"]):
            until(lambda: mocap.get_subscription_count() == 2, "nobody listens")
            assert peer.node.count_subscribers("mocap/pose") == 0, "its usual name is not used"
            drive(peer, mocap, kind)
        state = named_values(peer.of(names.ROBOT_STATE)[-1])
    assert (state["position_x"], state["position_y"], state["position_z"]) == pytest.approx(POSITION)
    assert (state["yaw_cos"], state["yaw_sin"]) == pytest.approx((math.cos(YAW), math.sin(YAW)))

    # Under the stack's own name, as it came.
    poses = list(read_bag(tmp_path / "bag", ["/mocap/pose"]))
    assert {message.type for message in poses} == {MOCAP_TYPES[kind]}
    assert len(poses) >= 8
    assert all(message.stamp for message in poses)
    [stream], warnings = read_streams(tmp_path / "bag")
    assert warnings == []
    assert stream.states.shape[1] == STATE.size
    assert len(stream.states) >= 3


def test_the_usual_name_needs_no_word(tmp_path: Path) -> None:
    nodes = graph(tmp_path)
    with Peer() as peer:
        peer.listen(names.ROBOT_STATE)
        mocap = peer.node.create_publisher(PoseStamped, "mocap/pose", QOS["reliable"])
        peer.offer(*(topic for topic in names.SENSOR_TOPICS if topic is not names.MOCAP_POSE))
        with process(nodes["state_estimator"]):
            drive(peer, mocap, "pose")


def test_there_is_a_message_for_every_word() -> None:
    for kind, text in MOCAP_TYPES.items():
        topic = mocap_topic(kind)
        assert topic.name == names.MOCAP_POSE.name
        assert f"{topic.type.__module__.split('.')[0]}/msg/{topic.type.__name__}" == text
    assert mocap_topic("pose") == names.MOCAP_POSE


@pytest.mark.parametrize("node", ["state_estimator", "recorder"])
def test_an_unknown_type_is_refused(node: str, tmp_path: Path) -> None:
    words = {"out": str(tmp_path / "bag")} if node == "recorder" else {}
    assert_refused(node, "unknown mocap_type 'points'; known: pose", mocap_type="points", **words)
    assert not (tmp_path / "bag").exists()
