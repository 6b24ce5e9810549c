# SPDX-License-Identifier: Apache-2.0
"""A filter is fed what arrives, asked at chosen moments, and compared with the truth of the same stamp."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.benchmarks.estimation.walk import MILLISECOND, Walk
from l2a_ros.estimation.motion import MotionEstimate
from l2a_ros.robot.samples import ImuSample, PoseSample

#: Places of an error in its vector of nine.
POSITION, VELOCITY, ATTITUDE = slice(0, 3), slice(3, 6), slice(6, 9)
BLOCKS = {"all": slice(0, 9), "position": POSITION, "velocity": VELOCITY, "attitude": ATTITUDE}
#: What a moment of a walk is (see :func:`phases`).
STARTING, TRACKED, SILENT, END = range(4)
#: For so long the filter may look for latency and biases, s.
START = 3.0
_SECOND = 1_000_000_000
#: Time between two questions, and over which the published robot took differences, ms.
_GRID_MS, _TICK_MS = 10, 100


class Filter(Protocol):
    """What the bench needs of a filter."""

    def add_pose(self, sample: PoseSample) -> None:
        """Take a pose."""

    def add_imu(self, sample: ImuSample) -> None:
        """Take an inertial reading."""

    def estimate(self, stamp: int) -> MotionEstimate | None:
        """Return the estimate for a moment (ns), or None."""


@dataclass(frozen=True)
class Track:
    """Errors of a filter on one walk; ``n`` moments.

    Args:
        stamps: the moments, ns, ``(n,)``.
        errors: truth minus estimate, ``(n, 9)``: position, m; velocity, m/s; attitude as the rotation vector about the
            axes of ``map`` that leads from the estimate to the truth, rad. NaN where there was no estimate.
        spreads: their standard deviations by the filter's account, ``(n, 9)``.
        squared: their normalised squares (:func:`squared_errors`) for all nine and for each of ``BLOCKS``, ``(n, 4)``.
        is_live: whether the robot might have moved by the estimate, ``(n,)``.
        ages: time since the last good pose arrived, ns, ``(n,)``; -1 before the first.
        differences: truth minus velocity by finite differences of the good poses that had arrived, one sample apart and
            over a control period, m/s, ``(n, 2, 3)``; NaN where there are none.
        outliers: share of all poses.
    """

    stamps: np.ndarray
    errors: np.ndarray
    spreads: np.ndarray
    squared: np.ndarray
    is_live: np.ndarray
    ages: np.ndarray
    differences: np.ndarray
    outliers: float


def moments(walked: Walk) -> np.ndarray:
    """Return the stamps to ask for, ns: 100 a second, every control tick, and the end of every dropout.

    Each of the hundred falls on a millisecond drawn anew (the same for every seed): on the poses' own 10 ms grid every
    estimate would be one just corrected.
    """
    grid = np.arange(0, walked.end // MILLISECOND - _GRID_MS, _GRID_MS)
    grid = grid + np.random.default_rng(0).integers(0, _GRID_MS, len(grid))
    ticks = np.arange(0, walked.end // MILLISECOND, _TICK_MS)
    ends = [end for _, end in walked.dropouts if end < walked.end]
    stamps: np.ndarray = np.unique(np.concatenate([grid * MILLISECOND, ticks * MILLISECOND,
                                                   np.array(ends, dtype=np.int64)])).astype(np.int64)
    return stamps


def is_tick(stamps: np.ndarray) -> np.ndarray:
    """Tell which moments are control ticks."""
    result: np.ndarray = stamps % (_TICK_MS * MILLISECOND) == 0
    return result


def phases(stamps: np.ndarray, dropouts: list[tuple[int, int]], latency: int) -> np.ndarray:
    """Tell what each moment is: while the filter starts; tracked; in a dropout; the end of one.

    A dropout is felt from its begin until its end, both later by the latency; its end is asked for when it ends. What
    follows it is tracked again at once.
    """
    result = np.full(len(stamps), TRACKED)
    for begin, end in dropouts:
        result[(stamps > begin + latency) & (stamps < end + latency)] = SILENT
        result[stamps == end] = END
    result[stamps < START * _SECOND] = STARTING
    return result


def follow(walked: Walk, motion_filter: Filter, stamps: np.ndarray) -> Track:
    """Feed a filter in order of arrival; ask for each moment when exactly what had arrived by then is in."""
    estimates: list[MotionEstimate | None] = []
    fed, samples, arrivals = 0, walked.samples, walked.arrivals.tolist()
    for stamp in stamps.tolist():
        while fed < len(samples) and arrivals[fed] <= stamp:
            sample = samples[fed]
            if isinstance(sample, ImuSample):
                motion_filter.add_imu(sample)
            elif isinstance(sample, PoseSample):
                motion_filter.add_pose(sample)
            fed += 1
        estimates.append(motion_filter.estimate(stamp))
    rows = stamps // MILLISECOND
    errors, covariances = np.full((len(stamps), 9), math.nan), np.full((len(stamps), 9, 9), math.nan)
    has = np.array([estimate is not None for estimate in estimates])
    known = [estimate for estimate in estimates if estimate is not None]
    if known:
        at = rows[has]
        errors[has, POSITION] = walked.position[at] - np.array([each.position for each in known])
        errors[has, VELOCITY] = walked.velocity[at] - np.array([each.velocity for each in known])
        errors[has, ATTITUDE] = (Rotation.from_quat(walked.quaternion[at])
                                 * Rotation.from_quat([each.quaternion for each in known]).inv()).as_rotvec()
        covariances[has] = [each.covariance for each in known]
    is_live = np.array([estimate is not None and estimate.health.is_live for estimate in estimates])
    squared = np.stack([squared_errors(errors, covariances, block) for block in BLOCKS.values()], axis=1)
    is_outlier = walked.outliers()
    differences, ages = _differences(walked, is_outlier, stamps)
    return Track(stamps, errors, np.sqrt(np.abs(np.diagonal(covariances, axis1=1, axis2=2))), squared, is_live, ages,
                 differences, float(is_outlier.mean()) if len(is_outlier) else 0.0)


def _differences(walked: Walk, is_outlier: np.ndarray, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors ``(n, 2, 3)`` of velocities by finite differences, as somebody would take them who knows which
    poses are outliers, from the newest good pose at each moment; and that pose's age ``(n,)``, ns."""
    poses = [sample for sample in walked.samples if isinstance(sample, PoseSample)]
    good = [pose for pose, is_bad in zip(poses, is_outlier, strict=True) if not is_bad]
    errors, ages = np.full((len(stamps), 2, 3), math.nan), np.full(len(stamps), -1)
    if len(good) < 2:
        return errors, ages
    times, positions = np.array([pose.stamp for pose in good]), np.array([pose.position for pose in good])
    newest = np.searchsorted(times, stamps, side="right") - 1
    ages = np.where(newest >= 0, stamps - times[newest], -1)
    for i, before in enumerate((newest - 1, np.searchsorted(times, times[newest] - _TICK_MS * MILLISECOND,
                                                            side="right") - 1)):
        ok = (newest >= 1) & (before >= 0)
        first, last = before[ok], newest[ok]
        gap = (times[last] - times[first]) / _SECOND
        velocity = (positions[last] - positions[first]) / gap[:, None]
        # Across a gap, and long after the last pose, nobody would.
        is_near = (gap < (0.015, 0.115)[i]) & (ages[ok] < 0.015 * _SECOND)
        errors[ok, i] = np.where(is_near[:, None], walked.velocity[stamps[ok] // MILLISECOND] - velocity, math.nan)
    return errors, ages


def squared_errors(errors: np.ndarray, covariances: np.ndarray, block: slice = slice(0, 9)) -> np.ndarray:
    """Return the normalised estimation error squared of each moment (Bar-Shalom et al. 2001, 5.4.2).

    Args:
        errors: ``(n, 9)``.
        covariances: ``(n, 9, 9)``.
        block: which elements of them.

    Returns:
        ``(n,)``; its mean is the number of elements where the filter is as good as it says. NaN where there is no
        estimate, infinite where a covariance is none.
    """
    result = np.full(len(errors), math.nan)
    for i, (error, covariance) in enumerate(zip(errors[:, block], covariances[:, block, block], strict=True)):
        if np.all(np.isfinite(error)):
            try:
                factor = np.linalg.cholesky(covariance)
            except np.linalg.LinAlgError:
                result[i] = math.inf
            else:
                result[i] = float(np.sum(np.linalg.solve(factor, error) ** 2))
    return result
