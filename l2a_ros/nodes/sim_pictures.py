# SPDX-License-Identifier: Apache-2.0
"""Pictures of a simulated robot: a window on it, and the poses for a film, with what the other nodes mean it to do."""

from __future__ import annotations

from pathlib import Path as FilePath

import numpy as np
from nav_msgs.msg import Path
from rclpy.node import Node

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import path_points, to_nanoseconds
from l2a_ros.simulation.frames import PICTURE_PERIOD_MS, PLAN_AGE, FrameRecorder
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.viewer import Viewer


class SimPictures:
    """Takes a picture whenever one is due.

    Args:
        node: listens to ``reference_path`` and ``plan``, but only if a picture is wanted: a plan that nobody listens to
            is not built.
        robot: whom to show.
        headless: false opens the viewer.
        frames: file for the poses of a film; empty for none.
        lockstep: whether the world waits for commands.
        title: begins the text in the film, of a file without its folder; what is broken follows.

    Raises:
        UserError: if no window can be opened.
    """

    def __init__(self, node: Node, robot: Millirobot, headless: bool, frames: str, lockstep: bool, title: str) -> None:
        self._node = node
        self._robot = robot
        self._title = FilePath(title).name
        self._path = FilePath(frames)
        self._recorder = FrameRecorder() if frames else None
        self._viewer = None if headless else Viewer(robot)
        self._wanted = self._recorder is not None or self._viewer is not None
        self._taken = -PICTURE_PERIOD_MS
        if self._wanted:
            node.create_subscription(Path, names.REFERENCE_PATH.name, self._on_reference, names.REFERENCE_PATH.qos)
            node.create_subscription(Path, names.PLAN.name, self._on_plan, names.PLAN.profile(lockstep))

    def take(self, stamp: int) -> None:
        """Take a picture if one is due; called after every step of the world with the time, ns."""
        if not self._wanted:
            return
        since = self._robot.elapsed_ms - self._taken
        if 0 <= since < PICTURE_PERIOD_MS:
            return
        if since < 0:
            self._cut()
        self._taken = self._robot.elapsed_ms
        if self._recorder is not None:
            broken = [fault.text.partition("@")[0] for fault in self._robot.faults.active]
            self._recorder.add_frame(self._robot.model, self._robot.data.qpos, stamp, self._taken,
                                     "   ".join([self._title, *broken]))
        if self._viewer is not None:
            self._viewer.show(stamp)

    def _cut(self) -> None:
        """Begin anew: the robot was put back to its start."""
        if self._recorder is not None:
            self._recorder.cut()
        if self._viewer is not None:
            self._viewer.cut()

    def _on_reference(self, message: Path) -> None:
        try:
            points = path_points(message)
        except UserError:
            # Whoever is to follow it refuses it too, and says so.
            points = np.zeros((0, 2))
        if self._recorder is not None:
            self._recorder.set_reference(points)
        if self._viewer is not None:
            self._viewer.set_reference(points)

    def _on_plan(self, message: Path) -> None:
        try:
            points, stamp = path_points(message), to_nanoseconds(message.header.stamp)
        except UserError:
            return
        if self._recorder is not None:
            self._recorder.add_plan(points, stamp)
        if self._viewer is not None:
            self._viewer.set_plan(points, stamp, stamp + PLAN_AGE)

    def close(self) -> None:
        """Close the window, and write down what was recorded."""
        viewer, recorder = self._viewer, self._recorder
        self._viewer = self._recorder = None
        self._wanted = False
        if viewer is not None:
            viewer.close()
        if recorder is not None:
            try:
                recorder.save(self._path)
            except UserError as error:
                self._node.get_logger().error(f"no film: {error}")
