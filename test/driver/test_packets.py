# SPDX-License-Identifier: Apache-2.0
"""Packets: exactly the bytes that the firmware's own structs have, as it never looks at a length."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.driver import packets
from l2a_ros.driver.packets import Gains, Packet
from l2a_ros.driver.profiles import PROFILES

OPCODES = PROFILES["velociroach_gbac"].opcodes
LEFT, RIGHT = Gains(1800, 200, 100, 7, 8), Gains(1, -2, 3, -4, 5)
#: What is made, and its type and data by the published tables.
COMMANDS = {
    "who_am_i": (packets.who_am_i(OPCODES), "8e"),
    "start_motors": (packets.start_motors(OPCODES), "81"),
    "stop_motors": (packets.stop_motors(OPCODES), "92"),
    "get_positions": (packets.get_positions(OPCODES), "84"),
    "zero_positions": (packets.zero_positions(OPCODES), "90"),
    "set_gains": (packets.set_gains(OPCODES, LEFT, RIGHT),
                  "82 0807 c800 6400 0700 0800 0100 feff 0300 fcff 0500"),
    "set_velocity": (packets.set_velocity(OPCODES, 393, -1), "96 8901 ffff"),
    "set_thrust": (packets.set_thrust(OPCODES, 3800, -3800), "95 d80e 28f1"),
    "set_timeout": (packets.set_timeout(OPCODES, 200), "85 c800"),
    "timed_run": (packets.timed_run(OPCODES, 65535), "91 ffff"),
    "erase_flash": (packets.erase_flash(OPCODES, 0x01020304), "8a 04030201"),
    "start_telemetry": (packets.start_telemetry(OPCODES, 1000), "8f e8030000"),
    "read_flash": (packets.read_flash(PROFILES["velociroach_master"].opcodes, 2**32 - 1), "8b ffffffff"),
    "velocity_profile": (packets.velocity_profile(OPCODES, (200, 0), once=True),
                         "8d c800 0010 0010 0010 0010 0100 e803 0000 0000 0000 0000 0100"),
}
#: Bytes of the data by the published structs: ints have 16 bits, longs 32.
SIZES = {"who_am_i": 0, "start_motors": 0, "stop_motors": 0, "get_positions": 0, "zero_positions": 0, "set_gains": 20,
         "set_velocity": 4, "set_thrust": 4, "set_timeout": 2, "timed_run": 2, "erase_flash": 4, "start_telemetry": 4,
         "read_flash": 4, "velocity_profile": 24}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(name: str) -> None:
    made, expected = COMMANDS[name]
    assert made.encode() == b"\0" + bytes.fromhex(expected)
    assert len(made.data) == SIZES[name]


def test_a_leg_that_stands_has_a_period_but_no_way() -> None:
    data = struct.unpack("<12h", packets.velocity_profile(OPCODES, (0, 500)).data)
    assert data[0] > 0 and data[1:6] == (0,) * 5
    assert data[6] == 500 and sum(data[7:11]) == 0x4000 and data[11] == 0


@pytest.mark.parametrize("make", [
    lambda: packets.set_velocity(OPCODES, 2**15, 0), lambda: packets.set_velocity(OPCODES, 0, -2**15 - 1),
    lambda: packets.set_thrust(OPCODES, 40000, 0), lambda: packets.set_timeout(OPCODES, 2**15),
    lambda: packets.set_timeout(OPCODES, -1), lambda: packets.timed_run(OPCODES, 2**16),
    lambda: packets.timed_run(OPCODES, -1), lambda: packets.velocity_profile(OPCODES, (2**15, 0)),
    lambda: packets.velocity_profile(OPCODES, (-5, 10)), lambda: packets.set_gains(OPCODES, Gains(2**15, 0, 0), LEFT),
    lambda: packets.erase_flash(OPCODES, -1), lambda: packets.start_telemetry(OPCODES, 2**32),
    lambda: packets.read_flash(OPCODES, -1)])
def test_what_does_not_fit_is_not_sent(make: Callable[[], Packet]) -> None:
    with pytest.raises(ValueError):
        make()


def test_a_command_that_a_firmware_does_not_know_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        packets.set_velocity(PROFILES["velociroach_master"].opcodes, 1, 1)
    with pytest.raises(KeyError):
        packets.set_timeout(PROFILES["velociroach_master"].opcodes, 1)


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=100))
def test_a_packet_comes_back(status: int, kind: int, data: bytes) -> None:
    packet = Packet(kind, data, status)
    assert packet.encode() == bytes([status, kind]) + data
    assert packets.decode_packet(packet.encode()) == packet


@pytest.mark.parametrize("payload", [b"", b"\x00"])
def test_too_short_for_a_packet(payload: bytes) -> None:
    assert packets.decode_packet(payload) is None


@given(st.integers(-2**31, 2**31 - 1), st.integers(-2**31, 2**31 - 1))
def test_positions(left: int, right: int) -> None:
    data = left.to_bytes(4, "little", signed=True) + right.to_bytes(4, "little", signed=True)
    assert packets.parse_positions(Packet(0x84, data)) == (left, right)


@given(st.binary(max_size=20).filter(lambda data: len(data) != 8))
def test_positions_of_another_size(data: bytes) -> None:
    assert packets.parse_positions(Packet(0x84, data)) is None


@pytest.mark.parametrize(("data", "text"), [
    (b"Robot Echo", "Robot Echo"), (b"roach 1.2\0junk\xff", "roach 1.2"), (b"", ""), (b"a\nb\x1b[31m", "a?b?[31m")])
def test_version(data: bytes, text: str) -> None:
    assert packets.parse_version(Packet(0x8E, data)) == text


@given(st.binary(max_size=127))
def test_any_version_is_one_printable_line(data: bytes) -> None:
    text = packets.parse_version(Packet(0x8E, data))
    assert text.isprintable() and len(text) <= 127
