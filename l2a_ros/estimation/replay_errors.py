# SPDX-License-Identifier: Apache-2.0
"""What an estimate is worth: its errors against the truth, and whether it knew how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.estimation.motion import Health
from l2a_ros.estimation.replay import HEALTHS, Evaluated
from l2a_ros.estimation.trajectory_errors import (
    PoseErrors,
    Trajectory,
    alignment,
    relative_errors,
    root_mean_square,
)

#: Of relative pose errors, s.
INTERVALS = (0.1, 1.0)


@dataclass(frozen=True)
class Distribution:
    """How large errors are, in their own unit; None of nothing.

    Args:
        count: how many there are.
        rmse: root of the mean square.
        p50, p95, p99: percentiles.
        largest: the largest one.
    """

    count: int
    rmse: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    largest: float | None = None

    @classmethod
    def of(cls, values: np.ndarray) -> Distribution:
        """Return that of numbers ``(n,)``; those that are not known (NaN) do not count."""
        values = values[np.isfinite(values)]
        if not len(values):
            return cls(0)
        middle, high, higher = np.percentile(values, [50.0, 95.0, 99.0]).tolist()
        return cls(len(values), root_mean_square(values), middle, high, higher, float(values.max()))


@dataclass(frozen=True)
class Accuracy:
    """Errors by what they are of: m, degrees, m/s."""

    position_m: Distribution
    orientation_deg: Distribution
    velocity_m_s: Distribution


@dataclass(frozen=True)
class RelativeError:
    """Root mean squares of the relative pose error over an interval; None without pairs."""

    interval_s: float
    pairs: int
    translation_m: float | None
    rotation_deg: float | None


@dataclass(frozen=True)
class Consistency:
    """Mean of (error / standard deviation)^2 over moments and axes: 1 is honest, more is too sure of itself.

    Args:
        position, velocity, orientation: the means; None of nothing.
        within_three: share of all errors within three standard deviations; of honest ones 0.997.
    """

    position: float | None
    velocity: float | None
    orientation: float | None
    within_three: float | None


@dataclass(frozen=True)
class ErrorFigures:
    """Figures of one recording, or of several taken together.

    Args:
        live: while the robot might move by the estimate.
        coasting: while motion capture was silent or refused, but the robot might still move.
        ate_m: absolute trajectory error, translation.
        ate_deg: absolute trajectory error, rotation.
        rpe: relative pose errors.
        consistency: of errors and standard deviations.
    """

    live: Accuracy
    coasting: Accuracy
    ate_m: float | None
    ate_deg: float | None
    rpe: tuple[RelativeError, ...]
    consistency: Consistency


@dataclass(frozen=True)
class Errors:
    """Errors of the live moments of a recording.

    Args:
        truth: the true poses in ``map``: aligned, if that was asked for.
        estimate: the estimated ones.
        true_velocity: in ``map`` ``(n, 3)``, m/s, NaN where it is not known.
        health: of :data:`HEALTHS`, by index ``(n,)``.
        signed: estimate minus truth: position (m), velocity (m/s), rotation vector about the axes of ``map`` (rad)
            ``(n, 9)``.
        spreads: their standard deviations ``(n, 9)``.
        relative: relative pose errors of each of :data:`INTERVALS`.
    """

    truth: Trajectory
    estimate: Trajectory
    true_velocity: np.ndarray
    health: np.ndarray
    signed: np.ndarray
    spreads: np.ndarray
    relative: tuple[PoseErrors, ...]


def measure(evaluated: Evaluated, align: bool) -> Errors:
    """Return the errors of an estimate that was evaluated against a truth.

    Args:
        evaluated: with truth.
        align: move the truth to where it fits the estimate best, without scale.

    Raises:
        UserError: if it cannot be aligned.
    """
    assert evaluated.truth is not None and evaluated.true_velocity is not None
    is_live = evaluated.is_live()
    # A slice makes no copies.
    live: np.ndarray | slice = slice(None) if np.all(is_live) else is_live
    truth, estimate = evaluated.truth.part(live), evaluated.estimate.part(live)
    true_velocity = evaluated.true_velocity[live]
    if align and len(truth):
        motion = alignment(truth.positions, estimate.positions)
        truth, true_velocity = truth.moved(motion), motion.rotation.apply(true_velocity)
    turned = (Rotation.from_quat(estimate.quaternions) * Rotation.from_quat(truth.quaternions).inv()).as_rotvec() if (
        len(truth)) else np.empty((0, 3))
    signed = np.hstack([estimate.positions - truth.positions, evaluated.velocity[live] - true_velocity, turned])
    return Errors(truth, estimate, true_velocity, evaluated.health[live], signed, evaluated.spreads[live],
                  tuple(relative_errors(truth, estimate, interval) for interval in INTERVALS))


def error_figures(parts: Sequence[Errors]) -> ErrorFigures:
    """Return the figures of one or more recordings: every moment counts the same."""
    signed = np.vstack([each.signed for each in parts])
    health = np.concatenate([each.health for each in parts])
    ratios = np.square(signed / np.maximum(np.vstack([each.spreads for each in parts]), 1e-12))
    position, orientation = _lengths(signed[:, 0:3]), np.degrees(_lengths(signed[:, 6:9]))
    relative = []
    for i, interval in enumerate(INTERVALS):
        distances = np.concatenate([each.relative[i].distances for each in parts])
        angles = np.degrees(np.concatenate([each.relative[i].angles for each in parts]))
        relative.append(RelativeError(interval, len(distances), _mean_square(distances), _mean_square(angles)))
    known = ratios[np.isfinite(ratios)]
    return ErrorFigures(
        _accuracy(signed), _accuracy(signed[health == HEALTHS.index(Health.COASTING)]), _mean_square(position),
        _mean_square(orientation), tuple(relative),
        Consistency(_mean(ratios[:, 0:3]), _mean(ratios[:, 3:6]), _mean(ratios[:, 6:9]), _mean(known <= 9.0)))


def _accuracy(signed: np.ndarray) -> Accuracy:
    return Accuracy(Distribution.of(_lengths(signed[:, 0:3])), Distribution.of(np.degrees(_lengths(signed[:, 6:9]))),
                    Distribution.of(_lengths(signed[:, 3:6])))


def _lengths(vectors: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.linalg.norm(vectors, axis=1)
    return lengths


def _mean_square(values: np.ndarray) -> float | None:
    return root_mean_square(values) if len(values) else None


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
