# SPDX-License-Identifier: Apache-2.0
"""The estimator over DDS: known samples in, states and odometry out, and what it does without them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import pytest
from nodes.support import PERIOD, SECOND, NodeProcess, NodeThread, Peer, assert_refused, refusal, until

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import named_values, named_vector, to_nanoseconds, to_stamp
from l2a_ros.nodes.sensor_messages import sensor_message
from l2a_ros.nodes.state_estimator import StateEstimatorNode
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, TelemetrySample

STATUS = "state_estimator: state"
#: What the robot of these tests does: drives along its heading and turns its legs.
SPEED, YAW = 0.3, 0.5
LEG_RATES = np.array([20.0, 30.0])
HEADING = np.array([math.cos(YAW), math.sin(YAW)])


def samples(stamp: int) -> dict[str, Any]:
    """Return the message of every sensor at a moment."""
    t = stamp % (1000 * SECOND) / SECOND
    return {topic.name: message for topic, message in map(sensor_message, [
        PoseSample(stamp, np.array([*(SPEED * t * HEADING), 0.03]),
                   np.array([0.0, 0.0, math.sin(YAW / 2), math.cos(YAW / 2)])),
        ImuSample(stamp, np.array([0.001, 0.002, 0.003]), np.array([0.0, 0.0, 9.80665])),
        CrankSample(stamp, LEG_RATES * t, LEG_RATES),
        TelemetrySample(stamp, np.array([0.5, 0.6]), np.array([0.2, 0.3])),
        BatterySample(stamp, 3.9)])}


TOPICS = {topic.name: topic for topic in names.SENSOR_TOPICS}


class Sensors:
    """Sensors that all speak 50 times a second with wall-clock stamps.

    ``silent`` holds the topics that do not, ``spoil`` gives the message that a topic sends instead.
    """

    def __init__(self, peer: Peer) -> None:
        self.silent: set[str] = set()
        self.spoil: dict[str, Callable[[Any], Any]] = {}
        self._peer, self._ended = peer, threading.Event()
        peer.offer(*names.SENSOR_TOPICS)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            for name, message in samples(time.time_ns()).items():
                if name not in self.silent:
                    self._peer.publish(TOPICS[name], self.spoil.get(name, lambda m: m)(message), to_nobody=True)


@contextmanager
def live(**parameters: Any) -> Iterator[tuple[Peer, Sensors]]:
    """An estimator with sensors that speak."""
    with NodeThread(StateEstimatorNode, **parameters), Peer() as peer:
        peer.listen(names.ROBOT_STATE, names.ODOMETRY)
        with Sensors(peer) as sensors:
            until(lambda: peer.of(names.ROBOT_STATE))
            yield peer, sensors


def goes_on(peer: Peer, count: int = 3) -> None:
    """Wait for some more states."""
    before = len(peer.of(names.ROBOT_STATE))
    until(lambda: len(peer.of(names.ROBOT_STATE)) >= before + count, "no robot_state")


def test_state_once_per_control_period_and_odometry() -> None:
    with live() as (peer, _):
        goes_on(peer, 12)
        for message in peer.of(names.ROBOT_STATE):
            assert tuple(message.name) == STATE.names
        stamps = np.array(peer.stamps(names.ROBOT_STATE))
        assert np.median(np.diff(stamps)) == pytest.approx(PERIOD, rel=0.05)
        assert abs(stamps[-1] - time.time_ns()) < SECOND
        values = named_values(peer.of(names.ROBOT_STATE)[-1])
        t = stamps[-1] % (1000 * SECOND) / SECOND
        # The newest sample is a few periods of the sensor old.
        assert values["position_x"] == pytest.approx(SPEED * HEADING[0] * t, abs=0.05)
        expected = {"velocity_x": SPEED * HEADING[0], "velocity_y": SPEED * HEADING[1], "velocity_z": 0.0,
                    "yaw_cos": HEADING[0], "yaw_sin": HEADING[1], "roll_cos": 1.0, "pitch_sin": 0.0,
                    "angular_velocity_x": 0.001, "angular_velocity_y": 0.002, "angular_velocity_z": 0.003,
                    "left_leg_velocity": 20.0, "right_leg_velocity": 30.0, "left_back_emf": 0.5,
                    "right_back_emf": 0.6, "battery_voltage": 3.9}
        assert {name: values[name] for name in expected} == pytest.approx(expected, abs=0.01)
        for name in ("left_leg", "right_leg"):
            assert math.hypot(values[f"{name}_cos"], values[f"{name}_sin"]) == pytest.approx(1.0)
        peer.says(STATUS, "ok")

        odometry = peer.of(names.ODOMETRY)[-1]
        assert (odometry.header.frame_id, odometry.child_frame_id) == ("map", "base_link")
        twist = odometry.twist.twist.linear
        assert (twist.x, twist.y) == pytest.approx((SPEED, 0.0), abs=0.01), "the twist is in the child frame"
        assert odometry.pose.pose.orientation.z == pytest.approx(math.sin(YAW / 2))
        for block in (odometry.pose, odometry.twist):
            assert np.all(np.diag(np.array(block.covariance).reshape(6, 6)) > 0.0)
        assert len(peer.of(names.ODOMETRY)) > 3 * len(stamps), "odometry comes with every pose"
        assert np.all(np.diff(peer.stamps(names.ODOMETRY)) > 0)


def test_control_period_is_a_parameter() -> None:
    with live(control_period=0.05) as (peer, _):
        goes_on(peer, 10)
        assert np.median(np.diff(peer.stamps(names.ROBOT_STATE))) == pytest.approx(PERIOD / 2, rel=0.1)


def test_silent_source_stops_the_states_and_is_named() -> None:
    with live() as (peer, sensors):
        # Motion capture is the first that is missed, the battery the last; each limit is seconds at most.
        for name in ("mocap/pose", "imu/data_raw", "joint_states", "motor_telemetry"):
            sensors.silent = {name}
            peer.says(STATUS, f"{name} is ")
            count = len(peer.of(names.ROBOT_STATE))
            assert peer.status(STATUS).level != b"\0"
            until(lambda name=name: peer.figure(STATUS, f"age of {name} (s)") > 0.1)
            assert len(peer.of(names.ROBOT_STATE)) <= count + 1, "no state without a source"
            sensors.silent = set()
            goes_on(peer)
            peer.says(STATUS, "ok")


def _set(path: str, value: Any) -> Callable[[Any], Any]:
    *parents, last = path.split(".")

    def spoil(message: Any) -> Any:
        target = message
        for parent in parents:
            target = getattr(target, parent)
        setattr(target, last, value)
        return message

    return spoil


BAD = [
    ("mocap/pose", _set("pose.position.x", math.nan), "mocap/pose is "),
    ("mocap/pose", _set("pose.orientation.w", 5.0), "mocap/pose is "),
    ("mocap/pose", _set("header.stamp", to_stamp(0)), "mocap/pose is "),
    ("imu/data_raw", _set("angular_velocity.y", math.inf), "imu/data_raw is "),
    ("joint_states", _set("velocity", [math.nan, 1.0]), "joint_states is "),
    ("joint_states", _set("name", ["left", "right"]), "joint_states is "),
    ("joint_states", _set("position", []), "joint_states is "),
    ("motor_telemetry", _set("name", ["a", "b", "c", "d"]), "motor_telemetry is "),
    ("motor_telemetry", _set("position", [0.5]), "motor_telemetry is "),
    ("motor_telemetry", _set("position", [math.nan] * 4), "motor_telemetry is "),
]


def test_bad_messages_are_ignored_and_outlived() -> None:
    with live() as (peer, sensors):
        for name, spoil, reason in BAD:
            sensors.spoil = {name: spoil}
            peer.says(STATUS, reason)
            sensors.spoil = {}
            goes_on(peer, 1)
        sensors.spoil = {"battery_state": _set("voltage", math.nan)}
        until(lambda: peer.figure(STATUS, "rejected battery_state") > 0)
        sensors.spoil = {}
        goes_on(peer)
        assert all(np.all(np.isfinite(message.position)) for message in peer.of(names.ROBOT_STATE))
        assert peer.figure(STATUS, "messages refused") > 0


def test_stamp_from_the_future_does_not_poison_a_source() -> None:
    with live() as (peer, sensors):
        for topic in names.SENSOR_TOPICS:
            sensors.spoil = {topic.name: _set("header.stamp", to_stamp(time.time_ns() + 3600 * SECOND))}
            refused = peer.figure(STATUS, "messages refused")
            until(lambda refused=refused: peer.figure(STATUS, "messages refused") > refused)
        sensors.spoil = {}
        goes_on(peer)
        peer.says(STATUS, "ok")
        assert abs(peer.stamps(names.ODOMETRY)[-1] - time.time_ns()) < 10 * SECOND


def test_reset_forgets() -> None:
    with live() as (peer, sensors):
        sensors.silent = {"battery_state"}
        assert peer.trigger(names.ESTIMATOR_RESET).success
        peer.says(STATUS, "no battery_state yet")
        sensors.silent = set()
        goes_on(peer)


class Ticks:
    """A lock-step world by hand."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.counts = peer, dict.fromkeys(TOPICS, 0)
        peer.listen(names.ROBOT_STATE)
        peer.offer(*names.SENSOR_TOPICS, names.SIM_TICK)
        for topic in (*names.SENSOR_TOPICS, names.SIM_TICK):
            until(lambda topic=topic: peer.listeners(topic))

    def sample(self, stamp: int, leave_out: str = "") -> None:
        """Send one sample of every sensor."""
        for name, message in samples(stamp).items():
            if name != leave_out:
                self.peer.publish(TOPICS[name], message)
            self.counts[name] += 1

    def tick(self, stamp: int) -> None:
        """Announce that a control period is over."""
        self.peer.publish(names.SIM_TICK, named_vector(
            tuple(self.counts), [float(count) for count in self.counts.values()], stamp))


def test_lockstep_ticks_when_complete_and_repeats_the_same_answer() -> None:
    with NodeThread(StateEstimatorNode, lockstep=True, use_sim_time=True), Peer(lockstep=True) as peer:
        world = Ticks(peer)
        states = peer.of(names.ROBOT_STATE)
        for i in range(1, 11):
            world.sample(SECOND + i * PERIOD // 10)
        first = SECOND + PERIOD
        world.tick(first)
        until(lambda: states)
        assert to_nanoseconds(states[0].header.stamp) == first
        assert named_values(states[0])["position_x"] == pytest.approx(SPEED * HEADING[0] * first / SECOND)

        for _ in range(3):
            world.tick(first)
        until(lambda: len(states) == 4)
        assert all(state == states[0] for state in states), "an answer is repeated as it was"

        second = first + PERIOD
        world.sample(first + PERIOD // 2)
        world.sample(second, leave_out="imu/data_raw")
        world.tick(second)
        # Its answer to the old tick shows that it has seen the new one.
        world.tick(first)
        until(lambda: len(states) == 5)
        assert states[4] == states[0], "not before every sample is there"
        peer.publish(names.IMU, samples(second)["imu/data_raw"])
        until(lambda: len(states) == 6)
        assert to_nanoseconds(states[5].header.stamp) == second
        assert named_values(states[5])["velocity_y"] == pytest.approx(SPEED * HEADING[1], rel=1e-6)


def test_simulated_time_ticks_by_the_samples() -> None:
    with NodeThread(StateEstimatorNode, use_sim_time=True), Peer() as peer:
        peer.listen(names.ROBOT_STATE)
        peer.offer(*names.SENSOR_TOPICS)
        stamp = 2 * SECOND

        def step() -> bool:
            nonlocal stamp
            stamp += PERIOD // 10
            for name, message in samples(stamp).items():
                peer.publish(TOPICS[name], message)
            return len(peer.of(names.ROBOT_STATE)) >= 10

        until(step)
        stamps = np.array(peer.stamps(names.ROBOT_STATE))
        assert np.all(stamps % PERIOD == 0)
        assert np.all(np.diff(stamps) >= PERIOD)


def test_bad_parameters() -> None:
    assert "control_period is out of range" in refusal(StateEstimatorNode, control_period=0.0)
    assert "control_period must be of type float" in refusal(StateEstimatorNode, control_period="fast")
    assert_refused("state_estimator", "lockstep must be of type bool", lockstep="maybe")


def test_process_ends_at_a_signal() -> None:
    with NodeProcess("state_estimator"), Peer() as peer:
        peer.says(STATUS, "no mocap/pose yet")
