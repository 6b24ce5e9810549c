# SPDX-License-Identifier: Apache-2.0
"""The motor gate as the robot's node shows it: its services, the emergency stop, log and diagnostics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from rclpy.node import Node
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.diagnostics import ERROR, OK, Diagnostics, Health
from l2a_ros.safety.motor_gate import NOT_READY, GateState, MotorGate


class GateServices:
    """Lets others arm, disarm and stop a gate, and says what state it is in.

    Args:
        node: offers the services.
        gate: in front of the motors.
        diagnostics: of the node; published at once when the gate's state changes.
        may_arm: says why the robot may not be armed now, empty if it may; by default it always may.
        lock: of the gate, if another thread uses it too: a stop of that thread must not get lost between the look at
            the state and its change.
    """

    def __init__(self, node: Node, gate: MotorGate, diagnostics: Diagnostics, may_arm: Callable[[], str] = lambda: "",
                 lock: AbstractContextManager[object] | None = None) -> None:
        self._node, self._gate, self._diagnostics = node, gate, diagnostics
        self._may_arm = may_arm
        self._lock = nullcontext() if lock is None else lock
        self._shown = gate.state
        names.subscribe_estop(node, self._on_estop)
        for name, act in ((names.ARM, self._arm), (names.DISARM, gate.disarm), (names.RESET_STOP, gate.reset_stop)):
            node.create_service(Trigger, name, partial(self._on_call, act))

    def _on_estop(self, message: Bool) -> None:
        if message.data:
            with self._lock:
                self._gate.stop("estop topic")
            self.show()

    def _arm(self) -> tuple[bool, str]:
        # A latched stop says better what to do, and a robot that is armed already stays so.
        if self._gate.state is GateState.DISARMED:
            reason = self._may_arm()
            if reason:
                return False, reason
        return self._gate.arm()

    def _on_call(self, act: Callable[[], tuple[bool, str]], _: Trigger.Request,
                 response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            response.success, response.message = act()
        self.show()
        return response

    def show(self) -> None:
        """Say so if the state of the gate has changed."""
        if self._gate.state is not self._shown:
            self._shown = self._gate.state
            self._node.get_logger().info(f"motor gate: {self._gate.state} {self._gate.reason}")
            self._diagnostics.publish()

    def health(self) -> Health:
        """Return state and counters."""
        gate, counters = self._gate, self._gate.counters
        level = ERROR if gate.state is GateState.STOPPED else OK
        not_ready = self._may_arm() if gate.state is GateState.DISARMED else ""
        return Health("motor gate", level, gate.reason or str(gate.state), {
            "state": str(gate.state), "safety_stops": counters.safety_stops, "refused": counters.refused,
            "late": counters.late, "ignored": counters.ignored, "timeouts": counters.timeouts,
            "slewed": counters.slewed, NOT_READY: not_ready})
