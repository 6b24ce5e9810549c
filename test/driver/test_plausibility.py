# SPDX-License-Identifier: Apache-2.0
"""What an 8-bit checksum lets through is found, and nothing that a robot can say is taken for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.driver.plausibility import Plausibility, Verdict, elapsed_us, out_of_range, way
from l2a_ros.driver.telemetry import TelemetryRecord, unpack_record

SECOND, MS = 1_000_000_000, 1_000_000
#: 2^32 ticks of a fifth of a microsecond.
WRAP = 858_993_459
#: Six revolutions per second, 20 ms long.
STEP = round(65536 * 6 * 0.02)
GOOD, REPEATED, IMPLAUSIBLE, RESTARTED = Verdict.GOOD, Verdict.REPEATED, Verdict.IMPLAUSIBLE, Verdict.RESTARTED


def record(number: int, first_index: int = 1000, first_us: int = 5_000_000, **change: Any) -> TelemetryRecord:
    """Return what a robot that walks says number x 20 ms after it began."""
    leg = number * STEP
    plain = TelemetryRecord(
        (first_index + number) % 2**32, (first_us + number * 20_000) % WRAP, (leg, leg), (leg, leg), (1500, -1500),
        (10, -20, 300), (100, -50, 4096), (200, -150), 880)
    return replace(plain, **change)


def moment(number: int) -> int:
    return 77 * SECOND + number * 20 * MS


def walked(count: int, **options: int) -> Plausibility:
    judge = Plausibility()
    for i in range(count):
        assert judge.judge(record(i, **options), moment(i)) is GOOD
    return judge


IMPOSSIBLE: list[dict[str, Any]] = [
    {"duty": (4001, 0)}, {"duty": (0, -4001)}, {"duty": (-32768, 0)}, {"back_emf": (1024, 0)},
    {"back_emf": (0, -1024)}, {"battery": 1024}, {"battery": 0}, {"battery": -880}, {"battery": 400},
    {"time_us": WRAP + 1}, {"time_us": 2**32 - 1}]


@pytest.mark.parametrize("change", IMPOSSIBLE)
def test_out_of_range(change: dict[str, Any]) -> None:
    assert out_of_range(record(0, **change))
    judge = walked(3)
    assert judge.judge(record(3, **change), moment(3)) is IMPLAUSIBLE
    assert judge.reasons == {"out of range": 1}
    assert judge.judge(record(4), moment(4)) is GOOD
    assert Plausibility().judge(record(0, **change), moment(0)) is IMPLAUSIBLE


@pytest.mark.parametrize("change", [
    {"duty": (4000, -4000)}, {"back_emf": (1023, -1023)}, {"battery": 783}, {"battery": 954}, {"battery": 1023},
    {"battery": 500}, {"time_us": WRAP}, {"time_us": 0}, {"gyro": (32767, -32768, 0)},
    {"acceleration": (32767, -32768, 0)}, {"position": (-2**31, 2**31 - 1)}, {"index": 2**32 - 1}])
def test_in_range(change: dict[str, Any]) -> None:
    assert not out_of_range(record(0, **change))


@pytest.mark.parametrize(("change", "reason"), [
    ({"index": 1_000_000_000}, "index"), ({"index": 3}, "index"), ({"index": 1002}, "index"),
    ({"time_us": 5_000_000 + 3 * 20_000 + 400_000}, "time"), ({"time_us": 5_000_000 - 400_000}, "time"),
    ({"time_us": 400_000_000}, "time"), ({"time_us": 5_040_000}, "time"),
    ({"position": (3 * STEP + 2**20, 3 * STEP)}, "position"), ({"position": (3 * STEP, 3 * STEP - 2**20)}, "position"),
    ({"position": (3 * STEP ^ 2**31, 3 * STEP)}, "position"), ({"position": (0x7FFF0000, 3 * STEP)}, "position")])
def test_one_that_does_not_follow(change: dict[str, Any], reason: str) -> None:
    judge = walked(3)
    assert judge.judge(record(3, **change), moment(3)) is IMPLAUSIBLE
    assert judge.reasons == {reason: 1}
    for i in range(4, 10):
        assert judge.judge(record(i), moment(i)) is GOOD


def test_the_firmware_is_slower_or_faster_than_the_host() -> None:
    """Late answers up to a quarter of a second either way, not more; over ten seconds some per cent besides."""
    for late, expected in ((200, GOOD), (240, GOOD), (320, IMPLAUSIBLE)):
        assert walked(20).judge(record(20), moment(20) + late * MS) is expected
    for early, expected in ((200, GOOD), (320, IMPLAUSIBLE)):
        assert walked(20).judge(record(40), moment(40) - early * MS) is expected
    for share, expected in ((1.04, GOOD), (0.96, GOOD), (1.12, IMPLAUSIBLE), (0.88, IMPLAUSIBLE)):
        assert walked(2).judge(record(501), moment(1) + round(10 * SECOND * share)) is expected


def test_a_leg_turns_no_faster_than_legs_do() -> None:
    """45 rev/s and a tenth of a revolution: over a second."""
    for revolutions, expected in ((30, GOOD), (-30, GOOD), (44, GOOD), (46, IMPLAUSIBLE), (-46, IMPLAUSIBLE)):
        place = STEP + revolutions * 65536
        assert walked(2).judge(record(51, position=(place, STEP)), moment(51)) is expected
        assert walked(2).judge(record(51, position=(STEP, place)), moment(51)) is expected


@pytest.mark.parametrize("count", [1, 2, 5])
def test_duplicates(count: int) -> None:
    judge = walked(3)
    for _ in range(count):
        assert judge.judge(record(2), moment(2)) is REPEATED
    assert judge.reasons == {"repeated": count}
    assert judge.judge(record(3), moment(3)) is GOOD


def test_overtaken_records_are_no_restart() -> None:
    judge = walked(10)
    for i in (12, 10, 11, 10, 11):
        assert judge.judge(record(i), moment(12)) is (GOOD if i == 12 else REPEATED)
    assert judge.reasons == {"overtaken": 4}
    assert judge.judge(record(13), moment(13)) is GOOD


def test_the_index_wraps() -> None:
    walked(10, first_index=2**32 - 5)


def test_the_clock_wraps() -> None:
    judge = walked(10, first_us=WRAP - 70_000)
    assert not judge.reasons
    assert elapsed_us(record(0, time_us=WRAP - 10), record(0, time_us=15)) == 25


def test_positions_wrap() -> None:
    judge = Plausibility()
    for i in range(10):
        place = (2**31 - 4 * STEP + i * STEP + 2**31) % 2**32 - 2**31
        assert judge.judge(record(i, position=(place, -place)), moment(i)) is GOOD
    assert way(2**31 - 1, -2**31) == 1 and way(-2**31, 2**31 - 1) == -1 and way(5, -7) == -12


@pytest.mark.parametrize("silence", [1.2, 3.0, 100.0, 428.0, 858.0, 5000.0])
@pytest.mark.parametrize("lived", [3, 60, 3000])
def test_a_restart_is_recognised_with_the_second_record(silence: float, lived: int) -> None:
    judge = walked(lived)
    start = moment(lived) + round(silence * SECOND)
    # Its clock runs on from the start while it calibrates; legs and index begin again.
    fresh = [record(i, first_index=0, first_us=1_000_000) for i in range(4)]
    assert judge.judge(fresh[0], start) in (IMPLAUSIBLE, REPEATED)
    assert judge.judge(fresh[1], start + 20 * MS) is RESTARTED
    assert judge.judge(fresh[2], start + 40 * MS) is GOOD
    assert judge.judge(fresh[3], start + 60 * MS) is GOOD


def test_a_restart_soon_after_the_start() -> None:
    """The first records of a new life look like overtaken ones of the old: index and time are a little smaller."""
    judge = walked(20, first_index=0, first_us=1_000_000)
    start = moment(19) + 1100 * MS
    assert judge.judge(record(0, first_index=0, first_us=1_000_000), start) is REPEATED
    assert judge.judge(record(1, first_index=0, first_us=1_000_000), start + 20 * MS) is RESTARTED


def test_two_wrong_records_that_do_not_follow_each_other_are_no_restart() -> None:
    judge = walked(3)
    assert judge.judge(record(3, index=2**31), moment(3)) is IMPLAUSIBLE
    assert judge.judge(record(4, index=2**30), moment(4)) is IMPLAUSIBLE
    assert judge.judge(record(5), moment(5)) is GOOD


def test_a_good_record_between_takes_the_doubt_away() -> None:
    judge = walked(3)
    fresh = [record(i, first_index=0, first_us=300_000_000) for i in range(9)]
    for i in (3, 5, 7):
        assert judge.judge(fresh[i], moment(i)) is IMPLAUSIBLE
        assert judge.judge(record(i + 1), moment(i + 1)) is GOOD


@pytest.mark.parametrize("silence", [429.0, 600.0, 858.9, 859.0, 860.0, 1000.0, 3000.0])
def test_silence_of_any_length(silence: float) -> None:
    """The same robot goes on after it, and its legs may have turned meanwhile."""
    judge = walked(3)
    number = 2 + round(silence * 50)
    assert judge.judge(record(number), moment(number)) is GOOD
    assert judge.judge(record(number + 1), moment(number + 1)) is GOOD


@pytest.mark.parametrize("change", [{"index": 1004 + 96}, {"time_us": 5_000_000 + 4 * 20_000 + 190_000}])
def test_one_that_was_wrong_by_too_little_is_no_restart(change: dict[str, Any]) -> None:
    judge = walked(4)
    assert judge.judge(record(4, **change), moment(4)) is GOOD
    # Which of the two is wrong shows with the third.
    assert judge.judge(record(5), moment(5)) is IMPLAUSIBLE
    for i in range(6, 10):
        assert judge.judge(record(i), moment(i)) is GOOD


def test_a_wrong_first_record_is_left_behind() -> None:
    judge = Plausibility()
    assert judge.judge(record(0, index=2**31), moment(0)) is GOOD
    assert judge.judge(record(1), moment(1)) is IMPLAUSIBLE
    assert judge.judge(record(2), moment(2)) is RESTARTED
    assert judge.judge(record(3), moment(3)) is GOOD


def test_forgotten() -> None:
    judge = walked(5)
    judge.forget()
    assert judge.judge(record(0, first_index=0, first_us=1_000_000), moment(6)) is GOOD
    judge.forget()
    assert judge.judge(record(9, **IMPOSSIBLE[0]), moment(7)) is IMPLAUSIBLE


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[int, int, bool]]:
    """Draw number, delay (ms) and whether it is a duplicate, of each record that arrives, in the order of arrival."""
    number, arrived, stream = 0, 0, []
    for _ in range(draw(st.integers(3, 60))):
        number += draw(st.sampled_from([1, 1, 1, 1, 2, 5, 40]))
        # Nothing overtakes on a serial line.
        arrived = max(arrived, 20 * number + draw(st.integers(0, 200)))
        stream.append((number, arrived - 20 * number, False))
        if draw(st.integers(0, 9)) == 0:
            stream.append((number, arrived - 20 * number, True))
    return stream


@settings(max_examples=200)
@given(streams(), st.sampled_from([0, 1000, 2**32 - 100]), st.sampled_from([0, 5_000_000, WRAP - 400_000]),
       st.integers(0, 80), st.sampled_from(IMPOSSIBLE))
def test_a_clean_stream_with_one_wrong_record(stream: list[tuple[int, int, bool]], first_index: int, first_us: int,
                                              wrong: int, change: dict[str, Any]) -> None:
    judge = Plausibility()
    for position, (number, delay, is_duplicate) in enumerate(stream):
        at = moment(number) + delay * MS
        said = record(number, first_index, first_us)
        if position == wrong:
            assert judge.judge(replace(said, **change), at) is IMPLAUSIBLE
        assert judge.judge(said, at) is (REPEATED if is_duplicate else GOOD)


@settings(max_examples=300)
@given(st.integers(0, 45), st.binary(min_size=1, max_size=4), st.integers(4, 30))
def test_any_wrong_bytes_are_no_restart(offset: int, noise: bytes, wrong: int) -> None:
    """Whatever one record is made of: the next one is taken, or the one after it."""
    judge = walked(wrong)
    data = bytearray(record(wrong).pack())
    for i, byte in enumerate(noise):
        data[(offset + i) % 46] ^= byte
    damaged = unpack_record(bytes(data))
    assert damaged is not None
    verdict = judge.judge(damaged, moment(wrong))
    if out_of_range(damaged):
        assert verdict is IMPLAUSIBLE
    verdicts = [judge.judge(record(i), moment(i)) for i in range(wrong + 1, wrong + 6)]
    assert RESTARTED not in [verdict, *verdicts]
    assert verdicts[1:] == [GOOD] * 4
    assert verdicts[0] is GOOD or verdict is GOOD
