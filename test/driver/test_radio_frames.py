# SPDX-License-Identifier: Apache-2.0
"""Frames: the published examples byte for byte, any way of cutting the stream, any garbage around them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.driver.frames import (
    LONGEST_BODY,
    AtCommand,
    AtResponse,
    Frame,
    FrameDecoder,
    OtherFrame,
    Rx16,
    Tx16,
    TxStatus,
    encode,
    encode_at,
    encode_at_response,
    encode_rx16,
    encode_tx16,
    encode_tx_status,
)
from l2a_ros.driver.packets import Packet, set_velocity, stop_motors, who_am_i
from l2a_ros.driver.profiles import PROFILES
from l2a_ros.driver.telemetry import TelemetryRecord, unpack_record
from l2a_ros.driver.uart_frames import UartDecoder, encode_uart

GBAC, MASTER = PROFILES["velociroach_gbac"], PROFILES["velociroach_master"]
RECORD = TelemetryRecord(7, 123456, (65536, 65000), (65536, 65536), (1200, 1300), (10, -20, 300), (100, -50, 4000),
                         (12, -34), 880)
GOLDEN = {
    "velocity": (encode_tx16(0x0001, set_velocity(GBAC.opcodes, 393, 393).encode()),
                 "7e 00 0b 01 00 00 01 00 00 96 89 01 89 01 53"),
    "stop": (encode_tx16(0x2052, stop_motors(MASTER.opcodes).encode()), "7e 00 07 01 00 20 52 00 00 92 fa"),
    "who": (encode_tx16(0x2052, Packet(MASTER.opcodes["who_am_i"], b"Robot Echo").encode()),
            "7e 00 11 01 00 20 52 00 00 8e 52 6f 62 6f 74 20 45 63 68 6f 59"),
    "telemetry": (encode_rx16(0x0001, 0x28, Packet(0x20, RECORD.pack()).encode()),
                  "7e 00 35 81 00 01 28 00 00 20 07 00 00 00 40 e2 01 00 00 00 01 00 e8 fd 00 00 00 00 01 00 00 00 01 "
                  "00 b0 04 14 05 0a 00 ec ff 2c 01 64 00 ce ff a0 0f 0c 00 de ff 70 03 f8"),
    "wired": (encode_uart(who_am_i(GBAC.opcodes).encode()), "05 fa 00 8e 8d"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_published_frames(name: str) -> None:
    made, published = GOLDEN[name]
    assert made == bytes.fromhex(published)


def test_published_telemetry_is_read() -> None:
    [frame] = FrameDecoder().feed(bytes.fromhex(GOLDEN["telemetry"][1]))
    assert isinstance(frame, Rx16)
    assert (frame.source, frame.rssi, frame.options) == (1, 0x28, 0)
    assert frame.payload[:2] == b"\x00\x20"
    assert unpack_record(frame.payload[2:]) == RECORD


BYTE, WORD = st.integers(0, 255), st.integers(0, 65535)
PAYLOAD = st.binary(max_size=100)
LETTERS = st.text(st.characters(min_codepoint=65, max_codepoint=90), min_size=2, max_size=2)
FRAMES = st.one_of(
    st.builds(Tx16, BYTE, WORD, BYTE, PAYLOAD), st.builds(Rx16, WORD, BYTE, BYTE, PAYLOAD),
    st.builds(AtCommand, BYTE, LETTERS, st.binary(max_size=4)),
    st.builds(AtResponse, BYTE, LETTERS, BYTE, st.binary(max_size=4)), st.builds(TxStatus, BYTE, BYTE))


def encoded(frame: Frame) -> bytes:
    match frame:
        case Tx16():
            return encode_tx16(frame.destination, frame.payload, frame.frame_id, frame.options)
        case Rx16():
            return encode_rx16(frame.source, frame.rssi, frame.payload, frame.options)
        case AtCommand():
            return encode_at(frame.frame_id, frame.command, frame.value)
        case AtResponse():
            return encode_at_response(frame.frame_id, frame.command, frame.status, frame.value)
        case TxStatus():
            return encode_tx_status(frame.frame_id, frame.status)
        case _:
            return encode(frame.body)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(places)]


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(0, 10_000), max_size=20))
def test_every_frame_survives_any_cut(frames: list[Frame], cuts: list[int]) -> None:
    decoder, found = FrameDecoder(), list[Frame]()
    for piece in pieces(b"".join(map(encoded, frames)), cuts):
        found += decoder.feed(piece)
    assert found == frames
    assert not any(decoder.dropped.values())


@given(st.binary(max_size=400), st.lists(st.integers(0, 10_000), max_size=10))
def test_arbitrary_bytes(data: bytes, cuts: list[int]) -> None:
    """Nothing raises, nothing is kept for ever, and the pieces do not matter."""
    whole, cut = FrameDecoder(), FrameDecoder()
    expected, found = whole.feed(data), list[Frame]()
    for piece in pieces(data, cuts):
        found += cut.feed(piece)
        assert len(cut._buffer) <= LONGEST_BODY + 4
    assert found == expected
    assert cut.dropped == whole.dropped
    rest = cut.expire()
    assert not cut._buffer
    assert sum(len(encoded(frame)) for frame in [*found, *rest] if not isinstance(frame, OtherFrame)) <= len(data)


@given(FRAMES, st.binary(max_size=200).filter(lambda noise: 0x7E not in noise), FRAMES)
def test_noise_between_frames_costs_no_frame(first: Frame, noise: bytes, second: Frame) -> None:
    decoder = FrameDecoder()
    assert decoder.feed(encoded(first) + noise + encoded(second)) == [first, second]
    assert decoder.dropped["noise"] == len(noise)


@given(st.binary(max_size=200), FRAMES)
def test_a_frame_after_any_garbage_is_found_once_the_line_is_quiet(garbage: bytes, frame: Frame) -> None:
    """Unless the garbage itself holds a frame that swallows its beginning, which a checksum cannot tell."""
    decoder = FrameDecoder()
    found = decoder.feed(garbage + encoded(frame)) + decoder.expire()
    swallowed = [each for each in FrameDecoder().feed(garbage + encoded(frame)) if each != frame]
    assert frame in found or swallowed


@given(FRAMES, st.data())
def test_a_damaged_byte_is_noticed(frame: Frame, data: st.DataObject) -> None:
    """Any one byte of body or checksum: what comes out is never a frame with other content of the same length."""
    good = bytearray(encoded(frame))
    place = data.draw(st.integers(3, len(good) - 1))
    good[place] ^= data.draw(st.integers(1, 255))
    decoder = FrameDecoder()
    found = decoder.feed(bytes(good)) + decoder.expire()
    assert all(len(encoded(each)) < len(good) for each in found if not isinstance(each, OtherFrame))
    assert decoder.dropped["checksum"] + decoder.dropped["length"] + decoder.dropped["noise"] > 0


def test_reset_forgets_what_came_before() -> None:
    decoder, frame = FrameDecoder(), GOLDEN["stop"][0]
    decoder.feed(frame[:6])
    decoder.reset()
    assert decoder.feed(frame) == [Tx16(0, 0x2052, 0, b"\x00\x92")]


def test_a_false_start_does_not_hold_back_what_follows_for_ever() -> None:
    decoder, frame = FrameDecoder(), GOLDEN["stop"][0]
    assert decoder.feed(b"\x7e\x00\x60" + frame) == []
    assert decoder.expire() == [Tx16(0, 0x2052, 0, b"\x00\x92")]


UART_PAYLOADS = st.binary(min_size=2, max_size=252)


@given(st.lists(UART_PAYLOADS, max_size=4), st.lists(st.integers(0, 10_000), max_size=20))
def test_every_wired_frame_survives_any_cut(payloads: list[bytes], cuts: list[int]) -> None:
    decoder, found = UartDecoder(), list[bytes]()
    for piece in pieces(b"".join(map(encode_uart, payloads)), cuts):
        found += decoder.feed(piece)
    assert found == payloads
    assert not any(decoder.dropped.values())


@given(st.binary(max_size=600), st.lists(st.integers(0, 10_000), max_size=10))
def test_arbitrary_bytes_on_the_wire(data: bytes, cuts: list[int]) -> None:
    whole, cut = UartDecoder(), UartDecoder()
    expected, found = whole.feed(data), list[bytes]()
    for piece in pieces(data, cuts):
        found += cut.feed(piece)
        assert len(cut._buffer) < 256
    assert found == expected
    assert cut.dropped == whole.dropped
    cut.expire()
    assert not cut._buffer


@pytest.mark.parametrize("size", [0, 1, 253])
def test_a_payload_that_does_not_fit_the_wired_frame(size: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode_uart(bytes(size))
