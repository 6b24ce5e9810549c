# SPDX-License-Identifier: Apache-2.0
"""MuJoCo's window on a simulated robot."""

from __future__ import annotations

import os
import sys
import threading

import mujoco

from l2a_ros.errors import UserError
from l2a_ros.simulation.millirobot import Millirobot

#: Simulated time between two pictures, s.
PICTURE_PERIOD = 1.0 / 30.0
#: Longest wait for the window to close, s.
CLOSING = 1.0


class Viewer:
    """A window that follows the robot.

    Args:
        robot: whom to show.

    Raises:
        UserError: if no window can be opened.
    """

    def __init__(self, robot: Millirobot) -> None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            # The viewer would end the process itself.
            raise UserError("there is no display for the viewer (DISPLAY is not set); run with headless true")
        import mujoco.viewer as viewers

        self._robot = robot
        self._next = 0.0
        before = threading.enumerate()
        self._window = viewers.launch_passive(robot.model, robot.data, show_left_ui=False, show_right_ui=False)
        self._threads = [thread for thread in threading.enumerate() if thread not in before]
        with self._window.lock():
            camera = self._window.cam
            camera.type = mujoco.mjtCamera.mjCAMERA_TRACKING
            camera.trackbodyid = robot.model.body("base_link").id
            camera.distance, camera.azimuth, camera.elevation = 0.45, 120.0, -25.0

    def show(self) -> None:
        """Draw the robot as it is now, at most once in a picture's period of simulated time."""
        if not self._next - PICTURE_PERIOD <= self._robot.time < self._next:
            self._next = self._robot.time + PICTURE_PERIOD
            self._window.sync()

    def close(self) -> None:
        """Close the window, and wait for its thread: it must not draw while the process ends."""
        self._window.close()
        for thread in self._threads:
            thread.join(CLOSING)
