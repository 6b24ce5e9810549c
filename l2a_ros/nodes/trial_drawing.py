# SPDX-License-Identifier: Apache-2.0
"""A line drawn by hand, with RViz's tools or any other publisher, and when it is to be followed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped, PoseStamped
from rclpy.node import Node
from std_srvs.srv import Trigger

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces
from l2a_ros.nodes.messages import map_point, path_message
from l2a_ros.trials.drawing import Drawing
from l2a_ros.trials.session import Session

HOW_TO_DRAW = (f"draw a line: {interfaces.GOAL_POSE.name} (2D Goal Pose) goes straight there, "
               f"{interfaces.CLICKED_POINT.name} (Publish Point) adds a corner; {interfaces.TRIAL_CLEAR} forgets it")
HOW_TO_START = f"publish its end once more, or call {interfaces.TRIAL_START}, to follow it"


class DrawingBoard:
    """Takes goals and clicks while the robot stands; while it walks, a click is a wish to stop.

    Args:
        node: that listens.
        drawing: the line.
        session: knows where the robot is.
        lockstep: whether the world waits.
        autostart: whether a goal is followed at once.
        stop: ends the trial that runs.
    """

    def __init__(self, node: Node, drawing: Drawing, session: Session, lockstep: bool, autostart: bool,
                 stop: Callable[[], None]) -> None:
        self._node, self._drawing, self._session, self._autostart, self._stop = node, drawing, session, autostart, stop
        self._log = node.get_logger()
        #: A trial is under way, or is asked for.
        self.is_walking = self.wants_start = False
        self._is_ready = False
        topic = interfaces.PATH_PREVIEW
        self._preview = node.create_publisher(topic.type, topic.name, topic.profile(lockstep))
        for heard, callback in ((interfaces.GOAL_POSE, self._on_goal), (interfaces.CLICKED_POINT, self._on_click)):
            node.create_subscription(heard.type, heard.name, callback, heard.qos)
        node.create_service(Trigger, interfaces.TRIAL_CLEAR, self._on_clear)

    def open(self) -> None:
        """Take lines from now on, and say so."""
        self._is_ready = True
        self._show()
        self._log.info(HOW_TO_DRAW)

    def start(self) -> tuple[bool, str]:
        """Ask for the line to be followed; return whether it will be, and a line about it."""
        if self.is_walking or self.wants_start:
            return False, "a trial runs already"
        if self._drawing.is_empty:
            return False, f"nothing is drawn; {HOW_TO_DRAW}"
        self.wants_start = True
        return True, "starting"

    def begin(self) -> None:
        """Take note that a trial is under way."""
        self.is_walking, self.wants_start = True, False

    def end(self, is_done: bool) -> None:
        """Take note that it is over; a line that was walked is done with, another may be tried again."""
        self.is_walking = False
        if is_done:
            self._drawing.clear()
        self.open()

    def _on_goal(self, message: PoseStamped) -> None:
        if self.is_walking or self.wants_start:
            self._log.warning(f"a trial runs: the goal is ignored; {interfaces.TRIAL_STOP}, or a point published with "
                              f"{interfaces.CLICKED_POINT.name}, stops it")
            return
        position = message.pose.position
        self._draw(lambda: self._take_goal(map_point(message.header.frame_id, position, "the goal")))

    def _take_goal(self, point: np.ndarray) -> None:
        self._drawing.set_goal(self._robot(), point)
        self._log.info(f"goal at x {point[0]:.2f} m, y {point[1]:.2f} m: a line of {self._drawing.length:.2f} m; "
                       f"{'starting' if self._autostart else HOW_TO_START}")
        self.wants_start = self._autostart

    def _on_click(self, message: PointStamped) -> None:
        if self.is_walking or self.wants_start:
            self._log.warning("a point was published while a trial runs: stopping")
            self._stop()
            return
        self._draw(lambda: self._take_click(map_point(message.header.frame_id, message.point, "the point")))

    def _take_click(self, point: np.ndarray) -> None:
        drawing = self._drawing
        if drawing.add_click(self._robot(), point):
            self._log.info(f"the line of {drawing.length:.2f} m is finished; starting")
            self.wants_start = True
        elif drawing.is_loop:
            self._log.info(f"the line is a loop of {drawing.length:.2f} m; {HOW_TO_START}")
        else:
            self._log.info(f"corner {len(drawing.points) - 1} at x {point[0]:.2f} m, y {point[1]:.2f} m: "
                           f"{drawing.length:.2f} m so far; {HOW_TO_START}")

    def _on_clear(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.is_walking or self.wants_start:
            response.success, response.message = False, f"a trial runs; {interfaces.TRIAL_STOP} ends it"
            return response
        self._drawing.clear()
        self._show()
        response.success, response.message = True, "nothing is drawn any more"
        return response

    def _draw(self, take: Callable[[], None]) -> None:
        try:
            if not self._is_ready:
                raise UserError("the line is not taken yet: the trial still waits for the other nodes")
            take()
        except UserError as error:
            self._log.warning(str(error))
        self._show()

    def _robot(self) -> np.ndarray:
        return self._session.position(time.monotonic())

    def _show(self) -> None:
        """Publish the line as far as it is drawn."""
        stamp: Any = self._node.get_clock().now().nanoseconds
        self._preview.publish(path_message(self._drawing.points, stamp))
