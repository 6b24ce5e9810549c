# SPDX-License-Identifier: Apache-2.0
"""Recordings written and read back: whole, several, damaged; also by the reference readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import StoragePlugin, Writer

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import find_bags, read_bag
from l2a_ros.experience.bag_writer import BagWriter, OfferedQos, message_type, serialize, typestore

JOINT_STATE, BYTES, BOOL = "sensor_msgs/msg/JointState", "std_msgs/msg/UInt8MultiArray", "std_msgs/msg/Bool"
SECOND = 10**9


def joint_state(index: int) -> Any:
    stamp = message_type("builtin_interfaces/msg/Time")(sec=index // 10, nanosec=index % 10 * 10**8)
    header = message_type("std_msgs/msg/Header")(stamp=stamp, frame_id="")
    return message_type(JOINT_STATE)(header=header, name=["left_leg", "right_leg"],
                                     position=np.array([index, -index], dtype=np.float64), velocity=np.empty(0),
                                     effort=np.empty(0))


def write_bag(path: Path, count: int = 50, size: int = 0) -> Path:
    """Write ``count`` joint states, each with ``size`` bytes on another topic, and one flag without a stamp."""
    with BagWriter(path) as bag:
        bag.add_topic("/joint_states", JOINT_STATE, OfferedQos(reliable=False, depth=5))
        bag.add_topic("/estop", BOOL, OfferedQos(transient_local=True, depth=1))
        bag.add_topic("/adapted_model", BYTES)
        bag.write_message("/estop", 0, message_type(BOOL)(data=True))
        layout = message_type("std_msgs/msg/MultiArrayLayout")(dim=[], data_offset=0)
        for i in range(count):
            bag.write_message("/joint_states", i * SECOND, joint_state(i))
            if size:
                data = np.full(size, i % 256, dtype=np.uint8)
                bag.write("/adapted_model", i * SECOND + 1,
                          serialize(BYTES, message_type(BYTES)(layout=layout, data=data)))
    return path


def write_sqlite(path: Path, count: int = 50) -> Path:
    with Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3) as bag:
        topic = bag.add_connection("/joint_states", JOINT_STATE, typestore=typestore())
        for i in range(count):
            bag.write(topic, i * SECOND, serialize(JOINT_STATE, joint_state(i)))
    return path


def indices(messages: Any, topic: str = "/joint_states") -> list[int]:
    return [int(each.message.position[0]) for each in messages if each.topic == topic]


def test_round_trip_through_our_reader(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 30, size=1000)
    reader = read_bag(bag)
    messages = list(reader)
    assert reader.warnings == []
    assert len(messages) == 61
    assert indices(messages) == list(range(30))
    first = messages[0]
    assert (first.topic, first.type, first.log_time, first.stamp) == ("/estop", BOOL, 0, None)
    assert first.message.data is True
    joints = [each for each in messages if each.topic == "/joint_states"]
    assert joints[7].stamp == 7 * 10**8
    assert joints[7].log_time == 7 * SECOND
    assert joints[7].bag == bag
    assert joints[7].message.name == ["left_leg", "right_leg"]
    model = next(each for each in messages if each.topic == "/adapted_model")
    assert model.message.data.shape == (1000,)
    assert [each.topic for each in read_bag(bag, ["/estop"])] == ["/estop"]


def test_reference_readers_agree(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag")
    with AnyReader([bag]) as bags:
        kinds = {each.topic: each for each in bags.connections}
        assert {name: each.msgtype for name, each in kinds.items()} == {
            "/joint_states": JOINT_STATE, "/estop": BOOL, "/adapted_model": BYTES}
        assert kinds["/joint_states"].msgcount == 50
        offered = kinds["/joint_states"].ext.offered_qos_profiles[0]
        assert (offered.reliability, offered.depth) == (QosReliability.BEST_EFFORT, 5)
        assert kinds["/estop"].ext.offered_qos_profiles[0].durability == QosDurability.TRANSIENT_LOCAL
        assert sum(1 for _ in bags.messages()) == 51
    with (bag / "bag.mcap").open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        decoded = list(reader.iter_decoded_messages(topics=["/joint_states"]))
    assert [message.position[0] for *_, message in decoded] == list(range(50))
    assert decoded[3][2].log_time == 3 * SECOND
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (metadata["version"], metadata["storage_identifier"], metadata["message_count"]) == (9, "mcap", 51)


def test_sqlite_is_read_too(tmp_path: Path) -> None:
    assert indices(read_bag(write_sqlite(tmp_path / "bag"))) == list(range(50))
    assert indices(read_bag(tmp_path / "bag" / "bag.db3")) == list(range(50))


def test_several_bags_and_folders_of_bags_one_after_the_other(tmp_path: Path) -> None:
    for name, count in (("b", 2), ("a", 3)):
        write_bag(tmp_path / "runs" / name / "bag", count)
    write_sqlite(tmp_path / "other", 4)
    (tmp_path / "runs" / "notes.txt").write_text("not a bag")
    paths = [tmp_path / "other", tmp_path / "runs", tmp_path / "runs" / "a"]
    assert find_bags(paths) == [tmp_path / "other", tmp_path / "runs/a/bag", tmp_path / "runs/b/bag"]
    messages = list(read_bag(paths))
    assert indices(messages) == [0, 1, 2, 3, 0, 1, 2, 0, 1]
    assert list(dict.fromkeys(each.bag.parent.name for each in messages[4:])) == ["a", "b"]
    # One that is still being made has a hidden folder.
    (tmp_path / "runs/b/bag").rename(tmp_path / "runs/b/.bag.unfinished")
    assert find_bags(paths) == [tmp_path / "other", tmp_path / "runs/a/bag"]


def test_existing_recording_is_never_overwritten(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag")
    with pytest.raises(UserError, match="exists already"):
        BagWriter(tmp_path / "bag")
    assert len(list(read_bag(tmp_path / "bag"))) == 51


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make the recording"):
        BagWriter(tmp_path / "file" / "bag")


def test_misuse_of_the_writer(tmp_path: Path) -> None:
    bag = BagWriter(tmp_path / "bag")
    bag.add_topic("/a", BOOL)
    bag.add_topic("/a", BOOL)
    with pytest.raises(UserError, match="recorded as std_msgs/msg/Bool"):
        bag.add_topic("/a", BYTES)
    with pytest.raises(UserError, match="unknown message type 'std_msgs/Bool'"):
        bag.add_topic("/b", "std_msgs/Bool")
    with pytest.raises(KeyError):
        bag.write("/c", 0, b"")
    bag.close()
    bag.close()
    with pytest.raises(ValueError, match="closed"):
        bag.write("/a", 0, b"")


def test_bag_without_messages_is_valid(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/joint_states", JOINT_STATE)
    reader = read_bag(tmp_path / "bag")
    assert list(reader) == []
    assert reader.warnings == []


@pytest.mark.parametrize("part", [0.999, 0.7, 0.4])
def test_cut_off_recording_yields_what_is_there(tmp_path: Path, part: float) -> None:
    file = write_bag(tmp_path / "bag", 60, size=100_000) / "bag.mcap"
    content = file.read_bytes()
    file.write_bytes(content[:int(part * len(content))])
    reader = read_bag(tmp_path / "bag")
    found = indices(reader)
    assert reader.warnings
    assert found == list(range(len(found)))
    assert len(found) >= 60 * part - 12, "only the last unfinished chunk is lost"


def test_recorder_that_was_killed_leaves_a_readable_file_without_metadata(tmp_path: Path) -> None:
    bag = BagWriter(tmp_path / "bag")
    bag.add_topic("/joint_states", JOINT_STATE)
    for i in range(10):
        bag.write_message("/joint_states", i, joint_state(i))
    bag.flush()
    reader = read_bag(tmp_path / "bag")
    assert indices(reader) == list(range(10))
    assert any("metadata" in each for each in reader.warnings)
    bag.close()
    assert indices(read_bag(tmp_path / "bag")) == list(range(10))


def test_damaged_sqlite_yields_what_is_there(tmp_path: Path) -> None:
    file = write_sqlite(tmp_path / "bag", 2000) / "bag.db3"
    content = file.read_bytes()
    file.write_bytes(content[:int(0.6 * len(content))])
    reader = read_bag(tmp_path / "bag")
    found = indices(reader)
    assert reader.warnings
    assert found == list(range(len(found)))
    assert len(found) > 500


def test_message_that_does_not_decode_is_left_out(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/joint_states", JOINT_STATE)
        bag.write_message("/joint_states", 0, joint_state(0))
        bag.write("/joint_states", 1, b"\x00\x01\x00\x00\xff\xff")
        bag.write_message("/joint_states", 2, joint_state(2))
    reader = read_bag(tmp_path / "bag")
    assert indices(reader) == [0, 2]
    assert len(reader.warnings) == 1


@pytest.mark.parametrize("name", ["bag.mcap", "bag.db3"])
def test_rubbish_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is not a recording" * 100)
    with pytest.raises(UserError, match="is not a readable recording") as caught:
        list(read_bag(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_missing_recording_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_bag(tmp_path / "nothing")
    with pytest.raises(UserError, match="holds no recording"):
        read_bag(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match="holds no recording"):
        read_bag(tmp_path / "notes.txt")
    with pytest.raises(UserError, match="at least one"):
        read_bag([])
