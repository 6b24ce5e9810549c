# SPDX-License-Identifier: Apache-2.0
"""The area that the robot may be in: a rectangle along the axes of ``map``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError

#: How the sides of a room are written.
FORMAT = "x_min,y_min,x_max,y_max"


@dataclass(frozen=True)
class Area:
    """A rectangle, m in ``map``."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    def outline(self) -> np.ndarray:
        """Return its corners, the first one again at the end, ``(5, 2)``, m."""
        return np.array([[self.x_min, self.y_min], [self.x_max, self.y_min], [self.x_max, self.y_max],
                         [self.x_min, self.y_max], [self.x_min, self.y_min]])


def read_area(text: str) -> Area | None:
    """Read ``x_min,y_min,x_max,y_max``, m; nothing means no area.

    Raises:
        UserError: if these are not four finite numbers with some room between them.
    """
    if not text.strip():
        return None
    try:
        sides = [float(each) for each in text.split(",")]
    except ValueError:
        sides = []
    if len(sides) != 4 or not all(map(math.isfinite, sides)):
        raise UserError(f"room must be four numbers {FORMAT} in metres, not '{text}'")
    area = Area(*sides)
    if not (area.x_min < area.x_max and area.y_min < area.y_max):
        raise UserError(f"room needs x_min below x_max and y_min below y_max, not '{text}'")
    return area


def area_around(points: np.ndarray, least: float = 1.0) -> Area:
    """Return the smallest area with some points, ``(n, 2)`` m, and the origin when there is none.

    Args:
        points: to be inside.
        least: shortest side, m.
    """
    low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else (np.zeros(2), np.zeros(2))
    grow = 0.5 * np.maximum(0.0, least - (high - low))
    return Area(*(low - grow).tolist(), *(high + grow).tolist())
