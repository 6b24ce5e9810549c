# SPDX-License-Identifier: Apache-2.0
"""The cost of trajectories along a path: the sum of the terms that are on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from l2a_ros.planning.costs.term import Term
from l2a_ros.planning.costs.trajectories import Trajectories
from l2a_ros.planning.line_path import LinePath, Projection


class PathCost:
    """What following a path costs; lower is better.

    Args:
        path: to follow.
        terms: that are summed.
    """

    def __init__(self, path: LinePath, terms: Sequence[Term]) -> None:
        self.path, self.terms = path, tuple(terms)

    def start(self, position: np.ndarray) -> Projection:
        """Project the first position of the robot, ``(2,)``, m: on the first segment of the path, or just past it."""
        with np.errstate(invalid="ignore"):
            return self.path.start(position)

    def advance(self, position: np.ndarray, projection: Projection) -> Projection:
        """Project the position ``(2,)``, m, of the robot one tick after the one of ``projection``."""
        with np.errstate(invalid="ignore"):
            return self.path.start(position, int(projection.segment[0]))

    def at(self, projection: Projection, previous_action: np.ndarray) -> BoundCost:
        """Return the cost of trajectories that start now.

        Args:
            projection: of the position that they start from.
            previous_action: command in force before their first, ``(2,)``, rad/s.
        """
        return BoundCost(self.path, self.terms, projection, previous_action)


class BoundCost:
    """The cost of trajectories from one start."""

    def __init__(self, path: LinePath, terms: Sequence[Term], projection: Projection,
                 previous_action: np.ndarray) -> None:
        self._path, self._terms = path, terms
        self._projection, self._previous_action = projection, previous_action
        #: What each term added to the result of the last call, ``(n,)`` by name.
        self.contributions: dict[str, np.ndarray] = {}

    def __call__(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return the cost of trajectories.

        Args:
            states: after each step, ``(n, h, 24)``.
            actions: that led to them, ``(n, h, 2)``, rad/s.

        Returns:
            Shape ``(n,)``, float64; ``+inf`` where the cost or any element of the states is not finite.
        """
        trajectories = Trajectories(self._path, self._projection, self._previous_action, states, actions)
        with np.errstate(invalid="ignore", over="ignore"):
            self.contributions = {term.name: term.cost(trajectories) for term in self._terms}
            total = np.zeros(len(states))
            for contribution in self.contributions.values():
                total += contribution
        # A candidate that blew up must never win, also where no term looks at what did, and whatever the sign.
        fine = np.isfinite(states)
        if not fine.all():
            total[~fine.all(axis=(1, 2))] = np.inf
        total[~np.isfinite(total)] = np.inf
        return total
