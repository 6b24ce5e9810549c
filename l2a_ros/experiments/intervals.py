# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals of what few trials say: of a mean, of a share, of a difference seed by seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

#: Share of such intervals that hold the true value.
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and between what it may lie.

    Args:
        mean: of the values counted; NaN if there are none.
        low: lower end; ``-inf`` where the values do not bound it (fewer than two of them).
        high: upper end, ``+inf`` likewise.
        count: values that it was computed from.
        omitted: values that were left out because they are missing or not finite. They are never silently nothing: what
            shows an interval shows this number, and a claim about a method that has some does not hold.
    """

    mean: float
    low: float
    high: float
    count: int
    omitted: int = 0

    @property
    def is_bounded(self) -> bool:
        """Whether there were values enough to bound it."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def is_below(self, other: Interval) -> bool:
        """Tell whether it ends before the other begins; never so when one of them is unbounded there."""
        return self.high < other.low


def mean_interval(values: Iterable[float | None], level: float = LEVEL) -> Interval:
    """Return the mean with Student's t interval, ``mean ± t((1 + level) / 2, n - 1) · s / √n``.

    That is the standard one for a mean of few values of unknown spread. It is exact for normal values and close to its
    level for the moderately skewed costs of trials; bootstrap intervals of ten values are too narrow, so there is none.

    Args:
        values: one per trial; None, NaN and infinite ones are left out and counted in ``omitted``.
        level: in ``(0, 1)``.
    """
    given = list(values)
    finite = np.array([value for value in given if value is not None and math.isfinite(value)], dtype=np.float64)
    count, omitted = len(finite), len(given) - len(finite)
    if not count:
        return Interval(math.nan, -math.inf, math.inf, 0, omitted)
    # The mean of equal values may be off by a rounding error, and then lie outside of them.
    mean = float(np.clip(finite.mean(), finite.min(), finite.max()))
    if count == 1:
        return Interval(mean, -math.inf, math.inf, 1, omitted)
    half = t_quantile(0.5 + level / 2.0, count - 1) * float(finite.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count, omitted)


def proportion_interval(successes: int, n: int, level: float = LEVEL) -> Interval:
    """Return the share of successes with Wilson's score interval (Wilson 1927), which stays within 0 and 1.

    Raises:
        ValueError: if there are more successes than tries, or fewer than none.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no share")
    if not n:
        return Interval(math.nan, 0.0, 1.0, 0)
    z = float(special.ndtri(0.5 + level / 2.0))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and 1 the ends are those exactly, but for rounding.
    low = 0.0 if not successes else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(share, low, high, n)


def paired_interval(a: Mapping[int, float | None], b: Mapping[int, float | None], level: float = LEVEL) -> Interval:
    """Return the mean difference ``a - b``, seed by seed, with Student's t interval of the differences.

    The same seed is the same world: what it does to both goes out of the difference, so that this interval is narrower
    than the two of the means say.

    Args:
        a: value by seed.
        b: the same of the other. Seeds that only one of them has, or has no finite value of, count as omitted.
    """
    differences: list[float | None] = []
    for seed in sorted(a.keys() | b.keys()):
        one, other = a.get(seed), b.get(seed)
        differences.append(None if one is None or other is None else one - other)
    return mean_interval(differences, level)


def t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution with so many degrees of freedom."""
    return float(special.stdtrit(freedom, probability))
