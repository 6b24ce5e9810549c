# SPDX-License-Identifier: Apache-2.0
"""Staying in an area of the room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.planning.costs.term import Term, setting, weight_setting
from l2a_ros.planning.costs.trajectories import Trajectories

_FARTHEST = 1000.0


@dataclass(frozen=True)
class KeepIn(Term):
    """Distance to a rectangle along the axes of ``map`` from outside, m; 0 inside.

    Args:
        x_min: its edges, m.
        x_max: m.
        y_min: m.
        y_max: m.
    """

    name = "keep_in"
    weight: float = weight_setting(0.0, "per metre outside the area")
    x_min: float = setting(-1.75, "smallest x of the area in map, m", -_FARTHEST, _FARTHEST)
    x_max: float = setting(1.75, "largest x of the area in map, m", -_FARTHEST, _FARTHEST)
    y_min: float = setting(-1.5, "smallest y of the area in map, m", -_FARTHEST, _FARTHEST)
    y_max: float = setting(1.5, "largest y of the area in map, m", -_FARTHEST, _FARTHEST)

    def __post_init__(self) -> None:
        super().__post_init__()
        for axis, low, high in (("x", self.x_min, self.x_max), ("y", self.y_min, self.y_max)):
            if not low < high:
                raise UserError(f"cost.keep_in.{axis}_min must be below cost.keep_in.{axis}_max, "
                                f"not {low:g} and {high:g}")

    def measure(self, trajectories: Trajectories) -> np.ndarray:
        """Return metres, ``(h, n)``."""
        x, y = trajectories.state("position_x"), trajectories.state("position_y")
        beside: np.ndarray = x - np.clip(x, self.x_min, self.x_max)
        beyond = y - np.clip(y, self.y_min, self.y_max)
        np.hypot(beside, beyond, out=beside)
        return beside
