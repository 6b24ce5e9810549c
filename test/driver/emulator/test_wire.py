# SPDX-License-Identifier: Apache-2.0
"""The emulated wire: golden frames, byte times, the base station, and what each fault does to what passes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.driver.emulator.line import CAPACITY, Line
from l2a_ros.driver.emulator.wire import CHANNEL, NETWORK, RSSI, Wire
from l2a_ros.driver.frames import (
    AtResponse,
    FrameDecoder,
    Rx16,
    TxStatus,
    encode_at,
    encode_rx16,
    encode_tx16,
)
from l2a_ros.driver.profiles import find_profile
from l2a_ros.driver.uart_frames import UartDecoder, encode_uart
from l2a_ros.simulation.fault_schedule import FaultSchedule
from l2a_ros.simulation.faults import parse_faults

GBAC, UART = find_profile("velociroach_gbac"), find_profile("velociroach_gbac_uart")
SECOND, MILLISECOND = 1_000_000_000, 1_000_000
#: Published worked frames.
SET_VELOCITY = bytes.fromhex("7e000b0100000100009689018901 53")
RECORD = bytes.fromhex("0020 07000000 40e20100 00000100 e8fd0000 00000100 00000100 b004 1405 0a00 ecff 2c01 6400 ceff "
                       "a00f 0c00 deff 7003")
RECORD_FRAME = bytes.fromhex("7e0035810001 2800") + RECORD + bytes.fromhex("f8")


def make(*faults: str, profile: str = "velociroach_gbac", baud: int = 57600, seed: int = 0) -> Wire:
    schedule = FaultSchedule(parse_faults(faults))
    schedule.advance(0)
    return Wire(find_profile(profile), baud, schedule, seed)


def commands(wire: Wire, frames: list[bytes], gap: int = 10 * MILLISECOND) -> list[bytes]:
    """Send frames with pauses and return the payloads that reach the robot."""
    heard, now = [], 0
    for frame in frames:
        wire.receive(frame, now)
        now += gap
        heard += wire.commands(now)
    return heard + wire.commands(now + 10 * SECOND)


def replies(wire: Wire, payloads: list[bytes], gap: int = 20 * MILLISECOND) -> list[bytes]:
    """Let the robot send payloads with pauses and return those that the host gets out of the bytes."""
    decoder, heard, now = FrameDecoder(), [], 0
    for payload in payloads:
        wire.answer(payload, now)
        now += gap
        heard += decoder.feed(wire.output(now))
    heard += decoder.feed(wire.output(now + 10 * SECOND))
    return [frame.payload for frame in heard if isinstance(frame, Rx16)]


PAYLOADS = [struct.pack("<BBI", 0, 0x96, i) for i in range(400)]
FRAMES = [encode_tx16(GBAC.robot_address, payload) for payload in PAYLOADS]


# Bytes and their times -----------------------------------------------------------------------------------------------


def test_golden_frames() -> None:
    wire = make()
    wire.receive(SET_VELOCITY, 0)
    assert wire.commands(SECOND) == [bytes.fromhex("0096 8901 8901")]
    wire.answer(RECORD, SECOND)
    assert wire.output(2 * SECOND) == RECORD_FRAME
    wired = make(profile="velociroach_gbac_uart")
    wired.receive(bytes.fromhex("05fa008e8d"), 0)
    assert wired.commands(SECOND) == [bytes.fromhex("008e")]
    wired.answer(b"\0\x8eHi", SECOND)
    assert wired.output(2 * SECOND) == encode_uart(b"\0\x8eHi")


def test_a_byte_takes_ten_bits() -> None:
    wire = make()
    wire.receive(SET_VELOCITY, 0)
    in_time = 15 * 10 * SECOND // 57600
    assert wire.next_command() == pytest.approx(in_time, abs=2)
    assert wire.commands(in_time - 1000) == []
    assert len(wire.commands(in_time + 1)) == 1
    wire.answer(RECORD, 5 * MILLISECOND)
    wire.output(5 * MILLISECOND)
    out_time = 5 * MILLISECOND + 57 * 10 * SECOND // 57600
    assert wire.next_output() == pytest.approx(out_time, abs=2)
    early = wire.output(out_time - 100_000)
    assert 0 < len(early) < 57
    assert early + wire.output(out_time + 1) == RECORD_FRAME
    assert wire.next_output() is None and wire.next_command() is None


def test_one_frame_waits_for_the_other() -> None:
    wire = make()
    for _ in range(3):
        wire.answer(RECORD, 0)
    whole = 3 * 57 * 10 * SECOND // 57600
    assert len(wire.output(whole - 20_000)) == 3 * 57 - 1
    assert len(wire.output(whole + 1)) == 1


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 20 * MILLISECOND), st.binary(max_size=40)), max_size=20),
       st.integers(1200, 1_000_000))
def test_a_line_loses_and_mixes_nothing(pieces: list[tuple[int, bytes]], baud: int) -> None:
    line, now, sent, out = Line(baud), 0, b"", b""
    for pause, data in pieces:
        now += pause
        sent += data
        assert line.put(data, now) == b""
        out += line.take(now)
        assert sent.startswith(out)
        assert len(sent) - len(out) == line.waiting
    if line.empty_at is not None:
        out += line.take(line.empty_at)
    assert out == sent
    assert line.waiting == 0


def test_a_line_holds_as_much_as_a_terminal() -> None:
    line = Line(57600)
    assert line.put(bytes(CAPACITY), 0) == b""
    assert line.put(b"abc", 0) == b"abc"
    assert len(line.take(SECOND * 100)) == CAPACITY


# The base station ----------------------------------------------------------------------------------------------------


def _said(wire: Wire) -> list[object]:
    return list(FrameDecoder().feed(wire.output(10 * SECOND)))


def test_what_is_on_the_line_is_lost_when_it_is_pulled() -> None:
    wire = make()
    wire.receive(SET_VELOCITY + SET_VELOCITY, 0)
    wire.answer(RECORD, 0)
    assert len(wire.commands(3 * MILLISECOND)) == 1
    assert len(wire.output(3 * MILLISECOND)) == 17
    wire.disconnect()
    assert wire.commands(SECOND) == []
    assert wire.output(SECOND) == b""
    assert commands(wire, [SET_VELOCITY]) != [], "nothing of the old frame is left"


def test_bytes_of_one_piece_come_one_by_one() -> None:
    line = Line(10_000)
    line.put(bytes(range(20)), 0)
    for i in range(20):
        assert line.take((i + 1) * MILLISECOND - 10) == b""
        assert line.take((i + 1) * MILLISECOND) == bytes([i])


def test_another_robots_packets_are_not_heard() -> None:
    wire = make()
    wire.receive(encode_tx16(0x2052, b"\0\x92") + encode_tx16(0x2052, b"\0\x92", frame_id=7), 0)
    assert wire.commands(SECOND) == []
    assert wire.counters["other_address"] == 2
    assert _said(wire) == [TxStatus(7, 1)]


def test_status_of_a_payload_is_sent_if_it_is_asked_for() -> None:
    wire = make()
    wire.receive(encode_tx16(1, b"\0\x92") + encode_tx16(1, b"\0\x92", frame_id=9), 0)
    assert wire.commands(SECOND) == [b"\0\x92"] * 2
    assert _said(wire) == [TxStatus(9, 0)]
    deaf = make("wire_drop:1")
    deaf.receive(encode_tx16(1, b"\0\x92", frame_id=9), 0)
    assert deaf.commands(SECOND) == []
    assert _said(deaf) == [TxStatus(9, 1)]


def test_settings_are_answered_and_matter() -> None:
    wire = make()
    wire.receive(b"".join([encode_at(1, "CH"), encode_at(2, "ID"), encode_at(3, "MY"), encode_at(4, "XX"),
                           encode_at(5, "CH", b"\x0e\x00"), encode_at(6, "CH", b"\x0e"), encode_at(7, "CH"),
                           encode_at(0, "CH")]), 0)
    wire.commands(SECOND)
    assert _said(wire) == [
        AtResponse(1, "CH", 0, bytes([CHANNEL])), AtResponse(2, "ID", 0, NETWORK.to_bytes(2, "big")),
        AtResponse(3, "MY", 0, GBAC.base_address.to_bytes(2, "big")), AtResponse(4, "XX", 2, b""),
        AtResponse(5, "CH", 3, b""), AtResponse(6, "CH", 0, b""), AtResponse(7, "CH", 0, b"\x0e")]
    assert commands(wire, [SET_VELOCITY]) == [], "the robot is on another channel"
    assert commands(wire, [encode_at(0, "CH", bytes([CHANNEL])), SET_VELOCITY]) != []
    assert commands(wire, [encode_at(0, "ID", b"\x30\x00"), SET_VELOCITY]) == [], "and in another network"


def test_it_finds_frames_after_garbage() -> None:
    wire = make()
    wire.receive(b"\x00\x7e\xff\xff" + SET_VELOCITY[:-1] + b"\x00" + SET_VELOCITY, 0)
    assert len(wire.commands(SECOND)) == 1
    assert wire.frames_bad >= 1


def test_signal_strength_and_address_of_answers() -> None:
    wire = make()
    wire.answer(b"\0\x8e", 0)
    assert _said(wire) == [Rx16(GBAC.robot_address, RSSI, 0, b"\0\x8e")]
    assert encode_rx16(1, RSSI, b"\0\x8e")


# Faults --------------------------------------------------------------------------------------------------------------


def test_without_faults_all_arrives() -> None:
    wire = make()
    assert commands(wire, FRAMES) == PAYLOADS
    assert replies(wire, PAYLOADS) == PAYLOADS
    assert not any(wire.faults.values())


@pytest.mark.parametrize("fault", ["wire_drop:0.3", "packet_loss:0.3"])
def test_dropped(fault: str) -> None:
    wire = make(fault)
    for heard in (commands(wire, FRAMES), replies(wire, PAYLOADS)):
        assert 0.2 < 1.0 - len(heard) / len(PAYLOADS) < 0.4
        assert [each for each in PAYLOADS if each in set(heard)] == heard, "whole, and in order"
    ways = make("wire_drop:0.5")
    assert commands(ways, FRAMES) != replies(ways, PAYLOADS), "each way on its own"
    assert wire.faults["dropped"] == 2 * len(PAYLOADS) - len(set(commands(make(fault), FRAMES))) - len(heard)


def test_duplicated() -> None:
    wire = make("wire_duplicate:0.3")
    for heard in (commands(wire, FRAMES), replies(wire, PAYLOADS)):
        assert list(dict.fromkeys(heard)) == PAYLOADS
        assert 0.2 < len(heard) / len(PAYLOADS) - 1.0 < 0.4


def test_corrupted_bytes_are_caught_or_counted() -> None:
    wire = make("wire_corrupt:0.01")
    heard = commands(wire, FRAMES)
    assert 0.02 < 1.0 - len(heard) / len(PAYLOADS) < 0.5
    assert sum(payload not in PAYLOADS for payload in heard) < 0.05 * len(heard), "an 8-bit sum misses one in 256"
    assert wire.frames_bad > 0
    struck = wire.faults["corrupted"]
    assert struck == pytest.approx(0.01 * sum(map(len, FRAMES)), rel=0.4)
    replies(wire, PAYLOADS)
    assert wire.faults["corrupted"] > struck, "the other way too"
    ruined = make("wire_corrupt:1")
    ruined.answer(RECORD, 0)
    assert all(one != two for one, two in zip(ruined.output(SECOND), RECORD_FRAME, strict=True)), "never the same"


def test_reordered_bytes() -> None:
    wire = make("wire_reorder:0.05")
    wire.answer(RECORD, 0)
    mixed = wire.output(SECOND)
    assert mixed != RECORD_FRAME
    assert sorted(mixed) == sorted(RECORD_FRAME)
    assert len(commands(wire, FRAMES)) < 0.9 * len(FRAMES)


def test_delayed() -> None:
    wire = make("wire_delay:0.05")
    wire.receive(SET_VELOCITY, 0)
    in_time = 15 * 10 * SECOND // 57600 + 1
    assert wire.commands(in_time) == []
    assert wire.next_command() == in_time + 50 * MILLISECOND
    assert len(wire.commands(in_time + 50 * MILLISECOND)) == 1
    wire.answer(RECORD, 0)
    assert wire.next_output() == 50 * MILLISECOND
    assert wire.output(49 * MILLISECOND) == b""
    assert wire.output(50 * MILLISECOND + 57 * 10 * SECOND // 57600 + 1) == RECORD_FRAME


def test_silence_passes_by_itself() -> None:
    schedule = FaultSchedule(parse_faults(["silence:0.5@1.0"]))
    schedule.advance(0)
    wire = Wire(GBAC, 57600, schedule, 0)
    for moment, is_heard in ((0, True), (1000, False), (1499, False), (1500, True)):
        schedule.advance(moment)
        assert bool(commands(wire, FRAMES[:1])) is is_heard
        assert bool(replies(wire, PAYLOADS[:1])) is is_heard
    assert wire.faults["silenced"] == 4


@pytest.mark.parametrize("fault", ["wire_drop:0.5", "wire_corrupt:0.1", "wire_delay:0.1", "wire_duplicate:0.5",
                                   "wire_reorder:0.2"])
def test_it_heals_and_the_seed_decides(fault: str) -> None:
    schedule = FaultSchedule(parse_faults([fault]))
    schedule.advance(0)
    wire = Wire(GBAC, 57600, schedule, 4)
    first = commands(wire, FRAMES[:100])
    assert commands(make(fault, seed=4), FRAMES[:100]) == first
    if fault != "wire_delay:0.1":
        assert commands(make(fault, seed=5), FRAMES[:100]) != first
    schedule.replace([], 10)
    schedule.advance(10)
    wire.disconnect()
    assert commands(wire, FRAMES[:100]) == PAYLOADS[:100]


# Anything ------------------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=60) | st.sampled_from(FRAMES) | st.just(encode_uart(b"\0\x96")), max_size=20),
       st.sampled_from([GBAC.name, UART.name]),
       st.sampled_from(["wire_corrupt:0", "wire_corrupt:0.1", "wire_reorder:0.1"]))
def test_any_bytes_are_taken_and_counted(pieces: list[bytes], profile: str, fault: str) -> None:
    wire, now = make(fault, profile=profile), 0
    for piece in pieces:
        wire.receive(piece, now)
        now += 20 * MILLISECOND
        for payload in wire.commands(now):
            wire.answer(payload, now)
        wire.output(now)
    assert wire.counters["bytes_in"] == sum(map(len, pieces))
    dropped = wire.dropped
    assert all(count >= 0 for count in dropped.values())
    if profile == UART.name and fault == "wire_corrupt:0":
        answers = UartDecoder().feed(wire.output(now + SECOND))
        assert len(answers) <= wire.counters["frames_in"]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=30)), max_size=10))
def test_every_good_frame_between_garbage_is_heard(parts: list[tuple[bytes, bytes]]) -> None:
    """Garbage without a start of a frame in it: one that claims a long frame may swallow what follows, as on the robot.
    """
    stream = b"".join(noise.replace(b"\x7e", b"\x7d") + encode_tx16(GBAC.robot_address, payload)
                      for noise, payload in parts)
    wire = make()
    wire.receive(stream, 0)
    assert wire.commands(10 * SECOND) == [payload for _, payload in parts]
