# SPDX-License-Identifier: Apache-2.0
"""The cost of following a line, for the planner's candidates and for the executed track.

Source: the published robot's code (Nagabandi, Clavera et al., ICLR 2019). Per step: lateral distance to the segment,
minus progress along it, plus heading error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.planning.line_path import LinePath, Projection

_TURN = 2.0 * math.pi


@dataclass(frozen=True)
class LineFollowingWeights:
    """Weights of the three terms (the published ones of most trials: 50, 10, 5).

    Args:
        lateral: per metre of distance to the segment.
        progress: per segment length gained; the shipped way-points are about 1 m apart, so in effect per metre.
        heading: per rad of heading error.
    """

    lateral: float = 50.0
    progress: float = 10.0
    heading: float = 5.0

    def __post_init__(self) -> None:
        for name in ("lateral", "progress", "heading"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise UserError(f"the weight '{name}' must be a number of at least 0, not {value}")


class LineFollowingCost:
    """Cost per step of following ``path``; lower is better."""

    def __init__(self, path: LinePath, weights: LineFollowingWeights | None = None) -> None:
        self.path = path
        self.weights = weights or LineFollowingWeights()

    def start(self, positions: np.ndarray, segment: int | np.ndarray = 0) -> Projection:
        """Project positions of shape ``(n, 2)`` that are on a known segment (one for all, or shape ``(n,)``)."""
        with np.errstate(invalid="ignore"):
            return self.path.project(positions, np.broadcast_to(np.asarray(segment), (len(positions),)))

    def step(self, positions: np.ndarray, yaws: np.ndarray, previous: Projection) -> tuple[np.ndarray, Projection]:
        """Return the cost of one step and the projection to give to the next one.

        Progress is the gain in the fraction of the segment, and 0 in a step that moved on to the next segment: the
        published definition.

        Args:
            positions: where the step ended, shape ``(n, 2)``, metres.
            yaws: headings there, shape ``(n,)``, rad.
            previous: projections of the positions where the step began.

        Returns:
            Cost of shape ``(n,)``, ``+inf`` where an input is not finite, and the new projections.
        """
        with np.errstate(invalid="ignore"):
            return self._step(positions, yaws, previous)

    def trajectory_cost(self, positions: np.ndarray, yaws: np.ndarray, start: Projection) -> np.ndarray:
        """Return the summed cost of trajectories.

        Args:
            positions: positions after each step, shape ``(n, h, 2)``, metres.
            yaws: headings after each step, shape ``(n, h)``, rad.
            start: projection of the position that all trajectories start from, or of each one's own.

        Returns:
            Shape ``(n,)``; ``+inf`` for a trajectory that is not finite somewhere.
        """
        count, horizon = yaws.shape
        projection = start.repeat(count) if len(start.segment) == 1 != count else start
        total = np.zeros(count)
        with np.errstate(invalid="ignore"):
            for step in range(horizon):
                cost, projection = self._step(positions[:, step], yaws[:, step], projection)
                total += cost
        return total

    def _step(self, positions: np.ndarray, yaws: np.ndarray, previous: Projection) -> tuple[np.ndarray, Projection]:
        projection = self.path.project(positions, previous.segment)
        weights = self.weights
        gain = np.where(projection.segment == previous.segment, projection.fraction - previous.fraction, 0.0)
        turn = yaws - projection.heading
        turn -= _TURN * np.rint(turn / _TURN)
        cost = (weights.lateral * np.abs(projection.lateral_error) - weights.progress * gain
                + weights.heading * np.abs(turn))
        # A candidate whose state blew up must never win, whatever the sign of the rest.
        cost[~np.isfinite(cost)] = np.inf
        return cost, projection
