# SPDX-License-Identifier: Apache-2.0
"""Stamps of the robot's clock: even, increasing, never in the future, whatever an answer waited for."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.driver.device_clock import DeviceClock

SECOND, MS, US = 1_000_000_000, 1_000_000, 1000
WRAP = 858_993_459
LATENCY = 12 * MS
#: The host's clock when the robot's began.
START = 1000 * SECOND


def stamps_of(delays: list[int], clock: DeviceClock | None = None, first_us: int = 0, drift: float = 0.0,
              period: int = 20 * MS) -> tuple[list[int], list[int]]:
    """Return stamps and true moments of measurements that arrive after the latency and so much more, ns."""
    clock = clock or DeviceClock(LATENCY)
    stamps, truth, arrival = [], [], 0
    for i, delay in enumerate(delays):
        true = START + i * period
        device = (first_us + round(i * period * (1.0 + drift) / US)) % WRAP
        # Nothing overtakes on a serial line: what comes behind a late answer is as late.
        arrival = max(arrival, true + LATENCY + delay)
        stamps.append(clock.stamp(device, arrival))
        assert stamps[-1] <= arrival
        truth.append(true)
    assert all(later > earlier for earlier, later in pairwise(stamps))
    return stamps, truth


def test_without_delay() -> None:
    stamps, truth = stamps_of([0] * 100)
    assert stamps == truth


@given(st.lists(st.integers(0, 4 * MS), min_size=1, max_size=50))
def test_jitter_does_not_show_once_an_answer_was_not_kept_waiting(delays: list[int]) -> None:
    stamps, truth = stamps_of([0, *delays])
    assert stamps == truth


def test_one_prompt_answer_per_window_is_enough() -> None:
    draw = random.Random(1)
    # What was late just before would make it late too.
    delays = [0 if i % 220 == 0 else MS if i % 220 > 205 else draw.randrange(MS, 200 * MS) for i in range(2000)]
    stamps, truth = stamps_of(delays)
    assert stamps == truth


def test_nobody_is_prompt_at_first() -> None:
    """The buffers of USB delay by up to 16 ms: after a second the stamps are within a millisecond and even."""
    draw = random.Random(2)
    stamps, truth = stamps_of([200 * MS] + [draw.randrange(0, 16 * MS) for _ in range(1000)])
    errors = [stamp - true for stamp, true in zip(stamps, truth, strict=True)][60:]
    assert 0 <= min(errors) and max(errors) < MS
    steps = [later - earlier for earlier, later in pairwise(stamps[60:])]
    assert max(abs(step - 20 * MS) for step in steps) < MS


@pytest.mark.parametrize("drift", [200e-6, -200e-6])
def test_drift_is_followed(drift: float) -> None:
    draw = random.Random(3)
    stamps, truth = stamps_of([draw.randrange(0, 4 * MS) for _ in range(6000)], drift=drift)
    errors = [stamp - true for stamp, true in zip(stamps, truth, strict=True)][500:]
    # Over the window of 5 s the clocks part by a millisecond; without the window it were 24.
    assert max(map(abs, errors)) < 2 * MS


@given(st.integers(-400_000, 400_000))
def test_a_wrong_time_shifts_what_follows_by_5_ms_at_most(wrong_us: int) -> None:
    clock = DeviceClock(LATENCY)
    stamps_of([0] * 100, clock, first_us=1_000_000)
    at = START + 100 * 20 * MS
    first = clock.stamp(1_000_000 + 2_000_000 + wrong_us, at + LATENCY)
    assert first <= at + LATENCY
    for i in range(1, 400):
        stamp = clock.stamp(1_000_000 + 2_000_000 + i * 20_000, at + i * 20 * MS + LATENCY)
        assert -5 * MS - 100 * US <= stamp - (at + i * 20 * MS) <= i
    # And after the window it is forgotten.
    assert abs(stamp - (at + 399 * 20 * MS)) <= 399


def test_the_clock_wraps() -> None:
    stamps, truth = stamps_of([0] * 50, first_us=WRAP - 500_000)
    assert max(abs(stamp - true) for stamp, true in zip(stamps, truth, strict=True)) <= US


@pytest.mark.parametrize("silence", [6.0, 428.0, 500.0, 858.0, 860.0, 3000.0])
@pytest.mark.parametrize("drift", [0.0, 200e-6, -200e-6])
def test_silence(silence: float, drift: float) -> None:
    clock = DeviceClock(LATENCY)
    stamps_of([0] * 10, clock)
    for i in range(20):
        true = START + round(silence * SECOND) + i * 20 * MS
        device = round((true - START) * (1.0 + drift) / US) % WRAP
        stamp = clock.stamp(device, true + LATENCY)
        # They part by 80 us in this time.
        assert abs(stamp - true) <= 100 * US


def test_several_answers_in_one_read() -> None:
    clock = DeviceClock(LATENCY)
    stamps_of([0] * 10, clock)
    arrival = START + SECOND
    stamps = [clock.stamp(700_000 + i * 20_000, arrival) for i in range(10)]
    assert stamps == [START + 700 * MS + i * 20 * MS for i in range(10)]


def test_a_restart_begins_again_but_not_earlier() -> None:
    clock = DeviceClock(LATENCY)
    before, _ = stamps_of([0] * 100, clock, first_us=500_000_000)
    clock.reset()
    arrival = START + 4 * SECOND
    assert clock.stamp(1_000_000, arrival) == arrival - LATENCY
    clock.reset()
    assert clock.stamp(7, before[-1]) > arrival - LATENCY


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, WRAP), st.integers(0, 400 * SECOND)), min_size=1, max_size=60))
def test_any_times_increase_and_are_past(answers: list[tuple[int, int]]) -> None:
    clock, arrival, last = DeviceClock(LATENCY), START, 0
    for time_us, pause in answers:
        arrival += pause
        stamp = clock.stamp(time_us, arrival)
        assert last < stamp <= arrival
        last = stamp
