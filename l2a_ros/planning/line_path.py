# SPDX-License-Identifier: Apache-2.0
"""Where a robot is along a path of straight segments.

The one implementation of projection, progress, heading error and segment switching: the planner uses it for every
candidate in every tick, the trial for the executed track, so both mean the same by "lateral error" and "progress".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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


@dataclass(frozen=True, slots=True)
class Tracks:
    """Trajectories seen from a path; arrays have shape ``(h, n)``.

    Args:
        segment: index of the segment that each position belongs to; of shape ``()`` when it is the same for all.
        squared_distance: to the segment, square metres; the square of a projection's ``lateral_error``.
        fraction: as of a :class:`Projection`.
    """

    segment: np.ndarray
    squared_distance: np.ndarray
    fraction: np.ndarray


class _Seen(NamedTuple):
    """Positions seen from a segment: metres along its line and across (left positive), square metres to the segment."""

    along: np.ndarray
    across: np.ndarray
    squared: np.ndarray


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
        along, across, squared = seen = self._measure(x, y, segment)
        following = np.minimum(segment + 1, self.segments - 1)
        ahead = self._measure(x, y, following)
        switch = self._moves_on(seen, ahead, segment)
        if switch.any():
            segment = np.where(switch, following, segment)
            along, across, squared = (np.where(switch, new, old) for new, old in zip(ahead, seen, strict=True))
        length = self.segment_lengths.take(segment)
        return Projection(
            segment=segment,
            lateral_error=np.copysign(np.sqrt(squared), across),
            fraction=along / length,
            heading=self._headings.take(segment),
            arc_length=self._arc_at_start.take(segment) + np.minimum(np.maximum(along, 0.0), length),
        )

    def follow(self, x: np.ndarray, y: np.ndarray, segment: int) -> Tracks:
        """Project trajectories, each position given the segment of the one before it: :meth:`project` step by step.

        All positions are measured from one segment after the other, as far as any trajectory gets: that is two of them
        for most, and far fewer operations than going through the steps.

        Args:
            x: positions, shape ``(h, n)``, metres.
            y: the same.
            segment: of the position before the first.
        """
        seen = self._measure(x, y, segment)
        along, squared = seen.along, seen.squared
        reached: np.ndarray | None = None
        segments = np.array(segment)
        for following in range(segment + 1, self.segments):
            ahead = self._measure(x, y, following)
            switch = self._moves_on(seen, ahead, following - 1)
            if reached is not None:
                # At most one switch per step: only what was on the segment before this step can leave it.
                switch[0] = False
                switch[1:] &= reached[:-1]
            if not switch.any():
                break
            reached = np.logical_or.accumulate(switch, axis=0)
            segments = segments + reached
            along = np.where(reached, ahead.along, along)
            squared = np.where(reached, ahead.squared, squared)
            seen = ahead
        return Tracks(segments, squared, along / self.segment_lengths.take(segments))

    def directions(self, segment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of the unit vectors along segments, each of the shape of the indices given."""
        return self._unit_x.take(segment), self._unit_y.take(segment)

    def heading_error(self, segment: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
        """Return yaw minus the direction of a segment, rad in ``[-pi, pi]``.

        Args:
            segment: indices, of any shape that goes with the others.
            cosine: of the yaw, any shape.
            sine: of the yaw, the same.
        """
        ahead, left = self.directions(segment)
        # The yaw seen from the segment: turned as a vector, so that there is nothing to wrap.
        error: np.ndarray = np.arctan2(sine * ahead - cosine * left, cosine * ahead + sine * left)
        return error

    def start(self, position: np.ndarray, segment: int = 0) -> Projection:
        """Project one position of shape ``(2,)`` that is known to be on ``segment`` or has just left it."""
        return self.project(np.asarray(position, dtype=np.float64).reshape(1, 2), np.array([segment]))

    def distance_to_end(self, position: np.ndarray) -> float:
        """Return the distance in metres from a position of shape ``(2,)`` to the last way-point."""
        return float(np.hypot(*(np.asarray(position, dtype=np.float64) - self.points[-1])))

    def beyond_end(self, projection: Projection) -> np.ndarray:
        """Return how far positions are past the last way-point, m along the last segment, ``(n,)``; 0 before it."""
        beyond = (projection.fraction - 1.0) * self.segment_lengths[-1]
        return np.where(projection.segment == self.segments - 1, np.maximum(beyond, 0.0), 0.0)

    def _measure(self, x: np.ndarray, y: np.ndarray, segment: int | np.ndarray) -> _Seen:
        unit_x, unit_y = self._unit_x.take(segment), self._unit_y.take(segment)
        dx, dy = x - self._start_x.take(segment), y - self._start_y.take(segment)
        along = dx * unit_x + dy * unit_y
        across = unit_x * dy - unit_y * dx
        beyond = along - np.minimum(np.maximum(along, 0.0), self.segment_lengths.take(segment))
        return _Seen(along, across, across * across + beyond * beyond)

    def _moves_on(self, seen: _Seen, ahead: _Seen, segment: int | np.ndarray) -> np.ndarray:
        """Tell which positions go over to the next segment, from which they are seen as ``ahead``."""
        past_corner = seen.along >= self.segment_lengths.take(segment)
        return ahead.squared < np.where(past_corner, seen.squared + TIE, seen.squared - TIE)
