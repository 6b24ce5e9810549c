# SPDX-License-Identifier: Apache-2.0
"""The telemetry record: every field at its published place."""

from __future__ import annotations

import struct
from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.driver.telemetry import RECORD_SIZE, TIME_WRAP, TelemetryRecord, unpack_record

RECORD = TelemetryRecord(0x01020304, 0x11121314, (1, -2), (3, -4), (5, -6), (7, -8, 9), (-10, 11, -12), (13, -14), 880)
#: Name, offset and format of every part (C struct without padding, little-endian).
LAYOUT = [("index", 0, "I"), ("time_us", 4, "I"), ("position", 8, "2i"), ("commanded_position", 16, "2i"),
          ("duty", 24, "2h"), ("gyro", 28, "3h"), ("acceleration", 34, "3h"), ("back_emf", 40, "2h"),
          ("battery", 44, "h")]


def test_size() -> None:
    assert RECORD_SIZE == len(RECORD.pack()) == 46


@pytest.mark.parametrize(("name", "offset", "form"), LAYOUT)
def test_layout(name: str, offset: int, form: str) -> None:
    found = struct.unpack_from("<" + form, RECORD.pack(), offset)
    value = getattr(RECORD, name)
    assert found == (value if isinstance(value, tuple) else (value,))


@given(st.binary(min_size=46, max_size=46))
def test_any_46_bytes_are_a_record_and_come_back(data: bytes) -> None:
    record = unpack_record(data)
    assert record is not None
    assert record.pack() == data
    assert all(isinstance(part, int | tuple) for part in astuple(record))


@given(st.binary(max_size=120).filter(lambda data: len(data) != 46))
def test_another_size_is_none(data: bytes) -> None:
    assert unpack_record(data) is None


@pytest.mark.parametrize("change", [
    {"index": -1}, {"time_us": 2**32}, {"position": (2**31, 0)}, {"duty": (0, 2**15)}, {"battery": 40000}])
def test_what_does_not_fit_is_not_packed(change: dict[str, object]) -> None:
    with pytest.raises(struct.error):
        replace(RECORD, **change).pack()  # type: ignore[arg-type]


def test_the_clock_wraps_after_2_to_the_32_ticks_of_a_fifth_microsecond() -> None:
    assert TIME_WRAP == 858_993_459
