# SPDX-License-Identifier: Apache-2.0
"""The planning node over DDS: when it commands what, and when it stands."""

from __future__ import annotations

import array
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lifecycle_msgs.msg import Transition
from nodes.support import PERIOD, SECOND, NodeProcess, NodeThread, Peer, assert_refused, refusal, resting_state, until
from std_msgs.msg import Bool, UInt8MultiArray

from l2a_ros.learning.adapted_model import AdaptationStatus, AdaptedModel
from l2a_ros.learning.checkpoint import Checkpoint, load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.learning.network import Factors
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import named_values, path_message, path_points
from l2a_ros.nodes.mpc import MpcNode
from l2a_ros.robot.layout import MOTOR_JOINTS, STATE
from l2a_ros.robot.limits import LegRateLimits

STATUS = "mpc: planner"
LIMITS = LegRateLimits()
LINE = np.array([[0.0, 0.0], [2.0, 0.0]])
NO_PATH = np.zeros((0, 2))


@lru_cache
def checkpoint() -> Checkpoint:
    """The shipped model."""
    return load_checkpoint(shipped_checkpoint("grbal"))


def model_bytes(stamp: int, version: int = 1, change: Sequence[Factors] = (), checkpoint_id: str = "") -> bytes:
    """Return the bytes of an adapted model."""
    status = AdaptationStatus.ADAPTED if change else AdaptationStatus.SHORT_WINDOW
    return AdaptedModel(stamp, version, checkpoint_id or checkpoint().id, "grbal", status, change).to_bytes()


class Loop:
    """The rest of the graph."""

    def __init__(self, peer: Peer, lockstep: bool) -> None:
        self.peer, self.lockstep = peer, lockstep
        self.stamp = 5 * SECOND if lockstep else time.time_ns()
        self.version = 0
        peer.listen(names.MOTOR_COMMANDS, names.MPC_METRICS)
        peer.offer(names.ROBOT_STATE, names.ADAPTED_MODEL, names.REFERENCE_PATH, names.ESTOP)

    @property
    def commands(self) -> dict[int, np.ndarray]:
        """All commands heard so far, by stamp."""
        return dict(zip(self.peer.stamps(names.MOTOR_COMMANDS),
                        [np.array(message.velocity) for message in self.peer.of(names.MOTOR_COMMANDS)], strict=False))

    def path(self, points: np.ndarray, start: int | None = None) -> None:
        """Publish a path that begins with the next tick unless told otherwise."""
        self.peer.publish(names.REFERENCE_PATH, path_message(points, self.stamp if start is None else start))

    def advance(self) -> None:
        """Go to the next tick."""
        self.stamp = self.stamp + PERIOD if self.lockstep else time.time_ns()

    def model(self, data: bytes | None = None) -> None:
        """Publish the adapted model of this tick, or some bytes."""
        self.version += 1
        data = model_bytes(self.stamp, self.version) if data is None else data
        self.peer.publish(names.ADAPTED_MODEL, UInt8MultiArray(data=array.array("B", data)))

    def state(self, message: Any = None) -> None:
        """Publish the state of this tick."""
        self.peer.publish(names.ROBOT_STATE, resting_state(self.stamp) if message is None else message)

    def answer(self) -> np.ndarray:
        """Wait for the command of this tick."""
        until(lambda: self.stamp in self.commands, "no command with the stamp of this state")
        return self.commands[self.stamp]

    def tick(self) -> np.ndarray:
        """Do one whole period and return the command."""
        self.advance()
        self.model()
        self.state()
        return self.answer()

    def tick_until(self, moves: bool) -> np.ndarray:
        """Tick until it commands to move, or to stand; what was published elsewhere may be under way."""
        command = self.tick()
        end = time.monotonic() + 10.0
        while bool(np.any(command)) != moves:
            assert time.monotonic() < end, f"still {command}: {self.peer.status(STATUS).message}"
            command = self.tick()
        return command


@contextmanager
def running(lockstep: bool = True, **parameters: Any) -> Iterator[Loop]:
    """A connected node that has answered a state."""
    with NodeThread(MpcNode, lockstep=lockstep, **parameters), Peer(lockstep) as peer:
        loop = Loop(peer, lockstep)

        def answered() -> bool:
            # The first answers may be lost while the two find each other.
            loop.advance()
            loop.state()
            time.sleep(0.02)
            return bool(peer.of(names.MOTOR_COMMANDS))

        until(answered)
        loop.tick()
        yield loop


def is_walking(command: np.ndarray) -> bool:
    """Tell whether a command is in the range of walking."""
    return bool(np.any(command)) and LIMITS.admits(command)


def test_stands_without_a_path_and_follows_one() -> None:
    with running() as loop:
        assert not np.any(loop.tick())
        loop.peer.says(STATUS, "no path")
        assert list(loop.peer.of(names.MOTOR_COMMANDS)[-1].name) == list(MOTOR_JOINTS)

        loop.path(LINE, loop.stamp + 200 * PERIOD)
        for _ in range(3):
            assert not np.any(loop.tick()), "the path begins later"
        loop.path(LINE)
        assert is_walking(loop.tick_until(moves=True))
        loop.peer.says(STATUS, "following")
        until(lambda: loop.peer.stamps(names.MPC_METRICS)[-1:] == [loop.stamp])
        metrics = named_values(loop.peer.of(names.MPC_METRICS)[-1])
        assert metrics["model_is_of_this_tick"] == 1.0
        assert metrics["lateral_error_m"] == pytest.approx(0.0, abs=1e-6)
        assert metrics["state_to_command_s"] > 0.0

        commands = [loop.tick() for _ in range(5)]
        assert all(is_walking(command) for command in commands)
        loop.path(NO_PATH)
        loop.tick_until(moves=False)
        loop.peer.says(STATUS, "no path")


def test_steers_towards_the_path() -> None:
    with running() as loop:
        def turn(**values: float) -> float:
            loop.path(NO_PATH)
            loop.tick_until(moves=False)
            loop.path(LINE)
            sums = []
            loop.tick_until(moves=True)
            for _ in range(6):
                loop.advance()
                loop.model()
                loop.state(resting_state(loop.stamp, position_x=0.5, left_leg_velocity=30.0, right_leg_velocity=30.0,
                                         velocity_x=0.25, **values))
                left, right = loop.answer()
                sums.append(right - left)
            return float(np.mean(sums))

        # The right legs faster turn it to the left.
        assert turn(yaw_cos=math.cos(-0.8), yaw_sin=math.sin(-0.8)) > 5.0
        assert turn(yaw_cos=math.cos(0.8), yaw_sin=math.sin(0.8)) < -5.0


def test_same_seed_same_commands_and_repeated_state_same_answer() -> None:
    heard = []
    for seed in (1, 1, 2):
        with running(seed=seed) as loop:
            # A lot later, so that the stamps of the runs are the same.
            loop.stamp = 100 * SECOND
            loop.path(LINE, 100 * SECOND + 20 * PERIOD)
            # The path comes before or after these; after them it is there.
            for _ in range(19):
                assert not np.any(loop.tick())
            heard.append([loop.tick().tolist() for _ in range(5)])
            count = len(loop.peer.of(names.MOTOR_COMMANDS))
            loop.state()
            until(lambda loop=loop, count=count: len(loop.peer.of(names.MOTOR_COMMANDS)) > count)
            again, first = loop.peer.of(names.MOTOR_COMMANDS)[-1], loop.peer.of(names.MOTOR_COMMANDS)[-2]
            assert again == first
    assert heard[0] == heard[1] != heard[2]
    assert np.any(heard[0])


def test_waits_for_the_model_of_the_tick() -> None:
    with running() as loop:
        loop.path(LINE)
        loop.tick_until(moves=True)
        loop.advance()
        loop.state()
        plans = loop.peer.figure(STATUS, "plans")
        # A model of another tick is no reason to go on.
        loop.peer.publish(names.ADAPTED_MODEL, UInt8MultiArray(
            data=array.array("B", model_bytes(loop.stamp - PERIOD, loop.version + 1))))
        stamp = loop.peer.status(STATUS)
        until(lambda: loop.peer.status(STATUS) is not stamp)
        assert loop.stamp not in loop.commands
        loop.version += 1
        loop.model()
        assert is_walking(loop.answer())
        until(lambda: loop.peer.figure(STATUS, "plans") > plans)
        assert loop.peer.figure(STATUS, "models not in time") == 0


def test_goes_on_with_the_newest_model_when_late() -> None:
    with running(lockstep=False, model_wait=0.05) as loop:
        loop.path(LINE, 0)
        loop.tick_until(moves=True)
        last = loop.version
        loop.advance()
        loop.state()
        assert is_walking(loop.answer())
        until(lambda: loop.peer.stamps(names.MPC_METRICS)[-1:] == [loop.stamp])
        metrics = named_values(loop.peer.of(names.MPC_METRICS)[-1])
        assert metrics["model_is_of_this_tick"] == 0.0
        assert metrics["model_version"] == last
        assert metrics["model_wait_s"] >= 0.045
        until(lambda: loop.peer.figure(STATUS, "models not in time") >= 1)


BAD_STATES: dict[str, dict[str, Any]] = {
    "names in another order": {"name": list(reversed(STATE.names))},
    "names missing": {"name": STATE.names[:-1]},
    "no names": {"name": []},
    "too few values": {"position": [0.0] * 3},
    "no values": {"position": []},
    "too many values": {"position": [0.0] * 30},
    "not a number": {"position": [math.nan] * STATE.size},
    "infinite": {"position": [math.inf, *[0.5] * (STATE.size - 1)]},
}


def test_stands_on_a_bad_state_and_goes_on_after() -> None:
    with running() as loop:
        loop.path(LINE)
        for what, fields in BAD_STATES.items():
            loop.tick_until(moves=True)
            loop.advance()
            loop.model()
            message = resting_state(loop.stamp)
            for name, value in fields.items():
                setattr(message, name, value)
            loop.state(message)
            assert not np.any(loop.answer()), what
            loop.peer.says(STATUS, "not finite" if what in ("not a number", "infinite") else "robot_state")
        loop.tick_until(moves=True)
        loop.peer.says(STATUS, "following")
        until(lambda: loop.peer.figure(STATUS, "messages of wrong layout") == len(BAD_STATES) - 2)


def _factors(rank: int, fan_in: int, fan_out: int, value: float = 0.0) -> Factors:
    return Factors(torch.full((rank, fan_in), value), torch.full((rank, fan_out), value))


def _fitting(value: float) -> list[Factors]:
    return [_factors(2, layer.weight.shape[1], layer.weight.shape[0], value) for layer in checkpoint().weights]


def test_garbage_instead_of_a_model_is_counted_and_outlived() -> None:
    whole = model_bytes(1, change=_fitting(0.0))
    garbage = [b"", b"\0" * 7, b"hello, robot", b"\xff" * 64, whole[:40], whole[:-1], bytes(8) + b"{}",
               (2).to_bytes(8, "little") + b"[]", np.random.default_rng(0).bytes(5000)]
    with running() as loop:
        loop.path(LINE)
        for data in garbage:
            loop.tick_until(moves=True)
            loop.model(data)
        until(lambda: loop.peer.figure(STATUS, "messages of wrong layout") == len(garbage))
        assert is_walking(loop.tick())


@pytest.mark.parametrize(("change", "checkpoint_id"), [
    ((), "another"),
    ([_factors(2, 3, 4)], ""),
    ([_factors(2, 3, 4) for _ in range(4)], ""),
    (_fitting(math.nan), ""),
], ids=["of another checkpoint", "one layer", "wrong sizes", "not finite"])
def test_stands_on_a_model_that_does_not_fit_and_goes_on_after(change: list[Factors], checkpoint_id: str) -> None:
    with running() as loop:
        loop.path(LINE)
        loop.tick_until(moves=True)
        loop.advance()
        loop.state()
        loop.model(model_bytes(loop.stamp, loop.version + 1, change, checkpoint_id))
        if checkpoint_id or change and not torch.isfinite(change[0].forward).all():
            assert not np.any(loop.answer())
        # One that is no model at all is not waited for in vain: the next state begins anew.
        assert is_walking(loop.tick_until(moves=True))


def test_estop_forgets_the_path() -> None:
    """The robot's gate keeps the stop; once that is reset and armed, a new path must be all it takes."""
    with running(lockstep=False) as loop:
        loop.path(LINE, 0)
        loop.tick_until(moves=True)
        loop.peer.publish(names.ESTOP, Bool(data=True))
        loop.peer.says(STATUS, "estop")
        until(lambda: not np.any(loop.peer.of(names.MOTOR_COMMANDS)[-1].velocity), "a stop does not wait for a tick")
        for _ in range(3):
            assert not np.any(loop.tick())
        loop.path(LINE, 0)
        loop.tick_until(moves=True)


def test_stands_when_states_are_old_or_stop_coming() -> None:
    with running(lockstep=False) as loop:
        loop.path(LINE, 0)
        loop.tick_until(moves=True)
        until(lambda: not np.any(loop.peer.of(names.MOTOR_COMMANDS)[-1].velocity), "nothing is said when states stop")
        loop.peer.says(STATUS, "no robot_state any more")

        loop.tick_until(moves=True)


def test_plan_is_published_only_when_somebody_listens() -> None:
    with running(horizon=4) as loop:
        loop.path(LINE)
        loop.tick_until(moves=True)
        with Peer(lockstep=True, name="viewer") as viewer:
            viewer.listen(names.PLAN)
            until(lambda: loop.tick() is not None and viewer.of(names.PLAN))
            plan = viewer.of(names.PLAN)[-1]
            assert plan.header.frame_id == "map"
            points = path_points(plan)
            assert points.shape == (4, 2)
            assert np.all(np.isfinite(points))
            assert np.abs(points).max() < 1.0
            first = len(viewer.of(names.PLAN))
        assert first < len(loop.commands), "plans from before somebody listened are not sent"


def test_bad_paths_are_refused() -> None:
    with running() as loop:
        for points in (np.array([[0.0, 0.0], [math.nan, 1.0]]), np.array([[0.0, 0.0], [0.0, 0.0]])):
            loop.path(LINE)
            loop.tick_until(moves=True)
            loop.path(points)
            loop.tick_until(moves=False)
        until(lambda: loop.peer.figure(STATUS, "messages of wrong layout") == 2)


def test_lifecycle_twice_round() -> None:
    with NodeThread(MpcNode, lockstep=True, autostart=False), Peer(lockstep=True) as peer:
        loop = Loop(peer, lockstep=True)
        for _ in range(2):
            assert peer.transition("mpc", Transition.TRANSITION_CONFIGURE)
            peer.says(STATUS, "not active")
            loop.advance()
            loop.state()
            assert peer.lifecycle_state("mpc") == "inactive"
            assert loop.stamp not in loop.commands
            assert peer.transition("mpc", Transition.TRANSITION_ACTIVATE)

            def answered() -> bool:
                loop.advance()
                loop.state()
                time.sleep(0.05)
                return loop.stamp in loop.commands

            until(answered)
            assert not np.any(loop.answer())
            assert peer.transition("mpc", Transition.TRANSITION_DEACTIVATE)
            assert peer.transition("mpc", Transition.TRANSITION_CLEANUP)


def test_bad_checkpoints_and_parameters(tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(shipped_checkpoint("grbal").read_bytes()[:5000])
    for parameters, message in (
            ({"checkpoint": str(tmp_path / "nowhere.safetensors")}, "does not exist"),
            ({"checkpoint": str(truncated)}, "damaged or truncated"),
            ({"checkpoint": str(shipped_checkpoint("mb"))}, "trained for method 'mb', not 'grbal'"),
            ({"planner": "crystal_ball"}, "unknown planner 'crystal_ball'; known: random_shooting"),
            ({"candidates": 0}, "candidates is out of range"),
            ({"slowest_leg_rate": 9.0, "fastest_leg_rate": 3.0}, "slowest"),
            ({"control_period": 0.05}, "trained for a control period of 0.1 s, not 0.05 s")):
        assert message in refusal(MpcNode, **parameters)
    assert_refused("mpc", "unknown planner 'crystal_ball'", planner="crystal_ball")


def test_process_ends_at_a_signal() -> None:
    with NodeProcess("mpc"), Peer() as peer:
        peer.says(STATUS, "no state yet")
