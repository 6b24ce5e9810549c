# SPDX-License-Identifier: Apache-2.0
"""When the robot measured, on the host's clock: the firmware's time stamps, and the fastest answers of late."""

from __future__ import annotations

from collections import deque

from l2a_ros.driver.telemetry import TIME_WRAP

_WRAP = TIME_WRAP * 1000
#: How much one answer may lower the offset, ns.
LARGEST_STEP = 5_000_000


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
        self.reset()

    def reset(self) -> None:
        """Begin again: the firmware's time did."""
        self._smallest: deque[tuple[int, int]] = deque()  # (arrival, offset), offsets increasing
        self._last_us: int | None = None
        self._turns = 0
        self._last_stamp = 0

    def stamp(self, time_us: int, arrival: int) -> int:
        """Return when an answer was measured, ns on the clock of ``arrival``, later than all before.

        Args:
            time_us: of the firmware's clock when it measured.
            arrival: of the answer, ns.
        """
        if self._last_us is not None and time_us < self._last_us:
            self._turns += 1
        self._last_us = time_us
        device = time_us * 1000 + self._turns * _WRAP
        offset = arrival - device
        if self._smallest:
            # One record with a wrong time that nothing else gave away must not shift the stamps of all that follow.
            offset = max(offset, self._smallest[0][1] - LARGEST_STEP)
        while self._smallest and self._smallest[-1][1] >= offset:
            self._smallest.pop()
        self._smallest.append((arrival, offset))
        while self._smallest[0][0] < arrival - self._window:
            self._smallest.popleft()
        # When the window moves on, the offset may jump by some microseconds: stamps still increase.
        self._last_stamp = max(self._last_stamp + 1, device + self._smallest[0][1] - self._latency)
        return self._last_stamp
