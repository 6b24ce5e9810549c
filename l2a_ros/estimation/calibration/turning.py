# SPDX-License-Identifier: Apache-2.0
"""How the inertial unit sits on the body that motion capture tracks: from a robot that is turned by hand.

What the gyroscope measures between two poses is what the body turned, in other axes and a little earlier. The rotation
between the axes is Wahba's problem (SciPy's ``align_vectors``); subtracting the means takes the gyroscope's bias out of
it; the time is the one at which both agree best. Done again with weights that leave out what does not fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.integrate import cumulative_trapezoid
from scipy.spatial.transform import Rotation

from l2a_ros.estimation.calibration.tracks import ImuTrack, Outcome, PoseTrack, biweight, left_out_spread

#: Time over which turns are compared, s: long against noise of the poses (0.1 deg), short against the motion of a hand.
INTERVAL = 0.05
#: Readings that are further apart do not follow a hand, s.
LONGEST_STEP = 0.12
#: Largest time between pose and reading of the same moment, and the steps in which it is searched, s.
LARGEST_LATENCY, STEP = 0.25, 0.005
#: Least turn about the axis that was turned about least, there and back in all, rad: a quarter turn each way.
LEAST_TURN = math.pi
#: And its rate, root of the mean square, rad/s: with it one axis is known to a degree in seconds.
LEAST_RATE = 0.15
#: How much of the motion both must share.
LEAST_AGREEMENT = 0.9
#: And in how much of the time, by the weights: 0.8 where nothing but noise is between them.
LEAST_USED = 0.5
#: What a rotation is no good beyond, rad (standard error about any axis).
LARGEST_SPREAD = math.radians(1.5)
#: Range of the ratio of the rates: the gyroscope's data sheet says 3 %.
LEAST_RATIO, LARGEST_RATIO = 0.9, 1.1
#: No hand turns a robot faster, rad/s: a pose of another body between two of ours.
FASTEST = 20.0
LEAST_INTERVALS = 80


@dataclass(frozen=True)
class Turning(Outcome):
    """Of a robot that was turned by hand.

    Args:
        rotation: turns readings into the axes of the tracked body ``(3, 3)``.
        spread: its standard error about the axes of the tracked body ``(3,)``, rad.
        residual: root of the mean square of what does not fit, rad/s.
        bias: of the gyroscope in the axes of the readings ``(3,)``, rad/s.
        latency: how much later than the readings the poses show the same motion, s.
        latency_spread: its standard error, s.
        ratio: of the rates: poses to readings.
        turned: in all, about the axes of the tracked body ``(3,)``, rad.
    """

    rotation: np.ndarray
    spread: np.ndarray
    residual: float
    bias: np.ndarray
    latency: float
    latency_spread: float
    ratio: float
    turned: np.ndarray


def turned_about(poses: PoseTrack) -> np.ndarray:
    """Return how far a body was turned about its own axes, there and back in all, ``(3,)`` rad."""
    starts, ends, turns = _turns(poses, INTERVAL)
    still = np.linalg.norm(turns, axis=1) < 0.1 * (ends - starts)
    turned: np.ndarray = np.abs(np.where(still[:, None], 0.0, turns)).sum(axis=0)
    return turned


def measure_turning(readings: ImuTrack, poses: PoseTrack) -> Turning:
    """Measure how readings and poses of the same time are turned against each other."""
    unknown = Turning(np.full((3, 3), math.nan), np.full(3, math.nan), math.nan, np.full(3, math.nan), math.nan,
                      math.nan, math.nan, np.zeros(3))
    if len(readings) < 2 or len(poses) < 2:
        return replace(unknown, problem=f"{len(readings)} readings of the inertial unit and {len(poses)} poses; both "
                                        "are needed")
    step = float(np.median(np.diff(readings.seconds)))
    if step > LONGEST_STEP:
        return replace(unknown, problem=f"the inertial unit is read every {step:.2f} s; {LONGEST_STEP:g} s or less are "
                                        "needed")
    pose_step = float(np.median(np.diff(poses.seconds)))
    interval = max(INTERVAL, 2.0 * step, 1.5 * pose_step)
    starts, ends, turns = _turns(poses, interval)
    fit = _Fit(readings, starts, ends, turns)
    if fit.count < LEAST_INTERVALS:
        return replace(unknown, problem=f"only {fit.count * interval:.1f} s in which there are poses and readings; "
                                        f"turn it for {LEAST_INTERVALS * interval:.0f} s and more")
    unknown = replace(unknown, turned=turned_about(poses))
    if problem := _hardly_turned(fit.turned, interval, unknown.turned):
        return replace(unknown, problem=problem)
    all_of_it = np.ones(fit.count)
    result, weights = fit.robust(all_of_it)

    def again(used: np.ndarray) -> np.ndarray:
        other, _ = fit.robust(np.where(used, weights, 0.0), rounds=2)
        return np.array([*(Rotation.from_matrix(other.rotation @ result.rotation.T)).as_rotvec(), other.latency])

    spreads = left_out_spread(again, fit.count)
    # The one sees noise that lasts, the other is steadier.
    spread = np.maximum(spreads[:3], fit.spread(result, weights))
    found = Turning(result.rotation, spread, result.residual, result.bias, result.latency, float(spreads[3]),
                    result.ratio, unknown.turned)
    return replace(found, problem=_problem(found, result.agreement, float(weights.mean())))


def _problem(found: Turning, agreement: float, used: float) -> str:
    if not LEAST_RATIO <= found.ratio <= LARGEST_RATIO and agreement > 0.5:
        hint = "does the driver publish rad/s?" if found.ratio < 0.5 else "is the body tracked the robot?"
        return f"poses turn {found.ratio:.2g} times as fast as the gyroscope says; {hint}"
    if agreement < LEAST_AGREEMENT or used < LEAST_USED:
        shared = max(agreement, 0.0) if used >= LEAST_USED else used
        return (f"poses and readings show the same motion to {100 * shared:.0f} % only; is the tracked body this "
                f"robot, fixed to it, and are both stamped by one clock?")
    if found.spread.max() > LARGEST_SPREAD:
        return (f"the axes are known to {math.degrees(found.spread.max()):.1f} deg only; turn it for longer, about "
                "all axes, without a rest")
    return ""


def _hardly_turned(rates: np.ndarray, interval: float, turned: np.ndarray) -> str:
    """Return which axis was not turned about enough, empty if all were."""
    centred = rates - rates.mean(axis=0)
    _, strengths, axes = np.linalg.svd(centred, full_matrices=False)
    weakest = axes[2]
    rate = float(strengths[2] / math.sqrt(len(rates)))
    total = float(np.abs(rates @ weakest).sum() * interval)
    if rate >= LEAST_RATE and total >= LEAST_TURN:
        return ""
    about = "xyz"[int(np.argmax(np.abs(weakest)))]
    seen = ", ".join(f"{axis} {math.degrees(angle):.0f}" for axis, angle in zip("xyz", turned, strict=True))
    return (f"it was hardly turned about {about} of the tracked body (turned in all, deg: {seen}); turn it there and "
            f"back about all three axes")


def _turns(poses: PoseTrack, interval: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return intervals between poses and the rotation vectors in them, about the body's axes, ``(n, 3)`` rad."""
    # The first pose of every interval, as far as there is one in it.
    number = np.floor(poses.seconds / interval + 1e-9)
    chosen = np.flatnonzero(np.concatenate([[True], np.diff(number) > 0.0])) if len(poses) else np.zeros(0, dtype=int)
    if len(chosen) < 2:
        return np.zeros(0), np.zeros(0), np.zeros((0, 3))
    attitudes = poses.attitudes[chosen]
    turns = (attitudes[:-1].inv() * attitudes[1:]).as_rotvec()
    starts, ends = poses.seconds[chosen[:-1]], poses.seconds[chosen[1:]]
    taken = ends - starts
    good = (taken < 2.5 * interval) & (np.linalg.norm(turns, axis=1) < FASTEST * taken)
    return starts[good], ends[good], turns[good]


@dataclass(frozen=True)
class _Result:
    rotation: np.ndarray
    bias: np.ndarray
    latency: float
    residual: float
    ratio: float
    agreement: float


class _Fit:
    """Turns between poses against the integral of the gyroscope's readings."""

    def __init__(self, readings: ImuTrack, starts: np.ndarray, ends: np.ndarray, turns: np.ndarray) -> None:
        self._seconds = seconds = readings.seconds
        angle = cumulative_trapezoid(readings.rates, seconds, axis=0, initial=0.0)
        coning = cumulative_trapezoid(np.cross(angle, readings.rates), seconds, axis=0, initial=0.0)
        #: Integrals of the readings, once and for the order of turns about different axes ``(n, 6)``.
        self._integrals = np.hstack([angle, coning])
        # Where readings would be missing for another latency, nothing is compared; inside, the weights see to it.
        inside = (starts - LARGEST_LATENCY >= seconds[0]) & (ends + LARGEST_LATENCY <= seconds[-1])
        self._starts, self._ends = starts[inside], ends[inside]
        #: Rates of the body, rad/s.
        self.turned = turns[inside] / (self._ends - self._starts)[:, None]
        self.count = int(inside.sum())

    def read(self, latency: float) -> np.ndarray:
        """Return the gyroscope's mean rates in the intervals, for poses that come so late (s)."""
        ends, starts = (np.column_stack([np.interp(each - latency, self._seconds, column)
                                         for column in self._integrals.T]) for each in (self._ends, self._starts))
        angle, coning = np.hsplit(ends - starts, 2)
        # Rotation vector of a body that turns about changing axes, to second order (Bortz 1971).
        turn = angle + 0.5 * (coning - np.cross(starts[:, :3], angle))
        rates: np.ndarray = turn / (self._ends - self._starts)[:, None]
        return rates

    def _score(self, latency: float, weights: np.ndarray) -> float:
        """Return how well both agree under the best rotation: the sum of singular values that Wahba's problem gives.

        Neither the rotation nor the bias has to be known for it, as for a correlation of the magnitudes only the
        rotation need not.
        """
        a, b = _centred(self.turned, weights), _centred(self.read(latency), weights)
        strengths = np.linalg.svd((a * weights[:, None]).T @ b, compute_uv=False)
        return float(strengths.sum() / math.sqrt((weights @ (a * a).sum(axis=1)) * (weights @ (b * b).sum(axis=1))
                                                 + 1e-300))

    def _latency(self, weights: np.ndarray, around: float | None) -> float:
        if around is None:
            tried = np.arange(-LARGEST_LATENCY, LARGEST_LATENCY + 0.5 * STEP, STEP)
        else:
            tried = around + STEP * np.arange(-1, 2)
        scores = [self._score(each, weights) for each in tried]
        i = min(max(int(np.argmax(scores)), 1), len(tried) - 2)
        # The top of a parabola through the three best.
        before, best, after = scores[i - 1:i + 2]
        bend = before - 2.0 * best + after
        return float(tried[i] + (0.5 * STEP * (before - after) / bend if bend < 0.0 else 0.0))

    def robust(self, weights: np.ndarray, rounds: int = 6) -> tuple[_Result, np.ndarray]:
        """Return what fits best, and how much each interval counts for it; zero weights stay zero."""
        given = weights > 0.0
        latency: float | None = None
        for _ in range(rounds):
            latency = self._latency(weights, latency)
            result, lengths = self._solve(latency, weights)
            weights = np.where(given, biweight(lengths), 0.0)
        return result, weights

    def spread(self, result: _Result, weights: np.ndarray) -> np.ndarray:
        """Return the standard errors ``(3,)`` of a rotation about the body's axes if residuals are white noise, rad."""
        turned = _centred(self.turned, weights)
        squares = (weights[:, None, None] * turned[:, :, None] * turned[:, None, :]).sum(axis=0)
        information = np.trace(squares) * np.eye(3) - squares
        spread: np.ndarray = result.residual * np.sqrt(np.diag(np.linalg.inv(information)))
        return spread

    def _solve(self, latency: float, weights: np.ndarray) -> tuple[_Result, np.ndarray]:
        read = self.read(latency)
        mean_turned, mean_read = (weights @ each / weights.sum() for each in (self.turned, read))
        a, b = self.turned - mean_turned, read - mean_read
        rotation = Rotation.align_vectors(a, b, weights)[0].as_matrix()
        bias = mean_read - rotation.T @ mean_turned
        turned_back = b @ rotation.T
        rest = a - turned_back
        motion = float(weights @ (a * a).sum(axis=1))
        ratio = float((weights @ (a * turned_back).sum(axis=1)) / (weights @ (b * b).sum(axis=1) + 1e-300))
        scaled = a - ratio * turned_back
        squares = float(weights @ (rest * rest).sum(axis=1))
        agreement = 1.0 - float(weights @ (scaled * scaled).sum(axis=1)) / (motion + 1e-300)
        result = _Result(rotation, bias, latency, math.sqrt(squares / weights.sum() / 3.0), ratio, agreement)
        return result, np.linalg.norm(scaled, axis=1)


def _centred(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    centred: np.ndarray = values - weights @ values / weights.sum()
    return centred
