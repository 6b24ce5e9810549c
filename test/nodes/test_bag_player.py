# SPDX-License-Identifier: Apache-2.0
"""The player over DDS: what of a recording comes out, to whom, how fast, and what it refuses."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experience.replay_bags import walking_bag
from nodes.support import NodeProcess, NodeThread, Peer, refusal, until
from std_srvs.srv import SetBool, Trigger

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import read_bag
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.bag_player import BagPlayer
from l2a_ros.nodes.messages import motor_commands, to_nanoseconds
from l2a_ros.nodes.runtime import NodeStopped

MILLI = 1_000_000
#: Deadline of a whole replay, s.
LONG = 120.0


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A walk of 1.2 s."""
    return walking_bag(tmp_path_factory.mktemp("walk") / "bag", ticks=7)


def recorded(bag: Path, topic: str) -> list[Any]:
    return list(read_bag(bag, (f"/{topic}",)))


def senders(peer: Peer) -> set[str]:
    """Return the nodes that publish motor_commands."""
    return {each.node_name for each in peer.node.get_publishers_info_by_topic("/motor_commands")}


def failing(**parameters: Any) -> BaseException:
    """Return what a player ends with."""
    with NodeThread(BagPlayer, **parameters) as player:
        failure: BaseException = until(lambda: player.failure, seconds=LONG)
        player.failure, player.is_alive = None, lambda: True  # type: ignore[method-assign] # it ended as it should
        # Its frames hold the node, and with it a publisher that the next test would see.
        failure.__traceback__ = None
    return failure


def replayed_states(bag: Path, out: str) -> tuple[list[tuple[int, bytes]], Peer]:
    """Play a recording to the estimator as fast as it answers; return its states, and who heard them."""
    with Peer(lockstep=True) as peer, NodeProcess("state_estimator", use_sim_time=True, lockstep=True):
        peer.listen(names.ROBOT_STATE, names.MOTOR_COMMANDS, names.CLOCK, names.REFERENCE_PATH, *names.SENSOR_TOPICS)
        with NodeThread(BagPlayer, bag=str(bag), rate=0.0, expected_nodes=["state_estimator", "peer"],
                        out=out) as player:
            until(lambda: senders(peer) == {"bag_player"}, seconds=LONG)
            until(lambda: player.node.exit_code == 0, seconds=LONG)
            newest = recorded(bag, "robot_state")[-1].stamp
            until(lambda: newest in peer.stamps(names.ROBOT_STATE))
            player.is_alive = lambda: True  # type: ignore[method-assign] # it ended as it should
        # On a busy machine a tick is announced again, and its state said again.
        return sorted({(to_nanoseconds(message.header.stamp), message.position.tobytes())
                       for message in peer.of(names.ROBOT_STATE)}), peer


def test_the_same_recording_gives_the_same_states_bit_for_bit(bag: Path, tmp_path: Path) -> None:
    first, peer = replayed_states(bag, str(tmp_path / "out"))
    states = recorded(bag, "robot_state")
    assert (tmp_path / "out" / "replay.png").stat().st_size > 1000
    report = json.loads((tmp_path / "out" / "replay.json").read_text())
    assert report["states_identical"] == report["states"] == len(states), "and they are the recorded ones"
    assert (report["ended"], report["unanswered"], report["warnings"]) == ("completed", 0, [])
    for topic in names.SENSOR_TOPICS:
        assert peer.stamps(topic) == [each.stamp for each in recorded(bag, topic.name)], "each once and in order"
    commands = recorded(bag, "motor_commands")
    assert peer.stamps(names.MOTOR_COMMANDS) == [each.stamp for each in commands]
    np.testing.assert_array_equal([message.velocity for message in peer.of(names.MOTOR_COMMANDS)],
                                  [each.message.velocity for each in commands])
    clock = np.array([to_nanoseconds(message.clock) for message in peer.of(names.CLOCK)])
    assert set(np.diff(clock)) == {10 * MILLI}
    assert len(peer.of(names.REFERENCE_PATH)) == 1
    assert [stamp for stamp, _ in first] == [each.stamp for each in states]
    again, _ = replayed_states(bag, "")
    assert again == first


def test_pause_step_and_rate_while_it_plays(bag: Path) -> None:
    parameters: dict[str, Any] = {"bag": str(bag), "source": "robot_state", "expected_nodes": [""], "paused": True,
                                  "loop": True}
    with Peer(lockstep=True) as peer:
        peer.listen(names.ROBOT_STATE)
        with NodeThread(BagPlayer, **parameters) as player:
            until(lambda: peer.node.count_publishers(names.ROBOT_STATE.name))
            assert peer.trigger(names.PLAYER_STEP, once=True).success
            until(lambda: len(player.node._log.ticks) == 1, seconds=LONG)
            time.sleep(0.3)
            assert len(player.node._log.ticks) == 1, "a step is one control period"
            assert peer.set_parameters("bag_player", {"rate": 50.0}) == ""
            assert peer.set_parameters("bag_player", {"rate": -1.0}) != ""
            assert peer.call(SetBool, names.PLAYER_PAUSE, SetBool.Request(data=False)).success
            assert not peer.trigger(names.PLAYER_STEP).success
            until(lambda: len(player.node._log.ticks) > 25, "it begins again at the end", LONG)
            assert peer.call(SetBool, names.PLAYER_PAUSE, SetBool.Request(data=True)).message == "paused"
            heard = peer.stamps(names.ROBOT_STATE)
            assert heard[-1] in [each.stamp for each in recorded(bag, "robot_state")]


@pytest.mark.parametrize("by", ["service", "publisher"])
def test_nothing_is_played_where_a_robot_would_hear_it(bag: Path, by: str) -> None:
    with Peer() as peer:
        peer.listen(names.MOTOR_COMMANDS, names.ROBOT_STATE)
        if by == "service":
            peer.node.create_service(Trigger, names.ARM, lambda _, response: response)
        else:
            peer.publish(names.MOTOR_COMMANDS, motor_commands(np.zeros(2), 1))
        failure = failing(bag=str(bag), source="robot_state", expected_nodes=["peer"])
        assert isinstance(failure, UserError)
        assert str(failure).startswith("a robot or a simulation is in this ROS graph (")
        time.sleep(0.1)
        assert len(peer.of(names.MOTOR_COMMANDS)) == (by == "publisher")


def test_who_does_not_come_is_named(bag: Path) -> None:
    failure = failing(bag=str(bag), expected_nodes=["state_estimator"], node_timeout=0.5)
    assert isinstance(failure, NodeStopped)
    assert str(failure) == "error: state_estimator is not there (waited 0.5 s)"


@pytest.mark.parametrize(("parameters", "words"), [
    ({"bag": "/none"}, "does not exist"),
    ({"bag": "BAG", "source": "robot_state", "control_period": 0.2}, "the model wants one every 0.2 s"),
    ({"bag": "BAG", "without": ["joint_states"]}, "has no joint_states, which the estimator needs"),
    ({"bag": "BAG", "source": "thoughts"}, "unknown source 'thoughts'"), ({"bag": "BAG", "rate": -1.0}, "rate")])
def test_bad_parameters_are_one_line(bag: Path, parameters: dict[str, Any], words: str) -> None:
    given = {name: str(bag) if value == "BAG" else value for name, value in parameters.items()}
    assert words in refusal(BagPlayer, **given)


def test_a_part_that_holds_nothing_is_said(bag: Path) -> None:
    failure = failing(bag=str(bag), source="robot_state", expected_nodes=[""], start=100.0)
    assert isinstance(failure, UserError)
    assert "has no tick in the part that is played" in str(failure)
