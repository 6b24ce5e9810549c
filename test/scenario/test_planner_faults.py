# SPDX-License-Identifier: Apache-2.0
"""The planner's inputs fail while the robot walks: it stands within two ticks, says why, and goes on by itself.

The real nodes run as processes. All that the planner hears comes through the test, which spoils it for some ticks.
"""

from __future__ import annotations

import array
import dataclasses
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Path
from nodes.support import PERIOD, SECOND, NodeProcess, Peer, until
from rclpy.duration import Duration
from sensor_msgs.msg import JointState
from std_msgs.msg import UInt8MultiArray

from l2a_ros.bringup.arguments import read_settings
from l2a_ros.bringup.graph import simulation_graph
from l2a_ros.learning.adapted_model import AdaptedModel
from l2a_ros.learning.checkpoint import load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.learning.network import Factors
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import named_values, path_message, to_nanoseconds
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.limits import LegRateLimits

STATUS = "mpc: planner"
LIMITS = LegRateLimits()
#: The robot has to stand when it answers the tick so many after the first one that is spoilt.
PATIENCE_TICKS = 2
#: Ticks that a fault lasts, and within which the robot walks again after it.
FAULT_TICKS, RECOVERY_TICKS = 6, 5
#: Late messages come so many ticks later: older than any that the planner takes.
LATE_TICKS = 3
#: When something takes longer than this that takes no time, the machine was busy with something else, s.
DISTURBANCE = 0.05
#: A fault that strikes while the machine is busy says nothing about how fast the nodes are, so it strikes again.
ATTEMPTS = 4
#: Rates of legs that stand, as they are measured, rad/s.
STILL = 2.0

Forward = Callable[[Any], None]


# Faults ---------------------------------------------------------------------------------------------------------------


class Fault:
    """What becomes of the messages of one topic, one by one; this one lets them pass."""

    def take(self, message: Any, forward: Forward) -> None:
        """Take the message of a tick and forward what the planner is to hear."""
        forward(message)

    def end(self, forward: Forward) -> None:
        """Forward what is still to be heard when the fault is gone."""


class Missing(Fault):
    """Nothing is heard."""

    def take(self, message: Any, forward: Forward) -> None:
        """Drop it."""


class Late(Fault):
    """Everything is heard some ticks later, in order."""

    def __init__(self) -> None:
        self._held: deque[Any] = deque()

    def take(self, message: Any, forward: Forward) -> None:
        """Hold it back, and forward the one whose time has come."""
        self._held.append(message)
        if len(self._held) > LATE_TICKS:
            forward(self._held.popleft())

    def end(self, forward: Forward) -> None:
        """Forward all at once."""
        while self._held:
            forward(self._held.popleft())


class Once(Fault):
    """The first message is lost, its repetition is heard."""

    def __init__(self) -> None:
        self._is_lost = False

    def take(self, message: Any, forward: Forward) -> None:
        """Drop the first one."""
        if self._is_lost:
            forward(message)
        self._is_lost = True


class Held(Fault):
    """Everything is heard a moment later."""

    def take(self, message: Any, forward: Forward) -> None:
        """Forward it from another thread."""
        threading.Timer(0.1, forward, [message]).start()


class Altered(Fault):
    """Another message is heard."""

    def __init__(self, alter: Callable[[Any], Any]) -> None:
        self._alter = alter

    def take(self, message: Any, forward: Forward) -> None:
        """Forward the other one."""
        forward(self._alter(message))


def _state(message: JointState, **fields: Any) -> JointState:
    values = {"header": message.header, "name": message.name, "position": message.position} | fields
    return JointState(**values)


def _one_not_finite(message: JointState) -> JointState:
    position = array.array("d", message.position)
    position[STATE.indices(["yaw_cos"])[0]] = math.nan
    return _state(message, position=position)


def _model(data: bytes) -> UInt8MultiArray:
    return UInt8MultiArray(data=array.array("B", data))


def _changed_model(message: UInt8MultiArray, **fields: Any) -> UInt8MultiArray:
    return _model(dataclasses.replace(AdaptedModel.from_bytes(message.data.tobytes()), **fields).to_bytes())


def _not_a_number(message: UInt8MultiArray) -> UInt8MultiArray:
    layers = load_checkpoint(shipped_checkpoint("grbal")).weights
    change = [Factors(torch.zeros(1, layer.weight.shape[1]), torch.zeros(1, layer.weight.shape[0])) for layer in layers]
    change[1].backward[0, 3] = math.nan
    return _changed_model(message, change=change)


STATE_FAULTS: dict[str, tuple[Callable[[], Fault], str]] = {
    "late": (Late, r"no robot_state any more|robot_state is older than"),
    "missing": (Missing, "no robot_state any more"),
    "not finite": (lambda: Altered(_one_not_finite), "the state is not finite"),
    "other order": (lambda: Altered(lambda m: _state(m, name=list(reversed(m.name)))), "robot_state"),
    "without values": (lambda: Altered(lambda m: _state(m, position=[])), "robot_state has 0 values for 24 names"),
}
_OLD = r"adapted_model is older than 0\.15 s"
MODEL_FAULTS: dict[str, tuple[Callable[[], Fault], str]] = {
    "late": (Late, _OLD),
    "missing": (Missing, _OLD),
    "not finite": (lambda: Altered(_not_a_number), rf"{_OLD} \(the adapted model is not finite\)"),
    "garbage": (lambda: Altered(lambda m: _model(bytes(len(m.data)))), rf"{_OLD} \(not an adapted model: "),
    "of another checkpoint": (lambda: Altered(lambda m: _changed_model(m, checkpoint_id="another")),
                              rf"{_OLD} \(the adapted model belongs to checkpoint another, not "),
    "of another size": (lambda: Altered(lambda m: _changed_model(m, change=[Factors(
        torch.zeros(1, 3), torch.zeros(1, 4))])), rf"{_OLD} \(the adapted model does not fit the checkpoint"),
}


def _with_frame(path: Path, frame: str) -> Path:
    path.header.frame_id = frame
    return path


#: How the path is spoilt, given a good one and when the fault is to end (ns); what is said; whether that is an error.
PATH_FAULTS: dict[str, tuple[Callable[[np.ndarray, int], Path], str, bool]] = {
    "late": (path_message, "no path", False),
    "missing": (lambda points, _: path_message(points[:0], 0), "no path", False),
    "not finite": (lambda points, _: path_message(points * [1.0, math.nan], 0), "a path needs finite way-points", True),
    "one point": (lambda points, _: path_message(points[:1], 0), "no path", False),
    "in another frame": (lambda points, _: _with_frame(path_message(points, 0), "odom"),
                         "the path is in frame 'odom'; send it in 'map'", True),
}


# The graph ------------------------------------------------------------------------------------------------------------


def _tampered(topic: names.Topic) -> names.Topic:
    return dataclasses.replace(topic, name=f"tampered/{topic.name}")


class Relay:
    """Hands the messages of a topic on to the planner, with the fault of now.

    Args:
        peer: hears and forwards.
        topic: to relay.
        stamp_of: returns the stamp of a message, ns.
    """

    def __init__(self, peer: Peer, topic: names.Topic, stamp_of: Callable[[Any], int]) -> None:
        self._peer, self._to, self._stamp_of = peer, _tampered(topic), stamp_of
        self._lock = threading.Lock()
        self._fault = Fault()
        self._chosen: Mapping[int, Fault] = {}
        self._left = 0
        #: Stamp of the first tick that was spoilt, ns.
        self.struck: int | None = None
        #: That of the first one after the fault, ns, and how many commands had been heard by then.
        self.healed: tuple[int, int] | None = None
        peer.offer(self._to)
        peer.listen(topic, react=self._take)

    def strike(self, fault: Fault) -> None:
        """Spoil the messages of the next ticks."""
        with self._lock:
            self._fault, self._left, self.struck, self.healed = fault, FAULT_TICKS, None, None

    def spoil(self, faults: Mapping[int, Fault]) -> None:
        """Spoil the messages with these stamps (ns), each in its own way."""
        with self._lock:
            self._chosen = faults

    def _forward(self, message: Any) -> None:
        self._peer.publish(self._to, message, to_nobody=True)

    def _take(self, message: Any) -> None:
        with self._lock:
            stamp = self._stamp_of(message)
            if self._left == 0 and self.struck is not None and self.healed is None:
                self.healed = stamp, len(self._peer.of(names.MOTOR_COMMANDS))
                self._fault.end(self._forward)
                self._fault = Fault()
            elif self._left:
                self.struck = stamp if self.struck is None else self.struck
                self._left -= 1
            self._chosen.get(stamp, self._fault).take(message, self._forward)


class Watch:
    """Notes whether the machine did something else for a moment; use as a context."""

    def __enter__(self) -> Self:
        self.longest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(0.005):
            now = time.monotonic()
            self.longest, before = max(self.longest, now - before - 0.005), now


class Command(NamedTuple):
    """What was commanded: stamp of the state that it answers (ns), crank rates ``(2,)`` rad/s."""

    stamp: int
    rates: np.ndarray

    @property
    def moves(self) -> bool:
        """Whether it is not to stand."""
        return bool(self.rates.any())


class Graph:
    """The nodes of a trial without the trial, armed.

    Args:
        peer: talks to them.
        lockstep: whether the world waits for commands.
    """

    def __init__(self, peer: Peer, lockstep: bool) -> None:
        self.peer, self._lockstep = peer, lockstep
        peer.listen(names.MOTOR_COMMANDS)
        self.state = Relay(peer, names.ROBOT_STATE, lambda message: to_nanoseconds(message.header.stamp))
        self.model = Relay(peer, names.ADAPTED_MODEL,
                           lambda message: AdaptedModel.from_bytes(message.data.tobytes()).stamp)
        self._path = _tampered(names.REFERENCE_PATH)
        self.points = np.zeros((0, 2))

    @property
    def ticks(self) -> list[int]:
        """Stamps of all states so far, ns, as the estimator sent them."""
        return list(dict.fromkeys(self.peer.stamps(names.ROBOT_STATE)))

    @property
    def commands(self) -> list[Command]:
        """All commands so far, in the order in which they were heard."""
        return [Command(to_nanoseconds(message.header.stamp), np.array(message.velocity))
                for message in list(self.peer.of(names.MOTOR_COMMANDS))]

    def lay(self, path: Path) -> None:
        """Publish a path, and wait until the planner has it."""
        self.peer.publish(self._path, path)
        assert self.peer._publishers[self._path.name].wait_for_all_acked(Duration(seconds=30.0))

    def line_ahead(self) -> np.ndarray:
        """Return a long line in front of the robot, ``(n, 2)``."""
        state = named_values(self.peer.of(names.ROBOT_STATE)[-1])
        along = np.array([state["yaw_cos"], state["yaw_sin"]])
        return np.array([state["position_x"], state["position_y"]]) + np.arange(41.0)[:, np.newaxis] * along

    def walk(self, ticks: int) -> None:
        """Wait until so many ticks in a row are answered with walking."""
        count = len(self.commands)

        def walks() -> bool:
            newest = self.commands[count:][-ticks:]
            return len(newest) == ticks and all(command.moves for command in newest)

        until(walks, "it does not walk")

    def next_tick(self) -> int:
        """Return the stamp of the next state, ns."""
        count = len(self.ticks)
        until(lambda: len(self.ticks) > count, "there are no ticks any more")
        return self.ticks[count]

    def wait(self, ticks: int) -> None:
        """Let ticks pass."""
        count = len(self.ticks)
        until(lambda: len(self.ticks) >= count + ticks, "there are no ticks any more")


@contextmanager
def running(clock: str) -> Iterator[Graph]:
    """The nodes of a trial, connected, armed and standing; the planner hears what the test lets pass."""
    settings = read_settings({"clock": clock, "seed": "1"}, datetime(2026, 1, 1))
    lockstep = settings.lockstep
    with ExitStack() as stack:
        for spec in simulation_graph(settings):
            if spec.name == "trial":
                continue
            own = [text for topic in (names.ROBOT_STATE, names.ADAPTED_MODEL, names.REFERENCE_PATH)
                   for text in ("-r", f"{topic.name}:={_tampered(topic).name}")]
            # Advice for a machine that is busy at the start would be a warning all the time.
            own += ["-p", "mpc:plan_budget:=1.0"]
            stack.enter_context(NodeProcess(spec.name, ["--ros-args", *spec.ros_arguments(),
                                                        *(own if spec.name == "mpc" else [])]))
        peer = stack.enter_context(Peer(lockstep))
        graph = Graph(peer, lockstep)
        peer.offer(_tampered(names.REFERENCE_PATH))
        for topic in (names.ROBOT_STATE, names.ADAPTED_MODEL, names.REFERENCE_PATH):
            until(lambda topic=topic: peer.listeners(_tampered(topic)), f"the planner does not hear {topic.name}")
        for topic, count in ((names.MOTOR_COMMANDS, 3), (names.ROBOT_STATE, 2)):
            until(lambda topic=topic, count=count: peer.node.count_subscribers(topic.name) >= count)
        if lockstep:
            for _ in range(5):
                count = len(graph.ticks)
                assert peer.trigger(names.SIM_STEP, once=True).success
                until(lambda count=count: len(graph.ticks) > count and graph.commands
                      and graph.commands[-1].stamp == graph.ticks[-1])
        until(lambda: peer.of(names.ADAPTED_MODEL) and peer.of(names.MOTOR_COMMANDS), "the loop is not closed")
        assert peer.trigger(names.ARM).success
        graph.points = graph.line_ahead()
        yield graph


@dataclasses.dataclass(frozen=True)
class Bounds:
    """When a fault was.

    Args:
        struck: stamp of the first tick that was spoilt, ns.
        healed: stamp of the first tick after it, ns.
        heard: how many commands had been heard when it ended.
    """

    struck: int
    healed: int
    heard: int


@dataclasses.dataclass(frozen=True)
class Course:
    """What happened around a fault.

    Args:
        bounds: when it was.
        ticks: stamps of all states.
        legs: rates of both legs in each of them, ``(n, 2)`` rad/s.
        before: commands that were heard until it ended.
        after: those after that.
        said: what the planner said of itself, from shortly before the fault on.
        is_disturbed: whether the machine was busy with something else.
    """

    bounds: Bounds
    ticks: list[int]
    legs: np.ndarray
    before: list[Command]
    after: list[Command]
    said: list[tuple[bytes, str]]
    is_disturbed: bool

    def check(self, reason: str, is_error: bool) -> None:
        """Check that the robot stood in time, said why, and went on."""
        bounds, first = self.bounds, self.ticks.index(self.bounds.struck)
        must_stand = self.ticks[first + PATIENCE_TICKS]
        assert must_stand < bounds.healed
        spoilt = [command for command in self.before if command.stamp >= bounds.struck]
        assert not [command for command in spoilt if command.stamp >= must_stand and command.moves], (
            "it does not stand in time")
        assert all(LIMITS.admits(command.rates) for command in [*self.before, *self.after])
        last = max(i for i, stamp in enumerate(self.ticks) if stamp < bounds.healed)
        assert np.all(np.abs(self.legs[last]) < STILL), "its legs do not stand"
        level = DiagnosticStatus.ERROR if is_error else DiagnosticStatus.OK
        assert any(each == level and re.search(reason, message) for each, message in self.said), self.said
        if self.is_disturbed:
            return
        assert [command for command in spoilt if command.stamp <= must_stand + PERIOD // 2 and not command.moves], (
            "it is not told to stand in time")
        walked = next(command.stamp for command in self.after if command.moves)
        late = [stamp for stamp in self.ticks if bounds.healed <= stamp < walked]
        assert len(late) <= RECOVERY_TICKS, "it goes on late"


def course(graph: Graph, strike: Callable[[], Bounds]) -> Course:
    """Strike, wait until it walks again, and return what happened; ``strike`` returns when the fault is over."""
    said, heard, tick = len(graph.peer.said), len(graph.commands), graph.ticks[-1]
    with Watch() as watch:
        bounds = strike()
        until(lambda: any(command.moves for command in graph.commands[bounds.heard:]), "it does not go on")
        graph.peer.says(STATUS, "following")
        graph.wait(1)
    states = {to_nanoseconds(state.header.stamp): named_values(state)
              for state in list(graph.peer.of(names.ROBOT_STATE))}
    ticks = [stamp for stamp in states if stamp >= tick]
    legs = np.array([[states[stamp][f"{leg}_leg_velocity"] for leg in ("left", "right")] for stamp in ticks])
    commands = graph.commands
    return Course(bounds, ticks, legs, commands[heard:bounds.heard], commands[bounds.heard:],
                  [(status.level, status.message) for status in graph.peer.said[said:] if status.name == STATUS],
                  watch.longest > DISTURBANCE or bool(np.any(np.abs(np.diff(ticks) - PERIOD) > DISTURBANCE * SECOND)))


def check(graph: Graph, rng: np.random.Generator, strike: Callable[[], Bounds], reason: str,
          is_error: bool = True) -> None:
    """Strike at a random tick, again if the machine was busy, and check what happened."""
    for _ in range(ATTEMPTS):
        graph.walk(int(rng.integers(2, 8)))
        happened = course(graph, strike)
        if not happened.is_disturbed:
            break
    happened.check(reason, is_error)


# In real time ---------------------------------------------------------------------------------------------------------


def spoil(relay: Relay, make: Callable[[], Fault]) -> Bounds:
    """Have a fault strike the messages of a topic, and wait until it is over."""
    relay.strike(make())
    healed, heard = until(lambda: relay.healed, "the fault does not end")
    assert relay.struck is not None
    return Bounds(relay.struck, healed, heard)


def spoil_path(graph: Graph, make: Callable[[np.ndarray, int], Path]) -> Bounds:
    """Have a spoilt path come, and a good one some ticks later unless it comes to be good by itself."""
    struck = graph.next_tick()
    begin = struck + FAULT_TICKS * PERIOD
    bad = make(graph.points, begin)
    graph.lay(bad)
    struck = graph.next_tick()
    if to_nanoseconds(bad.header.stamp) == begin:
        until(lambda: graph.ticks[-1] >= begin - PERIOD)
        heard = len([command for command in graph.commands if command.stamp < begin])
        return Bounds(struck, until(lambda: next((stamp for stamp in graph.ticks if stamp >= begin), None)), heard)
    until(lambda: graph.ticks[-1] >= struck + (FAULT_TICKS - 1) * PERIOD)
    heard = len(graph.commands)
    graph.lay(path_message(graph.points, 0))
    return Bounds(struck, graph.next_tick(), heard)


@pytest.mark.timeout(600)
def test_stands_and_goes_on_when_state_model_or_path_fails() -> None:
    """One run of the graph meets every fault in turn: what one has left behind would spoil the next."""
    rng = np.random.default_rng(5)
    with running("real") as graph:
        graph.lay(path_message(graph.points, 0))
        for relay, faults in ((graph.state, STATE_FAULTS), (graph.model, MODEL_FAULTS)):
            for make, reason in faults.values():
                check(graph, rng, partial(spoil, relay, make), reason)
        for spoil_with, reason, is_error in PATH_FAULTS.values():
            check(graph, rng, partial(spoil_path, graph, spoil_with), reason, is_error)
        assert graph.peer.figure(STATUS, "pose jumps") == 0
        assert graph.peer.figure(STATUS, "time jumps") == 0
        assert graph.peer.figure("mujoco_sim: motor gate", "safety_stops") == 0


# In lock-step ---------------------------------------------------------------------------------------------------------


def _walk_in_lockstep(lost: Mapping[int, tuple[str, Fault]], spoilt: Mapping[int, tuple[str, Fault]],
                      ticks: int) -> list[list[float]]:
    """Return the commands of so many ticks in which messages fail; each by the number of its tick: topic and fault."""
    with running("lockstep") as graph:
        begin = graph.ticks[-1]
        for topic in ("state", "model"):
            getattr(graph, topic).spoil({begin + tick * PERIOD: fault for tick, (where, fault) in [
                *lost.items(), *spoilt.items()] if where == topic})
        graph.lay(path_message(graph.points, begin + 1))
        assert graph.peer.pause(False).success
        last = begin + ticks * PERIOD
        until(lambda: any(command.stamp == last for command in graph.commands), "the world stands still")
        assert graph.peer.pause(True).success
        commands = {command.stamp: command.rates.tolist() for command in graph.commands}
        return [commands[begin + tick * PERIOD] for tick in range(1, ticks + 1)]


def test_in_lockstep_the_world_waits_for_what_is_late_and_stands_for_what_is_wrong() -> None:
    """What is lost is repeated, so nothing changes by it; what is wrong costs the one tick that it is about."""
    rng = np.random.default_rng(7)
    ticks = 30
    numbers = rng.permutation(np.arange(1, ticks))
    wrong = {"state": [STATE_FAULTS[name] for name in ("not finite", "other order", "without values")],
             "model": [MODEL_FAULTS[name] for name in ("not finite", "garbage", "of another checkpoint")]}
    spoilt = {int(numbers[i]): fault for i, fault in enumerate(
        [(topic, make()) for topic, faults in wrong.items() for make, _ in faults])}
    lost = {int(numbers[len(spoilt) + i]): fault for i, fault in enumerate(
        [("state", Once()), ("state", Held()), ("model", Once()), ("model", Held())])}
    commands = _walk_in_lockstep({}, spoilt, ticks)
    stands = [tick for tick, rates in enumerate(commands, start=1) if not np.any(rates)]
    assert stands == sorted(spoilt)
    assert _walk_in_lockstep(lost, spoilt, ticks) == commands
