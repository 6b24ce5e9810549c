# SPDX-License-Identifier: Apache-2.0
"""The live view as a node: it hears what is worth a picture, nobody waits for it, and it leaves nothing behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import psutil
import pytest
from nodes.support import PERIOD, SECOND, NodeProcess, NodeThread, Peer, assert_refused, refusal, resting_state, until
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.live_view import HEARD, NICENESS, SAMPLED, LiveView
from l2a_ros.nodes.messages import motor_commands, named_vector, path_message, to_stamp
from l2a_ros.views.live_drawings import Drawing, Picture
from l2a_ros.views.live_lines import PATH
from l2a_ros.views.live_scene import COMMANDED, ERROR, ROBOT, STATUS

live_rerun = pytest.importorskip("l2a_ros.views.live_rerun", reason="rerun-sdk is not installed")
START = 100 * SECOND


class Drawn:
    """Stands in for what sends pictures to viewers."""

    def __init__(self, *_: object) -> None:
        self.pictures: list[Picture] = []

    def furnish(self, _: object) -> None:
        pass

    def arrange(self, _: object) -> None:
        pass

    def close(self, _: float) -> None:
        pass

    def show(self, picture: Picture) -> None:
        self.pictures.append(picture)

    def of(self, place: str) -> list[Drawing]:
        return [drawing for picture in list(self.pictures) for drawing in picture.drawings if drawing.place == place]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """What the node draws."""
    sink = Drawn()
    monkeypatch.setattr(live_rerun, "RerunSink", lambda *_: sink)
    return sink


def odometry(x: float, stamp: int) -> Any:
    message = names.ODOMETRY.type()
    message.header.stamp, message.pose.pose.position.x = to_stamp(stamp), x
    return message


@pytest.mark.parametrize("lockstep", [False, True])
def test_what_is_heard_is_drawn(drawn: Drawn, lockstep: bool) -> None:
    with NodeThread(LiveView), Peer(lockstep) as peer:
        peer.publish(names.REFERENCE_PATH, path_message(np.array([[0.0, 0.0], [2.0, 0.0]]), START))

        def stood() -> bool:
            peer.publish(names.ROBOT_STATE, resting_state(START))
            peer.publish(names.ODOMETRY, odometry(0.5, START))
            return bool(drawn.of(ROBOT))

        until(stood, "the robot")
        until(lambda: drawn.of(PATH), "the path")

        def heard() -> bool:
            # Nobody waits for this reader: what is sent before it knows of the sender is lost.
            peer.publish(names.TRIAL_METRICS, named_vector(["lateral_error_m"], [0.03], START))
            peer.publish(names.MOTOR_COMMANDS, motor_commands([10.0, 20.0], START))
            return all(drawn.of(place) for place in (ERROR, COMMANDED, STATUS))

        until(heard, "error, command and status")


def test_nobody_waits_for_it(drawn: Drawn) -> None:
    with NodeThread(LiveView) as thread:
        for topic in (*HEARD, *SAMPLED):
            [reader] = thread.node.get_subscriptions_info_by_topic(thread.node.resolve_topic_name(topic.name))
            latched = topic.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
            assert (reader.qos_profile.reliability == ReliabilityPolicy.RELIABLE) is latched, \
                "only what comes seldom, and to those that come late too, is waited for"


def test_of_what_comes_often_only_the_newest_is_looked_at(drawn: Drawn) -> None:
    with NodeThread(LiveView, frame_rate=5.0), Peer(lockstep=True) as peer:
        peer.publish(names.ROBOT_STATE, resting_state(START))
        for i in range(200):
            peer.publish(names.ODOMETRY, odometry(0.01 * i, START + i * PERIOD))
        until(lambda: drawn.of(ROBOT) and drawn.of(ROBOT)[-1].translation[0] == pytest.approx(1.99),  # type: ignore[union-attr]
              "the newest pose")
        assert len(drawn.of(ROBOT)) < 100


def test_it_gives_way_serves_a_page_and_leaves_nothing() -> None:
    with NodeProcess("live_view") as process:
        node = psutil.Process(process.process.pid)

        def said() -> bool:
            process._output.seek(0)
            return b"live view: http://127.0.0.1:" in process._output.read()

        until(said, "its address")
        assert node.nice() >= NICENESS
        [server] = node.children()
        assert server.nice() >= NICENESS
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_bad_parameters_are_refused() -> None:
    assert "port" in refusal(LiveView, port=70000)
    assert "frame_rate" in refusal(LiveView, frame_rate=0.0)
    assert_refused("live_view", "the live view cannot listen at 203.0.113.1:0", host="203.0.113.1")
