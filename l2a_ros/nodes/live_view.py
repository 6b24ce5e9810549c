# SPDX-License-Identifier: Apache-2.0
"""``live_view``: shows a run in web browsers while it goes on, without slowing it.

It is a process of its own, of low priority, and a listener that nobody waits for: readers are best effort with short
queues, and of what comes often only the newest message is looked at, when a picture is due.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from l2a_ros.bringup.view_address import check_viewer
from l2a_ros.bringup.view_server import ViewServer
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.interfaces import Topic
from l2a_ros.nodes.parameters import Parameter, declare
from l2a_ros.nodes.runtime import NodeStopped, run_node
from l2a_ros.trials.room import Room
from l2a_ros.views.area import FARTHEST
from l2a_ros.views.live_scene import LiveScene

NAME = "live_view"
#: Messages that may wait while a picture is drawn.
DEPTH = 10
#: Longest time to send what is left at the end, s.
LAST_WORDS = 0.5
#: How willingly it gives way to the other processes.
NICENESS = 10

SCHEMA = (
    Parameter("host", "127.0.0.1", "address to listen at: 127.0.0.1 for browsers on this machine, 0.0.0.0 for all"),
    Parameter("port", 0, "port of the pages, the data come from the next one; 0: any two that are free", 0, 65534),
    Parameter("open_browser", False, "open the default browser, if there is a display"),
    Parameter("frame_rate", 20.0, "pictures of the moving robot per second", 1.0, 60.0),
    # As of the driver and the trial.
    *(Parameter(f"geofence.{side}", sign * FARTHEST, "wall of the room, m in map; drawn where all four are given",
                -FARTHEST, FARTHEST) for side, sign in (("x_min", -1), ("x_max", 1), ("y_min", -1), ("y_max", 1))),
    Parameter("memory", 512, "what is kept of the past for browsers that come late, MB", 16, 65536),
)

#: Each message counts: they come at the control rate or less.
HEARD = (names.ROBOT_STATE, names.REFERENCE_PATH, names.PATH_PREVIEW, names.PLAN_MARKERS, names.MOTOR_COMMANDS,
         names.TRIAL_METRICS, names.MPC_METRICS, names.ADAPTATION_METRICS, names.DIAGNOSTICS)
#: Only the newest is decoded, when a picture is due.
SAMPLED = (names.ODOMETRY, names.JOINT_STATES)


class LiveView(Node):
    """Subscriptions that feed a scene, and a clock of pictures."""

    _server: ViewServer | None = None
    _view: Any = None

    def __init__(self) -> None:
        super().__init__(NAME)
        values = declare(self, SCHEMA)
        check_viewer()
        # Not before it is certain that there is one: its libraries are an extra.
        from l2a_ros.views.live_rerun import LiveView as View
        from l2a_ros.views.live_rerun import RerunSink

        self._period = 1.0 / values["frame_rate"]
        self._next = time.monotonic()
        self._newest: dict[str, bytes] = {}
        self._server = server = ViewServer(values["host"], values["port"], values["memory"])
        room = Room(**{side: values[f"geofence.{side}"] for side in ("x_min", "x_max", "y_min", "y_max")})
        self._view = View(LiveScene(values["frame_rate"], room), RerunSink("live", server.data_url))
        for topic in HEARD:
            self.create_subscription(topic.type, topic.name, partial(self._hear, _scene_name(topic)), _profile(topic))
        for topic in SAMPLED:
            self.create_subscription(topic.type, topic.name, partial(self._keep, topic.name), _profile(topic, 1),
                                     raw=True)
        names.subscribe_estop(self, partial(self._hear, names.ESTOP.name))
        opened = values["open_browser"] and server.open_browser()
        print(f"live view: {server.url}{' (opened in the browser)' if opened else ''}", flush=True)

    def _hear(self, name: str, message: Any) -> None:
        self._view.hear(name, message, time.monotonic())

    def _keep(self, name: str, data: bytes) -> None:
        self._newest[name] = data

    def next_deadline(self) -> float | None:
        """Return when the next picture is due, monotonic seconds."""
        return self._next

    def on_deadline(self) -> None:
        """Draw what was kept, and the status."""
        now = time.monotonic()
        self._next = now + self._period
        for topic in SAMPLED:
            data = self._newest.pop(topic.name, None)
            if data is not None:
                self._view.hear(topic.name, deserialize_message(data, topic.type), now)
        self._view.look(now)
        if self._server is not None and not self._server.is_alive():
            raise NodeStopped("error: rerun's server has ended")

    def destroy_node(self) -> None:
        """Send what is left, and end the server."""
        if self._view is not None:
            self._view.close(LAST_WORDS)
        if self._server is not None:
            self._server.close()
        super().destroy_node()


def _profile(topic: Topic, depth: int = DEPTH) -> QoSProfile:
    """Return the QoS of a reader that no writer waits for; what is latched is worth a wait, and comes seldom."""
    if topic.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        return topic.qos
    return QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=depth)


def _scene_name(topic: Topic) -> str:
    return topic.name.lstrip("/")


def main() -> None:
    """Run the node."""
    # Before there are other threads: each has its own priority, which it takes from the one that starts it.
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    run_node(LiveView, NAME)


if __name__ == "__main__":
    main()
