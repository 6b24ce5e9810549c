# SPDX-License-Identifier: Apache-2.0
"""What is drawn of a run: over DDS, as RViz takes it, and only to those who look."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from nodes.support import PERIOD, SECOND, NodeProcess, NodeThread, Peer, refusal, resting_state, until
from rclpy.serialization import deserialize_message, serialize_message
from visualization_msgs.msg import Marker

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes import views
from l2a_ros.nodes.messages import named_vector, path_message, to_nanoseconds, to_stamp
from l2a_ros.nodes.view_frames import base_transform
from l2a_ros.nodes.view_markers import AREA, LEGEND, NAMESPACES, STATUS, TRACK
from l2a_ros.nodes.views import Views
from l2a_ros.views.colours import error_colours

LINE = np.array([[0.0, 0.0], [2.0, 0.0]])
START = 100 * SECOND
ROOM = {"geofence.x_min": -2.0, "geofence.x_max": 2.0, "geofence.y_min": -1.5, "geofence.y_max": 1.5}
has_tf = importlib.util.find_spec("tf2_msgs") is not None


def checked(message: Any) -> dict[tuple[str, int], Marker]:
    """Check markers as RViz does, and return those that are added by namespace and number."""
    message = deserialize_message(serialize_message(message), names.VIEW_MARKERS.type)
    assert len({(marker.ns, marker.id) for marker in message.markers}) == len(message.markers), "each is another one"
    for i, marker in enumerate(message.markers):
        assert marker.header.frame_id == names.MAP_FRAME
        orientation = marker.pose.orientation
        assert (orientation.x, orientation.y, orientation.z, orientation.w) == (0.0, 0.0, 0.0, 1.0)
        assert 0 < marker.lifetime.sec < 10, "it vanishes when no more come"
        if marker.action == Marker.DELETEALL:
            assert (i, marker.ns) == (0, ""), "first, and of every namespace"
            continue
        assert marker.action == Marker.ADD
        assert marker.ns in NAMESPACES
        if marker.type == Marker.LINE_STRIP:
            assert len(marker.points) == len(marker.colors) >= 2, "RViz shows an error for less than two points"
            # Of a line only the width is used, and RViz complains of the others.
            assert marker.scale.x > 0.0
            assert (marker.scale.y, marker.scale.z) == (0.0, 0.0)
            assert np.all(np.isfinite(positions(marker)))
        else:
            assert marker.type == Marker.TEXT_VIEW_FACING
            assert marker.text.isascii()
            assert marker.text.strip()
            assert marker.scale.z > 0.0
        for colour in marker.colors or [marker.color]:
            assert all(0.0 <= value <= 1.0 for value in (colour.r, colour.g, colour.b))
            assert colour.a == 1.0
    return {(marker.ns, marker.id): marker for marker in message.markers if marker.action == Marker.ADD}


def positions(marker: Marker) -> np.ndarray:
    """Return the points of a marker, ``(n, 3)``."""
    return np.array([[point.x, point.y, point.z] for point in marker.points]).reshape(-1, 3)


def colours(marker: Marker) -> np.ndarray:
    """Return the colours of the points of a marker, ``(n, 3)``."""
    return np.array([[colour.r, colour.g, colour.b] for colour in marker.colors])


class Viewer(Peer):
    """Sends a run by hand, and looks."""

    def newest(self) -> dict[tuple[str, int], Marker]:
        """Return the markers of a message that is made after now."""
        seen = len(self.of(names.VIEW_MARKERS))
        until(lambda: len(self.of(names.VIEW_MARKERS)) > seen + 1)
        return checked(self.of(names.VIEW_MARKERS)[-1])

    def clears(self) -> int:
        """Return how many messages took away what was drawn before."""
        return sum(message.markers[0].action == Marker.DELETEALL for message in list(self.of(names.VIEW_MARKERS))
                   if message.markers)

    def walk(self, places: np.ndarray, first: int) -> None:
        """Send a state per period along places ``(n, 2)``."""
        for i, (x, y) in enumerate(places):
            self.publish(names.ROBOT_STATE, resting_state(first + i * PERIOD, position_x=x, position_y=y))

    def connect(self) -> None:
        """Send states from before ``START`` until one is heard: who is known to listen may not know who speaks."""
        stamps = itertools.count(START // 2, PERIOD)

        def is_heard() -> bool:
            self.publish(names.ROBOT_STATE, resting_state(next(stamps)))
            return "period" in self.newest()[STATUS, 0].text

        until(is_heard)

    def until_said(self, line: str, *messages: tuple[names.Topic, Any]) -> None:
        """Send messages until the status has a line."""

        def is_said() -> bool:
            for topic, message in messages:
                self.publish(topic, message)
            return line in self.newest()[STATUS, 0].text.splitlines()

        until(is_said, line)


def diagnosis(name: str, message: str, **values: str) -> tuple[names.Topic, DiagnosticArray]:
    """Return a diagnostic status with its topic."""
    status = DiagnosticStatus(name=name, message=message, values=[KeyValue(key=k, value=v) for k, v in values.items()])
    return names.DIAGNOSTICS, DiagnosticArray(status=[status])


def beside(count: int, length: float = 0.5) -> np.ndarray:
    """Places along x, ever further to the left of it, up to 4 cm."""
    return np.stack([np.linspace(0.0, length, count), np.linspace(0.0, 0.04, count)], axis=-1)


def test_a_run_by_hand() -> None:
    with (NodeProcess("views", **ROOM, draw_period=0.05, error_scale=0.04, maximum_age=60.0),
          Viewer() as viewer):
        viewer.listen(names.VIEW_MARKERS)
        until(lambda: viewer.of(names.VIEW_MARKERS))
        markers = checked(viewer.of(names.VIEW_MARKERS)[0])
        assert set(markers) == {(AREA, 0), (STATUS, 0)}, "nothing has walked"
        assert markers[STATUS, 0].text == "nothing heard yet"
        np.testing.assert_allclose(positions(markers[AREA, 0])[:3, :2], [[-2.0, -1.5], [2.0, -1.5], [2.0, 1.5]])
        assert viewer.clears() == 1, "of what a node before this one has drawn"

        viewer.connect()
        viewer.publish(names.REFERENCE_PATH, path_message(LINE, START))
        until(lambda: viewer.clears() == 2, "a new path begins a new track")
        viewer.walk(beside(21), START)
        viewer.until_said("grbal adapted, loss 0.4 to 0.3", diagnosis("adaptation: model", "adapted", method="grbal"), (
            names.ADAPTATION_METRICS, named_vector(("adapted", "loss_before", "loss_after"), (1.0, 0.4, 0.3), START)))
        viewer.until_said(
            "cost 3.00 per step, plan cost 41.0", (names.TRIAL_METRICS, named_vector(("cost",), (3.0,), START)),
            (names.MPC_METRICS, named_vector(("cost", "state_to_command_s"), (41.0, 0.02), START)))
        viewer.until_said("motors armed", diagnosis("mujoco_sim: motor gate", "armed", state="armed"))
        markers = viewer.newest()
        assert set(markers) == {(AREA, 0), (STATUS, 0), (TRACK, 0), (LEGEND, 0), (LEGEND, 1)}
        assert markers[STATUS, 0].text.splitlines() == [
            "grbal adapted, loss 0.4 to 0.3", "lateral error +4.0 cm, progress 0.50 of 2.00 m",
            "cost 3.00 per step, plan cost 41.0", "period 100 ms, state to command 20 ms", "motors armed"]
        track = markers[TRACK, 0]
        assert to_nanoseconds(track.header.stamp) == START + 20 * PERIOD
        np.testing.assert_allclose(positions(track)[[0, -1], :2], [[0.0, 0.0], [0.5, 0.04]], atol=1e-6)
        np.testing.assert_allclose(colours(track), error_colours(positions(track)[:, 1], 0.04), atol=1e-3)
        assert "0 to 4 cm" in markers[LEGEND, 1].text
        np.testing.assert_allclose(colours(markers[LEGEND, 0])[[0, -1]], error_colours(np.array([0.0, 0.04]), 0.04),
                                   atol=1e-3)
        # Texts and legend are beside the area, not in it.
        assert markers[STATUS, 0].pose.position.y > 1.5
        assert positions(markers[LEGEND, 0])[:, 1].max() < -1.5

        viewer.until_said("motors stopped: estop topic",
                          diagnosis("mujoco_sim: motor gate", "estop topic", state="stopped"))
        assert viewer.newest()[STATUS, 0].color != markers[STATUS, 0].color
        viewer.publish(names.REFERENCE_PATH, path_message(np.empty((0, 2)), START + 30 * PERIOD))
        until(lambda: "lateral error" not in viewer.newest()[STATUS, 0].text, "nothing is followed any more")
        assert len(viewer.newest()[TRACK, 0].points) == len(track.points), "a trial that is over can still be seen"
        assert viewer.clears() == 2
        # A reset: the robot is put back, and walks on.
        viewer.publish(names.REFERENCE_PATH, path_message(LINE + [0.0, 0.5], START + 40 * PERIOD))
        until(lambda: viewer.clears() == 3)
        viewer.walk(beside(11), START + 40 * PERIOD)
        viewer.walk(np.array([[1.9, 0.5], [1.91, 0.5]]), START + 52 * PERIOD)
        until(lambda: viewer.clears() == 4)
        np.testing.assert_allclose(positions(viewer.newest()[TRACK, 0])[:, 0], [1.9, 1.91], atol=1e-6)


def test_messages_that_are_wrong_change_nothing() -> None:
    with NodeProcess("views", draw_period=0.05), Viewer() as viewer:
        viewer.listen(names.VIEW_MARKERS)
        viewer.connect()
        viewer.publish(names.REFERENCE_PATH, path_message(LINE, START))
        until(lambda: viewer.clears() == 2)
        viewer.walk(beside(11), START)
        until(lambda: (TRACK, 0) in viewer.newest())
        points = positions(viewer.newest()[TRACK, 0])
        elsewhere = path_message(LINE, START)
        elsewhere.header.frame_id = elsewhere.poses[0].header.frame_id = "odom"
        viewer.publish(names.REFERENCE_PATH, elsewhere)
        viewer.publish(names.ROBOT_STATE, named_vector(("something",), (1.0,), START + SECOND))
        viewer.publish(names.ROBOT_STATE, resting_state(START + SECOND, position_x=math.nan))
        broken = named_vector(("cost", "more"), (1.0, 2.0), START)
        broken.position.pop()
        viewer.publish(names.MPC_METRICS, broken)
        np.testing.assert_array_equal(positions(viewer.newest()[TRACK, 0]), points)
        assert AREA not in {name for name, _ in viewer.newest()}, "there is no room"


def test_nothing_is_built_while_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "ViewMarkers", lambda *_: pytest.fail("built for nobody"))
    with NodeThread(Views, draw_period=0.02) as node, Viewer() as viewer:
        viewer.publish(names.REFERENCE_PATH, path_message(LINE, 1))
        until(lambda: len(node.node._track.path_points))
        viewer.walk(beside(21), START)
        until(lambda: len(node.node._track.points) > 10)
    assert node.failure is None


@pytest.mark.parametrize(("parameters", "words"), [
    ({"geofence.x_min": 3.0, "geofence.x_max": 2.0}, "needs x_min below x_max"),
    ({"track_points": 3}, "track_points is out of range"), ({"error_scale": 0.0}, "error_scale is out of range")])
def test_bad_parameters_are_refused(parameters: dict[str, Any], words: str) -> None:
    assert words in refusal(Views, **parameters)


def odometry(stamp: int, x: float = 0.0) -> Odometry:
    """Return odometry of a robot that looks to the left."""
    message = Odometry()
    message.header.stamp, message.header.frame_id, message.child_frame_id = to_stamp(stamp), "map", "base_link"
    position, orientation = message.pose.pose.position, message.pose.pose.orientation
    position.x, position.y, position.z = x, 0.2, 0.02
    orientation.z = orientation.w = math.sqrt(0.5)
    return message


def test_a_transform_is_what_odometry_says() -> None:
    transform = base_transform(odometry(START + 5, 0.1))
    assert isinstance(transform, TransformStamped)
    assert to_nanoseconds(transform.header.stamp) == START + 5
    assert (transform.header.frame_id, transform.child_frame_id) == (names.MAP_FRAME, names.BASE_FRAME)
    moved, turned = transform.transform.translation, transform.transform.rotation
    assert (moved.x, moved.y, moved.z) == (0.1, 0.2, 0.02)
    assert (turned.x, turned.y, turned.z, turned.w) == (0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))


@pytest.mark.skipif(has_tf, reason="tf2_msgs is installed")
def test_without_tf2_it_says_so_once_and_goes_on() -> None:
    with NodeProcess("views", draw_period=0.05) as process, Viewer() as viewer:
        viewer.listen(names.VIEW_MARKERS)
        viewer.newest()
        assert process.errors.count("tf2_msgs is not installed") == 1
        assert len(process.errors.strip().splitlines()) == 1


@pytest.mark.skipif(not has_tf, reason="needs tf2_msgs")
def test_the_frame_of_the_body_is_told_to_tf2() -> None:
    from tf2_msgs.msg import TFMessage

    topic = names.Topic("/tf", TFMessage, names.ODOMETRY.qos)
    with NodeThread(Views, tf_rate=50.0), Viewer() as viewer:
        viewer.listen(topic)
        stamps = itertools.count(START // 2, PERIOD)
        until(lambda: (viewer.publish(names.ODOMETRY, odometry(next(stamps))), viewer.of(topic))[1])
        for i in range(101):  # 100 Hz for a second
            viewer.publish(names.ODOMETRY, odometry(START + i * SECOND // 100, 0.001 * i))
            time.sleep(0.003)
        until(lambda: to_nanoseconds(viewer.of(topic)[-1].transforms[0].header.stamp) >= START + SECOND * 97 // 100)
        told = [to_nanoseconds(message.transforms[0].header.stamp) for message in viewer.of(topic)]
        assert 30 <= sum(stamp >= START for stamp in told) <= 60
        x = 0.001 * ((told[-1] - START) // (SECOND // 100))
        assert viewer.of(topic)[-1].transforms == [base_transform(odometry(told[-1], x))]
        viewer.publish(names.ODOMETRY, odometry(START // 4))
        until(lambda: to_nanoseconds(viewer.of(topic)[-1].transforms[0].header.stamp) == START // 4,
              "time began again")


def test_the_track_of_a_trial_has_its_errors(tmp_path: Path) -> None:
    with NodeProcess("views", use_sim_time=True, draw_period=0.1), Viewer(lockstep=True) as viewer:
        viewer.listen(names.VIEW_MARKERS)
        subprocess.run([sys.executable, "-m", "l2a_ros.cli", "sim", "--out", str(tmp_path), "--clock", "lockstep",
                        "--duration", "2", "--method", "mb"], check=True, capture_output=True, timeout=120.0)
        track = viewer.newest()[TRACK, 0]
    with (tmp_path / "trial.csv").open() as file:
        trial = list(csv.DictReader(file))
    walked = np.array([[float(row["position_x"]), float(row["position_y"])] for row in trial])
    errors = np.array([float(row["lateral_error_m"]) for row in trial])
    points = positions(track)[:, :2]
    assert len(points) > 10
    for point, colour in zip(points, colours(track), strict=True):
        nearest = int(np.argmin(np.hypot(*(walked - point).T)))
        np.testing.assert_allclose(point, walked[nearest], atol=1e-5)
        np.testing.assert_allclose(colour, error_colours(errors[[nearest]], 0.05)[0], atol=2e-3)
