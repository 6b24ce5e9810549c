# SPDX-License-Identifier: Apache-2.0
"""``view_markers`` as messages: the executed track, what its colours mean, the area, and a status in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from l2a_ros.nodes.interfaces import MAP_FRAME
from l2a_ros.nodes.messages import to_stamp
from l2a_ros.trials.room import Room
from l2a_ros.views.area import outline
from l2a_ros.views.colours import error_colours

#: Namespaces, which RViz can switch off one by one.
TRACK, LEGEND, AREA, STATUS = NAMESPACES = ("track", "legend", "area", "status")
#: They vanish when no more come, s.
_LIFETIME = 2
#: Heights above the floor, m: the track over the plan (:mod:`l2a_ros.nodes.plan_views`).
_AREA_HEIGHT, _TRACK_HEIGHT, _TEXT_HEIGHT = 0.01, 0.04, 0.05
_TRACK_WIDTH, _AREA_WIDTH, _BAR_WIDTH = 0.01, 0.015, 0.04
_WHITE, _GREY, _ALARM = (1.0, 1.0, 1.0), (0.6, 0.6, 0.6), (1.0, 0.5, 0.2)
#: Length of the colour bar, m; from how many points it is drawn; how far texts stay off what is drawn, m.
_BAR_LENGTH, _BAR_POINTS, _MARGIN = 1.0, 21, 0.08
#: From one line of a text to the next RViz goes twice its letters' height and so much more, m (movable_text.cpp).
_LINE_GAP = 0.01


class ViewMarkers:
    """Makes the markers of one message.

    Args:
        stamp: of all of them, ns.
        letters: height of the letters, m.
    """

    def __init__(self, stamp: int, letters: float) -> None:
        self._stamp, self._letters = stamp, letters
        self._line_height = 2.0 * letters + _LINE_GAP
        self.message = MarkerArray()

    def clear(self) -> None:
        """Take away all that was drawn before; comes first."""
        self.message.markers.append(self._marker("", Marker.CUBE, Marker.DELETEALL))

    def track(self, points: np.ndarray, errors: np.ndarray, worst: float) -> None:
        """Add the track.

        Args:
            points: ``(n, 2)``, m; fewer than two are no line, which RViz takes for an error.
            errors: lateral, ``(n,)``, m.
            worst: the end of the colour scale, m.
        """
        if len(points) >= 2:
            self._line(TRACK, points, error_colours(errors, worst), _TRACK_HEIGHT, _TRACK_WIDTH)

    def area(self, room: Room) -> None:
        """Add the walls of the room."""
        corners = outline(room)
        self._line(AREA, corners, np.tile(_GREY, (len(corners), 1)), _AREA_HEIGHT, _AREA_WIDTH)

    def legend(self, beside: Room, worst: float) -> None:
        """Add what the colours of the track mean, below what is drawn (``beside``)."""
        middle, height = 0.5 * (beside.x_min + beside.x_max), beside.y_min - _MARGIN
        x = middle + np.linspace(-0.5, 0.5, _BAR_POINTS) * _BAR_LENGTH
        bar = np.stack([x, np.full(_BAR_POINTS, height)], axis=-1)
        self._line(LEGEND, bar, error_colours(np.linspace(0.0, worst, _BAR_POINTS), worst), _TEXT_HEIGHT, _BAR_WIDTH)
        below = height - 0.6 * self._line_height
        self._text(LEGEND, 1, f"lateral error 0 to {100.0 * worst:g} cm and more", middle, below)

    def status(self, beside: Room, lines: Sequence[str], alarm: bool) -> None:
        """Add the status above what is drawn (``beside``); in another colour if it is an ``alarm``."""
        # RViz centres a text on its place.
        height = beside.y_max + _MARGIN + 0.5 * self._line_height * len(lines)
        middle = 0.5 * (beside.x_min + beside.x_max)
        self._text(STATUS, 0, "\n".join(lines), middle, height, _ALARM if alarm else _WHITE)

    def _line(self, name: str, points: np.ndarray, colours: np.ndarray, height: float, width: float) -> None:
        line = self._marker(name, Marker.LINE_STRIP)
        line.scale.x = width
        line.points = [Point(x=x, y=y, z=height) for x, y in points.tolist()]
        line.colors = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in colours.tolist()]
        self.message.markers.append(line)

    def _text(self, name: str, number: int, text: str, x: float, y: float,
              colour: tuple[float, float, float] = _WHITE) -> None:
        marker = self._marker(name, Marker.TEXT_VIEW_FACING)
        marker.id, marker.text = number, text
        marker.scale.z = self._letters
        marker.pose.position.x, marker.pose.position.y, marker.pose.position.z = float(x), float(y), _TEXT_HEIGHT
        marker.color = ColorRGBA(r=colour[0], g=colour[1], b=colour[2], a=1.0)
        self.message.markers.append(marker)

    def _marker(self, name: str, kind: int, action: int = Marker.ADD) -> Marker:
        marker = Marker(ns=name, type=kind, action=action)
        marker.header.frame_id, marker.header.stamp = MAP_FRAME, to_stamp(self._stamp)
        marker.pose.orientation.w = 1.0
        marker.lifetime.sec = _LIFETIME
        return marker
