# SPDX-License-Identifier: Apache-2.0
"""Absolute deadlines: a late period shortens the next one, a missed one is skipped and counted."""

from __future__ import annotations

import math


class Deadlines:
    """Deadlines at whole multiples of a period from a start.

    Args:
        period: s.
        start: the first deadline, s on any monotonic clock.
    """

    def __init__(self, period: float, start: float) -> None:
        if not (math.isfinite(period) and period > 0.0):
            raise ValueError(f"the period must be a positive number of seconds, not {period}")
        self.period = period
        self._start = start
        self._count = 0
        self.overruns = 0

    @property
    def next(self) -> float:
        """The next deadline, s."""
        return self._start + self._count * self.period

    def is_due(self, now: float) -> bool:
        """Tell whether the next deadline has come."""
        return now >= self.next

    def advance(self, now: float) -> int:
        """Move on to the first deadline after ``now``; return how many whole periods were missed (and counted)."""
        due = math.floor((now - self._start) / self.period)
        missed = max(0, due - self._count)
        self._count = max(self._count, due) + 1
        self.overruns += missed
        return missed
