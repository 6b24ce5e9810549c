# SPDX-License-Identifier: Apache-2.0
"""Percentiles of the newest measurements."""

from __future__ import annotations

from collections import deque

import numpy as np


class Statistics:
    """Median, 99th percentile and maximum of the newest measurements.

    Args:
        capacity: how many are kept.
    """

    def __init__(self, capacity: int = 1000) -> None:
        self._values: deque[float] = deque(maxlen=capacity)

    def add(self, value: float) -> None:
        """Take one measurement."""
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._values)

    def summary(self) -> dict[str, float]:
        """Return p50, p99 and max; NaN when empty."""
        if not self._values:
            return dict.fromkeys(("p50", "p99", "max"), float("nan"))
        p50, p99 = np.percentile(self._values, [50, 99])
        return {"p50": float(p50), "p99": float(p99), "max": float(max(self._values))}
