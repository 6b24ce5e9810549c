# SPDX-License-Identifier: Apache-2.0
"""When the events of a recording are due on the monotonic clock: at any rate, paused, or step by step."""

from __future__ import annotations

_SECOND = 1_000_000_000
#: Who is later than this does not catch up: time goes on from there, s.
LONGEST_LAG = 0.2
#: A longer time without an event is skipped, s of the recording.
LONGEST_REST = 2.0


class Pacer:
    """Translates moments of a recording into moments of the monotonic clock.

    Args:
        rate: recorded seconds per second; 0 for as fast as possible.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._anchor: tuple[float, int] | None = None
        self._last: int | None = None
        self.paused = False
        #: Control periods that go on although it is paused.
        self.steps = 0
        #: Time by which the nodes were too slow for the rate, s.
        self.lost = 0.0

    @property
    def rate(self) -> float:
        """Recorded seconds per second; 0 for as fast as possible."""
        return self._rate

    @rate.setter
    def rate(self, value: float) -> None:
        self._rate, self._anchor = value, None

    def pause(self, paused: bool) -> None:
        """Stop, or go on from the same moment."""
        self.paused, self.steps, self._anchor = paused, 0, None

    def step(self) -> bool:
        """Go on for one control period; False if it is not paused."""
        self.steps += self.paused
        return self.paused

    def stepped(self) -> None:
        """Note that a control period is over."""
        self.steps = max(0, self.steps - 1)

    def due(self, moment: int, now: float) -> float | None:
        """Return when the next event is due, s on the monotonic clock; None for not before it is told to go on.

        Args:
            moment: of the event, ns of the recording. Earlier ones than before begin anew.
            now: s on the monotonic clock.
        """
        if self.paused:
            return now if self.steps else None
        last, self._last = self._last, moment
        if not self._rate:
            return now
        if last is not None and not last <= moment <= last + LONGEST_REST * _SECOND:
            self._anchor = None
        if self._anchor is None:
            self._anchor = now, moment
        due = self._anchor[0] + (moment - self._anchor[1]) / _SECOND / self._rate
        if now - due > LONGEST_LAG:
            self.lost += now - due
            self._anchor = now, moment
            return now
        return due
