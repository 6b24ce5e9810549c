# SPDX-License-Identifier: Apache-2.0
"""The robots that the contract is tested on, and somebody who commands them.

Another back-end is one more entry of ``BACK_ENDS``; what only some of them offer is a flag of the entry.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from nodes.support import SECOND, NodeProcess, Peer, until

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import motor_commands, to_nanoseconds
from l2a_ros.robot.limits import REVOLUTION

WALK = np.array([5.0, 5.0]) * REVOLUTION
STAND = np.zeros(2)


@dataclass(frozen=True)
class BackEnd:
    """A robot that is tested.

    Args:
        name: for the report.
        node: module and node name.
        lockstep: whether its world waits for each command.
        parameters: of the node.
        is_simulated: whether its world can be paused, stepped and reset.
        is_managed: whether it is a lifecycle node.
        profile: of the emulated firmware at the other end; empty if it is the robot itself.
        sensors: the topics it speaks on; motion capture is not a part of every robot.
    """

    name: str
    node: str
    lockstep: bool
    parameters: dict[str, Any]
    is_simulated: bool = True
    is_managed: bool = True
    sensors: tuple[names.Topic, ...] = names.SENSOR_TOPICS
    profile: str = ""

    @contextmanager
    def start(self) -> Iterator[None]:
        """Start the robot's process, and the emulated firmware if it is the driver of a real one."""
        with ExitStack() as stack:
            parameters = self.parameters
            if self.profile:
                port = f"{stack.enter_context(TemporaryDirectory())}/robot"
                stack.enter_context(NodeProcess("firmware_emulator", link=port, profile=self.profile))
                parameters = {**parameters, "port": port, "port_wait": 30.0, "profile": self.profile}
            stack.enter_context(NodeProcess(self.node, **parameters))
            yield


#: Its arming does not wait for a state estimate: there is none here.
_DRIVER = {"arm_requires": [""], "command_timeout": 0.3}
_ON_BOARD = tuple(topic for topic in names.SENSOR_TOPICS if topic is not names.MOCAP_POSE)
BACK_ENDS = [
    BackEnd("sim", "mujoco_sim", False, {"clock": "real"}),
    BackEnd("sim-lockstep", "mujoco_sim", True, {"clock": "lockstep", "lockstep": True, "use_sim_time": True}),
    BackEnd("driver", "serial_driver", False, _DRIVER, is_simulated=False, sensors=_ON_BOARD,
            profile="velociroach_gbac"),
]


class Robot:
    """A running robot with somebody who commands it.

    Time that is waited for is the robot's own, by the stamps of its samples.
    """

    def __init__(self, back_end: BackEnd, peer: Peer) -> None:
        self.back_end, self.peer = back_end, peer
        self.gate = f"{back_end.node}: motor gate"
        #: What is commanded: rates, a function that makes a message from a stamp, or None for silence.
        self.command: np.ndarray | Callable[[int], Any] | None = None
        self._ended = threading.Event()
        peer.listen(*back_end.sensors)
        peer.offer(names.MOTOR_COMMANDS, names.ESTOP)
        if back_end.lockstep:
            self.tick = 0
            peer.listen(names.SIM_TICK, react=self._on_tick)
        self._thread = threading.Thread(target=self._command_periodically, daemon=True)

    def _message(self, stamp: int) -> Any:
        command = self.command
        return motor_commands(command, stamp) if isinstance(command, np.ndarray) else command(stamp)

    def _on_tick(self, message: Any) -> None:
        self.tick = to_nanoseconds(message.header.stamp)
        if self.command is not None:
            self.peer.publish(names.MOTOR_COMMANDS, self._message(self.tick))

    def _command_periodically(self) -> None:
        while not self._ended.wait(0.05):
            if self.command is not None and not self.back_end.lockstep:
                self.peer.publish(names.MOTOR_COMMANDS, self._message(self.now))

    @property
    def now(self) -> int:
        """The robot's time, ns."""
        return self.tick if self.back_end.lockstep else time.time_ns()

    def begin(self) -> None:
        """Let time pass until every sensor has spoken."""
        self._thread.start()
        if self.back_end.lockstep:
            self.command = STAND
            self.peer.pause(False)
        until(lambda: all(self.peer.of(topic) for topic in self.back_end.sensors), "not every sensor speaks")
        until(lambda: not self.peer.text(self.gate, "not ready"), "it does not become ready to be armed")

    def end(self) -> None:
        """Stop commanding."""
        self._ended.set()
        self._thread.join()

    def live(self, seconds: float) -> None:
        """Let the robot's time pass."""
        begin = self.newest(names.JOINT_STATES)
        end = to_nanoseconds(begin.header.stamp) + round(seconds * SECOND)
        until(lambda: self.peer.stamps(names.JOINT_STATES)[-1] >= end, "time stands still")

    def newest(self, topic: names.Topic) -> Any:
        """Return the newest sample."""
        return self.peer.of(topic)[-1]

    @property
    def legs(self) -> np.ndarray:
        """Angles of both drives, rad."""
        return np.array(self.newest(names.JOINT_STATES).position)

    @property
    def sees(self) -> bool:
        """Whether motion capture is a part of it."""
        return names.MOCAP_POSE in self.back_end.sensors

    @property
    def place(self) -> np.ndarray:
        """Position in ``map``, shape ``(3,)``, m."""
        position = self.newest(names.MOCAP_POSE).pose.position
        return np.array([position.x, position.y, position.z])

    @property
    def stands(self) -> bool:
        """Whether the legs are at rest."""
        return bool(np.all(np.abs(self.newest(names.JOINT_STATES).velocity) < 1.0))

    @property
    def walks(self) -> bool:
        """Whether both legs turn forward."""
        return bool(np.all(np.array(self.newest(names.JOINT_STATES).velocity) > 0.5 * WALK))

    def assert_does_not_move(self, seconds: float = 0.4) -> None:
        """Watch the legs for a while."""
        begin = self.legs
        self.live(seconds)
        # Legs whose motors are off give way under the robot's weight for a part of a turn; walking is many.
        assert np.abs(self.legs - begin).max() < 1.2, "the robot moves"
        assert self.stands

    def arm(self) -> None:
        """Arm, which must work, and at once unless its legs were still giving way a moment ago."""
        until(self._arm, "it stands, and is not armed")

    def _arm(self) -> bool:
        response = self.peer.trigger(names.ARM)
        assert response.success or response.message.endswith("not verified"), response.message
        return response.success

    def count(self, key: str) -> float:
        """Return a counter of the motor gate."""
        return self.peer.figure(self.gate, key)


#: Runs a test on each robot in turn.
on_every_robot = pytest.mark.parametrize("back_end", BACK_ENDS, ids=lambda back_end: back_end.name)
#: Runs a test on each robot whose world can be paused, stepped and reset.
on_every_simulated_robot = pytest.mark.parametrize(
    "back_end", [each for each in BACK_ENDS if each.is_simulated], ids=lambda back_end: back_end.name)


@contextmanager
def running(back_end: BackEnd) -> Iterator[Robot]:
    """Start a robot."""
    with back_end.start(), Peer(back_end.lockstep) as peer:
        robot = Robot(back_end, peer)
        try:
            robot.begin()
            yield robot
        finally:
            robot.end()
