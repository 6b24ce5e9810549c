# SPDX-License-Identifier: Apache-2.0
"""``views``: draws a run for RViz: the executed track, the area, a status; and tells tf where the body is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Path
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.diagnostics import ERROR
from l2a_ros.nodes.messages import layout_vector, named_values, path_points, to_nanoseconds
from l2a_ros.nodes.parameters import Parameter, declare
from l2a_ros.nodes.runtime import run_node
from l2a_ros.nodes.view_frames import BaseFrame
from l2a_ros.nodes.view_markers import ViewMarkers
from l2a_ros.robot.layout import STATE
from l2a_ros.trials.room import Room
from l2a_ros.views.area import FARTHEST, has_walls, picture
from l2a_ros.views.status import Diagnosis, StatusBoard, Whereabouts
from l2a_ros.views.track import ExecutedTrack

NAME = "views"
#: A track wants every state, also those that come while something else is drawn.
DEPTH = 200
#: How willingly it gives way to the other processes.
NICENESS = 5

SCHEMA = (
    # As of the driver and the trial.
    *(Parameter(f"geofence.{side}", sign * FARTHEST, "wall of the room, m in map; drawn where all four are given",
                -FARTHEST, FARTHEST) for side, sign in (("x_min", -1), ("x_max", 1), ("y_min", -1), ("y_max", 1))),
    Parameter("draw_period", 0.25, "time from one message of markers to the next, s", 0.02, 10.0),
    Parameter("error_scale", 0.05, "lateral error at the end of the track's colour scale, m", 0.001, 10.0),
    # RViz keeps the points of a line in pieces of 16384.
    Parameter("track_points", 1000, "most points that the track is drawn with; it gets coarser then", 8, 10_000),
    Parameter("letter_height", 0.05, "height of the letters of the texts, m", 0.005, 10.0),
    Parameter("maximum_age", 3.0, "what was not said again for so long is not shown any more, s", 0.1, 3600.0),
    Parameter("publish_tf", True, "publish map to base_link on /tf, where tf2_msgs is installed"),
    Parameter("tf_rate", 50.0, "most transforms per second, Hz", 1.0, 1000.0),
)


class Views(Node):
    """Collects what it hears; draws it every ``draw_period`` while somebody listens."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self._values = values = declare(self, SCHEMA)
        self._room = Room(**{side: values[f"geofence.{side}"] for side in ("x_min", "x_max", "y_min", "y_max")})
        self._track = ExecutedTrack(values["track_points"])
        self._board = StatusBoard(values["maximum_age"])
        self._stamp, self._drawn, self._draw_at = 0, -1, time.monotonic()
        offered = names.VIEW_MARKERS
        self._publisher = self.create_publisher(offered.type, offered.name, offered.qos)
        self._listen(names.REFERENCE_PATH, self._on_path)
        self._listen(names.ROBOT_STATE, self._on_state)
        self._listen(names.DIAGNOSTICS, self._on_diagnostics)
        for topic, node in ((names.TRIAL_METRICS, "trial"), (names.ADAPTATION_METRICS, "adaptation"),
                            (names.MPC_METRICS, "mpc")):
            self._listen(topic, partial(self._on_metrics, node))
        if values["publish_tf"]:
            self._frame = BaseFrame(self, values["tf_rate"])

    def _listen(self, topic: names.Topic, callback: Callable[[Any], None]) -> None:
        # A listener that nobody of the loop waits for; only what is latched is heard in no other way.
        latched = topic.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
        reliability = ReliabilityPolicy.RELIABLE if latched else ReliabilityPolicy.BEST_EFFORT
        profile = QoSProfile(reliability=reliability, durability=topic.qos.durability, history=HistoryPolicy.KEEP_LAST,
                             depth=DEPTH)
        self.create_subscription(topic.type, topic.name, partial(self._hear, callback), profile)

    def _hear(self, callback: Callable[[Any], None], message: Any) -> None:
        try:
            callback(message)
        except UserError as error:
            self.get_logger().error(str(error), throttle_duration_sec=5.0)

    def _on_path(self, message: Path) -> None:
        self._track.begin(path_points(message), to_nanoseconds(message.header.stamp))

    def _on_state(self, message: JointState) -> None:
        state = layout_vector(STATE, message, names.ROBOT_STATE.name)
        self._stamp = to_nanoseconds(message.header.stamp)
        self._track.add(self._stamp, state)
        self._board.state_heard(self._stamp, time.monotonic())

    def _on_metrics(self, node: str, message: JointState) -> None:
        if len(message.name) == len(message.position):
            self._board.figures_heard(node, named_values(message), time.monotonic())

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._board.diagnosis_heard(status.name, Diagnosis(
                status.message, {pair.key: pair.value for pair in status.values}, status.level == ERROR),
                time.monotonic())

    def next_deadline(self) -> float | None:
        """Return when to draw again, monotonic seconds."""
        return self._draw_at

    def on_deadline(self) -> None:
        """Draw, if somebody looks."""
        now = time.monotonic()
        self._draw_at = now + self._values["draw_period"]
        if self._publisher.get_subscription_count():
            self._publisher.publish(self._draw(now))

    def _draw(self, now: float) -> Any:
        track, worst = self._track, self._values["error_scale"]
        points = track.points
        markers = ViewMarkers(self._stamp, self._values["letter_height"])
        if self._drawn != track.generation:
            self._drawn = track.generation
            markers.clear()
        beside = picture(self._room, np.concatenate([points, track.path_points]))
        if has_walls(self._room):
            markers.area(self._room)
        markers.track(points, track.errors, worst)
        if len(points) >= 2:
            markers.legend(beside, worst)
        markers.status(beside, self._board.lines(self._whereabouts(), now), self._board.is_alarming(now))
        return markers.message

    def _whereabouts(self) -> Whereabouts:
        projection = self._track.projection
        if projection is None or not len(self._track.path_points):
            return Whereabouts()
        return Whereabouts(float(projection.lateral_error[0]), float(projection.arc_length[0]), self._track.length)


def main() -> None:
    """Run the node, behind those that the robot needs."""
    os.nice(NICENESS)
    run_node(Views, NAME)


if __name__ == "__main__":
    main()
