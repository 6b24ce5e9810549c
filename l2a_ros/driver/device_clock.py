# SPDX-License-Identifier: Apache-2.0
"""When the robot measured, on the host's clock: the firmware's time stamps, and the fastest answers of late."""

from __future__ import annotations

from collections import deque

from l2a_ros.driver.telemetry import TIME_WRAP

_WRAP = TIME_WRAP * 1000
#: How much one answer may lower the offset, ns, and how fast the oscillator may draw it down besides, as a share.
LARGEST_STEP, LARGEST_DRIFT = 5_000_000, 1e-3


class DeviceClock:
    """Maps the firmware's time to the host's.

    An answer never arrives before it was sent, and now and then one is not kept waiting: of late, the smallest
    difference between arrival and firmware time is the clocks' offset plus the time on the wire. So stamps do not
    jitter with the arrival. The window follows the drift of the firmware's oscillator.

    Args:
        latency: from the measurement to the arrival of an answer that is not kept waiting, ns.
        window: how far "of late" reaches back, ns.
    """

    def __init__(self, latency: int, window: int = 5_000_000_000) -> None:
        self._latency, self._window = latency, window
        self._last_stamp = 0
        self.reset()

    def reset(self) -> None:
        """Begin again: the firmware's time did."""
        self._smallest: deque[tuple[int, int]] = deque()  # (arrival, offset), offsets increasing
        self._last: tuple[int, int] | None = None  # (arrival, firmware's time without wraps), ns

    def stamp(self, time_us: int, arrival: int) -> int:
        """Return when an answer was measured, ns on the clock of ``arrival``: later than all before, not in the future.

        Args:
            time_us: of the firmware's clock when it measured.
            arrival: of the answer, ns.
        """
        device = time_us * 1000
        if self._last is not None:
            # As often as the host's time says: a silence may be longer than a wrap, and a time may step back a little.
            device += round((self._last[1] + arrival - self._last[0] - device) / _WRAP) * _WRAP
        offset = arrival - device
        if self._smallest and self._last is not None:
            # One record with a wrong time that nothing else gave away must not shift the stamps of all that follow.
            drift = round(LARGEST_DRIFT * (arrival - self._last[0]))
            offset = max(offset, self._smallest[0][1] - LARGEST_STEP - drift)
        self._last = (arrival, device)
        while self._smallest and self._smallest[-1][1] >= offset:
            self._smallest.pop()
        self._smallest.append((arrival, offset))
        while self._smallest[0][0] < arrival - self._window:
            self._smallest.popleft()
        # When the window moves on, the offset may jump by some microseconds: stamps still increase.
        measured = min(arrival, device + self._smallest[0][1]) - self._latency
        self._last_stamp = max(self._last_stamp + 1, measured)
        return self._last_stamp
