# SPDX-License-Identifier: Apache-2.0
"""Lines drawn by hand, with a stand-in for the rest of the graph: what is taken or refused, what starts a trial."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PointStamped, PoseStamped, PoseWithCovarianceStamped
from nodes.trial_stand_in import StandIn, finish, stand_ins, start_trial, until
from std_srvs.srv import Trigger

from l2a_ros.nodes import interfaces
from l2a_ros.nodes.messages import path_points
from l2a_ros.trials.paths import load_shape

#: Where the stand-in begins.
ROBOT = [0.3, -0.2]


class Hand:
    """Sends what RViz's tools send, and sees what is drawn."""

    def __init__(self, world: StandIn) -> None:
        self.node = world.sim
        self.lines: list[list[list[float]]] = []
        self._publishers = {topic.name: self.node.create_publisher(topic.type, topic.name, topic.qos)
                            for topic in (interfaces.GOAL_POSE, interfaces.CLICKED_POINT, interfaces.INITIAL_POSE)}
        preview = interfaces.PATH_PREVIEW
        self.node.create_subscription(preview.type, preview.name,
                                      lambda m: self.lines.append(path_points(m).round(3).tolist()), preview.qos)
        self._clear = self.node.create_client(Trigger, interfaces.TRIAL_CLEAR)
        self._start, self._stop = world.start, world.stop

    def wait_until_it_is_heard(self) -> None:
        until(lambda: self.lines)
        until(lambda: all(each.get_subscription_count() for each in self._publishers.values()))
        until(lambda: all(each.service_is_ready() for each in (self._clear, self._start, self._stop)))

    def goal(self, x: float, y: float, frame: str = "map") -> list[list[float]]:
        """Set a goal; returns the line then."""
        message = PoseStamped()
        message.header.frame_id = frame
        message.pose.position.x, message.pose.position.y = x, y
        return self._send(interfaces.GOAL_POSE, message)

    def click(self, x: float, y: float, frame: str = "map") -> list[list[float]]:
        """Publish a point; returns the line then."""
        message = PointStamped()
        message.header.frame_id = frame
        message.point.x, message.point.y = x, y
        return self._send(interfaces.CLICKED_POINT, message)

    def _send(self, topic: interfaces.Topic, message: Any) -> list[list[float]]:
        before = len(self.lines)
        self._publishers[topic.name].publish(message)
        until(lambda: len(self.lines) > before)
        return self.lines[before]

    def tell(self, topic: interfaces.Topic, message: Any) -> None:
        """Send while a trial runs: nothing is drawn then."""
        message.header.frame_id = "map"
        self._publishers[topic.name].publish(message)

    def call(self, what: str) -> tuple[bool, str]:
        """Call a service: clear, start or stop."""
        future = {"clear": self._clear, "start": self._start, "stop": self._stop}[what].call_async(Trigger.Request())
        until(future.done)
        return future.result().success, future.result().message


@pytest.fixture
def stand_in(ros_isolation: int) -> Iterator[Any]:
    """Return a maker of stand-ins that are closed at the end of the test."""
    with stand_ins(ros_isolation) as make:
        yield make


def report_of(folder: Path) -> dict[str, Any]:
    until((folder / "path.yaml").is_file, 120.0)
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def end(process: Any) -> str:
    process.send_signal(signal.SIGINT)
    code, _, errors = finish(process)
    assert code == 0, errors
    return errors


def test_lines_are_drawn_cleared_closed_and_followed(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=True)
    hand = Hand(world)
    process = start_trial(tmp_path, True, path="drawn", autostart="false")
    hand.wait_until_it_is_heard()
    assert hand.lines == [[]], "nothing is drawn"
    done, why = hand.call("start")
    assert not done and why.startswith("nothing is drawn; draw a line: goal_pose (2D Goal Pose)")
    assert not hand.call("stop")[0]

    assert hand.goal(1.0, 1.0, "odom") == []
    assert hand.goal(1.0, math.nan) == []
    assert hand.click(1.0, 1.0, "") == []
    assert hand.click(0.35, -0.2) == []
    assert hand.goal(1.3, -0.2) == [ROBOT, [1.3, -0.2]]
    assert hand.call("clear")[0]
    until(lambda: hand.lines[-1] == [])

    hand.click(1.0, 0.4)
    hand.click(1.0, 1.2)
    hand.click(0.2, 1.2)
    assert hand.click(0.3, -0.1) == [ROBOT, [1.0, 0.4], [1.0, 1.2], [0.2, 1.2], ROBOT], "a loop"
    assert world.arms == 0, "drawing moves nothing"
    assert hand.call("start")[0]
    report = report_of(tmp_path / "001")
    assert (report["path"], report["completed"], report["ended"]) == ("drawn", True, "end of path")
    assert report["mean_lateral_error_m"] < 0.1
    np.testing.assert_allclose(load_shape(tmp_path / "001" / "path.yaml").points,
                               [ROBOT, [1.0, 0.4], [1.0, 1.2], [0.2, 1.2], ROBOT], atol=1e-3)
    until(lambda: hand.lines[-1] == [])
    assert world.paused and not world.armed

    # It stands where it came to; a click on the end of the line is as good as the service.
    assert math.dist(hand.goal(0.9, -0.6)[0], ROBOT) < 0.15
    hand.click(0.95, -0.6)
    assert report_of(tmp_path / "002")["completed"]
    assert (world.arms, world.disarms) == (2, 2)
    errors = end(process)
    assert "the goal is in frame 'odom'; set RViz's fixed frame to map" in errors
    assert "the goal is not finite" in errors
    assert "the point is 0.05 m from the begin of the line" in errors
    assert "the line is a loop of" in errors
    assert sorted(file.name for file in tmp_path.iterdir()) == ["001", "002"]


def test_what_is_drawn_while_the_robot_walks_and_what_goes_wrong(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=False, rate=20.0)
    hand = Hand(world)
    process = start_trial(tmp_path, False, path="drawn", control_period=0.05, **{"geofence.x_max": 4.0})
    hand.wait_until_it_is_heard()
    assert hand.goal(5.0, 0.0) == [], "outside the room"
    hand.goal(3.0, 1.0)
    until(lambda: len(world.trial_metrics) > 5)
    assert len(world.paths[-1]) == 2
    hand.tell(interfaces.GOAL_POSE, PoseStamped())
    assert hand.call("start") == (False, "a trial runs already")
    assert not hand.call("clear")[0]
    heard = len(world.trial_metrics)
    until(lambda: len(world.trial_metrics) > heard + 3)
    assert world.armed, "it walks on"
    hand.tell(interfaces.CLICKED_POINT, PointStamped())
    assert report_of(tmp_path / "001")["ended"] == "stopped by request"
    until(lambda: not world.armed)

    heard = len(world.trial_metrics)
    until(lambda: hand.lines[-1] == [])
    hand.goal(0.0, 0.0)
    until(lambda: len(world.trial_metrics) > heard + 3)
    hand.tell(interfaces.INITIAL_POSE, PoseWithCovarianceStamped())
    assert "the pose was set by hand" in report_of(tmp_path / "002")["ended"]

    heard = len(world.trial_metrics)
    until(lambda: hand.lines[-1] == [])
    hand.goal(2.0, 2.0)
    until(lambda: len(world.trial_metrics) > heard + 3)
    world.stop_at = world.ticks + 2
    report = report_of(tmp_path / "003")
    assert report["safety_stops"] == 1
    assert report["ended"] == "the robot was stopped: the emergency stop was pressed"

    world.refuse_arming = True
    until(lambda: hand.lines[-1] == [])
    arms, before = world.arms, len(hand.lines)
    hand.goal(0.0, 0.0)
    until(lambda: world.arms > arms and len(hand.lines) >= before + 2)
    assert len(hand.lines[-1]) == 2, "what was not walked may be tried again"
    errors = end(process)
    assert "the goal (x 5.00 m, y 0.00 m) is 1.000 m outside the room" in errors
    assert "a trial runs: the goal is ignored" in errors
    assert "a point was published while a trial runs: stopping" in errors
    assert "arm was refused: the emergency stop holds" in errors
    assert sorted(file.name for file in tmp_path.iterdir()) == ["001", "002", "003"]


def test_path_that_leaves_the_room_is_refused_before_the_robot_is_armed(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=True)
    code, _, errors = finish(start_trial(tmp_path, True, **{"geofence.x_max": 1.0}))
    assert code == 1
    (line,) = errors.strip().splitlines()
    assert line.startswith("trial: error: way-point 2 of the path (x 1.83 m, y 1.09 m) is 0.830 m outside the room")
    assert world.arms == 0
    assert world.paths == []
