# SPDX-License-Identifier: Apache-2.0
"""Frames of the wired variant, straight to the robot's UART instead of over the radio.

``size u8 | ~size u8 | payload | checksum``: the size is the whole frame's, the checksum the 8-bit sum of all before it.
"""

from __future__ import annotations

from collections import Counter

#: Size, its complement and checksum.
_OVERHEAD = 3
#: A payload begins with status and type.
_SHORTEST = _OVERHEAD + 2
_LONGEST = 255


def encode_uart(payload: bytes) -> bytes:
    """Wrap a payload of 2 to 252 bytes.

    Raises:
        ValueError: if it has another length.
    """
    size = len(payload) + _OVERHEAD
    if not _SHORTEST <= size <= _LONGEST:
        raise ValueError(f"a payload of {len(payload)} bytes does not fit the frame")
    head = bytes([size, size ^ 0xFF])
    return head + payload + bytes([(0xFF + sum(payload)) & 0xFF])


class UartDecoder:
    """Finds payloads in a stream that comes in pieces of any size, after any garbage.

    Never raises, and never holds more than the longest frame. ``dropped`` counts what was lost: ``noise`` bytes outside
    frames, and frames with a wrong ``checksum``.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.dropped: Counter[str] = Counter(noise=0, checksum=0)

    def reset(self) -> None:
        """Forget an unfinished frame."""
        self._buffer.clear()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what came and return the payloads of the frames that are complete now."""
        self._buffer += data
        return self._search(0)

    def expire(self) -> list[bytes]:
        """Give up an unfinished frame, because the line is quiet, and return what is found behind its start."""
        found: list[bytes] = []
        while self._buffer:
            self.dropped["noise"] += 1
            found += self._search(1)
        return found

    def _search(self, begin: int) -> list[bytes]:
        buffer, payloads = self._buffer, list[bytes]()
        while len(buffer) - begin >= 2:
            size = buffer[begin]
            if size < _SHORTEST or buffer[begin + 1] != size ^ 0xFF:
                self.dropped["noise"] += 1
                begin += 1
                continue
            end = begin + size
            if len(buffer) < end:
                break
            payload = bytes(buffer[begin + 2:end - 1])
            if (0xFF + sum(payload)) & 0xFF != buffer[end - 1]:
                self.dropped["checksum"] += 1
                self.dropped["noise"] += 1
                begin += 1
                continue
            payloads.append(payload)
            begin = end
        del buffer[:begin]
        return payloads
