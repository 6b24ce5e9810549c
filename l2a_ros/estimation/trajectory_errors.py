# SPDX-License-Identifier: Apache-2.0
"""How far a trajectory is from the true one: absolute and relative errors of poses.

Definitions of Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", IROS 2012, section V. With Q the
true and P the estimated poses at the same stamps:

- absolute trajectory error (ATE): distance between their positions, and angle of the rotation Q^-1 P;
- relative pose error (RPE) over an interval: translation and angle of (Q_i^-1 Q_j)^-1 (P_i^-1 P_j) for every pair of
  poses that are so far apart in time. It says how the estimate drifts, and does not depend on where the world begins;
- alignment: the rigid motion that makes the sum of squared distances smallest, without scale (Umeyama, "Least-squares
  estimation of transformation parameters between two point patterns", PAMI 13(4), 1991, equations 34 to 42).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.errors import UserError

_SECOND = 1e9
#: A set of positions is flat in a direction in which its variance is a smaller share of the largest.
_FLAT = 1e-12


@dataclass(frozen=True)
class Trajectory:
    """Poses in time.

    Args:
        stamps: ns, rising ``(n,)``.
        positions: m ``(n, 3)``.
        quaternions: x y z w ``(n, 4)``.
    """

    stamps: np.ndarray
    positions: np.ndarray
    quaternions: np.ndarray

    def __len__(self) -> int:
        return len(self.stamps)

    def part(self, which: np.ndarray | slice) -> Trajectory:
        """Return some of the poses, by a mask ``(n,)``, indices or a slice."""
        return Trajectory(self.stamps[which], self.positions[which], self.quaternions[which])

    def moved(self, motion: RigidMotion) -> Trajectory:
        """Return the same trajectory in other coordinates."""
        turned = (motion.rotation * Rotation.from_quat(self.quaternions)).as_quat() if len(self) else self.quaternions
        return Trajectory(self.stamps, self.positions @ motion.rotation.as_matrix().T + motion.translation, turned)


@dataclass(frozen=True)
class RigidMotion:
    """Turns a point and then shifts it.

    Args:
        rotation: one rotation.
        translation: m ``(3,)``.
    """

    rotation: Rotation
    translation: np.ndarray


@dataclass(frozen=True)
class PoseErrors:
    """Errors of many poses, or of many pairs of them.

    Args:
        distances: m ``(n,)``.
        angles: rad, 0 to pi ``(n,)``.
    """

    distances: np.ndarray
    angles: np.ndarray


def alignment(points: np.ndarray, onto: np.ndarray) -> RigidMotion:
    """Return the rigid motion that brings points ``(n, 3)`` closest to others of the same shape, m.

    Raises:
        UserError: if they do not say how to turn: fewer than three, or all on a straight line.
    """
    middle, goal = points.mean(axis=0), onto.mean(axis=0)
    left, sizes, right = np.linalg.svd((onto - goal).T @ (points - middle) / max(1, len(points)))
    if len(points) < 3 or sizes[1] <= _FLAT * max(sizes[0], _FLAT):
        raise UserError("a trajectory on a straight line cannot be aligned; leave out --align, or record longer")
    # A reflection would fit as well where the points are nearly in a plane.
    sign = np.sign(np.linalg.det(left) * np.linalg.det(right))
    matrix = left @ np.diag([1.0, 1.0, sign]) @ right
    return RigidMotion(Rotation.from_matrix(matrix), goal - matrix @ middle)


def absolute_errors(truth: Trajectory, estimate: Trajectory) -> PoseErrors:
    """Return the error of each pose of two trajectories of the same length."""
    if not len(truth):
        return PoseErrors(np.empty(0), np.empty(0))
    turned = Rotation.from_quat(truth.quaternions).inv() * Rotation.from_quat(estimate.quaternions)
    return PoseErrors(np.linalg.norm(estimate.positions - truth.positions, axis=1), turned.magnitude())


def relative_errors(truth: Trajectory, estimate: Trajectory, interval: float) -> PoseErrors:
    """Return the error of the motion over an interval (s), for all pairs of poses (see :func:`pairs`)."""
    first, second = pairs(truth.stamps, interval)
    if not len(first):
        return PoseErrors(np.empty(0), np.empty(0))
    ways, turns = [], []
    for each in (truth, estimate):
        start = Rotation.from_quat(each.quaternions[first]).inv()
        ways.append(start.apply(each.positions[second] - each.positions[first]))
        turns.append(start * Rotation.from_quat(each.quaternions[second]))
    # Turning the difference of the ways by the true turn back changes no length.
    return PoseErrors(np.linalg.norm(ways[1] - ways[0], axis=1), (turns[0].inv() * turns[1]).magnitude())


def pairs(stamps: np.ndarray, interval: float) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of all pairs of moments that are an interval (s) apart, up to half the usual step between moments.

    Args:
        stamps: ns, rising ``(n,)``.
        interval: s; shorter than half the usual step there are none.
    """
    nobody = np.empty(0, dtype=np.int64)
    if len(stamps) < 2:
        return nobody, nobody
    wanted = stamps + round(interval * _SECOND)
    behind = np.clip(np.searchsorted(stamps, wanted), 1, len(stamps) - 1)
    second = behind - (wanted - stamps[behind - 1] < stamps[behind] - wanted)
    tolerance = 0.5 * float(np.median(np.diff(stamps)))
    first = np.flatnonzero((np.abs(stamps[second] - wanted) <= tolerance) & (second > np.arange(len(stamps))))
    return first, second[first]


def root_mean_square(values: np.ndarray) -> float:
    """Return the root of the mean square, NaN of nothing."""
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else float("nan")
