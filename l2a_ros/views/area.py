# SPDX-License-Identifier: Apache-2.0
"""The area that the robot may be in, and where there is place for texts beside it."""

from __future__ import annotations

import numpy as np

from l2a_ros.trials.room import Room

#: A wall further off, m, is none: nobody has said where the room ends.
FARTHEST = 1000.0
#: Texts are put beside a room unless it is larger, m: then they would be out of sight.
LARGEST = 8.0


def has_walls(room: Room) -> bool:
    """Tell whether a room has a wall on every side."""
    return max(abs(side) for side in (room.x_min, room.x_max, room.y_min, room.y_max)) < FARTHEST


def outline(room: Room) -> np.ndarray:
    """Return the corners of a room, the first one again at the end, ``(5, 2)``, m."""
    return np.array([[room.x_min, room.y_min], [room.x_max, room.y_min], [room.x_max, room.y_max],
                     [room.x_min, room.y_max], [room.x_min, room.y_min]])


def picture(room: Room, points: np.ndarray, least: float = 1.0) -> Room:
    """Return the rectangle that texts are put beside: the room, or what is drawn where that is too large.

    Args:
        room: that the robot may be in.
        points: that are drawn, ``(n, 2)``, m; the origin when there is none.
        least: shortest side, m.
    """
    if max(room.x_max - room.x_min, room.y_max - room.y_min) <= LARGEST:
        return room
    low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else (np.zeros(2), np.zeros(2))
    grow = 0.5 * np.maximum(0.0, least - (high - low))
    (x_min, y_min), (x_max, y_max) = (low - grow).tolist(), (high + grow).tolist()
    return Room(x_min, x_max, y_min, y_max)
