# SPDX-License-Identifier: Apache-2.0
"""Predicted trajectories as the terms of the cost see them: what several terms need is computed once."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from l2a_ros.planning.line_path import LinePath, Projection, Tracks
from l2a_ros.robot.layout import STATE


class Trajectories:
    """Trajectories from one start; every array is ``(h, n)`` float64, so that a step is contiguous.

    Args:
        path: to follow.
        start: projection of the position that they start from, arrays of shape ``(1,)``.
        previous_action: in force before the first action, ``(2,)``, rad/s.
        states: after each step, ``(n, h, 24)``.
        actions: that led to them, ``(n, h, 2)``, rad/s.
    """

    def __init__(self, path: LinePath, start: Projection, previous_action: np.ndarray, states: np.ndarray,
                 actions: np.ndarray) -> None:
        self.path, self.start, self.previous_action = path, start, previous_action
        self.states, self.actions = states, actions
        self._columns: dict[str, np.ndarray] = {}

    def state(self, name: str) -> np.ndarray:
        """Return an element of the states by its name; not to be written into."""
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = self.states[:, :, STATE.index(name)].T.astype(np.float64, order="C")
        return column

    @cached_property
    def rates(self) -> np.ndarray:
        """The actions side by side, ``(2, h, n)``, rad/s; not to be written into."""
        return self.actions.transpose(2, 1, 0).astype(np.float64, order="C")

    @cached_property
    def tracks(self) -> Tracks:
        """The positions seen from the path."""
        return self.path.follow(self.state("position_x"), self.state("position_y"), int(self.start.segment[0]))


def root_mean_square(rates: np.ndarray, unit: float) -> np.ndarray:
    """Return the root mean square over the sides of rates ``(2, h, n)``, in multiples of a rate: ``(h, n)``."""
    squares: np.ndarray = np.add.reduce(rates * rates, axis=0)
    sizes: np.ndarray = np.sqrt(squares / (len(rates) * unit * unit))
    return sizes
