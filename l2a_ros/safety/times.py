# SPDX-License-Identifier: Apache-2.0
"""Times and figures of the safety layer: ns of one clock inside, s in settings and messages."""

from __future__ import annotations

import math

from l2a_ros.errors import UserError

SECOND = 1_000_000_000


def positive_duration(name: str, seconds: float) -> int:
    """Return a duration in ns.

    Raises:
        UserError: if it is not finite, or nothing.
    """
    if not (math.isfinite(seconds) and round(seconds * SECOND) > 0):
        raise UserError(f"{name} must be finite and above 0 s, not {seconds:g} s")
    return round(seconds * SECOND)


def duration_or_none(name: str, seconds: float) -> int:
    """Return a duration in ns that may be zero.

    Raises:
        UserError: if it is not finite, or negative.
    """
    if not (math.isfinite(seconds) and seconds >= 0.0):
        raise UserError(f"{name} must be finite and at least 0 s, not {seconds:g} s")
    return round(seconds * SECOND)


def figure(value: float, digits: int = 2) -> str:
    """Return a number for a message: short, whatever its size."""
    return f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.{digits}e}"


class Persistence:
    """How long something has been wrong, without a break.

    Args:
        duration: ns that it may last; from then on it counts. With 0 it counts at once.
    """

    def __init__(self, duration: int) -> None:
        self._duration = duration
        self._since: int | None = None

    def age(self, is_wrong: bool, now: int) -> float | None:
        """Return for how many s it has been wrong if that is long enough to count, else None."""
        if not is_wrong:
            self._since = None
            return None
        # After the clock was set back, the time counts from then: never less than nothing.
        self._since = now if self._since is None else min(self._since, now)
        age = now - self._since
        return age / SECOND if age >= self._duration else None
