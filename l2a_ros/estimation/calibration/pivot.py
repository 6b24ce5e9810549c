# SPDX-License-Identifier: Apache-2.0
"""Where the tracked body's origin is on the robot: from poses of a robot that is turned about a point held fixed.

The point is ``c`` in ``map`` and ``q`` in the tracked body: ``p + R q = c`` for every pose ``(p, R)``. Linear least
squares, with weights that leave out what does not fit (pivot calibration, as for surgical pointers: Yaniv, "Which pivot
calibration?", 2015, algebraic two-step).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from l2a_ros.estimation.calibration.tracks import Outcome, PoseTrack, biweight, left_out_spread

LEAST_POSES, LEAST_SECONDS = 100, 4.0
#: How the attitudes must differ: of the mean square of the way that a point at distance 1 in the worst direction makes.
#: 0.02 is what leaning by 12 deg to all sides gives.
LEAST_LEVER = 0.02
#: What does not fit, root of the mean square, m: the noise of poses is 0.35 mm, a fingertip that holds is within 1 mm.
LARGEST_RESIDUAL = 0.003
#: Of this part of the poses: one in a hundred is an outlier, but a hand that slips is not.
TAKEN = 0.95
#: What a position is no good beyond, m (standard error on any axis).
LARGEST_SPREAD = 0.002
_ROUNDS = 10


@dataclass(frozen=True)
class Pivot(Outcome):
    """Of a robot that was turned about a point.

    Args:
        point: the point in the tracked body ``(3,)``, m.
        spread: its standard error ``(3,)``, m.
        residual: root of the mean square of what does not fit of all but the worst poses, m.
        centre: the point in ``map`` ``(3,)``, m.
        lever: what the attitudes differ by in the worst direction, 0 to 1 (see ``LEAST_LEVER``).
    """

    point: np.ndarray
    spread: np.ndarray
    residual: float
    centre: np.ndarray
    lever: float


def measure_pivot(poses: PoseTrack) -> Pivot:
    """Measure a robot that was turned about a point held fixed."""
    nothing = np.full(3, math.nan)
    seconds = float(poses.seconds[-1] - poses.seconds[0]) if len(poses) else 0.0
    if len(poses) < LEAST_POSES or seconds < LEAST_SECONDS:
        return Pivot(nothing, nothing, math.nan, nothing, 0.0,
                     problem=f"only {len(poses)} poses in {seconds:.1f} s; {LEAST_POSES} in {LEAST_SECONDS:g} s are "
                             "needed; is the body tracked?")
    turns = poses.attitudes.as_matrix()
    lever, direction = levers(turns)
    if lever < LEAST_LEVER:
        across = "xyz"[int(np.argmax(np.abs(direction)))]
        return Pivot(nothing, nothing, math.nan, nothing, lever,
                     problem=f"it was hardly leaned: where the point is along {across} of the tracked body cannot be "
                             "told; lean it by 20 deg and more to all sides while it is turned")
    weights = np.ones(len(poses))
    for _ in range(_ROUNDS):
        point, centre = _solve(turns, poses.positions, weights)
        lengths = np.linalg.norm(poses.positions + turns @ point - centre, axis=1)
        weights = biweight(lengths)
    spread = left_out_spread(lambda used: _solve(turns, poses.positions, weights * used)[0], len(poses))
    residual = math.sqrt(float(np.mean(np.sort(lengths)[:math.ceil(TAKEN * len(lengths))] ** 2)))
    problem = ""
    if residual > LARGEST_RESIDUAL:
        problem = f"the point moved by {1e3 * residual:.1f} mm (at most {1e3 * LARGEST_RESIDUAL:g}); hold it fixed"
    elif spread.max() > LARGEST_SPREAD:
        problem = (f"the position is known to {1e3 * spread.max():.1f} mm only (at most {1e3 * LARGEST_SPREAD:g}); "
                   "turn and lean it all the time, and hold the point fixed")
    return Pivot(point, spread, residual, centre, lever, problem=problem)


def levers(turns: np.ndarray) -> tuple[float, np.ndarray]:
    """Return how much the attitudes ``(n, 3, 3)`` differ in the worst direction of the body, and this direction."""
    mean = turns.mean(axis=0)
    strengths, directions = np.linalg.eigh(np.eye(3) - mean.T @ mean)
    return float(strengths[0]), directions[:, 0]


def _solve(turns: np.ndarray, positions: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = weights.sum()
    mean_turn = np.einsum("n,nij->ij", weights, turns) / total
    mean_position = weights @ positions / total
    a, b = turns - mean_turn, positions - mean_position
    normal = np.einsum("n,nji,njk->ik", weights, a, a)
    right = np.einsum("n,nji,nj->i", weights, a, b)
    # Without a lever in some direction (left out parts) the shortest solution, which the spread then shows.
    point = -np.linalg.lstsq(normal, right, rcond=None)[0]
    return point, mean_position + mean_turn @ point
