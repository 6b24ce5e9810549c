# SPDX-License-Identifier: Apache-2.0
"""A line that is drawn by hand, point by point, in front of a robot that stands.

Two tools draw: a *goal* is a straight line to it and replaces what was drawn; a *click* adds a corner. The line begins
at the robot. A click near its begin makes a loop of it; a click near its end says that it is finished.
"""

from __future__ import annotations

import math

import numpy as np
import yaml

from l2a_ros.errors import UserError
from l2a_ros.trials.path_file import MAP
from l2a_ros.trials.room import NO_WALLS, Room

#: A click as near to the begin of the line, m, closes it.
CLOSES = 0.15
#: A click as near to its end, m, is that end once more.
AGAIN = 0.1
#: Nothing shorter is worth walking, m: the end of a path is reached within 0.1 m.
SHORTEST = 0.15
#: A loop has at least so many corners besides the robot's place: there and back is none.
CORNERS_OF_LOOP = 2


class Drawing:
    """The line as far as it is drawn. Points are in ``map``, shape ``(2,)``, m.

    Args:
        room: that the line must stay in.
    """

    def __init__(self, room: Room = NO_WALLS) -> None:
        self._room = room
        self._begin = np.zeros(2)
        self._corners: list[np.ndarray] = []
        self.is_loop = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn."""
        return not self._corners

    @property
    def points(self) -> np.ndarray:
        """The line as it was drawn, ``(n, 2)``, from where the robot stood then; without points if nothing is drawn."""
        if self.is_empty:
            return np.empty((0, 2))
        return np.array([self._begin, *self._corners, *[self._begin] * self.is_loop])

    @property
    def length(self) -> float:
        """Of the line, m."""
        return float(np.sum(np.hypot(*np.diff(self.points, axis=0).T)))

    def clear(self) -> None:
        """Forget the line."""
        self._corners, self.is_loop = [], False

    def set_goal(self, robot: np.ndarray, point: np.ndarray) -> None:
        """Draw the straight line from the robot to a point, instead of what was drawn.

        Args:
            robot: where it stands.
            point: the goal.

        Raises:
            UserError: for a point that is not finite, outside the room or at the robot; then nothing has changed.
        """
        self._check(point, "the goal")
        if math.dist(robot, point) < SHORTEST:
            raise UserError(f"the goal is {math.dist(robot, point):.2f} m from the robot; at least {SHORTEST:g} m are "
                            "needed")
        self._begin, self._corners, self.is_loop = robot.copy(), [point.copy()], False

    def add_click(self, robot: np.ndarray, point: np.ndarray) -> bool:
        """Take a click: add a corner, close the loop, or, on the end of the line, ask for the start.

        Args:
            robot: where it stands.
            point: where the click was.

        Returns:
            Whether the line is finished and shall be followed.

        Raises:
            UserError: for a point that is not finite, outside the room or too near, or when the line is a loop already;
                then nothing has changed.
        """
        self._check(point, "the point")
        begin = robot if self.is_empty else self._begin
        if not self.is_empty and math.dist(point, self.points[-1]) <= (CLOSES if self.is_loop else AGAIN):
            return True
        if self.is_loop:
            raise UserError("the line is a loop already; click on its begin or call trial/start to follow it, or "
                            "trial/clear to draw another one")
        if math.dist(point, begin) <= CLOSES:
            if len(self._corners) < CORNERS_OF_LOOP:
                raise UserError(f"the point is {math.dist(point, begin):.2f} m from the begin of the line: a first "
                                f"corner must be further than {CLOSES:g} m from it, and a loop needs "
                                f"{CORNERS_OF_LOOP} corners before it is closed")
            self.is_loop = True
            return False
        self._begin = begin.copy()
        self._corners.append(point.copy())
        return False

    def laid(self, position: np.ndarray, yaw: float) -> np.ndarray:
        """Return the line from where the robot stands now, ``(n, 2)``: see :class:`l2a_ros.trials.paths.Shape`.

        Raises:
            UserError: if nothing is drawn, or the robot stands at the end of what is.
        """
        if self.is_empty:
            raise UserError("nothing is drawn: set a 2D Goal Pose, or publish points")
        begin = np.array(position, dtype=np.float64)
        corners = list(self._corners)
        # It has been put to a corner, or nearly: that is where the line begins then, or a loop ends.
        for end in (0, -1) if self.is_loop else (0,):
            if len(corners) > 1 and math.dist(begin, corners[end]) <= AGAIN:
                corners.pop(end)
        if len(corners) == 1 and math.dist(begin, corners[0]) < SHORTEST:
            raise UserError(f"the robot stands {math.dist(begin, corners[0]):.2f} m from the end of the line; at least "
                            f"{SHORTEST:g} m are needed")
        return np.array([begin, *corners, *[begin] * self.is_loop])

    def _check(self, point: np.ndarray, name: str) -> None:
        if not np.all(np.isfinite(point)):
            raise UserError(f"{name} is not finite")
        self._room.check(point, name)


def path_file_text(points: np.ndarray) -> str:
    """Return a path file that lays points ``(n, 2)`` in ``map``, m, again."""
    content = {"description": "drawn by hand", "frame": MAP, "points": [[round(float(x), 4), round(float(y), 4)]
                                                                        for x, y in points]}
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
