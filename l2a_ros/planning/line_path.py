# SPDX-License-Identifier: Apache-2.0
"""Where a robot is along a path of straight segments.

The one implementation of projection, progress and segment switching: the planner uses it for every candidate in
every tick, the trial for the executed track, so both mean the same by "lateral error" and "progress".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError

#: Two neighbouring way-points closer than this (metres) count as repeated: their direction would be noise.
SHORTEST_SEGMENT = 1e-6
#: Distances closer to each other than this count as equal, so that rounding does not decide, square metres.
TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Projection:
    """Positions seen from a path; every array has shape ``(n,)``.

    Args:
        segment: index of the segment that each position belongs to.
        lateral_error: distance to the segment in metres, positive on its left. Between the segment's ends this is the
            perpendicular distance; beyond an end it is the distance to that end, so that going straight on at a corner
            is not free.
        fraction: position along the segment, 0 at its start and 1 at its end; not clamped, so that progress goes on
            counting before the start and after the end.
        heading: direction of the segment, rad.
        arc_length: distance along the path from its start to the segment's closest point, metres, in ``[0, length]``.
    """

    segment: np.ndarray
    lateral_error: np.ndarray
    fraction: np.ndarray
    heading: np.ndarray
    arc_length: np.ndarray

    def repeat(self, count: int) -> Projection:
        """Return ``count`` copies of the projection of one position."""
        return Projection(*(np.repeat(values, count) for values in (
            self.segment, self.lateral_error, self.fraction, self.heading, self.arc_length)))


class LinePath:
    """A path of straight segments.

    Args:
        points: way-points, shape ``(m, 2)``, metres.

    Raises:
        UserError: for fewer than two points, numbers that are not finite, or a repeated point.
    """

    def __init__(self, points: np.ndarray) -> None:
        self.points = np.array(points, dtype=np.float64)
        if self.points.ndim != 2 or self.points.shape[1] != 2 or len(self.points) < 2:
            raise UserError(f"a path needs at least two points (x, y), not an array of shape {self.points.shape}")
        if not np.all(np.isfinite(self.points)):
            raise UserError("a path needs finite way-points")
        along = np.diff(self.points, axis=0)
        lengths = np.hypot(along[:, 0], along[:, 1])
        if np.any(lengths < SHORTEST_SEGMENT):
            raise UserError(f"way-points {int(np.argmin(lengths))} and {int(np.argmin(lengths)) + 1} of the path are "
                            "the same; remove one")
        self.segment_lengths = lengths
        self._start_x, self._start_y = self.points[:-1, 0].copy(), self.points[:-1, 1].copy()
        self._unit_x, self._unit_y = along[:, 0] / lengths, along[:, 1] / lengths
        self._headings = np.arctan2(along[:, 1], along[:, 0])
        ends = np.cumsum(lengths)
        self._arc_at_start = np.concatenate(([0.0], ends[:-1]))
        self.length = float(ends[-1])

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self.segment_lengths)

    def project(self, positions: np.ndarray, segment: np.ndarray) -> Projection:
        """Project positions, given the segment each of them was on.

        A position moves on to the next segment when it is closer to it than to the current one (distances to the finite
        segments); at most one switch per call, never backwards: the rule of the published robot's code. On the outer
        side of a corner the corner itself is the closest point of both segments; past the end of the current one that
        tie goes to the next, else a robot that does not cut the corner would be sent straight on for ever. The segment
        index is the memory that keeps a path right which crosses itself.

        Args:
            positions: shape ``(n, 2)``, metres.
            segment: shape ``(n,)``, the segment of each position so far.

        Returns:
            The projections; a position that is not finite keeps its segment and gets NaN.
        """
        x, y = positions[:, 0], positions[:, 1]
        along, across, distance_squared = self._measure(x, y, segment)
        following = np.minimum(segment + 1, self.segments - 1)
        next_along, next_across, next_squared = self._measure(x, y, following)
        past_corner = along >= self.segment_lengths.take(segment)
        switch = next_squared < np.where(past_corner, distance_squared + TIE, distance_squared - TIE)
        if switch.any():
            segment = np.where(switch, following, segment)
            along = np.where(switch, next_along, along)
            across = np.where(switch, next_across, across)
            distance_squared = np.where(switch, next_squared, distance_squared)
        length = self.segment_lengths.take(segment)
        return Projection(
            segment=segment,
            lateral_error=np.copysign(np.sqrt(distance_squared), across),
            fraction=along / length,
            heading=self._headings.take(segment),
            arc_length=self._arc_at_start.take(segment) + np.minimum(np.maximum(along, 0.0), length),
        )

    def start(self, position: np.ndarray, segment: int = 0) -> Projection:
        """Project one position of shape ``(2,)`` that is known to be on ``segment`` or has just left it."""
        return self.project(np.asarray(position, dtype=np.float64).reshape(1, 2), np.array([segment]))

    def distance_to_end(self, position: np.ndarray) -> float:
        """Return the distance in metres from a position of shape ``(2,)`` to the last way-point."""
        return float(np.hypot(*(np.asarray(position, dtype=np.float64) - self.points[-1])))

    def _measure(self, x: np.ndarray, y: np.ndarray,
                 segment: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return metres along and across (left positive) the segment's line, and squared metres to the segment."""
        unit_x, unit_y = self._unit_x.take(segment), self._unit_y.take(segment)
        dx, dy = x - self._start_x.take(segment), y - self._start_y.take(segment)
        along = dx * unit_x + dy * unit_y
        across = unit_x * dy - unit_y * dx
        beyond = along - np.minimum(np.maximum(along, 0.0), self.segment_lengths.take(segment))
        return along, across, across * across + beyond * beyond
