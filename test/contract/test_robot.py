# SPDX-License-Identifier: Apache-2.0
"""What every robot offers, real or simulated: driver and simulator are interchangeable because both pass this."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from nodes.support import PERIOD, SECOND, NodeProcess, Peer, until
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from std_msgs.msg import Bool

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import motor_commands, named_values, to_nanoseconds
from l2a_ros.robot.layout import MOTOR_JOINTS, MOTOR_TELEMETRY
from l2a_ros.robot.limits import REVOLUTION

WALK = np.array([5.0, 5.0]) * REVOLUTION
STAND = np.zeros(2)
#: Slowest admissible rate of each sensor topic, Hz.
RATES = ((names.MOCAP_POSE, 100.0), (names.IMU, 10.0), (names.JOINT_STATES, 10.0), (names.MOTOR_TELEMETRY, 10.0),
         (names.BATTERY_STATE, 1.0))


@dataclass(frozen=True)
class BackEnd:
    """A robot that is tested.

    Args:
        name: for the report.
        node: module and node name.
        lockstep: whether its world waits for each command.
        parameters: of the node.
    """

    name: str
    node: str
    lockstep: bool
    parameters: dict[str, Any]

    def start(self) -> NodeProcess:
        """Start the robot's process."""
        return NodeProcess(self.node, **self.parameters)


BACK_ENDS = [
    BackEnd("sim", "mujoco_sim", False, {"clock": "real"}),
    BackEnd("sim-lockstep", "mujoco_sim", True, {"clock": "lockstep", "lockstep": True, "use_sim_time": True}),
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
        peer.listen(*names.SENSOR_TOPICS)
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
        until(lambda: all(self.peer.of(topic) for topic in names.SENSOR_TOPICS), "not every sensor speaks")

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
        assert np.abs(self.legs - begin).max() < 0.3, "the robot moves"
        assert self.stands

    def arm(self) -> None:
        """Arm, which must work."""
        response = self.peer.trigger(names.ARM)
        assert response.success, response.message

    def count(self, key: str) -> float:
        """Return a counter of the motor gate."""
        return self.peer.figure(self.gate, key)


@pytest.fixture(params=BACK_ENDS, ids=lambda back_end: back_end.name)
def back_end(request: pytest.FixtureRequest) -> BackEnd:
    """Each robot in turn."""
    return request.param


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


def test_interfaces_and_samples(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        peer, node = robot.peer, robot.peer.node
        until(lambda: back_end.node in node.get_node_names())
        wanted = {names.ARM, names.DISARM, names.RESET_STOP}
        until(lambda: {f"/{name}" for name in wanted} <= {
            name for name, types in node.get_service_names_and_types_by_node(back_end.node, "/")
            if types == ["std_srvs/srv/Trigger"]}, "arm, disarm and reset_stop are services of type Trigger")
        # An emergency stop is heard from latched publishers, whenever they began, and from all others.
        for topic, durabilities in ((names.MOTOR_COMMANDS, {DurabilityPolicy.VOLATILE}),
                                    (names.ESTOP, {DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL})):
            listeners = [each.qos_profile for each in node.get_subscriptions_info_by_topic(topic.name)
                         if each.node_name == back_end.node]
            assert {profile.reliability for profile in listeners} == {ReliabilityPolicy.RELIABLE}
            assert {profile.durability for profile in listeners} == durabilities

        for topic in names.SENSOR_TOPICS:
            (publisher,) = peer.node.get_publishers_info_by_topic(topic.name)
            assert publisher.node_name == back_end.node
            offered, wanted = publisher.qos_profile, topic.profile(back_end.lockstep)
            assert offered.reliability == wanted.reliability
            assert offered.durability == DurabilityPolicy.VOLATILE
        robot.live(1.5)
        for topic, rate in RATES:
            stamps = np.array(peer.stamps(topic))
            assert np.all(np.diff(stamps) > 0), f"{topic.name}: stamps must increase"
            # A sample may be lost on its way, so the usual distance counts and not the number.
            assert np.median(np.diff(stamps)) <= 1.01 * SECOND / rate, f"{topic.name} comes too seldom"
            assert abs(int(stamps[-1]) - robot.now) < SECOND, f"{topic.name} has stamps of another clock"

        poses = [message.pose for message in peer.of(names.MOCAP_POSE)]
        assert {message.header.frame_id for message in peer.of(names.MOCAP_POSE)} == {"map"}
        norms = [np.linalg.norm([q.x, q.y, q.z, q.w]) for q in (pose.orientation for pose in poses)]
        np.testing.assert_allclose(norms, 1.0, atol=1e-3)
        assert all(0.0 < pose.position.z < 0.15 for pose in poses)
        tail = poses[-20:]
        assert np.ptp([pose.position.x for pose in tail]) < 0.005, "it stands still"

        imu = peer.of(names.IMU)[-20:]
        assert {message.header.frame_id for message in imu} == {"imu_link"}
        assert all(message.orientation_covariance[0] == -1.0 for message in imu), "REP-145: no orientation"
        force = np.mean([[getattr(message.linear_acceleration, axis) for axis in "xyz"] for message in imu], axis=0)
        assert np.linalg.norm(force) == pytest.approx(9.81, abs=0.5)
        assert force[2] == pytest.approx(9.8, abs=0.6), "gravity is +g on z at rest"
        rate = np.mean([[getattr(message.angular_velocity, axis) for axis in "xyz"] for message in imu], axis=0)
        assert np.abs(rate).max() < 0.3

        for message in peer.of(names.JOINT_STATES):
            assert list(message.name) == list(MOTOR_JOINTS)
            assert len(message.position) == len(message.velocity) == 2
        for message in peer.of(names.MOTOR_TELEMETRY):
            values = named_values(message)
            assert tuple(values) == MOTOR_TELEMETRY.names
            assert all(abs(values[f"{side}_duty"]) <= 1.0 for side in ("left", "right"))
            assert all(abs(values[f"{side}_back_emf"]) < 5.0 for side in ("left", "right"))
        assert all(3.0 <= message.voltage <= 4.3 and message.present for message in peer.of(names.BATTERY_STATE))


def test_moves_only_while_armed_and_commanded(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        robot.live(0.3)
        robot.command = WALK
        robot.assert_does_not_move()
        until(lambda: robot.count("ignored") > 0, "commands before arming are counted")
        robot.command = STAND if back_end.lockstep else None
        robot.arm()
        robot.assert_does_not_move()

        begin, place = robot.legs, robot.newest(names.MOCAP_POSE).pose.position
        robot.command = WALK
        robot.live(1.5)
        turned = robot.legs - begin
        assert np.all(turned > 2 * REVOLUTION), "angles are counted on beyond a revolution"
        angles = np.array([message.position for message in robot.peer.of(names.JOINT_STATES)])
        assert np.abs(np.diff(angles, axis=0)).max() < REVOLUTION, "angles do not wrap"
        now = robot.newest(names.MOCAP_POSE).pose.position
        assert np.hypot(now.x - place.x, now.y - place.y) > 0.05, "it walks"
        velocities = np.array([message.velocity for message in robot.peer.of(names.JOINT_STATES)])[-15:]
        np.testing.assert_allclose(velocities.mean(axis=0), WALK, rtol=0.3)
        telemetry = named_values(robot.newest(names.MOTOR_TELEMETRY))
        assert telemetry["left_back_emf"] > 0.1 and telemetry["right_back_emf"] > 0.1, "positive forward"

        robot.command = STAND
        until(lambda: robot.stands, "a command to stand is obeyed")
        robot.command = WALK
        until(lambda: robot.walks)
        assert robot.peer.trigger(names.DISARM).success
        until(lambda: robot.stands, "disarming stops it")
        robot.assert_does_not_move()


def test_stands_when_commands_stop(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        robot.arm()
        robot.command = WALK
        until(lambda: robot.walks)
        robot.command = None
        if back_end.lockstep:
            until(lambda: robot.count("timeouts") == 0)
            begin = robot.tick
            until(lambda: robot.peer.figure(f"{back_end.node}: world", "repeated ticks") >= 2)
            assert robot.tick - begin <= PERIOD, "the world waits for the command"
            return
        until(lambda: robot.stands, "the watchdog stops it")
        robot.assert_does_not_move()
        until(lambda: robot.count("timeouts") == 1)
        robot.command = WALK
        until(lambda: robot.walks, "commands that are back move it again")


def _with(**fields: Any) -> Callable[[int], Any]:
    def make(stamp: int) -> Any:
        message = motor_commands(WALK, stamp)
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    return make


BAD_COMMANDS = {
    "not a number": _with(velocity=[float("nan"), WALK[1]]),
    "infinite": _with(velocity=[float("inf"), WALK[1]]),
    "too fast": _with(velocity=[WALK[0], 12 * REVOLUTION]),
    "too slow": _with(velocity=[WALK[0], 1 * REVOLUTION]),
    "backwards": _with(velocity=[-WALK[0], -WALK[1]]),
    "one leg alone": _with(velocity=[WALK[0], 0.0]),
    "other joints": _with(name=["left", "right"]),
    "joints swapped": _with(name=list(reversed(MOTOR_JOINTS))),
    "joint missing": _with(name=[MOTOR_JOINTS[0]], velocity=[WALK[0]]),
    "too few rates": _with(velocity=[WALK[0]]),
    "no rates": _with(velocity=[]),
    "too many rates": _with(velocity=[*WALK, *WALK]),
}


def test_bad_commands_are_refused(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        robot.arm()
        begin, seen = robot.legs, robot.count("refused")
        for what, command in BAD_COMMANDS.items():
            robot.command = command
            robot.live(0.3)
            assert np.abs(robot.legs - begin).max() < 0.5, f"the robot moves on a command that is bad: {what}"
        until(lambda: robot.count("refused") >= seen + len(BAD_COMMANDS), "refused commands are counted")
        robot.command = WALK
        until(lambda: robot.walks, "good commands move it after bad ones")
        robot.command = BAD_COMMANDS["too fast"]
        until(lambda: robot.stands, "a bad command stops it at once: its sender cannot be trusted")


def test_commands_of_another_time_are_refused(back_end: BackEnd) -> None:
    if back_end.lockstep:
        pytest.skip("the world waits for the command of its tick alone")
    with running(back_end) as robot:
        robot.arm()
        late = 0.0
        for offset in (-2.0, 3600.0):
            robot.command = lambda stamp, offset=offset: motor_commands(WALK, stamp + round(offset * SECOND))
            robot.assert_does_not_move()
            until(lambda late=late: robot.count("late") > late, "they are counted")
            late = robot.count("late")
        robot.command = WALK
        until(lambda: robot.walks, "later commands are obeyed")
        frozen = robot.now
        robot.command = lambda _: motor_commands(WALK, frozen)
        until(lambda: robot.stands, "the same command again and again is no command")


def test_estop_latches(back_end: BackEnd) -> None:
    with running(back_end) as robot:
        peer = robot.peer
        robot.arm()
        robot.command = WALK
        until(lambda: robot.walks)
        peer.publish(names.ESTOP, Bool(data=True))
        until(lambda: robot.stands, "the emergency stop stops it")
        until(lambda: robot.count("safety_stops") == 1)
        peer.says(robot.gate, "estop")
        response = peer.trigger(names.ARM)
        assert not response.success
        assert "reset_stop" in response.message, "the answer says what to do"
        peer.publish(names.ESTOP, Bool(data=False))
        robot.assert_does_not_move()
        assert not peer.trigger(names.ARM).success, "releasing the button is not enough"
        assert peer.trigger(names.RESET_STOP).success
        robot.assert_does_not_move()
        robot.command = STAND if back_end.lockstep else None
        robot.live(0.2)
        robot.arm()
        robot.assert_does_not_move()
        robot.command = WALK
        until(lambda: robot.walks, "new commands move it")
        assert robot.count("safety_stops") == 1


def test_estop_of_a_publisher_that_is_not_latched(back_end: BackEnd) -> None:
    """As ``ros2 topic pub`` offers it."""
    with running(back_end) as robot:
        robot.arm()
        robot.command = WALK
        until(lambda: robot.walks)
        plain = robot.peer.node.create_publisher(Bool, names.ESTOP.name, 10)
        until(lambda: plain.get_subscription_count() > 0, "the robot listens")
        plain.publish(Bool(data=True))
        until(lambda: robot.stands, "it stops all the same")
        assert not robot.peer.trigger(names.ARM).success


def test_estop_given_before_the_start_holds(back_end: BackEnd) -> None:
    if back_end.lockstep:
        pytest.skip("nothing here depends on the clock")
    with Peer(back_end.lockstep) as early:
        early.offer(names.ESTOP)
        early.publish(names.ESTOP, Bool(data=True), to_nobody=True)
        with running(back_end) as robot:
            until(lambda: robot.count("safety_stops") == 1, "the latched message reaches who comes later")
            assert not robot.peer.trigger(names.ARM).success
