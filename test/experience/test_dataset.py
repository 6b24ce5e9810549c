# SPDX-License-Identifier: Apache-2.0
"""From recordings to transitions, with bags of the simulated robot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import read_bag
from l2a_ros.experience.bag_writer import BagWriter, message_type
from l2a_ros.experience.data_report import REASONS
from l2a_ros.experience.dataset import (
    DataReport,
    condition_of,
    read_drivings,
    read_recordings,
    recording_transitions,
)
from l2a_ros.experience.transitions import Cut, Transitions
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.training.collect import Recording, joint_state, record_random_driving

JOINT_STATE = "sensor_msgs/msg/JointState"
TICKS = 14
STEP = 100_000_000


@dataclass(frozen=True)
class Entry:
    """One message to write."""

    topic: str
    log_time: int
    message: Any


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few ticks of real driving on the carpet."""
    return record_random_driving(Recording(tmp_path_factory.mktemp("bags") / "run", "carpet", 3, TICKS, 0.1))


@pytest.fixture(scope="module")
def entries(driven: Path) -> list[Entry]:
    return [Entry(each.topic, each.log_time, each.message) for each in read_bag(driven)]


def write(path: Path, entries: Sequence[Entry], prefix: str = "") -> Path:
    with BagWriter(path) as bag:
        for topic in dict.fromkeys(entry.topic for entry in entries):
            bag.add_topic(prefix + topic, JOINT_STATE)
        for entry in entries:
            bag.write_message(prefix + entry.topic, entry.log_time, entry.message)
    return path


def read(path: Path, control_period: float = 0.1) -> tuple[list[Transitions], DataReport]:
    report = DataReport()
    return recording_transitions(path, control_period, report), report


def assert_same(one: list[Transitions], other: list[Transitions]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.states, b.states)
        assert torch.equal(a.actions, b.actions)
        assert torch.equal(a.next_states, b.next_states)


def of(entries: Sequence[Entry], topic: str) -> list[Entry]:
    return [entry for entry in entries if entry.topic == topic]


def test_driving_is_one_segment_of_what_was_recorded(driven: Path, entries: list[Entry]) -> None:
    segments, report = read(driven)
    assert len(segments) == 1
    segment = segments[0]
    assert len(segment) == TICKS
    states = np.array([entry.message.position for entry in of(entries, "/robot_state")], dtype=np.float32)
    rates = np.array([entry.message.velocity for entry in of(entries, "/motor_commands")], dtype=np.float32)
    np.testing.assert_array_equal(segment.states, states[:-1])
    np.testing.assert_array_equal(segment.next_states, states[1:])
    np.testing.assert_array_equal(segment.actions, rates[:-1])
    assert (report.recordings, report.states, report.transitions) == (1, TICKS + 1, TICKS)
    assert report.repeated == 0
    assert not report.warnings


@pytest.mark.parametrize("seed", range(4))
def test_order_in_the_file_does_not_matter(tmp_path: Path, driven: Path, entries: list[Entry], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(entries))
    shuffled = write(tmp_path / "bag", [entries[i] for i in order])
    assert_same(read(shuffled)[0], read(driven)[0])


def test_states_that_were_logged_late_are_joined_by_stamp(tmp_path: Path, driven: Path, entries: list[Entry]) -> None:
    """Only a command's log time means something: when it took effect."""
    late = [Entry(entry.topic, entry.log_time + (3 * STEP if entry.topic == "/robot_state" else 0), entry.message)
            for entry in entries]
    assert_same(read(write(tmp_path / "bag", late))[0], read(driven)[0])


def test_states_that_were_logged_out_of_order_are_sorted_by_stamp(
        tmp_path: Path, driven: Path, entries: list[Entry]) -> None:
    times = np.random.default_rng(0).permutation([entry.log_time for entry in entries])
    mixed = [Entry(entry.topic, int(times[i]) if entry.topic == "/robot_state" else entry.log_time, entry.message)
             for i, entry in enumerate(entries)]
    assert_same(read(write(tmp_path / "bag", mixed))[0], read(driven)[0])


def test_log_time_of_a_command_is_when_it_took_effect(tmp_path: Path, entries: list[Entry]) -> None:
    late = [Entry(entry.topic, entry.log_time + (STEP // 4 if entry.topic == "/motor_commands" else 0), entry.message)
            for entry in entries]
    segment = read(write(tmp_path / "bag", late))[0][0]
    rates = np.array([entry.message.velocity for entry in of(entries, "/motor_commands")])
    assert len(segment) == TICKS - 1
    np.testing.assert_allclose(segment.actions, 0.25 * rates[:-2] + 0.75 * rates[1:-1], rtol=1e-6)


def test_robot_with_a_namespace(tmp_path: Path, driven: Path, entries: list[Entry]) -> None:
    assert_same(read(write(tmp_path / "bag", entries, "/robots/seven"))[0], read(driven)[0])


def test_other_topics_are_left_alone(tmp_path: Path, driven: Path, entries: list[Entry]) -> None:
    extra = [Entry("/joint_states", entry.log_time, entry.message) for entry in of(entries, "/robot_state")]
    assert_same(read(write(tmp_path / "bag", [*extra, *entries]))[0], read(driven)[0])


def test_gap_stop_missing_command_and_number_that_is_not_finite_cut(tmp_path: Path, entries: list[Entry]) -> None:
    states, commands = of(entries, "/robot_state"), of(entries, "/motor_commands")
    kept = [entry for i, entry in enumerate(states) if i != 2]
    bad = np.array(states[11].message.position)
    bad[4] = np.nan
    stamp = states[11].log_time
    kept[10] = Entry("/robot_state", stamp, joint_state(STATE.names, stamp, bad))
    orders = [entry for i, entry in enumerate(commands) if i != 5]
    stamp = commands[8].log_time
    orders[7] = Entry("/motor_commands", stamp, joint_state(ACTION.names, stamp, velocity=np.zeros(2)))
    segments, report = read(write(tmp_path / "bag", [*kept, *orders]))
    assert [_starts(segment, states) for segment in segments] == [[0], [3, 4], [6, 7], [9], [12, 13]]
    assert {reason: count for reason, count in report.cuts.items() if count} == {
        Cut.GAP: 1, Cut.NO_COMMAND: 1, Cut.STOP: 1, Cut.NOT_FINITE: 1}
    assert report.transitions == 8


def _starts(segment: Transitions, states: Sequence[Entry]) -> list[int]:
    rows = [np.array(entry.message.position, dtype=np.float32) for entry in states]
    return [next(i for i, row in enumerate(rows) if np.array_equal(row, start.numpy())) for start in segment.states]


def test_repeated_states_are_counted_and_left_out(tmp_path: Path, driven: Path, entries: list[Entry]) -> None:
    twice = of(entries, "/robot_state")[3:6]
    segments, report = read(write(tmp_path / "bag", [*entries, *twice]))
    assert_same(segments, read(driven)[0])
    assert report.repeated == 3


def test_wrong_control_period_gives_nothing(tmp_path: Path, driven: Path) -> None:
    segments, report = read(driven, 0.05)
    assert segments == []
    assert report.transitions == 0
    with pytest.raises(UserError, match="no transitions in .* at the control period of 0.05 s") as caught:
        read_recordings([driven], 0.05)
    assert "\n" not in str(caught.value)


def _renamed(topic: str, names: Sequence[str]) -> Callable[[list[Entry]], list[Entry]]:
    def change(entries: list[Entry]) -> list[Entry]:
        return [Entry(entry.topic, entry.log_time, joint_state(names, entry.log_time, np.zeros(len(names)),
                                                               np.zeros(len(names))))
                if entry.topic == topic else entry for entry in entries]
    return change


@pytest.mark.parametrize(("change", "expected"), [
    (_renamed("/robot_state", STATE.names[1:]), "state layout: missing position_x"),
    (_renamed("/robot_state", [*STATE.names, "tail_angle"]), "state layout: unexpected tail_angle"),
    (_renamed("/robot_state", STATE.names[::-1]), "state layout: same elements in another order"),
    (_renamed("/motor_commands", ["left_leg", "tail"]), "action layout: missing right_leg; unexpected tail"),
])
def test_wrong_layout_is_named(tmp_path: Path, entries: list[Entry],
                               change: Callable[[list[Entry]], list[Entry]], expected: str) -> None:
    bag = write(tmp_path / "bag", change(entries))
    with pytest.raises(UserError) as caught:
        read(bag)
    assert str(caught.value).startswith(f"recording {bag} does not match the robot's {expected}")


@pytest.mark.parametrize(("topic", "numbers"), [("/robot_state", 23), ("/robot_state", 0), ("/motor_commands", 0),
                                                ("/motor_commands", 3)])
def test_message_with_too_few_or_too_many_numbers(tmp_path: Path, entries: list[Entry], topic: str,
                                                  numbers: int) -> None:
    names = STATE.names if topic == "/robot_state" else ACTION.names
    wrong = [Entry(entry.topic, entry.log_time, joint_state(names, entry.log_time, np.zeros(numbers),
                                                            np.zeros(numbers)))
             if entry.topic == topic and i > 8 else entry for i, entry in enumerate(entries)]
    with pytest.raises(UserError, match=f"{topic} with {numbers} numbers") as caught:
        read(write(tmp_path / "bag", wrong))
    assert "\n" not in str(caught.value)


def test_topic_of_another_type(tmp_path: Path, entries: list[Entry]) -> None:
    kind = "geometry_msgs/msg/PointStamped"
    point = message_type("geometry_msgs/msg/Point")(x=0.0, y=0.0, z=0.0)
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/robot_state", kind)
        for entry in of(entries, "/robot_state"):
            bag.write_message("/robot_state", entry.log_time,
                              message_type(kind)(header=entry.message.header, point=point))
    with pytest.raises(UserError, match=f"has {kind} on /robot_state, expected {JOINT_STATE}"):
        read(tmp_path / "bag")


def test_several_recordings_stay_apart(tmp_path: Path, entries: list[Entry]) -> None:
    half = len(entries) // 2 // 2 * 2
    write(tmp_path / "bags" / "a", entries[:half])
    write(tmp_path / "bags" / "b", entries[half:])
    write(tmp_path / "bags" / "empty", entries[:1])
    seen: list[tuple[int, int]] = []
    recordings, report = read_recordings([tmp_path / "bags"], 0.1, lambda done, total: seen.append((done, total)))
    assert [sum(map(len, segments)) for segments in recordings] == [half // 2 - 1, TICKS + 1 - half // 2 - 1]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert (report.recordings, report.transitions) == (3, TICKS - 1)
    assert report.lines()[0] == f"3 recordings, {TICKS + 2} states, {TICKS - 1} transitions in 2 segments"


def test_damaged_recording_gives_what_is_there_and_a_warning(tmp_path: Path, entries: list[Entry]) -> None:
    bag = write(tmp_path / "bag", entries)
    (bag / "metadata.yaml").unlink()
    segments, report = read(bag)
    assert sum(map(len, segments)) == TICKS
    assert any("metadata" in text for text in report.warnings)
    assert any(line.startswith("warning: ") for line in report.lines())


def test_report_has_a_row_per_reason() -> None:
    report = DataReport(recordings=1)
    assert report.lines() == ["1 recordings, 0 states, 0 transitions in 0 segments", "nothing cut out"]
    report.add_cut(Cut.GAP, 2, 31)
    report.add_cut(Cut.STOP, 1, 7)
    report.repeated, report.late, report.resampled = 3, 4, 1
    assert report.lines()[1:] == [
        "resampled to the control period: 1 recordings",
        "cut out                        times  transitions lost",
        "gap between states                 2                31",
        "stop (zero command)                1                 7",
        "repeated message, left out         3                 0",
        "late message, put in order         4                 0"]
    report.conflicting = 2
    report.warnings = [f"bag {i}" for i in range(22)]
    assert "two publishers, or time began again" in report.lines()[7]
    assert report.lines()[-2:] == ["warning: bag 19", "warning: and 2 more"]


def test_every_reason_has_a_text() -> None:
    assert set(REASONS) == set(Cut)


def test_every_state_is_accounted_for(tmp_path: Path, entries: list[Entry]) -> None:
    """Between n states there are n - 1 transitions, made or lost; a gap loses one per period."""
    states, commands = of(entries, "/robot_state"), of(entries, "/motor_commands")
    kept = [entry for i, entry in enumerate(states) if i not in (2, 3, 9)]
    orders = [entry for i, entry in enumerate(commands) if i != 6]
    _, report = read(write(tmp_path / "bag", [*kept, *orders]))
    assert report.lost[Cut.GAP] == 3 + 2
    assert report.lost[Cut.NO_COMMAND] == 1
    assert report.transitions + sum(report.lost.values()) == TICKS


@pytest.mark.parametrize(("path", "expected"), [
    ("data/carpet_0001", "carpet"), ("data/turf_rough_0012/", "turf_rough"), ("slope_12_0003", "slope_12"),
    ("data/carpet", "carpet"), ("data/carpet_0001/carpet_0001_0.mcap", "carpet"),
    ("data/carpet_0001/carpet_0001_0.db3.zstd", "carpet"), ("_0001", "_0001"), ("0001", "0001"),
    ("carpet_leg2", "carpet_leg2"), ("a_1/b", "b")])
def test_condition_is_the_folder_without_its_number(path: str, expected: str) -> None:
    assert condition_of(Path(path)) == expected


def test_drivings_know_their_bags(tmp_path: Path, entries: list[Entry]) -> None:
    for name in ("carpet_0000", "carpet_0001", "turf_0000"):
        write(tmp_path / name, entries)
    write(tmp_path / "empty_0000", entries[:1])
    drivings, report = read_drivings([tmp_path], 0.1)
    assert [driving.bag.name for driving in drivings] == ["carpet_0000", "carpet_0001", "turf_0000"]
    assert [driving.condition for driving in drivings] == ["carpet", "carpet", "turf"]
    assert report.recordings == 4
    recordings, _ = read_recordings([tmp_path], 0.1)
    for driving, segments in zip(drivings, recordings, strict=True):
        assert_same(driving.segments, segments)


def test_two_robots_in_one_bag_stay_apart(tmp_path: Path, driven: Path, entries: list[Entry]) -> None:
    pair = [Entry(f"/{name}{entry.topic}", entry.log_time, entry.message) for entry in entries for name in "ab"]
    clean = read(driven)[0]
    assert_same(read(write(tmp_path / "bag", pair))[0], [*clean, *clean])


def test_one_lost_recording_does_not_lose_the_others(tmp_path: Path, driven: Path, entries: list[Entry]) -> None:
    write(tmp_path / "bags" / "a", entries)
    (write(tmp_path / "bags" / "b", entries) / "b.mcap").write_bytes(b"rubbish" * 100)
    drivings, report = read_drivings([tmp_path / "bags"], 0.1)
    assert_same(drivings[0].segments, read(driven)[0])
    assert (len(drivings), report.recordings) == (1, 2)
    assert any("b is not a readable recording" in text for text in report.warnings)
    with pytest.raises(UserError, match="no transitions in .*b is not a readable recording"):
        read_drivings([tmp_path / "bags" / "b"], 0.1)


def test_single_message_of_a_wrong_layout_is_damage(tmp_path: Path, entries: list[Entry]) -> None:
    stamp = of(entries, "/robot_state")[5].log_time
    wrong = [Entry(entry.topic, stamp, joint_state([*STATE.names[:-1], "battery_woltage"], stamp, np.zeros(24)))
             if entry.topic == "/robot_state" and entry.log_time == stamp else entry for entry in entries]
    segments, report = read(write(tmp_path / "bag", wrong))
    assert [len(segment) for segment in segments] == [4, TICKS - 6]
    assert any("1 damaged messages left out" in text and "battery_woltage" in text for text in report.warnings)


def test_missing_topics_are_named(tmp_path: Path, entries: list[Entry]) -> None:
    for topic, other in (("/robot_state", "motor_commands"), ("/motor_commands", "robot_state")):
        _, report = read(write(tmp_path / other, of(entries, topic)))
        assert any(text.endswith(f"no {other}") for text in report.warnings)
    with pytest.raises(UserError, match="no motor_commands"):
        read_recordings([tmp_path / "motor_commands"], 0.1)


def test_log_times_of_another_clock_are_named(tmp_path: Path, entries: list[Entry]) -> None:
    wall = [Entry(entry.topic, entry.log_time + 10**18, entry.message) for entry in entries]
    segments, report = read(write(tmp_path / "bag", wall))
    assert segments == []
    assert any("different clocks" in text for text in report.warnings)


def test_repeats_that_differ_are_named_and_the_first_counts(tmp_path: Path, driven: Path, entries: list[Entry]) -> None:
    third = of(entries, "/robot_state")[3]
    other = Entry("/robot_state", third.log_time + 1, joint_state(STATE.names, third.log_time, np.zeros(24)))
    segments, report = read(write(tmp_path / "bag", [other, *entries]))
    assert_same(segments, read(driven)[0])
    assert (report.repeated, report.conflicting) == (1, 1)


def test_numbers_beyond_single_precision_are_not_finite(tmp_path: Path, entries: list[Entry]) -> None:
    states = of(entries, "/robot_state")
    huge = np.array(states[5].message.position)
    huge[4] = 1e300
    kept = [*entries, Entry("/robot_state", 0, joint_state(STATE.names, states[5].log_time, huge))]
    segments, report = read(write(tmp_path / "bag", kept))
    assert all(torch.isfinite(segment.states).all() for segment in segments)
    assert report.lost[Cut.NOT_FINITE] == 2
