# SPDX-License-Identifier: Apache-2.0
"""The room that a path must stay in: checked before the robot is armed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError


@dataclass(frozen=True)
class Room:
    """A rectangle in ``map``; its edge belongs to it.

    Args:
        x_min: m.
        x_max: m.
        y_min: m.
        y_max: m.

    Raises:
        UserError: if there is no room inside.
    """

    x_min: float = -math.inf
    x_max: float = math.inf
    y_min: float = -math.inf
    y_max: float = math.inf

    def __post_init__(self) -> None:
        for axis, low, high in (("x", self.x_min, self.x_max), ("y", self.y_min, self.y_max)):
            if not low < high:
                raise UserError(f"the geofence needs {axis}_min below {axis}_max, not {low:g} m and {high:g} m")

    def distance(self, point: np.ndarray) -> float:
        """Return how far outside a point ``(2,)``, m, is, m; 0 inside."""
        x, y = float(point[0]), float(point[1])
        return math.hypot(x - min(max(x, self.x_min), self.x_max), y - min(max(y, self.y_min), self.y_max))

    def check(self, point: np.ndarray, name: str) -> None:
        """Refuse a point outside.

        Args:
            point: ``(2,)``, m.
            name: what to call it.

        Raises:
            UserError: with how far it is outside.
        """
        distance = self.distance(point)
        if distance > 0.0:
            raise UserError(f"{name} (x {point[0]:.2f} m, y {point[1]:.2f} m) is {max(distance, 0.001):.3f} m outside "
                            f"the room (geofence: x {self.x_min:g} to {self.x_max:g} m, y {self.y_min:g} to "
                            f"{self.y_max:g} m)")

    def check_path(self, points: np.ndarray) -> None:
        """Refuse a path that leaves the room; a rectangle holds what is between two points that it holds.

        Args:
            points: way-points ``(n, 2)``, m.

        Raises:
            UserError: naming the way-point that is furthest outside, counted from 0, and by how much.
        """
        distances = [self.distance(point) for point in points]
        worst = int(np.argmax(distances))
        self.check(points[worst], f"way-point {worst} of the path")


#: What there is without a wall.
NO_WALLS = Room()
