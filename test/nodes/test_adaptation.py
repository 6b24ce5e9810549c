# SPDX-License-Identifier: Apache-2.0
"""The adaptation node over DDS, fed with a drive of the simulated robot."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from nodes.support import PERIOD, SECOND, NodeProcess, NodeThread, Peer, assert_refused, refusal, until
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter, parameter_value_to_python
from safetensors.torch import save_file

from l2a_ros.experience.transitions import Episode
from l2a_ros.learning.adapted_model import AdaptationStatus, AdaptedModel
from l2a_ros.learning.checkpoint import load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.learning.methods import method_names
from l2a_ros.learning.network import Factors, Layer
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.learning.rules import AdaptationSettings
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


#: M in these tests: from as many transitions on every method adapts.
PAST = 8


class Twin:
    """The pure classes, given what the node is given.

    Args:
        method: how it adapts.
        values: settings other than those of training.
    """

    def __init__(self, method: str = "grbal", **values: Any) -> None:
        checkpoint = load_checkpoint(shipped_checkpoint(method))
        values = {"past": PAST, **values}
        self.adapter = OnlineAdapter(checkpoint, method,
                                     dataclasses.replace(AdaptationSettings.of(checkpoint, method), **values))
        self.episode = Episode(PERIOD / SECOND, max(1, self.adapter.window_length))

    def follow(self, index: int, model: AdaptedModel) -> None:
        """Take a state of the drive, compare with the node's model of it, and take the command that answers it."""
        states, commands = drive()
        self.episode.add_state(model.stamp, states[index])
        expected = self.adapter.adapt(self.episode.window(), model.stamp).model
        self.episode.add_command(model.stamp, commands[index], 0.0)
        assert (model.status, model.method) == (expected.status, expected.method)
        assert model.checkpoint_id == expected.checkpoint_id
        assert [type(part) for part in model.change] == [type(part) for part in expected.change]
        for ours, theirs in zip(model.change, expected.change, strict=True):
            for one, other in zip(vars(ours).values(), vars(theirs).values(), strict=True):
                torch.testing.assert_close(one, other)


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
    parameters = {"past": PAST, **parameters}
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


@pytest.mark.parametrize("method", method_names())
def test_every_state_is_answered_and_the_window_fills(method: str) -> None:
    # The node adds nothing of its own: the pure classes say the same.
    twin, length = Twin(method), PAST
    with running(method=method) as loop:
        models = [loop.newest] + [loop.tick() for _ in range(length + 8)]
        assert [model.stamp for model in models] == [START + i * PERIOD for i in range(len(models))]
        for i, model in enumerate(models):
            twin.follow(i, model)
        assert np.all(np.diff([model.version for model in models]) == 1)
        statuses = [model.status for model in models]
        if method == "mb":
            assert set(statuses) == {AdaptationStatus.NOT_ADAPTIVE}
        else:
            assert statuses[:length] == [AdaptationStatus.SHORT_WINDOW] * length
            assert set(statuses[length:]) <= {AdaptationStatus.ADAPTED, AdaptationStatus.LOSS_INCREASE}
            assert statuses[length:].count(AdaptationStatus.ADAPTED) > 4
        kinds = {type(part) for model in models for part in model.change}
        assert kinds == {"mb": set(), "mb_de": {Layer}}.get(method, {Factors})

        until(lambda: loop.peer.stamps(names.ADAPTATION_METRICS)[-1] == models[-1].stamp)
        metrics = named_values(loop.peer.of(names.ADAPTATION_METRICS)[-1])
        assert metrics["window"] == metrics["past"] == (0 if method == "mb" else length)
        assert metrics["version"] == models[-1].version
        assert metrics["loss_after"] <= metrics["loss_before"] or not metrics["adapted"]
        assert metrics["adapt_s"] > 0.0
        assert {status: metrics[status] for status in AdaptationStatus} == {
            status: float(status is statuses[-1]) for status in AdaptationStatus}
        until(lambda: loop.peer.figure(STATUS, f"answers: {statuses[-1]}") >= statuses.count(statuses[-1]))
        assert loop.peer.figure(STATUS, "window") == metrics["window"]
        loop.peer.says(STATUS, statuses[-1])


def test_repeated_state_gets_the_same_bytes() -> None:
    with running() as loop:
        for _ in range(PAST + 2):
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
    for _ in range(PAST + 1):
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
        _assert_refills(loop, PAST + 1)
        until(lambda: loop.peer.figure(STATUS, "cuts: gap") == 1)


def test_reset_and_stop_empty_the_window() -> None:
    with running() as loop:
        _fill(loop)
        assert loop.peer.trigger(names.ADAPTATION_RESET).success
        _assert_refills(loop, PAST + 1)
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
        _assert_refills(loop, PAST)


def test_missing_command_in_real_time_empties_the_window() -> None:
    with NodeThread(AdaptationNode, past=PAST), Peer() as peer:
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


# Settings, while it walks --------------------------------------------------------------------------------------------


def _messages(values: dict[str, Any]) -> list[Any]:
    return [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]


def set_parameters(peer: Peer, **values: Any) -> str:
    """Set parameters one by one and return the reasons of those that are refused."""
    results = peer.call(SetParameters, "adaptation/set_parameters",
                        SetParameters.Request(parameters=_messages(values))).results
    assert all(bool(result.reason) != result.successful for result in results)
    return "; ".join(result.reason for result in results if not result.successful)


def _length(model: AdaptedModel) -> int:
    """Return the rank of a change, which is M for one step."""
    assert model.status is AdaptationStatus.ADAPTED
    part = model.change[0]
    assert isinstance(part, Factors)
    return len(part.forward)


def test_settings_are_followed_from_the_next_tick_on() -> None:
    with running() as loop:
        _fill(loop)

        def after(index: int, **values: Any) -> AdaptedModel:
            """Set parameters, and compare the next model with that of pure classes that never knew others."""
            assert not set_parameters(loop.peer, **values)
            trained = AdaptationSettings.of(load_checkpoint(shipped_checkpoint("grbal")))
            twin = Twin(past=values.get("past") or PAST, steps=values.get("inner_steps") or trained.steps,
                        rates=tuple(rate * values.get("inner_rate_scale", 1.0) for rate in trained.rates))
            states, commands = drive()
            for i in range(index):
                twin.episode.add_state(START + i * PERIOD, states[i])
                twin.episode.add_command(START + i * PERIOD, commands[i], 0.0)
            model = loop.tick()
            twin.follow(index, model)
            return model

        reset = {"past": PAST, "inner_steps": 0, "inner_rate_scale": 1.0}
        # Half steps: full ones on so few transitions may fit them worse than none.
        assert _length(after(loop.next, past=5, inner_rate_scale=0.5)) == 5
        # What was kept before is still there: a longer window need not wait.
        assert _length(after(loop.next, **reset)) == PAST
        assert _length(after(loop.next, inner_steps=3)) == 3 * PAST
        weak, strong = (after(loop.next, **{**reset, "inner_rate_scale": scale}) for scale in (0.25, 0.5))
        assert _length(weak) == _length(strong) == PAST
        still = after(loop.next, inner_rate_scale=0.0)
        assert not any(torch.any(part.backward) for part in still.change)
        after(loop.next, **reset)

        assert not set_parameters(loop.peer, adapt=False)
        model = loop.tick()
        assert (model.status, list(model.change)) == (AdaptationStatus.DISABLED, [])
        loop.peer.says(STATUS, "disabled")
        assert loop.peer.status(STATUS).level == DiagnosticStatus.OK, "it is what was asked for"
        assert not set_parameters(loop.peer, adapt=True)
        assert loop.tick().status is AdaptationStatus.ADAPTED

        # A longer window than there is: it steps on what there is, which grows with every tick.
        assert not set_parameters(loop.peer, past=0)
        lengths = [_length(loop.tick()) for _ in range(3)]
        assert lengths == [loop.next - 3, loop.next - 2, loop.next - 1]
        assert PAST < lengths[-1] < load_checkpoint(shipped_checkpoint("grbal")).card.past


def test_bad_settings_are_refused_with_a_reason() -> None:
    bad: list[tuple[str, Any, str]] = [
        ("past", -1, "past out of range"), ("past", 100_000, "past out of range"), ("past", 3.5, "type"),
        ("inner_steps", -1, "inner_steps out of range"), ("inner_steps", 1000, "inner_steps out of range"),
        ("inner_rate_scale", -0.5, "inner_rate_scale out of range"),
        ("inner_rate_scale", 101.0, "inner_rate_scale out of range"),
        ("inner_rate_scale", math.nan, "inner_rate_scale out of range"),
        ("inner_rate_scale", math.inf, "inner_rate_scale out of range"),
        ("adapt", "no", "type"), ("adapt_budget", 0.0, "adapt_budget out of range"), ("method", "mb", "read-only"),
        ("checkpoint", "other.safetensors", "read-only"), ("control_period", 0.2, "read-only")]
    with NodeThread(AdaptationNode, lockstep=True) as node, Peer(lockstep=True) as peer:
        before = dict(node.node.settings)
        for name, value, reason in bad:
            assert reason in set_parameters(peer, **{name: value})
            assert node.node.get_parameter(name).value == before[name]
            # Together with good ones: all or nothing.
            together = _messages({"inner_steps": 2, "adapt": False} | {name: value})
            result = peer.call(SetParametersAtomically, "adaptation/set_parameters_atomically",
                               SetParametersAtomically.Request(parameters=together)).result
            assert not result.successful and reason in result.reason
            assert node.node.settings == before


def test_settings_outlive_a_restart_and_can_be_made_before_it() -> None:
    with NodeThread(AdaptationNode, lockstep=True, autostart=False, inner_steps=2) as node, Peer(lockstep=True) as peer:
        assert not set_parameters(peer, past=3)
        trained = AdaptationSettings.of(load_checkpoint(shipped_checkpoint("grbal")))
        for scale in (1.0, 2.0):
            assert peer.transition("adaptation", Transition.TRANSITION_CONFIGURE)
            assert node.node._adapter.settings == dataclasses.replace(
                trained, past=3, rates=tuple(rate * scale for rate in trained.rates), steps=2)
            assert not set_parameters(peer, inner_rate_scale=2.0)
            assert peer.transition("adaptation", Transition.TRANSITION_CLEANUP)
        described = {name: parameter_value_to_python(node.node.get_parameter(name).get_parameter_value())
                     for name in ("past", "inner_steps", "inner_rate_scale")}
        assert described == {"past": 3, "inner_steps": 2, "inner_rate_scale": 2.0}


def test_answers_over_budget_are_counted_and_reported() -> None:
    with running(adapt_budget=0.0001) as loop:
        _fill(loop)
        until(lambda: loop.peer.stamps(names.ADAPTATION_METRICS)[-1] == loop.newest.stamp)
        assert named_values(loop.peer.of(names.ADAPTATION_METRICS)[-1])["over_budget"] == 1.0
        until(lambda: loop.peer.status(STATUS).level == DiagnosticStatus.WARN
              and loop.peer.figure(STATUS, "answers over budget") > 0)
        assert not set_parameters(loop.peer, adapt_budget=1.0)
        loop.tick()
        until(lambda: loop.peer.stamps(names.ADAPTATION_METRICS)[-1] == loop.newest.stamp)
        assert named_values(loop.peer.of(names.ADAPTATION_METRICS)[-1])["over_budget"] == 0.0
        until(lambda: loop.peer.status(STATUS).level == DiagnosticStatus.OK, "a warning is about now")


# What is carried from tick to tick -----------------------------------------------------------------------------------


def _reset(loop: Loop) -> None:
    assert loop.peer.trigger(names.ADAPTATION_RESET).success


def _restart(loop: Loop) -> None:
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        assert loop.peer.transition("adaptation", transition)


def _rebuild(loop: Loop) -> None:
    """Go all the way down and up; what listens is then another one."""
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
                       Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert loop.peer.transition("adaptation", transition)

    def answered() -> bool:
        loop.state()
        time.sleep(0.05)
        return loop.newest.stamp == loop.time

    until(answered)
    assert loop.newest.status is AdaptationStatus.SHORT_WINDOW
    # A gap, so that it is as if nothing had been.
    loop.advance(1.0)


def _begin_again(loop: Loop) -> None:
    loop.time = START // 2


def _gap(loop: Loop) -> None:
    loop.advance(0.5)


def _stop(loop: Loop) -> None:
    loop.state()
    loop.answer()
    loop.peer.publish(names.MOTOR_COMMANDS, motor_commands(np.zeros(2), loop.time))
    loop.advance()


@pytest.mark.parametrize("begin_anew", [_reset, _restart, _rebuild, _begin_again, _gap, _stop])
@pytest.mark.parametrize("method", ["grbal", "mb_de", "rebal"])
def test_a_new_beginning_keeps_nothing(method: str, begin_anew: Callable[[Loop], None]) -> None:
    with running(method=method) as loop:
        for _ in range(PAST + 4):
            loop.tick()
        begin_anew(loop)
        twin, seen = Twin(method), set()
        for _ in range(PAST + 4):
            index = loop.next
            model = loop.tick()
            twin.follow(index, model)
            seen.add(model.status)
        assert AdaptationStatus.SHORT_WINDOW in seen
        assert len(seen) > 1, "it adapts again"


def test_dynamic_evaluation_falls_back_at_numbers_that_are_not_finite() -> None:
    with running(method="mb_de") as loop:
        for _ in range(PAST + 4):
            loop.tick()
        loop.state(position=[math.nan] * STATE.size)
        assert loop.answer().status is AdaptationStatus.SHORT_WINDOW
        loop.command()
        loop.advance()
        assert loop.tick().status is AdaptationStatus.SHORT_WINDOW
        twin = Twin("mb_de")
        # The state before is the first good one.
        twin.follow(loop.next - 1, loop.newest)
        for _ in range(PAST + 2):
            index = loop.next
            twin.follow(index, loop.tick())
        until(lambda: loop.peer.figure(STATUS, "cuts: not_finite") >= 1)


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
            ({"method": "magic"}, "unknown method 'magic'; known: grbal, mb, mb_de, rebal"),
            ({"past": 1000}, "past is out of range"), ({"inner_rate_scale": -1.0}, "inner_rate_scale is out of range"),
            ({"inner_steps": -1}, "inner_steps is out of range"),
            ({"adapt": "perhaps"}, "parameter adapt must be of type bool"),
            ({"method": "mb_de", "checkpoint": str(shipped_checkpoint("grbal"))},
             "trained for method 'grbal', not 'mb'")):
        assert message in refusal(AdaptationNode, **parameters)
    assert_refused("adaptation", "damaged or truncated", checkpoint=str(truncated))


def test_process_ends_at_a_signal() -> None:
    with NodeProcess("adaptation"), Peer() as peer:
        peer.says(STATUS, "no state yet")
