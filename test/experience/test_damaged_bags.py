# SPDX-License-Identifier: Apache-2.0
"""Recordings that are compressed, split, cut off, or have wrong bytes in them: what can be read is used, and nothing
that was not there."""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from driving_samples import JOINT_STATE, Sample, drive, message_of, write_samples
from mcap.records import Chunk, Message
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import CompressionType
from mcap.writer import Writer as McapFileWriter
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2.enums import CompressionMode

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import find_bags, read_bag
from l2a_ros.experience.bag_writer import serialize, typestore
from l2a_ros.experience.dataset import DataReport, read_drivings, recording_transitions
from l2a_ros.experience.transitions import Transitions

TICKS = 300
KINDS = [(storage, mode) for storage in StoragePlugin for mode in CompressionMode
         if (storage, mode) != (StoragePlugin.SQLITE3, CompressionMode.STORAGE)]
kinds = pytest.mark.parametrize(("storage", "mode"), KINDS, ids=lambda each: each.name.lower())
storages = pytest.mark.parametrize("storage", list(StoragePlugin), ids=lambda each: each.name.lower())


@dataclass
class Original:
    """A whole bag and what is in it."""

    bag: Path
    segment: Transitions

    @property
    def file(self) -> Path:
        return next(each for each in self.bag.iterdir() if each.suffix != ".yaml")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[StoragePlugin, CompressionMode], Original]:
    folder = tmp_path_factory.mktemp("bags")
    made = {}
    for storage, mode in KINDS:
        bag = write_samples(folder / f"{storage.name}_{mode.name}".lower(), drive(TICKS), storage, mode)
        (segment,), report = read(bag)
        assert not report.warnings
        made[storage, mode] = Original(bag, segment)
    return made


def read(bag: Path) -> tuple[list[Transitions], DataReport]:
    report = DataReport()
    return recording_transitions(bag, 0.1, report), report


def same(one: Transitions, other: Transitions) -> bool:
    return all(torch.equal(*pair) for pair in ((one.states, other.states), (one.actions, other.actions),
                                               (one.next_states, other.next_states)))


def places(segments: list[Transitions], whole: Transitions) -> Iterator[int]:
    """Where in the whole recording each recovered transition is; the same numbers in the same place."""
    for segment in segments:
        for row in range(len(segment)):
            found = ((whole.states == segment.states[row]).all(1)
                     & (whole.next_states == segment.next_states[row]).all(1))
            (place,) = found.nonzero().flatten().tolist()
            assert torch.equal(whole.actions[place], segment.actions[row])
            yield place


@kinds
def test_every_storage_and_compression(originals: dict[tuple[StoragePlugin, CompressionMode], Original],
                                       storage: StoragePlugin, mode: CompressionMode) -> None:
    plain = originals[StoragePlugin.MCAP, CompressionMode.NONE].segment
    assert len(plain) == TICKS - 1
    assert same(originals[storage, mode].segment, plain)


@kinds
def test_without_metadata(tmp_path: Path, originals: dict[tuple[StoragePlugin, CompressionMode], Original],
                          storage: StoragePlugin, mode: CompressionMode) -> None:
    original = originals[storage, mode]
    shutil.copytree(original.bag, bag := tmp_path / "bag")
    (bag / "metadata.yaml").unlink()
    assert find_bags([tmp_path]) == [bag]
    segments, report = read(bag)
    assert same(segments[0], original.segment)
    assert any("metadata" in text for text in report.warnings)
    segments, _ = read(bag / original.file.name)
    assert same(segments[0], original.segment)


def split(folder: Path, samples: list[Sample], storage: StoragePlugin, parts: int) -> Path:
    """Make a bag of several files, as rosbag2 does when one gets too large."""
    folder.mkdir()
    size = -(-len(samples) // parts)
    names, topics = [], {}
    for i in range(parts):
        part = write_samples(folder / f"part{i}", samples[i * size:(i + 1) * size], storage)
        file = next(each for each in part.iterdir() if each.suffix != ".yaml")
        names.append(f"{folder.name}_{i}{file.suffix}")
        file.rename(folder / names[-1])
        metadata = yaml.safe_load((part / "metadata.yaml").read_text())
        information = metadata["rosbag2_bagfile_information"]
        for topic in information["topics_with_message_count"]:
            topics.setdefault(topic["topic_metadata"]["name"], []).append(topic)
        shutil.rmtree(part)
    information["relative_file_paths"] = names
    information["topics_with_message_count"] = [
        each[0] | {"message_count": sum(topic["message_count"] for topic in each)} for each in topics.values()]
    information["message_count"] = len(samples)
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    return folder


@storages
def test_split_bag_is_one_recording(tmp_path: Path, storage: StoragePlugin,
                                    originals: dict[tuple[StoragePlugin, CompressionMode], Original]) -> None:
    # Eleven, because the tenth is sorted before the second by name.
    bag = split(tmp_path / "bag", drive(TICKS), storage, 11)
    (segment,), report = read(bag)
    assert same(segment, originals[storage, CompressionMode.NONE].segment)
    assert not report.warnings
    (bag / "metadata.yaml").unlink()
    (segment,), _ = read(bag)
    assert same(segment, originals[storage, CompressionMode.NONE].segment)


@storages
@pytest.mark.parametrize("damage", ["missing", "rubbish", "empty", "cut"])
def test_split_bag_with_a_lost_file_gives_the_others(tmp_path: Path, storage: StoragePlugin, damage: str,
                                                     originals: dict[tuple[StoragePlugin, CompressionMode], Original],
                                                     ) -> None:
    bag = split(tmp_path / "bag", drive(TICKS), storage, 3)
    lost = sorted(bag.glob("bag_*"))[1]
    if damage == "missing":
        lost.unlink()
    else:
        lost.write_bytes({"rubbish": b"rubbish" * 1000, "empty": b"", "cut": lost.read_bytes()[:2000]}[damage])
    segments, report = read(bag)
    found = list(places(segments, originals[storage, CompressionMode.NONE].segment))
    # Of a file that was cut off a few messages are left.
    beginning = found[:-99]
    assert beginning == list(range(len(beginning)))
    assert len(beginning) in (range(99, 105) if damage == "cut" else (99,))
    assert found[-99:] == list(range(200, 299))
    assert report.warnings
    assert report.transitions + sum(report.lost.values()) == TICKS - 1


@kinds
@pytest.mark.parametrize("seed", range(6))
def test_cut_off_anywhere(tmp_path: Path, originals: dict[tuple[StoragePlugin, CompressionMode], Original],
                          storage: StoragePlugin, mode: CompressionMode, seed: int) -> None:
    original = originals[storage, mode]
    shutil.copytree(original.bag, bag := tmp_path / "bag")
    content = original.file.read_bytes()
    length = random.Random(f"{storage} {mode} {seed}").randrange(len(content))
    (bag / original.file.name).write_bytes(content[:length])
    before = {file: file.read_bytes() for file in bag.iterdir()}
    try:
        segments, report = read(bag)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert len(segments) <= 1
        assert list(places(segments, original.segment)) == list(range(sum(map(len, segments)))), "not the beginning"
        assert report.warnings
        if mode in (CompressionMode.NONE, CompressionMode.MESSAGE):
            assert report.transitions > TICKS * (length / len(content)) - 50
    assert {file: file.read_bytes() for file in bag.iterdir()} == before, "a recording is never changed"


@kinds
@pytest.mark.parametrize("seed", range(15))
def test_wrong_bytes_anywhere(tmp_path: Path, originals: dict[tuple[StoragePlugin, CompressionMode], Original],
                              storage: StoragePlugin, mode: CompressionMode, seed: int) -> None:
    """Whatever is damaged, the answer is data and a report, or one line.

    Neither SQLite nor an MCAP file without check sums can tell that a number is wrong, but a few bytes cannot change
    more than a few messages, unless they are compressed together: the others come out as they were, or the report says
    that some are missing.
    """
    original = originals[storage, mode]
    rng = random.Random(f"{storage} {mode} {seed}")
    shutil.copytree(original.bag, bag := tmp_path / "bag")
    file = bag / ("metadata.yaml" if seed % 5 == 4 else original.file.name)
    content = bytearray(file.read_bytes())
    count = rng.choice([1, 1, 5])
    for _ in range(count):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    try:
        segments, report = read(bag)
    except UserError as error:
        assert "\n" not in str(error)
        return
    whole = original.segment
    changed = sum(not bool((whole.next_states == row).all(1).any())
                  for segment in segments for row in segment.next_states)
    if mode in (CompressionMode.NONE, CompressionMode.MESSAGE):
        assert changed <= count
    assert all(torch.isfinite(segment.states).all() and torch.isfinite(segment.actions).all() for segment in segments)
    if report.transitions < len(whole):
        assert report.warnings or sum(report.lost.values())
    assert read_drivings([bag, original.bag], 0.1)[0][-1].bag == original.bag


@pytest.mark.parametrize("part", [0.3, 0.6])
def test_what_follows_a_damaged_page_of_sqlite_is_read(tmp_path: Path, part: float,
                                                       originals: dict[tuple[StoragePlugin, CompressionMode], Original],
                                                       ) -> None:
    original = originals[StoragePlugin.SQLITE3, CompressionMode.NONE]
    shutil.copytree(original.bag, bag := tmp_path / "bag")
    content = bytearray(original.file.read_bytes())
    page = int(part * len(content)) // 4096 * 4096
    content[page:page + 4096] = b"\xff" * 4096
    (bag / original.file.name).write_bytes(content)
    segments, report = read(bag)
    assert sum(map(len, segments)) > 0.9 * TICKS
    assert len(set(places(segments, original.segment))) == report.transitions
    assert report.repeated == 0, "what was read before the damage is not read again"
    assert report.warnings


@pytest.mark.parametrize("compression", list(CompressionType), ids=lambda each: each.name.lower())
def test_what_follows_a_damaged_chunk_of_mcap_is_read(tmp_path: Path, compression: CompressionType) -> None:
    """A chunk with a wrong check sum, as other recorders write it, is passed over; also the first, which has names."""
    with (tmp_path / "whole.mcap").open("wb") as stream:
        writer = McapFileWriter(stream, chunk_size=20_000, compression=compression)
        writer.start(profile="ros2", library="")
        schema = writer.register_schema(JOINT_STATE, "ros2msg", typestore().generate_msgdef(
            JOINT_STATE, ros_version=2)[0].encode())
        channels = {topic: writer.register_channel(topic, "cdr", schema)
                    for topic in ("/robot_state", "/motor_commands")}
        for sample in drive(TICKS):
            data = bytes(serialize(JOINT_STATE, message_of(sample)))
            writer.add_message(channels[sample.topic], sample.log_time, data, sample.log_time)
        writer.finish()
    (whole,), _ = read(tmp_path / "whole.mcap")
    assert len(whole) == TICKS - 1
    content = (tmp_path / "whole.mcap").read_bytes()
    chunks = [record for record in StreamReader(io.BytesIO(content), emit_chunks=True).records
              if isinstance(record, Chunk)]
    assert len(chunks) > 5
    for lost in (0, len(chunks) // 2):
        damaged = bytearray(content)
        begin = content.index(chunks[lost].data)
        damaged[begin + len(chunks[lost].data) // 2] ^= 255
        (tmp_path / "damaged.mcap").write_bytes(damaged)
        segments, report = read(tmp_path / "damaged.mcap")
        found = list(places(segments, whole))
        ticks = sum(isinstance(record, Message) for record in breakup_chunk(chunks[lost])) // 2
        assert TICKS - 1 - ticks - 1 <= len(found) <= TICKS - 1 - ticks
        assert len(segments) == (2 if lost else 1)
        assert any("left out" in text for text in report.warnings)
        assert report.repeated == 0, "what was read before the damage is not read again"


@storages
def test_metadata_that_forget_a_file(tmp_path: Path, storage: StoragePlugin,
                                     originals: dict[tuple[StoragePlugin, CompressionMode], Original]) -> None:
    """The library reads what the metadata name and says nothing of the rest; their own counts give it away."""
    bag = split(tmp_path / "bag", drive(TICKS), storage, 3)
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())
    del metadata["rosbag2_bagfile_information"]["relative_file_paths"][1]
    (bag / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    (segment,), report = read(bag)
    assert same(segment, originals[storage, CompressionMode.NONE].segment)
    assert any("200 messages fewer than its summary says" in text for text in report.warnings)
    assert report.repeated == 0


def test_topics_by_their_last_name(tmp_path: Path) -> None:
    samples = [Sample(f"/robots/seven{each.topic}", each.stamp, each.log_time, each.values) for each in drive(3)]
    bag = write_samples(tmp_path / "bag", samples)
    assert {each.topic for each in read_bag(bag, ["robot_state"])} == {"/robots/seven/robot_state"}
    assert list(read_bag(bag, ["/robot_state"])) == []
