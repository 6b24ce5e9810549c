# SPDX-License-Identifier: Apache-2.0
"""What an 8-bit checksum lets through: one corrupted record of 256. Ranges and continuity catch most of those."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from l2a_ros.driver.telemetry import TIME_WRAP, TelemetryRecord
from l2a_ros.driver.units import COUNTS_PER_REVOLUTION, FULL_DUTY

#: Counts of a battery that can still run the robot, and of one that is more than full: 2.2 V and 4.53 V.
LOWEST_BATTERY, HIGHEST_BATTERY = 498, 1023
#: Range of the 10-bit converter behind the back-EMF.
LARGEST_BACK_EMF = 1023
#: No leg turns faster, rev/s: free legs were measured at 30.
FASTEST_LEG = 45.0
#: What noise and a missed moment add to a leg's way, revolutions.
_SLACK = 0.1
#: How much the firmware's time may go wrong against the host's between two records, s and as a share: an answer waits
#: in buffers on its way, and an oscillator may be some per cent off.
TIME_SLACK, TIME_SHARE = 0.25, 0.05
_INDEX_WRAP = 2**32
#: Longest step of the index between two records, whatever it counts.
_LONGEST_STEP = 1_000_000
#: A robot that restarts is silent for a second: what sounds old before so long is old, ns.
_SHORTEST_RESTART = 500_000_000


class Verdict(StrEnum):
    """What a record is worth."""

    GOOD = "good"
    #: Said before, or overtaken on its way.
    REPEATED = "repeated"
    IMPLAUSIBLE = "implausible"
    #: The second record in a row that does not follow the last good one, but follows the first: the robot began again.
    RESTARTED = "restarted"


@dataclass(frozen=True)
class _Heard:
    record: TelemetryRecord
    moment: int


def out_of_range(record: TelemetryRecord) -> str:
    """Return what in a record cannot be, empty if all can."""
    if any(abs(duty) > FULL_DUTY for duty in record.duty):
        return f"duty {record.duty}"
    if any(abs(volts) > LARGEST_BACK_EMF for volts in record.back_emf):
        return f"back-EMF {record.back_emf}"
    if not LOWEST_BATTERY <= record.battery <= HIGHEST_BATTERY:
        return f"battery {record.battery}"
    if record.time_us > TIME_WRAP:
        return f"time {record.time_us}"
    return ""


def elapsed_us(first: TelemetryRecord, second: TelemetryRecord) -> int:
    """Return the firmware's time from one record to a later one, microseconds; its clock wraps."""
    return (second.time_us - first.time_us) % TIME_WRAP


def way(before: int, after: int) -> int:
    """Return how far a leg turned between two positions, counts; the firmware's positions wrap at 32 bits."""
    return (after - before + 2**31) % 2**32 - 2**31


class Plausibility:
    """Judges records one after another. ``reasons`` counts why records were not taken."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self._last: _Heard | None = None
        self._before: _Heard | None = None  # the good one before the last
        self._doubtful: _Heard | None = None

    def forget(self) -> None:
        """Begin again: the next record that is in range is good."""
        self._last = self._before = self._doubtful = None

    def judge(self, record: TelemetryRecord, now: int) -> Verdict:
        """Judge a record that arrived at a moment (ns, monotonic)."""
        heard = _Heard(record, now)
        if out_of_range(record):
            self.reasons["out of range"] += 1
            return Verdict.IMPLAUSIBLE
        if self._last is None:
            return self._take(heard, Verdict.GOOD)
        last = self._last.record
        if (record.index, record.time_us) == (last.index, last.time_us):
            self.reasons["repeated"] += 1
            return Verdict.REPEATED
        problem = _break(self._last, heard)
        if not problem:
            return self._take(heard, Verdict.GOOD)
        if self._doubtful is not None and not _break(self._doubtful, heard):
            if self._before is None or _break(self._before, self._doubtful):
                return self._take(heard, Verdict.RESTARTED)
            # Both follow the good one before the last: that was wrong, by too little to be seen.
            return self._take(heard, Verdict.GOOD)
        if _is_older(last, record):
            self.reasons["overtaken"] += 1
            # Later it may as well be the first word of a robot that began again.
            if now - self._last.moment >= _SHORTEST_RESTART:
                self._doubtful = heard
            return Verdict.REPEATED
        self._doubtful = heard
        self.reasons[problem] += 1
        return Verdict.IMPLAUSIBLE

    def _take(self, heard: _Heard, verdict: Verdict) -> Verdict:
        self._before = self._last if verdict is Verdict.GOOD else None
        self._last, self._doubtful = heard, None
        return verdict


def _is_older(last: TelemetryRecord, record: TelemetryRecord) -> bool:
    """Tell whether a record was sent shortly before the last one."""
    return 0 < (last.index - record.index) % _INDEX_WRAP < 100 and 0 < elapsed_us(record, last) < 5_000_000


def _break(first: _Heard, second: _Heard) -> str:
    """Return why one record cannot follow another, empty if it can."""
    if not 0 < (second.record.index - first.record.index) % _INDEX_WRAP <= _LONGEST_STEP:
        return "index"
    device, host = elapsed_us(first.record, second.record) / 1e6, (second.moment - first.moment) / 1e9
    # Over a long silence the firmware's clock may have wrapped more than once: then its time says nothing.
    if host >= TIME_WRAP / 2e6:
        device = max(device, host)
    elif device == 0.0 or abs(device - host) > TIME_SLACK + TIME_SHARE * host:
        return "time"
    longest = COUNTS_PER_REVOLUTION * (FASTEST_LEG * device + _SLACK)
    if any(abs(way(before, after)) > longest for before, after in
           zip(first.record.position, second.record.position, strict=True)):
        return "position"
    return ""
