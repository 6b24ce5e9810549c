# SPDX-License-Identifier: Apache-2.0
"""How long it takes from a state until the command that answers it takes effect."""

from __future__ import annotations

#: Weight of the newest measurement in the running mean.
_GAIN = 0.2


class CommandDelay:
    """A running mean of the measured latency, and what comes after it.

    Args:
        expected: latency to begin with, s.
        longest: a single latency counts as no more than this, s: one slow plan is not the rule.
        actuation: from sending a command to its effect on the legs, s.
    """

    def __init__(self, expected: float, longest: float, actuation: float) -> None:
        self._latency, self._longest, self._actuation = expected, longest, actuation

    @property
    def seconds(self) -> float:
        """From the stamp of a state to the effect of its command, s."""
        return self._latency + self._actuation

    @property
    def nanoseconds(self) -> int:
        """The same in ns."""
        return round(self.seconds * 1e9)

    def measured(self, latency: float) -> None:
        """Take the time from the stamp of a state until its command was sent, s."""
        self._latency += _GAIN * (min(max(latency, 0.0), self._longest) - self._latency)
