# SPDX-License-Identifier: Apache-2.0
"""The planning node over DDS: when it commands what, and when it stands."""

from __future__ import annotations

import array
import math
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from nodes.support import PERIOD, SECOND, NodeProcess, NodeThread, Peer, assert_refused, refusal, resting_state, until
from rclpy.parameter import Parameter as RosParameter
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool, UInt8MultiArray

from l2a_ros.learning.adapted_model import AdaptationStatus, AdaptedModel
from l2a_ros.learning.checkpoint import Checkpoint, load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.learning.network import Factors
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes import planning_thread
from l2a_ros.nodes.messages import named_values, path_message, path_points, to_stamp
from l2a_ros.nodes.mpc import MpcNode
from l2a_ros.planning.planners import planner_names
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
    """The rest of the graph; ``thread`` is what is tested, where it runs in this process."""

    def __init__(self, peer: Peer, lockstep: bool, thread: NodeThread | None = None) -> None:
        self.peer, self.lockstep = peer, lockstep
        self.node: Any = None if thread is None else thread.node
        self.is_alive = None if thread is None else thread.is_alive
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

    def metrics(self) -> dict[str, float]:
        """Wait for the figures of this tick."""
        until(lambda: self.stamp in self.peer.stamps(names.MPC_METRICS), "no metrics with the stamp of this state")
        return named_values(self.peer.of(names.MPC_METRICS)[self.peer.stamps(names.MPC_METRICS).index(self.stamp)])

    def connect(self) -> None:
        """Have a state answered."""
        def answered() -> bool:
            # The first answers may be lost while the two find each other.
            self.advance()
            self.state()
            time.sleep(0.02)
            return bool(self.peer.of(names.MOTOR_COMMANDS))

        until(answered)
        self.tick()


@contextmanager
def running(lockstep: bool = True, **parameters: Any) -> Iterator[Loop]:
    """A connected node that has answered a state; more threads than one would wait for each other on a busy machine."""
    search = {"planner": "random_shooting", "candidates": 300, "horizon": 10, "rollout_threads": 1}
    parameters = search | parameters
    with NodeThread(MpcNode, lockstep=lockstep, **parameters) as thread, Peer(lockstep) as peer:
        loop = Loop(peer, lockstep, thread)
        loop.connect()
        yield loop


def is_walking(command: np.ndarray) -> bool:
    """Tell whether a command is in the range of walking."""
    return bool(np.any(command)) and LIMITS.admits(command)


#: Searches with iterations make so many.
ITERATIONS = {"random_shooting": 1, "cem": 4, "mppi": 3}


@pytest.mark.parametrize("planner", planner_names())
def test_stands_without_a_path_and_follows_one(planner: str) -> None:
    with running(planner=planner) as loop:
        assert not np.any(loop.tick())
        loop.peer.says(STATUS, "no path")
        assert list(loop.peer.of(names.MOTOR_COMMANDS)[-1].name) == list(MOTOR_JOINTS)

        loop.path(LINE, loop.stamp + 200 * PERIOD)
        for _ in range(3):
            assert not np.any(loop.tick()), "the path begins later"
        loop.path(LINE)
        assert is_walking(loop.tick_until(moves=True))
        loop.peer.says(STATUS, "following")
        metrics = loop.metrics()
        assert metrics["model_is_of_this_tick"] == 1.0
        assert metrics["lateral_error_m"] == pytest.approx(0.0, abs=1e-6)
        assert metrics["state_to_command_s"] > 0.0
        assert metrics["iterations"] == ITERATIONS[planner]
        assert (metrics["not_finite"], metrics["is_fallback"], metrics["delay_s"]) == (0.0, 0.0, 0.0)
        terms = [value for name, value in metrics.items() if name.startswith("cost.")]
        assert len(terms) == 3
        assert metrics["cost"] == pytest.approx(sum(terms), abs=1e-6)

        commands = [loop.tick() for _ in range(5)]
        assert all(is_walking(command) for command in commands)
        loop.path(NO_PATH)
        loop.tick_until(moves=False)
        loop.peer.says(STATUS, "no path")


@pytest.mark.parametrize("planner", planner_names())
def test_steers_towards_the_path(planner: str) -> None:
    with running(planner=planner) as loop:
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
    with running(lockstep=False, model_wait=0.05, maximum_model_age=10.0, maximum_state_age=10.0) as loop:
        loop.path(LINE, 0)
        loop.tick_until(moves=True)
        last = loop.version
        loop.advance()
        loop.state()
        assert is_walking(loop.answer())
        metrics = loop.metrics()
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


def test_stands_when_models_are_old_or_stop_coming() -> None:
    with running(lockstep=False, model_wait=0.0, maximum_model_age=0.15, maximum_state_age=10.0) as loop:
        loop.path(LINE, 0)
        loop.tick_until(moves=True)
        newest = loop.stamp
        until(lambda: time.time_ns() - newest > 0.2 * SECOND)
        loop.advance()
        loop.state()
        assert not np.any(loop.answer())
        loop.peer.says(STATUS, "adapted_model is older than 0.15 s")
        assert loop.peer.status(STATUS).level == DiagnosticStatus.ERROR

        # One that comes, but an old one.
        loop.tick_until(moves=True)
        newest = loop.stamp
        until(lambda: time.time_ns() - newest > 0.2 * SECOND)
        loop.peer.publish(names.ADAPTED_MODEL, UInt8MultiArray(
            data=array.array("B", model_bytes(newest, loop.version + 1))))
        loop.advance()
        loop.state()
        assert not np.any(loop.answer())
        loop.peer.says(STATUS, "adapted_model is older than 0.15 s")

        loop.tick_until(moves=True)
        loop.peer.says(STATUS, "following")


def test_says_what_is_wrong_with_the_models_that_come() -> None:
    """Of one that is refused nothing is used, so the newest good one grows old."""
    with running(lockstep=False, model_wait=0.0, maximum_model_age=0.15, maximum_state_age=10.0) as loop:
        loop.path(LINE, 0)
        loop.tick_until(moves=True)
        newest = loop.stamp
        until(lambda: time.time_ns() - newest > 0.2 * SECOND)
        loop.advance()
        loop.model(model_bytes(loop.stamp, loop.version, _fitting(math.nan)))
        until(lambda: loop.node._report.counts["messages of wrong layout"] == 1)
        loop.state()
        assert not np.any(loop.answer())
        loop.peer.says(STATUS, "adapted_model is older than 0.15 s (the adapted model is not finite)")
        loop.tick_until(moves=True)


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


def _in_frame(frame: str) -> Any:
    message = path_message(LINE, 0)
    message.header.frame_id = frame
    return message


BAD_PATHS = {
    "not a number": (path_message(np.array([[0.0, 0.0], [math.nan, 1.0]]), 0), "finite"),
    "infinite": (path_message(np.array([[0.0, 0.0], [1.0, math.inf]]), 0), "finite"),
    "a point twice": (path_message(np.array([[0.0, 0.0], [0.0, 0.0]]), 0), "the same; remove one"),
    "in another frame": (_in_frame("odom"), "the path is in frame 'odom'; send it in 'map'"),
    "in no frame": (_in_frame(""), "the path is in frame ''; send it in 'map'"),
}


def test_bad_paths_are_refused() -> None:
    with running() as loop:
        for message, reason in BAD_PATHS.values():
            loop.path(LINE)
            loop.tick_until(moves=True)
            loop.peer.publish(names.REFERENCE_PATH, message)
            loop.tick_until(moves=False)
            loop.peer.says(STATUS, reason)
            assert loop.peer.status(STATUS).level == DiagnosticStatus.ERROR
        until(lambda: loop.peer.figure(STATUS, "messages of wrong layout") == len(BAD_PATHS))


# While a plan is being made -------------------------------------------------------------------------------------------

#: For runs in real time in which nothing is ever too old.
PATIENT: dict[str, Any] = {"lockstep": False, "maximum_state_age": 10.0, "maximum_model_age": 10.0}


class Held:
    """Keeps the node's plans from being done, as if planning took that long; use as a context.

    Args:
        node: that plans.
        busy: whether the planning thread computes all that time, in Python, or lets others have the processor.
    """

    def __init__(self, node: Any, busy: bool = False) -> None:
        self._follower, self._busy = node._follower, busy
        self._released = threading.Event()
        #: Stamps of the states whose plans were begun.
        self.stamps: list[int] = []

    def __enter__(self) -> Self:
        solve = self._follower.solve

        def held(task: Any, is_late: Any) -> Any:
            self.stamps.append(task.stamp)
            while not self._released.wait(0.0 if self._busy else 0.05):
                sum(range(1000))
            return solve(task, is_late)

        self._follower.solve = held
        return self

    def __exit__(self, *_: object) -> None:
        del self._follower.solve
        self.release()

    def release(self) -> None:
        """Let them be done."""
        self._released.set()


@contextmanager
def planning(loop: Loop, busy: bool = False) -> Iterator[Held]:
    """Walk, and have a tick whose plan is being made as long as the context lasts."""
    loop.path(LINE, 0)
    loop.tick_until(moves=True)
    with Held(loop.node, busy) as held:
        loop.advance()
        loop.model()
        loop.state()
        until(lambda: held.stamps == [loop.stamp])
        yield held


def void_plans(loop: Loop) -> int:
    """Return how many plans were thrown away."""
    return int(loop.node._report.counts["void plans"])


def until_it_stands(loop: Loop) -> None:
    """Wait until the newest command is to stand."""
    until(lambda: not np.any(loop.peer.of(names.MOTOR_COMMANDS)[-1].velocity), "a stop must not wait for a plan")


@pytest.mark.parametrize("busy", [False, True])
def test_estop_during_a_plan(busy: bool) -> None:
    with running(**PATIENT) as loop:
        with planning(loop, busy):
            planned = loop.stamp
            loop.peer.publish(names.ESTOP, Bool(data=True))
            until_it_stands(loop)
            loop.peer.says(STATUS, "estop")
            assert void_plans(loop) == 0, "the plan is still being made"
        until(lambda: loop.peer.figure(STATUS, "void plans") == 1)
        for _ in range(3):
            assert not np.any(loop.tick())
        loop.path(LINE, 0)
        loop.tick_until(moves=True)
        assert planned not in loop.commands


def test_deactivation_during_a_plan() -> None:
    with running(**PATIENT) as loop:
        with planning(loop):
            planned = loop.stamp
            assert loop.peer.transition("mpc", Transition.TRANSITION_DEACTIVATE)
            until_it_stands(loop)
            loop.peer.says(STATUS, "not active")
            assert void_plans(loop) == 0, "the plan is still being made"
        until(lambda: void_plans(loop) == 1)
        assert loop.peer.transition("mpc", Transition.TRANSITION_ACTIVATE)
        loop.tick_until(moves=True)
        assert planned not in loop.commands


def test_jump_of_time_during_a_plan() -> None:
    with running(**PATIENT, use_sim_time=True) as loop:
        def tick() -> None:
            loop.stamp += PERIOD
            loop.peer.publish(names.CLOCK, Clock(clock=to_stamp(loop.stamp)))
            loop.model()
            loop.state()

        def walks() -> bool:
            tick()
            return is_walking(loop.answer())

        loop.stamp = 50 * SECOND
        loop.path(LINE, 0)
        until(walks)
        with Held(loop.node) as held:
            tick()
            until(lambda: held.stamps == [loop.stamp])
            planned = loop.stamp
            loop.stamp -= 10 * SECOND
            loop.peer.publish(names.CLOCK, Clock(clock=to_stamp(loop.stamp)))
            until_it_stands(loop)
            loop.peer.says(STATUS, "time jumped back")
            assert void_plans(loop) == 0, "the plan is still being made"
        until(lambda: void_plans(loop) == 1)
        until(walks)
        assert planned not in loop.commands


def test_no_state_any_more_during_a_plan() -> None:
    with running(lockstep=False, maximum_model_age=10.0) as loop:
        with planning(loop):
            planned = loop.stamp
            until_it_stands(loop)
            loop.peer.says(STATUS, "no robot_state any more")
            assert void_plans(loop) == 0, "the plan is still being made"
        until(lambda: void_plans(loop) == 1)
        loop.tick_until(moves=True)
        assert planned not in loop.commands


def _lose_the_path(loop: Loop) -> None:
    loop.path(NO_PATH)
    until(lambda: not loop.node._follower.wants_plan(loop.stamp))


def _get_a_bad_path(loop: Loop) -> None:
    loop.peer.publish(names.REFERENCE_PATH, _in_frame("odom"))
    until(lambda: not loop.node._follower.wants_plan(loop.stamp))


def _wait_for_models_to_be_old(loop: Loop) -> None:
    loop.node.settings["maximum_model_age"] = 0.15
    planned = loop.stamp
    until(lambda: time.time_ns() - planned > 0.2 * SECOND)


@pytest.mark.parametrize(("happen", "values", "reason"), [
    (_lose_the_path, {}, "no path"),
    (_get_a_bad_path, {}, "frame 'odom'"),
    (_wait_for_models_to_be_old, {}, "adapted_model is older than 0.15 s"),
    (lambda _: None, {"position_x": math.nan}, "the state is not finite"),
], ids=["no path", "bad path", "old models", "bad state"])
def test_state_that_is_answered_with_standing_during_a_plan(happen: Any, values: dict[str, float], reason: str) -> None:
    with running(**PATIENT) as loop:
        with planning(loop):
            planned = loop.stamp
            happen(loop)
            loop.advance()
            loop.state(resting_state(loop.stamp, **values))
            assert not np.any(loop.answer())
            loop.peer.says(STATUS, reason)
            assert void_plans(loop) == 0, "the plan is still being made"
        until(lambda: void_plans(loop) == 1)
        loop.path(LINE, 0)
        loop.tick_until(moves=True)
        assert planned not in loop.commands


def test_new_path_during_a_plan() -> None:
    """It was made for the old path; the next state is answered with a plan for the new one."""
    with running(**PATIENT) as loop:
        with planning(loop) as held:
            planned = loop.stamp
            before = loop.node._follower._epoch
            loop.path(LINE + [0.0, 0.4], 0)
            until(lambda: loop.node._follower._epoch > before)
            loop.advance()
            loop.model()
            loop.state()
        assert is_walking(loop.answer())
        assert loop.metrics()["lateral_error_m"] == pytest.approx(-0.4)
        assert held.stamps == [planned]
        assert planned not in loop.commands
        assert void_plans(loop) == 1


def test_states_during_a_plan() -> None:
    """One that is repeated does no harm; of those that come the newest is planned for."""
    with running(**PATIENT) as loop:
        with planning(loop):
            first = loop.stamp
            for _ in range(3):
                loop.state()
            stamps = []
            for _ in range(3):
                loop.advance()
                loop.model()
                loop.state()
                stamps.append(loop.stamp)
                until(lambda: loop.node._newest.stamp == loop.stamp and loop.node._waiting is None)
            count = len(loop.commands)
        assert is_walking(loop.answer())
        assert is_walking(loop.commands[first])
        assert stamps[0] not in loop.commands and stamps[1] not in loop.commands
        assert len(loop.commands) == count + 2
        assert void_plans(loop) == 0
        # Who did not hear the answer hears it again.
        heard = len(loop.peer.of(names.MOTOR_COMMANDS))
        loop.state()
        until(lambda: len(loop.peer.of(names.MOTOR_COMMANDS)) > heard)
        assert loop.peer.of(names.MOTOR_COMMANDS)[-1] == loop.peer.of(names.MOTOR_COMMANDS)[-2]


def test_clean_up_during_a_plan() -> None:
    with running(**PATIENT) as loop:
        with planning(loop) as held:
            assert loop.peer.transition("mpc", Transition.TRANSITION_DEACTIVATE)
            # Longer than the promise of a command, which is missed meanwhile.
            threading.Timer(0.5, held.release).start()
            assert loop.peer.transition("mpc", Transition.TRANSITION_CLEANUP)
        time.sleep(0.3)
        assert loop.is_alive()
        assert loop.peer.lifecycle_state("mpc") == "unconfigured"


def test_error_in_a_plan_ends_the_node_with_its_traceback() -> None:
    broken = ("from l2a_ros.nodes.mpc import MpcNode\n"
              "def solve(self, tick, task): raise ArithmeticError('the planner is broken')\n"
              "MpcNode._solve = solve")
    with NodeProcess("mpc", first=broken, maximum_model_age=10.0, maximum_state_age=10.0) as process, Peer() as peer:
        loop = Loop(peer, lockstep=False)
        loop.connect()
        loop.path(LINE, 0)

        def ended() -> bool:
            loop.advance()
            peer.publish(names.ADAPTED_MODEL, UInt8MultiArray(data=array.array("B", model_bytes(loop.stamp))), True)
            peer.publish(names.ROBOT_STATE, resting_state(loop.stamp), True)
            time.sleep(0.05)
            return process.process.poll() is not None

        until(ended)
        assert process.wait() == 1
        assert "Traceback" in process.errors
        assert "ArithmeticError: the planner is broken" in process.errors


# The budget -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("budget", "lockstep", "expected"), [(0.001, False, 1), (1.0, False, 4), (0.001, True, 4)])
def test_budget_cuts_iterations(budget: float, lockstep: bool, expected: int) -> None:
    """But never in lock-step, where a plan must not depend on the machine."""
    with running(**PATIENT | {"lockstep": lockstep}, planner="cem", candidates=40, horizon=5,
                 plan_budget=budget) as loop:
        engine = loop.node._follower._engine
        rollout = engine.rollout

        def slow(state: np.ndarray, actions: np.ndarray) -> np.ndarray:
            time.sleep(0.002)
            return rollout(state, actions)

        engine.rollout = slow
        loop.path(LINE, 0)
        loop.tick_until(moves=True)
        metrics = loop.metrics()
        assert metrics["iterations"] == expected
        assert metrics["plan_s"] > 0.002
        if budget == 0.001:
            until(lambda: loop.peer.figure(STATUS, "plans over budget") >= 1)


def test_says_at_the_start_what_would_fit() -> None:
    with (NodeProcess("mpc", candidates=400, horizon=12, plan_budget=0.001, maximum_state_age=10.0) as process,
          Peer() as peer):
        loop = Loop(peer, lockstep=False)
        loop.connect()
        loop.peer.says(STATUS, "no path; planning with 400 candidates of 12 steps takes ")
        status = loop.peer.status(STATUS)
        assert status.level == DiagnosticStatus.WARN
        found = re.search(r"its budget is 1 ms; candidates (\d+)(?: or horizon (\d+))? would fit", status.message)
        assert found
        assert 1 <= int(found[1]) < 400
        assert found[0] in process.errors
        assert loop.peer.figure(STATUS, "plan at start p90 (s)") > 0.001
        assert any(pair.key == "engine" and pair.value for pair in status.values)


# Parameters -----------------------------------------------------------------------------------------------------------


def test_cost_changes_while_it_walks() -> None:
    with running() as loop:
        def beside() -> dict[str, float]:
            loop.advance()
            loop.model()
            loop.state(resting_state(loop.stamp, position_x=0.5, position_y=0.2))
            assert is_walking(loop.answer())
            return loop.metrics()

        loop.path(LINE)
        loop.tick_until(moves=True)
        before = beside()
        assert before["cost.lateral"] > 1.0
        assert "cost.effort" not in before
        assert not loop.peer.set_parameters("mpc", {"cost.lateral.weight": 5.0, "cost.effort.weight": 1.0})
        after = beside()
        assert 0.0 < after["cost.lateral"] < 0.5 * before["cost.lateral"]
        assert after["cost.effort"] > 0.0
        assert not loop.peer.set_parameters("mpc", {"cost.lateral.weight": 0.0})
        assert "cost.lateral" not in beside()
        assert not loop.peer.set_parameters("mpc", {"cost.lateral.weight": 50.0, "cost.effort.weight": 0.0})
        assert beside().keys() == before.keys()


REFUSED = {
    "out of range": ("cost.lateral.weight", -1.0, "out of range"),
    "not a number": ("cost.lateral.weight", math.nan, "out of range"),
    "of another type": ("cost.lateral.weight", "much", "type"),
    "unknown": ("cost.lateral.wight", 1.0, "undeclared"),
    "of another kind": ("horizon", 12, "read-only"),
}


@pytest.mark.parametrize(("name", "value", "reason"), list(REFUSED.values()), ids=list(REFUSED))
def test_bad_parameters_are_refused_while_it_walks(name: str, value: Any, reason: str) -> None:
    with running() as loop:
        loop.path(LINE)
        loop.tick_until(moves=True)
        before = dict(loop.node.settings)
        assert reason in loop.peer.set_parameters("mpc", {name: value})
        assert loop.node.settings == before
        assert is_walking(loop.tick())


def test_parameters_that_make_no_cost_together_are_refused_while_it_walks() -> None:
    with running() as loop:
        before = dict(loop.node.settings)
        (result,) = loop.node.set_parameters([RosParameter("cost.keep_in.x_min", value=2.0)])
        assert not result.successful
        assert result.reason == "cost.keep_in.x_min must be below cost.keep_in.x_max, not 2 and 1.75"
        assert loop.node.settings == before
        assert loop.node.get_parameter("cost.keep_in.x_min").value == before["cost.keep_in.x_min"]


# Diagnostics ----------------------------------------------------------------------------------------------------------


def test_cause_that_lasts_is_said_once() -> None:
    """Not ten times a second for as long as the adaptation is gone."""
    with running(**PATIENT | {"maximum_model_age": 0.15}, model_wait=0.0) as loop:
        loop.path(LINE, 0)
        loop.tick_until(moves=True)
        newest = loop.stamp
        until(lambda: time.time_ns() - newest > 0.2 * SECOND)
        said = []
        loop.node._diagnostics.publish = lambda: said.append(loop.node._report.reason)
        for _ in range(10):
            loop.advance()
            loop.state()
            assert not np.any(loop.answer())
            time.sleep(0.02)
        assert len(said) == 1, said


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU is not told from another")
def test_diagnostics_tell_the_privileges_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that are published because of a plan."""
    cpus = os.sched_getaffinity(0)
    monkeypatch.setattr(planning_thread, "give_way_to_loop", lambda: os.sched_setaffinity(0, {min(cpus)}))
    with running(**PATIENT) as loop:
        for _ in range(3):
            loop.path(LINE, 0)
            loop.tick_until(moves=True)
            loop.peer.says(STATUS, "following")
            loop.path(NO_PATH, 0)
            loop.tick_until(moves=False)
            loop.peer.says(STATUS, "no path")
        told = {pair.value for status in loop.peer.said if status.name == "mpc: process"
                for pair in status.values if pair.key == "CPUs"}
        assert told == {", ".join(map(str, sorted(cpus)))}


def test_active_again_and_no_state_yet() -> None:
    with running() as loop:
        assert loop.peer.transition("mpc", Transition.TRANSITION_DEACTIVATE)
        loop.peer.says(STATUS, "not active")
        assert loop.peer.transition("mpc", Transition.TRANSITION_ACTIVATE)
        (health,) = loop.node._health()
        assert (health.level, health.message) == (DiagnosticStatus.WARN, "no state yet")


def test_cost_that_is_set_before_it_is_configured() -> None:
    with (NodeThread(MpcNode, lockstep=True, autostart=False, rollout_threads=1) as thread,
          Peer(lockstep=True) as peer):
        assert not peer.set_parameters("mpc", {"cost.lateral.weight": 7.0})
        assert peer.transition("mpc", Transition.TRANSITION_CONFIGURE)
        assert thread.node.settings["cost.lateral.weight"] == 7.0


def test_lifecycle_twice_round() -> None:
    with NodeThread(MpcNode, lockstep=True, autostart=False, rollout_threads=1), Peer(lockstep=True) as peer:
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
            ({"planner": "crystal_ball"}, "unknown planner 'crystal_ball'; known: cem, mppi, random_shooting"),
            ({"planner": "cem", "candidates": 3}, "cannot plan with 3 candidates in 4 iterations"),
            ({"cost.lateral.weight": -1.0}, "cost.lateral.weight is out of range"),
            ({"cost.keep_in.x_min": 2.0}, "cost.keep_in.x_min must be below cost.keep_in.x_max, not 2 and 1.75"),
            ({"plan_budget": 0.0}, "plan_budget is out of range"),
            ({"candidates": 0}, "candidates is out of range"),
            ({"slowest_leg_rate": 9.0, "fastest_leg_rate": 3.0}, "slowest"),
            ({"control_period": 0.05}, "trained for a control period of 0.1 s, not 0.05 s")):
        assert message in refusal(MpcNode, **parameters)
    assert_refused("mpc", "unknown planner 'crystal_ball'", planner="crystal_ball")


def test_process_ends_at_a_signal() -> None:
    with NodeProcess("mpc"), Peer() as peer:
        peer.says(STATUS, "no state yet")
