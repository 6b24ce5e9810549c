# SPDX-License-Identifier: Apache-2.0
"""Arming over ROS: who may refuse it, and what happens while another thread uses the gate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from nodes.support import NodeThread, Peer, until
from rclpy.node import Node
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.diagnostics import ERROR, OK, Diagnostics
from l2a_ros.nodes.gate import GateServices
from l2a_ros.robot.limits import LegRateLimits
from l2a_ros.safety.motor_gate import GateState, MotorGate


class GateNode(Node):
    """A node that is nothing but a gate."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("gate_node")
        self.gate = MotorGate(LegRateLimits(), 0.3, 100.0)
        self.services_of_gate = GateServices(
            self, self.gate, Diagnostics(self, lambda: [self.services_of_gate.health()]), **arguments)


def wait_for(condition: Any, seconds: float) -> bool:
    """Give something that must not happen some time to happen."""
    ended = threading.Event()
    for _ in range(int(seconds / 0.02)):
        ended.wait(0.02)
        if condition():
            return True
    return False


@pytest.fixture
def peer(ros_isolation: int) -> Iterator[Peer]:
    with Peer() as made:
        yield made


def test_arming_is_refused_with_the_reason(peer: Peer) -> None:
    reason = "no robot_state yet"
    with NodeThread(lambda: GateNode(may_arm=lambda: reason)) as thread:
        gate: MotorGate = thread.node.gate
        response = peer.trigger(names.ARM)
        assert (response.success, response.message) == (False, reason)
        assert gate.state is GateState.DISARMED
        assert thread.node.services_of_gate.health().values["not ready"] == reason
        reason = ""
        response = peer.trigger(names.ARM)
        assert (response.success, response.message) == (True, "armed")
        reason = "robot_state is 0.8 s old"
        assert peer.trigger(names.ARM).success, "a robot that is armed already stays so"
        assert gate.state is GateState.ARMED
        gate.stop("geofence")
        response = peer.trigger(names.ARM)
        assert response.message == "stopped: geofence; call reset_stop first", "what has to be done first is said first"
        assert peer.trigger(names.RESET_STOP).success
        assert peer.trigger(names.ARM).message == reason
        assert peer.trigger(names.DISARM).success, "nothing keeps a robot from being disarmed"


def test_without_anybody_to_refuse_it_may_always_be_armed(peer: Peer) -> None:
    with NodeThread(GateNode) as thread:
        assert peer.trigger(names.ARM).success
        assert thread.node.gate.state is GateState.ARMED


@pytest.mark.parametrize("service", [names.ARM, names.DISARM, names.RESET_STOP])
def test_services_wait_for_who_uses_the_gate(peer: Peer, service: str) -> None:
    lock = threading.RLock()
    with NodeThread(lambda: GateNode(lock=lock)) as thread:
        gate: MotorGate = thread.node.gate
        before = {names.ARM: GateState.DISARMED, names.DISARM: GateState.ARMED, names.RESET_STOP: GateState.STOPPED}
        gate.state = before[service]
        client = peer.client(Trigger, service)
        with lock:
            future = client.call_async(Trigger.Request())
            # The node gets the request, and the lock keeps it from acting.
            assert not wait_for(future.done, 0.5)
            assert gate.state is before[service]
        until(lambda: future.done() or peer.trigger(service).success)
        assert gate.state is not before[service]


def test_emergency_stop_waits_for_who_uses_the_gate(peer: Peer) -> None:
    lock = threading.RLock()
    with NodeThread(lambda: GateNode(lock=lock)) as thread:
        gate: MotorGate = thread.node.gate
        with lock:
            peer.publish(names.ESTOP, Bool(data=True))
            assert not wait_for(lambda: gate.state is GateState.STOPPED, 0.5)
        until(lambda: gate.state is GateState.STOPPED)
        assert gate.reason == "estop topic"


def test_health_has_every_counter(ros_isolation: int) -> None:
    with NodeThread(GateNode) as thread:
        gate: MotorGate = thread.node.gate
        services: GateServices = thread.node.services_of_gate
        gate.arm()
        gate.offer(np.array([50.0, 50.0]), 1, 1)
        gate.output(1)
        health = services.health()
        assert health.level == OK
        assert health.values["slewed"] == 1
        assert set(vars(gate.counters)) <= set(health.values)
        gate.stop("tilt")
        assert (services.health().level, services.health().message) == (ERROR, "tilt")
