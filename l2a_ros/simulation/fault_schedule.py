# SPDX-License-Identifier: Apache-2.0
"""Which faults act when, and their replacement while the robot runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from l2a_ros.simulation.faults import Fault


@dataclass(frozen=True)
class _Entry:
    """A fault and the milliseconds from which on and until which it acts."""

    fault: Fault
    begin: int
    end: float


def _entry(fault: Fault, origin: int) -> _Entry:
    # The first whole millisecond at or after the onset.
    begin = origin + math.ceil(fault.onset * 1000.0 - 1e-6)
    return _Entry(fault, begin, begin + fault.duration * 1000.0)


class FaultSchedule:
    """The faults of one robot in its own time: whole milliseconds since its start. A fault acts from its onset on.

    Args:
        faults: what breaks and when.
    """

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._entries = [_entry(fault, 0) for fault in faults]
        self.restart()

    def restart(self) -> None:
        """Begin again: nothing acts yet, and every onset counts from zero."""
        self._entries = [_entry(each.fault, 0) for each in self._entries]
        self._next = 0.0
        #: The faults that act now, in the order in which they were written; a new tuple whenever it changes.
        self.active: tuple[Fault, ...] = ()

    def replace(self, faults: Sequence[Fault], now: int) -> None:
        """Take another list: those kept go on, the onset of those added counts from now, those removed are over."""
        kept, entries = list(self._entries), []
        for fault in faults:
            same = next((each for each in kept if each.fault == fault), None)
            if same is not None:
                kept.remove(same)
            entries.append(same or _entry(fault, now))
        self._entries, self._next = entries, 0.0

    def advance(self, now: int) -> bool:
        """Go on to a moment; return whether what acts has changed."""
        if now < self._next:
            return False
        changes = [moment for each in self._entries for moment in (each.begin, each.end) if moment > now]
        self._next = min(changes, default=math.inf)
        active = tuple(each.fault for each in self._entries if each.begin <= now < each.end)
        if active == self.active:
            return False
        self.active = active
        return True

    @property
    def waiting(self) -> tuple[Fault, ...]:
        """The faults that are still to strike or are over by themselves."""
        return tuple(each.fault for each in self._entries if each.fault not in self.active)

    def values(self, name: str, part: str = "") -> list[tuple[float, ...]]:
        """Return the numbers of the faults of one kind (and part) that act now."""
        return [fault.values for fault in self.active if fault.name == name and fault.part == part]
