# SPDX-License-Identifier: Apache-2.0
"""A recording as a course of events: which message when, the ticks of the control loop between them, and the time.

Messages come in the order in which they were logged, which is the order in which the nodes heard them; a tick comes
once everything that was logged until its stamp is out. Where stamps and log times are of different clocks (simulated
time, a converted recording) stamps are taken for the times of arrival.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from l2a_ros.experience.bag_reader import BagMessage
from l2a_ros.robot.continuity import BACKWARD

_SECOND = 1_000_000_000
#: A state is logged so much later than its stamp, at most; messages wait for it, ns.
LOOKAHEAD = _SECOND * 3 // 10
#: Stamps and log times that are closer are of one clock, ns.
ONE_CLOCK = _SECOND
#: So many messages tell whether they are.
PROBED = 200
#: Where nothing was recorded for so long, time is skipped, ns.
GAP = 2 * _SECOND
#: For so long the first recorded tick is waited for, ns.
FIRST_TICK = _SECOND
#: Between two messages on ``/clock``, ns.
CLOCK_STEP = _SECOND // 100


class Kind(Enum):
    """What happens."""

    MESSAGE = "a message is published"
    TICK = "the control loop ticks"
    CLOCK = "the time is published"
    AGAIN = "time jumps back: the recording begins again"


@dataclass(frozen=True)
class Event:
    """One event.

    Args:
        kind: what happens.
        time: ns, on the clock of the recording.
        name: the stack's name of the topic, of a message.
        message: what was recorded; of a tick its recorded state, None where there is none.
    """

    kind: Kind
    time: int
    name: str = ""
    message: BagMessage | None = None


@dataclass(frozen=True)
class TickPlan:
    """When the control loop ticks.

    Args:
        period: ns.
        source: topic whose stamps are ticks (recorded states, else commands); empty for a grid of periods.
        first: stamp of the first of them, ns: others are whole periods from it.
        fills: whether there are ticks where the source has gaps.
    """

    period: int
    source: str
    first: int | None = None
    fills: bool = True


class _Arrivals:
    """When messages arrived, on one clock; decided by the first of them."""

    def __init__(self, probed: list[BagMessage]) -> None:
        offsets = [abs(each.log_time - each.stamp) for each in probed if each.stamp]
        self.by_stamp = bool(offsets) and float(np.median(offsets)) > ONE_CLOCK
        self._now: int | None = None
        self._odd: int | None = None

    def of(self, message: BagMessage) -> tuple[int, bool]:
        """Return the arrival of the next message (ns), and whether time has begun again with it."""
        moment = message.stamp if self.by_stamp and message.stamp else None
        if moment is None:
            moment = self._now if self.by_stamp and self._now is not None else message.log_time
        now = self._now
        is_far = now is not None and not now - BACKWARD <= moment <= now + 10 * GAP
        if now is not None and is_far:
            # One moment that is far from the others is not believed, two in a row are.
            odd, self._odd = self._odd, moment
            if odd is None or abs(moment - odd) > ONE_CLOCK:
                return now, False
        self._odd = None
        has_begun_again = now is not None and moment < now - BACKWARD
        self._now = moment if now is None or is_far else max(now, moment)
        return moment, has_begun_again


def ordered(messages: Iterable[BagMessage], names: dict[str, str], tick_source: str) -> Iterator[Event]:
    """Yield messages by their time of arrival, and those of the source of ticks as ticks at their stamps."""
    stream = iter(messages)
    probed = list(itertools.islice(stream, PROBED))
    arrivals = _Arrivals(probed)
    waiting: list[tuple[int, int, int, Event]] = []
    newest = 0
    for count, message in enumerate(itertools.chain(probed, stream)):
        name = names.get(message.topic)
        if name is None:
            continue
        arrival, again = arrivals.of(message)
        if again:
            while waiting:
                yield heapq.heappop(waiting)[-1]
            yield Event(Kind.AGAIN, arrival)
            newest = 0
        newest = max(newest, arrival)
        is_tick = name == tick_source and bool(message.stamp)
        time = message.stamp if is_tick and message.stamp else arrival
        # At one moment samples come first, then the tick.
        heapq.heappush(waiting, (time, int(is_tick), count,
                                 Event(Kind.TICK if is_tick else Kind.MESSAGE, time, name, message)))
        while waiting and waiting[0][0] <= newest - LOOKAHEAD:
            yield heapq.heappop(waiting)[-1]
    while waiting:
        yield heapq.heappop(waiting)[-1]


class _Ticker:
    """Puts ticks where the recording has none: the control loop never stops."""

    def __init__(self, plan: TickPlan) -> None:
        self._plan = plan
        self._last: int | None = None
        self._begin: int | None = None

    def takes(self, stamp: int) -> bool:
        """Tell whether a recorded tick is new, and note it."""
        if self._last is not None and stamp <= self._last:
            return False
        self._last = stamp
        return True

    def until(self, moment: int) -> Iterator[int]:
        """Yield the ticks that are due before something happens at a moment, ns."""
        period, plan = self._plan.period, self._plan
        if not plan.fills:
            return
        if self._begin is None:
            self._begin = moment
        if self._last is None:
            if moment <= self._begin + (FIRST_TICK if plan.source else period):
                return
            self._last = self._on_grid(moment - period)
        # Live ticks have jitter, and one that comes late is still to come.
        patience = period * 3 // 2 if plan.source else period
        while moment > self._last + patience:
            if moment > self._last + GAP:
                self._last = self._on_grid(moment - period)
                continue
            self._last += period
            yield self._last

    def _on_grid(self, moment: int) -> int:
        origin = self._begin if self._plan.first is None else self._plan.first
        assert origin is not None
        return origin + (moment - origin) // self._plan.period * self._plan.period


def with_ticks(events: Iterable[Event], plan: TickPlan) -> Iterator[Event]:
    """Yield events with ticks in the gaps, and recorded ticks each once."""
    ticker = _Ticker(plan)
    for event in events:
        if event.kind is Kind.AGAIN:
            ticker = _Ticker(TickPlan(plan.period, plan.source, None, plan.fills))
            yield event
            continue
        for stamp in ticker.until(event.time):
            yield Event(Kind.TICK, stamp)
        if event.kind is not Kind.TICK or ticker.takes(event.time):
            yield event


def part(events: Iterable[Event], start: float, duration: float, kept: str = "") -> Iterator[Event]:
    """Yield the events of a part of a recording.

    Args:
        events: of the whole.
        start: s after its beginning.
        duration: s; 0 for until the end.
        kept: topic whose newest message from before is yielded at the beginning.
    """
    elapsed, last = 0, None
    begin, end = round(start * _SECOND), round((start + duration) * _SECOND) if duration else None
    held: Event | None = None
    for event in events:
        if last is not None and event.kind is not Kind.AGAIN and event.time > last:
            elapsed += event.time - last
        last = event.time
        if elapsed < begin:
            if event.name == kept and kept:
                held = event
            continue
        if end is not None and elapsed > end:
            return
        if held is not None:
            yield Event(Kind.MESSAGE, event.time, held.name, held.message)
            held = None
        yield event


def with_clock(events: Iterable[Event], step: int = CLOCK_STEP) -> Iterator[Event]:
    """Yield events with the time between them, every ``step`` ns."""
    last: int | None = None
    for event in events:
        if event.kind is Kind.AGAIN:
            last = None
        if last is None or event.time > last + GAP:
            last = event.time
            yield Event(Kind.CLOCK, last)
        while event.time >= last + step:
            last += step
            yield Event(Kind.CLOCK, last)
        yield event
