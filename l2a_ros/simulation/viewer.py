# SPDX-License-Identifier: Apache-2.0
"""MuJoCo's window on a simulated robot."""

from __future__ import annotations

import os
import sys
import threading

import mujoco
import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.overlay import Trace, draw_lines

#: Longest wait for the window to close, s.
CLOSING = 1.0
#: Points of the track: few, since the window is drawn while the robot walks.
_LONGEST_TRACK = 256


class Viewer:
    """A window that follows the robot, with the lines on the ground.

    Args:
        robot: whom to show.

    Raises:
        UserError: if no window can be opened.
    """

    def __init__(self, robot: Millirobot) -> None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            # The viewer would end the process itself.
            raise UserError("there is no display for the viewer (DISPLAY is not set); run with headless true")
        self._robot = robot
        self._trace = Trace(robot.model, _LONGEST_TRACK)
        self._plan: tuple[np.ndarray, int, int] | None = None
        self._open()
        with self._window.lock():
            camera = self._window.cam
            camera.type = mujoco.mjtCamera.mjCAMERA_TRACKING
            camera.trackbodyid = robot.model.body("base_link").id
            camera.distance, camera.azimuth, camera.elevation = 0.45, 30.0, -25.0

    def _open(self) -> None:
        import mujoco.viewer as viewers

        before = threading.enumerate()
        self._window = viewers.launch_passive(self._robot.model, self._robot.data, show_left_ui=False,
                                              show_right_ui=False)
        self._threads = [thread for thread in threading.enumerate() if thread not in before]

    def set_reference(self, points: np.ndarray) -> None:
        """Take the reference ``(k, 2)``, m; no points mean that there is none."""
        self._trace.begin(points)

    def set_plan(self, points: np.ndarray, begin: int, end: int) -> None:
        """Take a plan ``(h, 2)``, m, and from when until when to show it, ns."""
        self._plan = (points, begin, end)

    def cut(self) -> None:
        """Forget the track: the robot was put somewhere else."""
        self._trace.cut()

    def show(self, now: int) -> None:
        """Draw the robot as it is now, ns."""
        if not self._window.is_running():  # the user has closed it
            return
        if self._robot.model is not self._trace.model:
            self._trace.enter(self._robot.model)
            self._reopen()
        position = self._robot.data.qpos[:3]
        self._trace.follow(position)
        plan = self._plan[0] if self._plan is not None and self._plan[1] <= now <= self._plan[2] else None
        lines = self._trace.lines(position, plan)
        with self._window.lock():
            scene = self._window.user_scn
            scene.ngeom = 0
            draw_lines(scene, lines)
        self._window.sync()

    def _reopen(self) -> None:
        """Show another world: a window can show but one."""
        with self._window.lock():
            old = self._window.cam
            camera = {name: getattr(old, name) for name in ("type", "trackbodyid", "distance", "azimuth", "elevation")}
            looked_at = old.lookat.copy()
        self.close()
        self._open()
        with self._window.lock():
            for name, value in camera.items():
                setattr(self._window.cam, name, value)
            self._window.cam.lookat[:] = looked_at

    def close(self) -> None:
        """Close the window, and wait for its thread: it must not draw while the process ends."""
        self._window.close()
        for thread in self._threads:
            thread.join(CLOSING)
