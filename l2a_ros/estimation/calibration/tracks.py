# SPDX-License-Identifier: Apache-2.0
"""Samples of a sensor as arrays, without those that say nothing; and which parts of a recording are still."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.robot.samples import ImuSample, PoseSample

_SECOND = 1e9
#: Largest difference of a quaternion's length from 1.
UNIT_TOLERANCE = 0.01
#: Standard deviation by the distance between the quartiles, for a normal distribution.
_QUARTILES = 1.349
#: Parts that are left out in turn for the spread of a result. A hand does the same for longer than any noise lasts:
#: few long parts.
PARTS = 8


@dataclass(frozen=True)
class Outcome:
    """What every part of the calibration says.

    Args:
        problem: why the recording will not do, and what to do about it; empty if it will.
    """

    problem: str = field(default="", kw_only=True)

    @property
    def is_good(self) -> bool:
        """Whether the result may be used."""
        return not self.problem


@dataclass(frozen=True)
class PoseTrack:
    """Poses in the order of their stamps: seconds ``(n,)``, positions ``(n, 3)`` m, attitudes (n rotations)."""

    seconds: np.ndarray
    positions: np.ndarray
    attitudes: Rotation

    def __len__(self) -> int:
        return len(self.seconds)

    def part(self, chosen: slice | np.ndarray) -> PoseTrack:
        """Return some of the poses."""
        return PoseTrack(self.seconds[chosen], self.positions[chosen], self.attitudes[chosen])


@dataclass(frozen=True)
class ImuTrack:
    """Readings in the order of their stamps: seconds ``(n,)``, rates ``(n, 3)`` rad/s, forces ``(n, 3)`` m/s^2."""

    seconds: np.ndarray
    rates: np.ndarray
    forces: np.ndarray

    def __len__(self) -> int:
        return len(self.seconds)


def pose_track(samples: Sequence[PoseSample], origin: int = 0) -> PoseTrack:
    """Return poses with seconds since ``origin`` (ns); those that are none, or were there before, are left out.

    Drivers send zeros, or the last pose again, when they do not see the body.
    """
    stamps = np.array([each.stamp for each in samples], dtype=np.int64)
    rows = np.array([[*each.position, *each.quaternion] for each in samples], dtype=np.float64).reshape(-1, 7)
    stamps, rows = _in_order(stamps, rows)
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(rows[:, 3:], axis=1)
        good = np.isfinite(rows).all(axis=1) & (np.abs(lengths - 1.0) < UNIT_TOLERANCE)
    stamps, rows = stamps[good], rows[good]
    if len(rows):
        fresh = np.concatenate([[True], (np.diff(rows, axis=0) != 0.0).any(axis=1)])
        stamps, rows = stamps[fresh], rows[fresh]
    return PoseTrack((stamps - origin) / _SECOND, rows[:, :3], Rotation.from_quat(rows[:, 3:]))


def imu_track(samples: Sequence[ImuSample], origin: int = 0) -> ImuTrack:
    """Return readings with seconds since ``origin`` (ns); those that are not finite, or came twice, are left out."""
    stamps = np.array([each.stamp for each in samples], dtype=np.int64)
    rows = np.array([[*each.angular_velocity, *each.specific_force] for each in samples],
                    dtype=np.float64).reshape(-1, 6)
    stamps, rows = _in_order(stamps, rows)
    good = np.isfinite(rows).all(axis=1)
    return ImuTrack((stamps[good] - origin) / _SECOND, rows[good, :3], rows[good, 3:])


def _in_order(stamps: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    stamps, first = np.unique(stamps, return_index=True)
    return stamps, rows[first]


def blocks(seconds: np.ndarray, length: float, least: int = 8) -> list[slice]:
    """Cut a recording into pieces of ``length`` seconds, or more where it takes that for ``least`` samples."""
    found: list[slice] = []
    start = 0
    for i in range(len(seconds)):
        if i + 1 - start >= least and seconds[i] - seconds[start] >= length:
            found.append(slice(start, i + 1))
            start = i + 1
    return found


@dataclass(frozen=True)
class Stillness:
    """How much values change within blocks of a recording and from block to block.

    Quartiles and medians: one reading that the wire has damaged moves neither, a hand on the robot both.

    Args:
        spreads: standard deviation by the quartiles, by block and value ``(b, k)``.
        middles: medians ``(b, k)``.
    """

    spreads: np.ndarray
    middles: np.ndarray

    @staticmethod
    def of(values: np.ndarray, parts: Sequence[slice]) -> Stillness:
        """Measure values ``(n, k)``."""
        quartiles = np.array([np.percentile(values[each], [25.0, 50.0, 75.0], axis=0) for each in parts])
        quartiles = quartiles.reshape(-1, 3, values.shape[1])
        return Stillness((quartiles[:, 2] - quartiles[:, 0]) / _QUARTILES, quartiles[:, 1])

    def worst_spread(self) -> tuple[int, int]:
        """Return block and value with the largest spread."""
        block, value = np.unravel_index(int(np.argmax(self.spreads)), self.spreads.shape)
        return int(block), int(value)

    def widest(self) -> tuple[int, float]:
        """Return the value whose medians differ most between blocks, and by how much."""
        ways = np.ptp(self.middles, axis=0)
        return int(np.argmax(ways)), float(ways.max())


def turns(attitudes: Rotation) -> np.ndarray:
    """Return attitudes as rotation vectors from their mean, about axes of ``map``, ``(n, 3)`` rad."""
    vectors: np.ndarray = (attitudes * attitudes.mean().inv()).as_rotvec()
    return vectors


def left_out_spread(estimate: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
    """Return the standard error of a result by leaving out one part of the samples after the other (jackknife).

    It sees what the residuals of one fit do not: noise that lasts, and motions that contradict each other.

    Args:
        estimate: from which samples to use ``(count,)``, bool, to a result ``(k,)``.
        count: of samples.
    """
    part = np.arange(count) * PARTS // count
    results = np.array([estimate(part != i) for i in range(PARTS)])
    spread: np.ndarray = np.sqrt((PARTS - 1) / PARTS * ((results - results.mean(axis=0)) ** 2).sum(axis=0))
    return spread


def biweight(residuals: np.ndarray) -> np.ndarray:
    """Return Tukey's weights of residuals' lengths ``(n,)``: nothing for what is far beyond the others."""
    middle = float(np.median(residuals))
    if middle <= 0.0:
        return np.ones(len(residuals))
    weights: np.ndarray = np.clip(1.0 - (residuals / (4.0 * middle)) ** 2, 0.0, None) ** 2
    return weights
