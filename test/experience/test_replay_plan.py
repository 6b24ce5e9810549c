# SPDX-License-Identifier: Apache-2.0
"""What is played of a recording, and the commands that answer its states."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experience.driving_samples import drive, message_of, write_samples
from experience.replay_bags import TYPES, path_message, walking_bag
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import read_bag
from l2a_ros.experience.bag_writer import BagWriter
from l2a_ros.experience.playback import Kind
from l2a_ros.experience.replay_plan import make_plan
from l2a_ros.experience.replay_sources import RECORDED_STATES, SENSORS
from l2a_ros.experience.replay_topics import SENSOR_TYPES, choose_replay_topics, find_bag
from l2a_ros.experience.tick_commands import TickCommands
from l2a_ros.experience.transitions import Episode, Transitions
from l2a_ros.robot.layout import STATE

SECOND = 1_000_000_000
PERIOD = SECOND // 10


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short walk."""
    return walking_bag(tmp_path_factory.mktemp("walk") / "bag", ticks=8)


def relay(source: Path, folder: Path, renamed: dict[str, str], left_out: Collection[str] = ()) -> Path:
    """Copy a recording, with other names of topics."""
    with BagWriter(folder) as writer:
        for message in read_bag(source):
            if message.topic not in left_out:
                name = renamed.get(message.topic, message.topic)
                writer.add_topic(name, message.type)
                writer.write_message(name, message.log_time, message.message)
    return folder


def refusal(bag: Path, source: str = SENSORS, **words: Any) -> str:
    with pytest.raises(UserError) as caught:
        choose_replay_topics(bag, source, **words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_topic_is_found(bag: Path) -> None:
    topics = choose_replay_topics(bag)
    assert set(topics.played) == set(TYPES)
    assert (topics.robot, topics.mocap_type, topics.warnings) == ("/", "pose", ())
    states = choose_replay_topics(bag, RECORDED_STATES)
    assert set(states.played) == set(TYPES) - set(SENSOR_TYPES)
    assert "imu/data_raw" not in choose_replay_topics(bag, without=["imu/data_raw"]).played


def test_a_bag_by_ros2_bag_record_of_another_mocap_topic(bag: Path, tmp_path: Path) -> None:
    other = relay(bag, tmp_path / "other", {"/mocap/pose": "/vrpn_mocap/robot7/pose"})
    topics = choose_replay_topics(other)
    assert topics.played["mocap/pose"].name == "/vrpn_mocap/robot7/pose"
    assert "is taken for motion capture" in topics.warnings[0]
    assert choose_replay_topics(other, mocap_topic="vrpn_mocap/robot7/pose").warnings == ()
    assert "has no poses on /cameras/pose; known: /vrpn_mocap/robot7/pose" in refusal(
        other, mocap_topic="/cameras/pose")


def test_what_is_no_recording_is_said(tmp_path: Path) -> None:
    for text, words in (("", "name the recording"), (str(tmp_path / "none"), "does not exist"),
                        (str(tmp_path), "holds no recording")):
        with pytest.raises(UserError, match=words):
            find_bag(text)
    for name in "ab":
        write_samples(tmp_path / name, drive(2))
    with pytest.raises(UserError, match="holds 2 recordings; name one of them"):
        find_bag(str(tmp_path))


def test_what_is_missing_is_said_with_what_to_do(bag: Path, tmp_path: Path) -> None:
    driving = write_samples(tmp_path / "driving", drive(20))
    assert "has no mocap/pose, joint_states, motor_telemetry, battery_state" in refusal(driving)
    assert refusal(driving).endswith("replay the recorded states with --from robot_state")
    assert set(choose_replay_topics(driving, RECORDED_STATES).played) == {"robot_state", "motor_commands"}
    silent = relay(bag, tmp_path / "silent", {}, ["/robot_state", "/motor_commands"])
    assert "has no robot_state" in refusal(silent, RECORDED_STATES)
    assert refusal(silent, RECORDED_STATES).endswith("replay its sensors with --from sensors")
    assert "never adapts" in choose_replay_topics(silent).warnings[0]
    strange = relay(bag, tmp_path / "strange", {name: f"{name}_b" for name in ("/" + each for each in TYPES)})
    assert "holds nothing of this robot" in refusal(strange)
    assert "no such topic is played" in refusal(bag, without=["imu"])


def test_a_wrong_type_is_said_and_can_be_left_out(bag: Path, tmp_path: Path) -> None:
    wrong = relay(bag, tmp_path / "wrong", {"/imu/data_raw": "/imu", "/joint_states": "/imu/data_raw",
                                            "/motor_telemetry": "/joint_states"})
    assert "has sensor_msgs/msg/JointState on /imu/data_raw, expected sensor_msgs/msg/Imu; leave it" in refusal(wrong)
    assert "has no motor_telemetry" in refusal(wrong, without=["imu/data_raw"])


def test_two_robots_must_be_told_apart(bag: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    with BagWriter(both) as writer:
        for message in read_bag(bag):
            for robot in ("/red", "/blue"):
                writer.add_topic(robot + message.topic, message.type)
                writer.write_message(robot + message.topic, message.log_time, message.message)
    assert "holds 2 robots: /blue/, /red/; choose one with --robot" in refusal(both)
    assert "has no robot green; known: /blue/, /red/" in refusal(both, robot="green")
    topics = choose_replay_topics(both, robot="red")
    assert {each.name for each in topics.played.values()} == {f"/red/{name}" for name in TYPES}
    assert len(make_plan(topics, SENSORS, 0.1).states) > 8


def test_ticks_are_the_recorded_states(bag: Path) -> None:
    plan = make_plan(choose_replay_topics(bag), SENSORS, 0.1)
    ticks = [each.time for each in plan.events() if each.kind is Kind.TICK]
    assert plan.ticks.source == "robot_state"
    assert [tick for tick in ticks if tick in plan.states] == sorted(plan.states)
    assert plan.warnings == []
    # Without them they are where commands answer states, and without both at every period.
    for left_out, source in ((["robot_state"], "motor_commands"), (["robot_state", "motor_commands"], "")):
        other = make_plan(choose_replay_topics(bag, without=left_out), SENSORS, 0.1)
        assert other.ticks.source == source
        found = [each.time for each in other.events() if each.kind is Kind.TICK]
        assert set(np.diff(found)) == {PERIOD}
        assert len(found) >= 8


def test_another_control_period(bag: Path) -> None:
    with pytest.raises(UserError, match=r"a robot_state every 0\.1 s, the model wants one every 0\.2 s"):
        make_plan(choose_replay_topics(bag, RECORDED_STATES), RECORDED_STATES, 0.2)
    plan = make_plan(choose_replay_topics(bag), SENSORS, 0.2)
    assert "the sensors are estimated anew every 0.2 s" in plan.warnings[0]
    assert set(np.diff([each.time for each in plan.events() if each.kind is Kind.TICK])) == {2 * PERIOD}
    assert not plan.commands.answers


def test_a_damaged_recording_is_played_as_far_as_it_goes(bag: Path, tmp_path: Path) -> None:
    [whole] = bag.glob("*.mcap")
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole.read_bytes()[:whole.stat().st_size * 2 // 3])
    plan = make_plan(choose_replay_topics(find_bag(str(cut))), SENSORS, 0.1)
    events = list(plan.events())
    assert sum(each.kind is Kind.TICK for each in events) >= 1
    assert any("cut off or damaged" in line or "recovered" in line for line in plan.warnings)


def test_a_path_is_played(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/reference_path", TYPES["reference_path"])
        writer.write_message("/reference_path", 1, path_message(np.zeros((2, 2)), 1))
        writer.add_topic("/robot_state", TYPES["robot_state"])
        for sample in drive(5):
            if sample.topic == "/robot_state":
                writer.write_message("/robot_state", sample.log_time, message_of(sample))
    plan = make_plan(choose_replay_topics(tmp_path / "bag", RECORDED_STATES), RECORDED_STATES, 0.1)
    assert [each.name for each in plan.events()] == ["reference_path", *["robot_state"] * 5]


# Commands ------------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 2, 2, 2]), st.integers(0, PERIOD * 3 // 2)), min_size=3,
                max_size=25))
def test_the_learner_sees_the_transitions_that_it_saw_live(ticks: list[tuple[int, int]]) -> None:
    """An episode that is given the means in force holds what one holds that is given commands and their delays."""
    rng = np.random.default_rng(len(ticks))
    stamps = [SECOND + i * PERIOD for i in range(len(ticks))]
    commands = {}
    for stamp, (kind, delay) in zip(stamps, ticks, strict=True):
        if kind:
            commands[stamp] = (stamp + delay, rng.uniform(10.0, 50.0, 2) if kind == 2 else np.zeros(2))
    means = TickCommands(commands, np.array(stamps), PERIOD)
    if not means.answers:
        return
    live: list[Transitions] = []
    replayed: list[Transitions] = []
    one, two = (Episode(0.1, None, finished=kept) for kept in (live, replayed))
    for i, stamp in enumerate(stamps):
        state = np.full(STATE.size, 0.001 * i)
        one.add_state(stamp, state)
        two.add_state(stamp, state)
        if stamp in commands:
            moment, rates = commands[stamp]
            one.add_command(stamp, rates, (moment - stamp) / SECOND)
        mean = means.at(stamp)
        two.add_command(stamp, np.zeros(2) if mean is None else mean, 0.0)
    for episode, kept in ((one, live), (two, replayed)):
        kept.append(episode.window())
    first, second = (np.concatenate([np.hstack([each.states, each.actions]) for each in kept])
                     for kept in (live, replayed))
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_commands_with_stamps_of_their_own_are_averaged_over_the_period() -> None:
    moments = [SECOND + 7 * PERIOD // 10 + i * PERIOD for i in range(5)]
    commands = {moment: (moment, np.array([10.0 * i + 10.0, 20.0])) for i, moment in enumerate(moments)}
    stamps = np.array([SECOND + i * PERIOD for i in range(5)])
    means = TickCommands(commands, stamps, PERIOD)
    assert not means.answers
    assert means.at(int(stamps[0])) is None, "what was in force before the first is not known"
    np.testing.assert_allclose(means.at(int(stamps[1])), [0.7 * 10.0 + 0.3 * 20.0, 20.0])
    assert means.recorded(int(stamps[1])) is None
