# SPDX-License-Identifier: Apache-2.0
"""The adaptation node over DDS, fed with a drive of the simulated robot."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lifecycle_msgs.msg import Transition
from nodes.support import PERIOD, SECOND, NodeProcess, NodeThread, Peer, assert_refused, refusal, until
from safetensors.torch import save_file

from l2a_ros.experience.transitions import Episode
from l2a_ros.learning.adapted_model import AdaptationStatus, AdaptedModel
from l2a_ros.learning.checkpoint import load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.adaptation import AdaptationNode
from l2a_ros.nodes.messages import motor_commands, named_values, named_vector
from l2a_ros.robot.layout import STATE
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.training.random_driving import RandomDriver

STATUS = "adaptation: model"
START = 5 * SECOND


@lru_cache
def drive(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return states ``(count, 24)`` of a random drive and the command that answers each, ``(count, 2)`` rad/s."""
    robot, driver = InProcessRobot(load_terrain("carpet"), seed=5), RandomDriver(5)
    state = robot.settle().state
    states, commands = [], []
    for _ in range(count):
        command = driver()
        states.append(state)
        commands.append(command)
        state = robot.tick(command).state
    return np.array(states), np.array(commands)


@lru_cache
def past() -> int:
    """M of the shipped checkpoint."""
    return load_checkpoint(shipped_checkpoint("grbal")).card.past


class Loop:
    """The rest of the graph: gives states and the commands that answer them, in lock-step."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.next, self.time = peer, 0, START
        peer.listen(names.ADAPTED_MODEL, names.ADAPTATION_METRICS)
        peer.offer(names.ROBOT_STATE, names.MOTOR_COMMANDS)

    @property
    def models(self) -> list[bytes]:
        """The answers so far."""
        return [bytes(message.data) for message in self.peer.of(names.ADAPTED_MODEL)]

    @property
    def newest(self) -> AdaptedModel:
        """The newest answer."""
        return AdaptedModel.from_bytes(self.models[-1])

    def state(self, **fields: Any) -> None:
        """Publish the state of now."""
        message = named_vector(STATE.names, drive()[0][self.next], self.time)
        for name, value in fields.items():
            setattr(message, name, value)
        self.peer.publish(names.ROBOT_STATE, message)

    def command(self) -> None:
        """Answer the state of now."""
        self.peer.publish(names.MOTOR_COMMANDS, motor_commands(drive()[1][self.next], self.time))

    def advance(self, seconds: float = PERIOD / SECOND) -> None:
        """Let time pass."""
        self.next += 1
        self.time += round(seconds * SECOND)

    def answer(self) -> AdaptedModel:
        """Wait for the model of now."""
        until(lambda: self.models and self.newest.stamp == self.time, "no model for this state")
        return self.newest

    def tick(self) -> AdaptedModel:
        """Do one whole period: state, model, command."""
        self.state()
        model = self.answer()
        self.command()
        self.advance()
        return model


@contextmanager
def running(**parameters: Any) -> Iterator[Loop]:
    """A node in lock-step, connected; the next tick is the second of an episode that began with a command."""
    with NodeThread(AdaptationNode, lockstep=True, **parameters), Peer(lockstep=True) as peer:
        loop = Loop(peer)
        until(lambda: peer.listeners(names.ROBOT_STATE) and peer.listeners(names.MOTOR_COMMANDS))
        until(lambda: peer.node.count_publishers(names.ADAPTED_MODEL.name))

        def answered() -> bool:
            # The first answer may be lost while the two find each other; a repeated state costs nothing.
            loop.state()
            time.sleep(0.05)
            return bool(loop.models)

        until(answered)
        loop.command()
        loop.advance()
        yield loop


def test_every_state_is_answered_and_the_window_fills() -> None:
    with running() as loop:
        models = [loop.newest] + [loop.tick() for _ in range(past() + 8)]
        assert [model.stamp for model in models] == [START + i * PERIOD for i in range(len(models))]
        statuses = [model.status for model in models]
        assert statuses[:past()] == [AdaptationStatus.SHORT_WINDOW] * past()
        assert set(statuses[past():]) <= {AdaptationStatus.ADAPTED, AdaptationStatus.LOSS_INCREASE}
        assert statuses[past():].count(AdaptationStatus.ADAPTED) > 4
        assert np.all(np.diff([model.version for model in models]) == 1)

        # The node adds nothing of its own: the pure classes say the same.
        checkpoint = load_checkpoint(shipped_checkpoint("grbal"))
        adapter, episode = OnlineAdapter(checkpoint), Episode(PERIOD / SECOND, past())
        states, commands = drive()
        for i, model in enumerate(models):
            episode.add_state(model.stamp, states[i])
            expected = adapter.adapt(episode.window(), model.stamp).model
            episode.add_command(model.stamp, commands[i], 0.0)
            assert model.status == expected.status
            assert model.checkpoint_id == checkpoint.id
            for ours, theirs in zip(model.change, expected.change, strict=True):
                torch.testing.assert_close(ours.forward, theirs.forward)
                torch.testing.assert_close(ours.backward, theirs.backward)

        until(lambda: loop.peer.stamps(names.ADAPTATION_METRICS)[-1] == models[-1].stamp)
        metrics = named_values(loop.peer.of(names.ADAPTATION_METRICS)[-1])
        assert metrics["window"] == past()
        assert metrics["version"] == models[-1].version
        assert metrics["loss_after"] <= metrics["loss_before"] or not metrics["adapted"]
        until(lambda: loop.peer.figure(STATUS, "window") == past())


def test_repeated_state_gets_the_same_bytes() -> None:
    with running() as loop:
        for _ in range(past() + 2):
            loop.tick()
        loop.state()
        model = loop.answer()
        bytes_, count = loop.models[-1], len(loop.models)
        for _ in range(3):
            loop.state()
        until(lambda: len(loop.models) == count + 3)
        assert loop.models[-3:] == [bytes_] * 3
        loop.command()
        loop.advance()
        assert loop.tick().version == model.version + 1
        # A late state is not answered at all.
        count = len(loop.models)
        loop.peer.publish(names.ROBOT_STATE, named_vector(STATE.names, drive()[0][0], loop.time - 5 * PERIOD))
        loop.tick()
        assert len(loop.models) == count + 1


def _fill(loop: Loop) -> None:
    for _ in range(past() + 1):
        model = loop.tick()
    assert model.status != AdaptationStatus.SHORT_WINDOW


def _assert_refills(loop: Loop, ticks: int) -> None:
    statuses = [loop.tick().status for _ in range(ticks)]
    assert set(statuses[:-1]) == {AdaptationStatus.SHORT_WINDOW}
    assert statuses[-1] != AdaptationStatus.SHORT_WINDOW


def test_gap_empties_the_window() -> None:
    with running() as loop:
        _fill(loop)
        loop.advance()
        _assert_refills(loop, past() + 1)
        until(lambda: loop.peer.figure(STATUS, "cuts: gap") == 1)


def test_reset_and_stop_empty_the_window() -> None:
    with running() as loop:
        _fill(loop)
        assert loop.peer.trigger(names.ADAPTATION_RESET).success
        _assert_refills(loop, past() + 1)
        loop.state()
        loop.answer()
        loop.peer.publish(names.MOTOR_COMMANDS, motor_commands(np.zeros(2), loop.time))
        loop.advance()
        assert loop.tick().status == AdaptationStatus.SHORT_WINDOW, "a robot that stands says nothing about walking"
        until(lambda: loop.peer.figure(STATUS, "cuts: stop") == 1)


def test_bad_messages_are_refused_and_outlived() -> None:
    with running() as loop:
        _fill(loop)
        bad_states = [{"name": list(reversed(STATE.names))}, {"name": []}, {"position": []}, {"position": [1.0] * 25},
                      {"name": [*STATE.names, "tail"], "position": [0.0] * 25}]
        for fields in bad_states:
            loop.state(**fields)
        refused = len(bad_states)
        until(lambda: loop.peer.figure(STATUS, "messages of wrong layout") == refused)
        for fields in ({"name": ["left", "right"]}, {"velocity": [20.0]}, {"velocity": []}):
            bad = motor_commands(np.array([20.0, 20.0]), loop.time - PERIOD)
            for name, value in fields.items():
                setattr(bad, name, value)
            # One at a time: who listens keeps the newest alone.
            loop.peer.publish(names.MOTOR_COMMANDS, bad)
            refused += 1
            until(lambda refused=refused: loop.peer.figure(STATUS, "messages of wrong layout") == refused)
        assert loop.tick().status != AdaptationStatus.SHORT_WINDOW, "what was refused leaves no trace"

        loop.state(position=[math.nan] * STATE.size)
        assert loop.answer().status == AdaptationStatus.SHORT_WINDOW
        loop.command()
        loop.advance()
        assert loop.tick().status == AdaptationStatus.SHORT_WINDOW
        _assert_refills(loop, past())


def test_missing_command_in_real_time_empties_the_window() -> None:
    with NodeThread(AdaptationNode), Peer() as peer:
        peer.listen(names.ADAPTED_MODEL)
        peer.offer(names.ROBOT_STATE, names.MOTOR_COMMANDS)
        until(lambda: peer.listeners(names.ROBOT_STATE) and peer.listeners(names.MOTOR_COMMANDS))
        states, commands = drive()
        begin = time.time_ns()
        ticks, is_answered = 0, True

        def statuses() -> list[AdaptationStatus]:
            return [AdaptedModel.from_bytes(bytes(message.data)).status for message in peer.of(names.ADAPTED_MODEL)]

        def tick() -> None:
            nonlocal ticks
            stamp = begin + ticks * PERIOD
            while time.time_ns() < stamp:
                time.sleep(0.002)
            peer.publish(names.ROBOT_STATE, named_vector(STATE.names, states[ticks % len(states)], stamp))
            if is_answered:
                peer.publish(names.MOTOR_COMMANDS, motor_commands(commands[ticks % len(states)], stamp))
            ticks += 1

        def walk_until(wanted: bool) -> bool:
            tick()
            heard = statuses()
            return bool(heard) and (heard[-1] == AdaptationStatus.SHORT_WINDOW) != wanted

        until(lambda: walk_until(True), "it does not adapt")
        is_answered = False
        until(lambda: walk_until(False), "a window without a command is used")
        until(lambda: peer.figure(STATUS, "cuts: no_command") == 1)


def test_method_without_adaptation() -> None:
    with running(method="mb") as loop:
        for _ in range(3):
            model = loop.tick()
            assert (model.status, model.method, list(model.change)) == (AdaptationStatus.NOT_ADAPTIVE, "mb", [])


def test_lifecycle_twice_round() -> None:
    with NodeThread(AdaptationNode, lockstep=True, autostart=False), Peer(lockstep=True) as peer:
        loop = Loop(peer)
        for _ in range(2):
            assert peer.transition("adaptation", Transition.TRANSITION_CONFIGURE)
            peer.says(STATUS, "not active")
            before = len(loop.models)
            loop.state()
            assert peer.lifecycle_state("adaptation") == "inactive"
            assert len(loop.models) == before
            assert peer.transition("adaptation", Transition.TRANSITION_ACTIVATE)

            def answered(before: int = before) -> bool:
                loop.state()
                time.sleep(0.05)
                return len(loop.models) > before

            until(answered)
            assert loop.newest.status == AdaptationStatus.SHORT_WINDOW
            assert peer.transition("adaptation", Transition.TRANSITION_DEACTIVATE)
            assert peer.transition("adaptation", Transition.TRANSITION_CLEANUP)
        assert peer.lifecycle_state("adaptation") == "unconfigured"


def test_bad_checkpoints_and_parameters(tmp_path: Path) -> None:
    shipped = shipped_checkpoint("grbal").read_bytes()
    truncated, foreign = tmp_path / "truncated.safetensors", tmp_path / "foreign.safetensors"
    truncated.write_bytes(shipped[:len(shipped) // 2])
    save_file({"weight": torch.zeros(3, 3)}, foreign)
    for parameters, message in (
            ({"checkpoint": str(tmp_path / "nowhere.safetensors")}, "does not exist"),
            ({"checkpoint": str(truncated)}, "damaged or truncated"),
            ({"checkpoint": str(foreign)}, "not a checkpoint of l2a_ros"),
            ({"checkpoint": str(shipped_checkpoint("mb"))}, "trained for method 'mb', not 'grbal'"),
            ({"control_period": 0.05}, "trained for a control period of 0.1 s, not 0.05 s"),
            ({"method": "magic"}, "unknown method 'magic'; known: grbal, mb")):
        assert message in refusal(AdaptationNode, **parameters)
    assert_refused("adaptation", "damaged or truncated", checkpoint=str(truncated))


def test_process_ends_at_a_signal() -> None:
    with NodeProcess("adaptation"), Peer() as peer:
        peer.says(STATUS, "no state yet")
