# SPDX-License-Identifier: Apache-2.0
"""Packets between host and robot inside the frames: ``status u8 | type u8 | data``, data little-endian.

What a type means differs between firmwares, so the makers of commands take the table of a profile. The firmware reads
data without looking at its length: every command is made with exactly the size that the firmware's own struct has.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from l2a_ros.driver.units import HIGHEST, LOWEST

#: One revolution in the increments of a velocity profile; the firmware shifts them left by two.
PROFILE_REVOLUTION = 0x4000

Opcodes = Mapping[str, int]


@dataclass(frozen=True)
class Packet:
    """One packet, either way."""

    type: int
    data: bytes = b""
    status: int = 0

    def encode(self) -> bytes:
        """Return the payload of a frame."""
        return bytes([self.status, self.type]) + self.data


def decode_packet(payload: bytes) -> Packet | None:
    """Return the packet in the payload of a frame, or None if it is too short."""
    return Packet(payload[1], payload[2:], payload[0]) if len(payload) >= 2 else None


@dataclass(frozen=True)
class Gains:
    """Gains of one leg's position loop, in the firmware's integers (its arithmetic is fixed-point).

    Args:
        proportional: shifted right by 12 bits.
        integral: shifted right by 16 bits, of sixteenths of the error.
        derivative: shifted right by 4 bits.
        anti_windup: of the sum.
        feed_forward: of the velocity.
    """

    proportional: int
    integral: int
    derivative: int
    anti_windup: int = 0
    feed_forward: int = 0

    def values(self) -> tuple[int, int, int, int, int]:
        """Return the numbers in the order of the wire."""
        return self.proportional, self.integral, self.derivative, self.anti_windup, self.feed_forward


def _integers(values: Sequence[int]) -> bytes:
    if not all(LOWEST <= value <= HIGHEST for value in values):
        raise ValueError(f"{list(values)} do not fit 16 bits")
    return struct.pack(f"<{len(values)}h", *values)


def _samples(count: int) -> bytes:
    if not 0 <= count < 2**32:
        raise ValueError(f"{count} samples do not fit 32 bits")
    return struct.pack("<I", count)


def who_am_i(opcodes: Opcodes) -> Packet:
    """Ask for the version text."""
    return Packet(opcodes["who_am_i"])


def set_gains(opcodes: Opcodes, left: Gains, right: Gains) -> Packet:
    """Set the gains; the robot answers with the same bytes."""
    return Packet(opcodes["set_gains"], _integers([*left.values(), *right.values()]))


def start_motors(opcodes: Opcodes) -> Packet:
    """Switch the loops on; not acknowledged."""
    return Packet(opcodes["start_motors"])


def stop_motors(opcodes: Opcodes) -> Packet:
    """Switch the motors off; not acknowledged."""
    return Packet(opcodes["stop_motors"])


def set_velocity(opcodes: Opcodes, left: int, right: int) -> Packet:
    """Command leg velocities in counts per millisecond; the robot answers with its telemetry."""
    return Packet(opcodes["set_velocity"], _integers([left, right]))


def set_thrust(opcodes: Opcodes, left: int, right: int) -> Packet:
    """Command duties in counts, without the loops; the robot answers with its telemetry."""
    return Packet(opcodes["set_thrust"], _integers([left, right]))


def set_timeout(opcodes: Opcodes, milliseconds: int) -> Packet:
    """Let the firmware switch the motors off when no command came for so long; 0 would mean never.

    Raises:
        ValueError: if the time does not fit.
    """
    if milliseconds < 0:
        raise ValueError(f"a time-out of {milliseconds} ms is none")
    return Packet(opcodes["set_timeout"], _integers([milliseconds]))


def timed_run(opcodes: Opcodes, milliseconds: int) -> Packet:
    """Switch the loops on for so long, at most 65.535 s; not acknowledged.

    Raises:
        ValueError: if the time does not fit.
    """
    if not 0 <= milliseconds < 2**16:
        raise ValueError(f"a timed run of {milliseconds} ms does not fit 16 bits")
    return Packet(opcodes["timed_run"], struct.pack("<H", milliseconds))


def velocity_profile(opcodes: Opcodes, periods: tuple[int, int], once: bool = False) -> Packet:
    """Let both legs turn evenly, one revolution per period.

    Args:
        opcodes: of the firmware.
        periods: of a revolution of the left and right leg, ms; 0 stands.
        once: whether each leg makes one revolution and stops.

    Raises:
        ValueError: if a period does not fit.
    """
    if min(periods) < 0:
        raise ValueError(f"periods of {list(periods)} ms cannot be negative")
    values: list[int] = []
    for period in periods:
        # A leg that stands runs a profile without increments; its period only must not be zero.
        quarter = PROFILE_REVOLUTION // 4 if period else 0
        values += [period or 1000, quarter, quarter, quarter, quarter, int(once)]
    return Packet(opcodes["set_velocity_profile"], _integers(values))


def get_positions(opcodes: Opcodes) -> Packet:
    """Ask for the positions of the legs."""
    return Packet(opcodes["get_positions"])


def zero_positions(opcodes: Opcodes) -> Packet:
    """Make the present positions zero; the answer holds the previous ones."""
    return Packet(opcodes["zero_positions"])


def erase_flash(opcodes: Opcodes, samples: int) -> Packet:
    """Make room for a recording of so many samples; answered when it is done, the robot is deaf until then."""
    return Packet(opcodes["erase_flash"], _samples(samples))


def start_telemetry(opcodes: Opcodes, samples: int) -> Packet:
    """Record so many samples at 1 kHz into the flash; not acknowledged."""
    return Packet(opcodes["start_telemetry"], _samples(samples))


def read_flash(opcodes: Opcodes, samples: int) -> Packet:
    """Ask for a recording: one telemetry packet per sample."""
    return Packet(opcodes["read_flash"], _samples(samples))


def parse_positions(packet: Packet) -> tuple[int, int] | None:
    """Return the positions in an answer to ``get_positions``, counts, or None if it has another size."""
    if len(packet.data) != 8:
        return None
    left, right = struct.unpack("<2i", packet.data)
    return left, right


def parse_version(packet: Packet) -> str:
    """Return the version text in an answer to ``who_am_i``, printable characters only."""
    text = packet.data.split(b"\0")[0].decode("ascii", errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
