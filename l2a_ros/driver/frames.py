# SPDX-License-Identifier: Apache-2.0
"""Frames between host and base station: XBee API mode 1, without escaping.

``7E | length u16 | body | checksum``, big-endian; body and checksum add up to 0xFF. A 0x7E may stand inside data, so a
frame is only known by its checksum: after a false start the search goes on one byte later and nothing good is lost.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass

DELIMITER = 0x7E
TX16, RX16, AT_COMMAND, AT_RESPONSE, TX_STATUS = 0x01, 0x81, 0x08, 0x88, 0x89
#: Longest body that a radio sends: 125 bytes of the medium-access layer behind the header of RX16.
LONGEST_BODY = 130


@dataclass(frozen=True)
class Tx16:
    """Host to radio: a payload for the robot with this address. A ``frame_id`` other than 0 asks for a status."""

    frame_id: int
    destination: int
    options: int
    payload: bytes


@dataclass(frozen=True)
class Rx16:
    """Radio to host: a payload from this address, with the strength of its signal (-dBm)."""

    source: int
    rssi: int
    options: int
    payload: bytes


@dataclass(frozen=True)
class AtCommand:
    """Host to radio: set (or ask for, without a value) the setting with this two-letter name."""

    frame_id: int
    command: str
    value: bytes


@dataclass(frozen=True)
class AtResponse:
    """Radio to host: the answer to a setting; status 0 is success."""

    frame_id: int
    command: str
    status: int
    value: bytes


@dataclass(frozen=True)
class TxStatus:
    """Radio to host: what became of a payload; status 0 is success. The lab's own base station never sends it."""

    frame_id: int
    status: int


@dataclass(frozen=True)
class OtherFrame:
    """A good frame of another kind, or too short for its kind."""

    api_id: int
    body: bytes


Frame = Tx16 | Rx16 | AtCommand | AtResponse | TxStatus | OtherFrame


def encode(body: bytes) -> bytes:
    """Wrap a body of 1 to 65535 bytes."""
    return struct.pack(">BH", DELIMITER, len(body)) + body + bytes([0xFF - (sum(body) & 0xFF)])


def encode_tx16(destination: int, payload: bytes, frame_id: int = 0, options: int = 0) -> bytes:
    """Return the frame that sends a payload to a robot."""
    return encode(struct.pack(">BBHB", TX16, frame_id, destination, options) + payload)


def encode_rx16(source: int, rssi: int, payload: bytes, options: int = 0) -> bytes:
    """Return the frame that brings a payload from a robot."""
    return encode(struct.pack(">BHBB", RX16, source, rssi, options) + payload)


def encode_at(frame_id: int, command: str, value: bytes = b"") -> bytes:
    """Return the frame that sets or asks for a setting of the radio at this end."""
    return encode(bytes([AT_COMMAND, frame_id]) + command.encode("ascii") + value)


def encode_at_response(frame_id: int, command: str, status: int, value: bytes = b"") -> bytes:
    """Return the frame that answers a setting."""
    return encode(bytes([AT_RESPONSE, frame_id]) + command.encode("ascii") + bytes([status]) + value)


def encode_tx_status(frame_id: int, status: int) -> bytes:
    """Return the frame that says what became of a payload."""
    return encode(bytes([TX_STATUS, frame_id, status]))


def decode_body(body: bytes) -> Frame:
    """Return what the body of a good frame says; never raises."""
    api_id = body[0]
    if api_id == TX16 and len(body) >= 5:
        frame_id, destination, options = struct.unpack_from(">BHB", body, 1)
        return Tx16(frame_id, destination, options, body[5:])
    if api_id == RX16 and len(body) >= 5:
        source, rssi, options = struct.unpack_from(">HBB", body, 1)
        return Rx16(source, rssi, options, body[5:])
    if api_id == AT_COMMAND and len(body) >= 4:
        return AtCommand(body[1], body[2:4].decode("latin-1"), body[4:])
    if api_id == AT_RESPONSE and len(body) >= 5:
        return AtResponse(body[1], body[2:4].decode("latin-1"), body[4], body[5:])
    if api_id == TX_STATUS and len(body) == 3:
        return TxStatus(body[1], body[2])
    return OtherFrame(api_id, body)


class FrameDecoder:
    """Finds frames in a stream that comes in pieces of any size, after any garbage.

    Never raises, and never holds more than the longest frame. ``dropped`` counts what was lost: ``noise`` bytes outside
    frames, frames with a ``length`` out of range, and with a wrong ``checksum``.

    Args:
        longest: longest body of a frame; what claims to be longer was no frame.
    """

    def __init__(self, longest: int = LONGEST_BODY) -> None:
        self._longest = longest
        self._buffer = bytearray()
        self.dropped: Counter[str] = Counter(noise=0, length=0, checksum=0)

    def reset(self) -> None:
        """Forget an unfinished frame: what comes now is of another connection."""
        self._buffer.clear()

    def feed(self, data: bytes) -> list[Frame]:
        """Take what came and return the frames that are complete now."""
        self._buffer += data
        return self._search(0)

    def expire(self) -> list[Frame]:
        """Give up an unfinished frame, because the line is quiet, and return what is found behind its start.

        A false start that claims a long frame would else hold back the good one behind it until more comes.
        """
        found: list[Frame] = []
        while self._buffer:
            self.dropped["noise"] += 1
            found += self._search(1)
        return found

    def _search(self, begin: int) -> list[Frame]:
        buffer, frames = self._buffer, list[Frame]()
        while True:
            found = buffer.find(DELIMITER, begin)
            if found < 0:
                self.dropped["noise"] += len(buffer) - begin
                begin = len(buffer)
                break
            self.dropped["noise"] += found - begin
            begin = found
            if len(buffer) - begin < 3:
                break
            length = buffer[begin + 1] << 8 | buffer[begin + 2]
            if not 1 <= length <= self._longest:
                self._skip_start("length")
                begin += 1
                continue
            end = begin + 3 + length
            if len(buffer) <= end:
                break
            body = bytes(buffer[begin + 3:end])
            if (sum(body) + buffer[end]) & 0xFF != 0xFF:
                self._skip_start("checksum")
                begin += 1
                continue
            frames.append(decode_body(body))
            begin = end + 1
        del buffer[:begin]
        return frames

    def _skip_start(self, reason: str) -> None:
        self.dropped[reason] += 1
        self.dropped["noise"] += 1
