# SPDX-License-Identifier: Apache-2.0
"""A recording with messages shuffled, repeated, missing and not finite gives the data of its clean twin without the
windows that were touched."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from driving_samples import JOINT_STATE, STEP, Sample, drive, message_of, write_samples
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin

from l2a_ros.experience import streams as streams_module
from l2a_ros.experience.bag_reader import BagMessage, BagReader
from l2a_ros.experience.dataset import DataReport, recording_transitions
from l2a_ros.experience.transitions import Cut

MS = 1_000_000
#: A transition, byte for byte.
Row = tuple[bytes, bytes, bytes]


@dataclass(frozen=True)
class Damage:
    """What happens to a clean recording: for each message by its index in it."""

    missing: frozenset[int]
    not_finite: dict[int, tuple[int, float]]
    repeated: dict[int, int]
    #: Log times of states mean nothing, so they may be anything.
    state_log: dict[int, int]
    order: int


def rows(path: Path) -> tuple[list[list[Row]], DataReport]:
    report = DataReport()
    segments = recording_transitions(path, 0.1, report)
    return [[tuple(part.numpy().tobytes() for part in row)  # type: ignore[misc]
             for row in zip(segment.states, segment.actions, segment.next_states, strict=True)]
            for segment in segments], report


class FakeReader(BagReader):
    """Yields messages as a bag would, without the file."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        super().__init__([])
        self._samples = samples

    def __iter__(self):  # type: ignore[no-untyped-def]
        for sample in self._samples:
            yield BagMessage(sample.topic, JOINT_STATE, sample.log_time, sample.stamp, message_of(sample), Path("fake"))


def read_samples(samples: Sequence[Sample], storage: StoragePlugin | None) -> tuple[list[list[Row]], DataReport]:
    """Through a real bag, or through the same code without the file, which is faster."""
    if storage is not None:
        with tempfile.TemporaryDirectory() as folder:
            return rows(write_samples(Path(folder, "bag"), samples, storage))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams_module, "read_bag", lambda bag, topics: FakeReader(samples))
        return rows(Path("fake"))


def damaged(clean: Sequence[Sample], damage: Damage) -> list[Sample]:
    """The corrupted twin's messages in the order in which they are written."""
    samples = []
    for i, sample in enumerate(clean):
        if i in damage.missing:
            continue
        if i in damage.not_finite:
            element, value = damage.not_finite[i]
            values = sample.values.copy()
            values[element % len(values)] = value
            sample = replace(sample, values=values)
        if sample.topic == "/robot_state":
            sample = sample.late(damage.state_log.get(i, 0))
        samples.append(sample)
        if i in damage.repeated:
            samples.append(sample.late(damage.repeated[i]))
    order = np.random.default_rng(damage.order).permutation(len(samples))
    return [samples[i] for i in order]


def oracle(ticks: int, delay: int, damage: Damage) -> list[list[int]]:
    """Which transitions of the clean recording are left, by their tick, and how they hang together.

    Message 2i is the state of tick i, message 2i + 1 the command that answers it. Transition i needs the states i and
    i + 1 and the command i, and if that took effect late also what held before it: the command i - 1 of a transition
    that was whole but for that.
    """
    bad = damage.missing | set(damage.not_finite)
    segments: list[list[int]] = []
    before = False
    for i in range(ticks - 1):
        whole = not bad & {2 * i, 2 * i + 1, 2 * i + 2}
        if whole and (before or delay == 0):
            if not before or not segments or segments[-1][-1:] != [i - 1]:
                segments.append([])
            segments[-1].append(i)
        before = whole
    return segments


def damages(messages: int) -> st.SearchStrategy[Damage]:
    index = st.integers(0, messages - 1)
    number = st.sampled_from([np.nan, np.inf, -np.inf, 1e39])
    return st.builds(
        Damage, st.frozensets(index, max_size=messages // 4),
        st.dictionaries(index, st.tuples(st.integers(0, 23), number), max_size=6),
        st.dictionaries(index, st.integers(0, 900) | st.just(0), max_size=messages).map(
            lambda all_of: {i: ms * MS for i, ms in all_of.items()}),
        st.dictionaries(index, st.integers(-900, 900), max_size=messages).map(
            lambda all_of: {i: ms * MS for i, ms in all_of.items()}),
        st.integers(0, 2**32))


def check(ticks: int, delay: int, damage: Damage, storage: StoragePlugin | None) -> None:
    clean = drive(ticks, delay)
    (whole,), clean_report = read_samples(clean, storage)
    first = 0 if delay == 0 else 1
    assert len(whole) == ticks - 1 - first
    by_tick = dict(enumerate(whole, start=first))
    assert len(set(whole)) == len(whole), "else the transitions could not be told apart"

    found, report = read_samples(damaged(clean, damage), storage)
    expected = oracle(ticks, delay, damage)
    assert found == [[by_tick[i] for i in segment] for segment in expected]

    written = [i for i in range(2 * ticks) if i not in damage.missing]
    assert report.repeated == sum(i in damage.repeated for i in written)
    assert report.conflicting == 0
    assert report.states == sum(i % 2 == 0 for i in written)
    assert report.transitions == sum(map(len, expected))
    # Nothing goes without being counted: from the first state to the last every period is a transition or lost.
    ends = [i // 2 for i in written if i % 2 == 0]
    assert not report.resampled
    if len(ends) > 1:
        assert report.transitions + sum(report.lost.values()) == ends[-1] - ends[0]
    assert clean_report.lost[Cut.NO_COMMAND] == first


@settings(max_examples=300)
@given(st.data(), st.integers(2, 30), st.sampled_from([0, 0, 30 * MS, STEP]))
def test_corrupted_twin(data: st.DataObject, ticks: int, delay: int) -> None:
    check(ticks + 1, delay, data.draw(damages(2 * ticks + 2)), None)


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_corrupted_twin_in_a_real_bag(storage: StoragePlugin) -> None:
    @settings(max_examples=25)
    @given(st.data(), st.integers(10, 30), st.sampled_from([0, 30 * MS]))
    def run(data: st.DataObject, ticks: int, delay: int) -> None:
        check(ticks, delay, data.draw(damages(2 * ticks)), storage)

    run()


@settings(max_examples=50)
@given(st.permutations(range(60)), st.dictionaries(st.integers(0, 59), st.integers(0, 5000)))
def test_order_and_repeats_alone_change_nothing(order: list[int], repeated: dict[int, int]) -> None:
    clean = drive(30, 20 * MS)
    twin = [*clean, *(clean[i].late(ms * MS) for i, ms in repeated.items())]
    first = read_samples(clean, None)[0]
    assert read_samples([twin[i] for i in order] + twin[60:], None)[0] == first
    assert read_samples(twin[60:] + [twin[i] for i in order], None)[0] == first
