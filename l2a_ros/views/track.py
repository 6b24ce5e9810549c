# SPDX-License-Identifier: Apache-2.0
"""The executed track with the lateral error of each of its points, in bounded memory."""

from __future__ import annotations

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.planning.line_path import LinePath, Projection
from l2a_ros.robot.continuity import has_begun_again, is_state_jump
from l2a_ros.robot.layout import STATE
from l2a_ros.safety.times import SECOND

_POSITION = STATE.indices(["position_x", "position_y"])

#: A track that begins so long after its path, s, begins on whichever segment is nearest: nobody saw the way there.
LATE = 1.0
#: Fewest points that a track can be kept with: thinned, it still has some.
FEWEST = 8


class ExecutedTrack:
    """Where the robot has walked since the path began, and how far beside the path.

    A point is kept when it is ``spacing`` from the last one that was. When ``longest`` are kept, every second one is
    dropped and the spacing doubles: a long walk is drawn coarser, not cut off. The lateral error is the one of the
    trial (:class:`~l2a_ros.planning.line_path.LinePath`), projected at every state, kept or not.

    Args:
        longest: most points kept.
        spacing: m, at first.

    Raises:
        UserError: for fewer points than ``FEWEST``, or a spacing that is not above zero.
    """

    def __init__(self, longest: int = 1000, spacing: float = 0.005) -> None:
        if longest < FEWEST or not spacing > 0.0:
            raise UserError(f"a track needs at least {FEWEST} points and a spacing above 0 m, not {longest} and "
                            f"{spacing:g}")
        self._longest, self._finest = longest, spacing
        self._path: LinePath | None = None
        self._begins = 0
        self._last: tuple[int, np.ndarray] | None = None
        #: Counts up whenever what was drawn before must be taken away.
        self.generation = 0
        self._forget()

    def _forget(self) -> None:
        """Begin a track of nothing on the same path."""
        self.generation += 1
        self._spacing = self._finest
        self._kept: list[tuple[np.ndarray, float]] = []
        self._newest: tuple[np.ndarray, float] | None = None
        self._projection: Projection | None = None

    @property
    def points(self) -> np.ndarray:
        """Positions kept and the newest one, ``(n, 2)``, m in ``map``."""
        return np.array([point for point, _ in self._shown()]).reshape(-1, 2)

    @property
    def errors(self) -> np.ndarray:
        """Lateral errors of the points, ``(n,)``, m, left positive."""
        return np.array([error for _, error in self._shown()])

    @property
    def path_points(self) -> np.ndarray:
        """Way-points of the path, ``(n, 2)``, m in ``map``; none without one."""
        return np.empty((0, 2)) if self._path is None else self._path.points

    @property
    def length(self) -> float:
        """Length of the path, m; NaN without one."""
        return float("nan") if self._path is None else self._path.length

    @property
    def projection(self) -> Projection | None:
        """The newest position seen from the path; None before the first."""
        return self._projection

    def begin(self, points: np.ndarray, stamp: int) -> None:
        """Take a new path; the track of the one before stays until then. The same path again changes nothing.

        Args:
            points: ``(n, 2)``, m in ``map``; none at all: the robot stands, and what it walked is still shown.
            stamp: the path is followed from then on, ns; 0 for at once.

        Raises:
            UserError: if it is no path.
        """
        if len(points) == 0:
            self._path = None
            return
        path = LinePath(points)
        if self._path is not None and stamp == self._begins and np.array_equal(path.points, self._path.points):
            return
        self._path, self._begins = path, stamp
        self._forget()

    def begin_again(self) -> None:
        """Forget what was walked: the robot was put elsewhere, or time began again."""
        self._last = None
        self._forget()

    def add(self, stamp: int, state: np.ndarray) -> None:
        """Take a state ``(24,)`` of a moment, ns. One that is not newer, or not finite, changes nothing."""
        if not np.all(np.isfinite(state)):
            return
        if self._last is not None:
            if has_begun_again(stamp, self._last[0]):
                self.begin_again()
            elif stamp <= self._last[0]:
                return
            elif is_state_jump(self._last[1], state, stamp - self._last[0]):
                self.begin_again()
        self._last = stamp, state
        if self._path is not None and stamp >= self._begins:
            self._walk(self._path, stamp, np.array(state[_POSITION], dtype=np.float64))

    def _walk(self, path: LinePath, stamp: int, position: np.ndarray) -> None:
        if self._projection is not None:
            projection = path.start(position, int(self._projection.segment[0]))
        elif self._begins and stamp > self._begins + LATE * SECOND:
            projection = _nearest(path, position)
        else:
            projection = path.start(position)
        self._projection = projection
        self._newest = position, float(projection.lateral_error[0])
        if not self._kept or float(np.hypot(*(position - self._kept[-1][0]))) >= self._spacing:
            self._kept.append(self._newest)
        if len(self._kept) >= self._longest:
            self._kept = self._kept[::2]
            self._spacing *= 2.0

    def _shown(self) -> list[tuple[np.ndarray, float]]:
        """Return what is kept, and the newest place if it is not."""
        if self._newest is None or (self._kept and self._kept[-1] is self._newest):
            return self._kept
        return [*self._kept, self._newest]


def _nearest(path: LinePath, position: np.ndarray) -> Projection:
    """Return the projection of a position ``(2,)`` on the segment that is nearest."""
    every = path.project(np.tile(position, (path.segments, 1)), np.arange(path.segments))
    return path.start(position, int(every.segment[np.argmin(np.abs(every.lateral_error))]))
