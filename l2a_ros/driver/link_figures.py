# SPDX-License-Identifier: Apache-2.0
"""What the link achieves: rates, round-trip time, losses."""

from __future__ import annotations

from collections import Counter, deque

_SECOND = 1_000_000_000
#: Rates and shares are those of so long, ns.
WINDOW = 2 * _SECOND
#: A step of the firmware's index beyond this is no count of lost answers.
_LARGEST_GAP = 1000


class LinkFigures:
    """Counts polls and answers. Times are ns."""

    def __init__(self) -> None:
        self.bytes_received = 0
        self.polls = 0
        self.answers = 0
        #: Answers that the robot sent and that did not arrive, by gaps of its index.
        self.answers_lost = 0
        self.restarts = 0
        self.connections = 0
        #: Good frames that were not for this driver, by reason.
        self.ignored: Counter[str] = Counter()
        #: Strength of the newest answer's signal, -dBm.
        self.rssi: int | None = None
        self._polls: deque[int] = deque()
        self._answers: deque[int] = deque()
        self._round_trips: deque[float] = deque(maxlen=100)
        self._unanswered: deque[int] = deque(maxlen=8)
        self._last_index: int | None = None

    def polled(self, now: int) -> None:
        """Count a poll."""
        self.polls += 1
        self._unanswered.append(now)
        _push(self._polls, now)

    def answered(self, index: int | None, now: int) -> None:
        """Count an answer; the index is the robot's own count, if it has one."""
        self.answers += 1
        _push(self._answers, now)
        if index is not None:
            gap = (index - self._last_index - 1) % 2**32 if self._last_index is not None else 0
            self.answers_lost += gap if gap < _LARGEST_GAP else 0
            self._last_index = index
        if self._unanswered:
            # The newest poll is the one that was answered: older ones whose answer is missing were lost.
            self._round_trips.append((now - self._unanswered.pop()) / _SECOND)
            self._unanswered.clear()

    def values(self, now: int) -> dict[str, object]:
        """Return the figures of the last two seconds, and the counts since the start, by name with unit."""
        for moments in (self._polls, self._answers):
            _trim(moments, now)
        trips = sorted(self._round_trips)
        return {
            "poll rate (Hz)": len(self._polls) * _SECOND / WINDOW,
            "telemetry rate (Hz)": len(self._answers) * _SECOND / WINDOW,
            "unanswered (share)": 1.0 - min(1.0, len(self._answers) / len(self._polls)) if self._polls else 0.0,
            "round trip p50 (s)": trips[len(trips) // 2] if trips else float("nan"),
            "round trip max (s)": trips[-1] if trips else float("nan"),
            "polls": self.polls, "answers": self.answers, "answers lost": self.answers_lost,
            "connections": self.connections, "restarts of the robot": self.restarts,
            "signal (-dBm)": self.rssi if self.rssi is not None else "unknown",
            **{f"frames {reason}": count for reason, count in self.ignored.items()}}


def _push(moments: deque[int], now: int) -> None:
    moments.append(now)
    _trim(moments, now)


def _trim(moments: deque[int], now: int) -> None:
    while moments and moments[0] <= now - WINDOW:
        moments.popleft()
