# SPDX-License-Identifier: Apache-2.0
"""One direction of a serial line: ten bits a byte, one byte after another."""

from __future__ import annotations

from collections import deque

_SECOND = 1_000_000_000
#: Most bytes that wait; as many as a terminal of the kernel holds.
CAPACITY = 4096


class Line:
    """Bytes go in at one moment and come out when their last bit has.

    Args:
        baud: bit/s.
    """

    def __init__(self, baud: int) -> None:
        self._byte_time = 10.0 * _SECOND / baud
        #: Pieces: when their first byte begins, and the bytes.
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._busy_until = 0.0
        self.waiting = 0

    def put(self, data: bytes, now: int) -> bytes:
        """Take bytes at a moment (ns); return those that found no room."""
        taken = data[:CAPACITY - self.waiting]
        if taken:
            begin = max(float(now), self._busy_until)
            self._busy_until = begin + len(taken) * self._byte_time
            self._pieces.append((begin, taken))
            self.waiting += len(taken)
        return data[len(taken):]

    def take(self, now: int) -> bytes:
        """Return the bytes that have come out by a moment, ns."""
        out = bytearray()
        while self._pieces:
            begin, data = self._pieces[0]
            # A half of a nanosecond for what floating point leaves of whole bytes.
            count = min(len(data), int((now + 0.5 - begin) / self._byte_time))
            if count <= 0:
                break
            out += data[:count]
            if count < len(data):
                self._pieces[0] = begin + count * self._byte_time, data[count:]
                break
            self._pieces.popleft()
        self.waiting -= len(out)
        return bytes(out)

    @property
    def empty_at(self) -> int | None:
        """When the last byte will be out, ns; None with nothing on it."""
        return int(self._busy_until) + 1 if self._pieces else None

    def clear(self) -> None:
        """Forget what is on it."""
        self._pieces.clear()
        self.waiting, self._busy_until = 0, 0.0
