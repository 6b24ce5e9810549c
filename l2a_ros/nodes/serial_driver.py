# SPDX-License-Identifier: Apache-2.0
"""Node: the real robot on its radio, with the topics and services that the simulated one has too.

The link runs in a thread of its own (:mod:`l2a_ros.nodes.driver_link`), so that the robot is polled on time whatever
ROS does; what both touch is under one lock. The thread sends what the motor gate lets through, and a stop otherwise.
"""

from __future__ import annotations

import threading
import time

import numpy as np
from sensor_msgs.msg import JointState

from l2a_ros.driver.measurement import Measurement
from l2a_ros.driver.port import Port, PortError
from l2a_ros.driver.session import Event, LegAngles, Phase, Restarted
from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.diagnostics import Diagnostics, Health
from l2a_ros.nodes.driver_link import DriverLink
from l2a_ros.nodes.driver_outputs import DriverOutputs
from l2a_ros.nodes.driver_report import DriverReport
from l2a_ros.nodes.driver_settings import SCHEMA, build_guard, build_session
from l2a_ros.nodes.gate import GateServices
from l2a_ros.nodes.limits import load_limits
from l2a_ros.nodes.managed import ManagedNode
from l2a_ros.nodes.messages import commanded_rates, layout_vector, to_nanoseconds
from l2a_ros.nodes.runtime import run_node
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.limits import STAND
from l2a_ros.safety.motor_gate import GateState, MotorGate

#: Time between two looks at what may have gone silent, s.
WATCH = 0.02
#: Time between two looks while the robot is waited for, s.
LOOK = 0.02


class SerialDriverNode(ManagedNode):
    """Shell of :class:`Session`, :class:`MotorGate` and :class:`RobotGuard`."""

    _link: DriverLink | None = None  # a node that is refused is destroyed too

    def __init__(self) -> None:
        super().__init__("serial_driver", SCHEMA)
        self._active = False
        self._broken: Exception | None = None
        self._watch_at = 0.0
        self._lock = threading.RLock()
        self._diagnostics = Diagnostics(self, self._health)
        self.start()

    # Life ------------------------------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Open the port and find out who is there."""
        settings = self.settings
        if settings["lockstep"]:
            raise UserError("a real robot does not wait for commands; clock must be real")
        self._session = build_session(settings)
        limits = load_limits(settings)
        self._gate = MotorGate(limits, settings["command_timeout"], settings["fastest_leg_acceleration"])
        self._guard = build_guard(settings, self._gate)
        self._report = DriverReport(self._session, self._gate, self._guard)
        self._await_port()
        self._link = DriverLink(settings["port"], settings["baud"], self._session, self._lock, self._output,
                                self._on_events, self._on_lost, self._on_broken)
        try:
            self._await_robot(self._link)
        except UserError:
            self._end_link()
            raise
        self.get_logger().info(f"robot '{self._session.version}' at {settings['port']}")
        self._gate_services = GateServices(self, self._gate, self._diagnostics, self._may_arm, self._lock)
        self._outputs = DriverOutputs(self, self._session.profile.telemetry_type is not None)
        self.create_subscription(JointState, names.MOTOR_COMMANDS.name, self._on_command, names.MOTOR_COMMANDS.qos)
        self.create_subscription(JointState, names.ROBOT_STATE.name, self._on_state, names.ROBOT_STATE.newest(False))

    def _await_port(self) -> None:
        """Try the port, so that one that will not do is said at once and not tried for ever."""
        end = time.monotonic() + self.settings["port_wait"]
        while True:
            try:
                Port(self.settings["port"], self.settings["baud"]).close()
            except PortError as error:
                if time.monotonic() >= end:
                    raise UserError(str(error)) from None
                time.sleep(LOOK)
            else:
                return

    def _await_robot(self, link: DriverLink) -> None:
        end = time.monotonic() + self.settings["identify_timeout"]
        while self._session.phase in (Phase.CLOSED, Phase.IDENTIFYING):
            if time.monotonic() >= end:
                profile = self._session.profile
                raise UserError(link.problem or (
                    f"nobody at address 0x{profile.robot_address:04x} answers on {self.settings['port']}; is the robot "
                    f"switched on, and is {profile.name} its firmware?"))
            time.sleep(LOOK)

    def activate(self) -> None:
        """Give the robot what it needs to walk, stop it, and publish what it measures."""
        with self._lock:
            self._session.is_wanted = True
            self._active = True
        self._watch_at = time.monotonic() + WATCH

    def deactivate(self) -> None:
        """Stop the robot; the link stays."""
        with self._lock:
            if self._active:
                self._gate.disarm()
            self._active = False

    def cleanup(self) -> None:
        """Close the port once the robot stands."""
        self._end_link()

    def destroy_node(self) -> None:
        """Stop the robot and close the port, whatever ended the node."""
        self._end_link()
        super().destroy_node()

    def _end_link(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        with self._lock:
            self._gate.disarm()
        link.hurry()
        end = time.monotonic() + self.settings["stop_patience"]
        while time.monotonic() < end and not self._is_stop_over():
            time.sleep(LOOK)
        link.stop()

    def _is_stop_over(self) -> bool:
        """Tell whether the robot is known to stand, or there is nobody to tell."""
        with self._lock:
            return self._session.phase is not Phase.READY or self._guard.is_stop_verified

    # The link's thread -----------------------------------------------------------------------------------------------

    def _output(self) -> tuple[np.ndarray, bool]:
        """Return what goes to the motors with the poll that is due; called with the lock."""
        now = time.monotonic_ns()
        self._guard.check(now, self._connection_problem())
        if not self._active or self._gate.state is not GateState.ARMED:
            return STAND, True
        if self._guard.is_blind(now):
            self._gate.pause()
            return STAND, False
        return self._gate.output(self.get_clock().now().nanoseconds), False

    def _on_events(self, events: list[Event]) -> None:
        now = time.monotonic_ns()
        shift = self.get_clock().now().nanoseconds - now
        for event in events:
            with self._lock:
                if isinstance(event, Restarted):
                    self._guard.robot_restarted()
                    continue
                self._guard.measured(event.rates, event.duty if isinstance(event, Measurement) else None, now)
                if isinstance(event, Measurement):
                    self._report.battery_voltage = event.battery_voltage
                    self._guard.battery_heard(event.battery_voltage, now)
                is_active = self._active
            if is_active and isinstance(event, Measurement | LegAngles):
                self._outputs.publish(event, shift)

    def _on_lost(self, problem: str) -> None:
        with self._lock:
            self._guard.link_lost(problem)

    def _on_broken(self, error: Exception) -> None:
        self._broken = error

    def _connection_problem(self) -> str:
        """Say why there is no connection to a robot that is prepared; empty if there is."""
        if self._link is None or self._link.problem:
            return self._link.problem if self._link is not None else "no link"
        if self._session.phase is not Phase.READY:
            return f"the robot is not ready: {self._session.phase}"
        return ""

    # ROS -------------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when to look at what may have gone silent."""
        return self._watch_at if self._link is not None else None

    def on_deadline(self) -> None:
        """Look; say so if something has changed."""
        self._watch_at = time.monotonic() + WATCH
        if self._broken is not None:
            raise self._broken
        with self._lock:
            now, problem = time.monotonic_ns(), self._connection_problem()
            self._guard.check(now, problem)
            has_news = self._report.has_news(now, problem)
        self._gate_services.show()
        if has_news:
            self._diagnostics.publish()

    def _on_command(self, message: JointState) -> None:
        with self._lock:
            if not self._active:
                return
            self._guard.heard(names.MOTOR_COMMANDS.name, time.monotonic_ns())
            try:
                self._gate.offer(commanded_rates(message), to_nanoseconds(message.header.stamp),
                                 self.get_clock().now().nanoseconds)
            except UserError as error:
                self._gate.refuse()
                self.get_logger().error(str(error), throttle_duration_sec=5.0)
        if self._link is not None:
            self._link.hurry()

    def _on_state(self, message: JointState) -> None:
        try:
            state = STATE.named(layout_vector(STATE, message, "robot_state"))
        except UserError as error:
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
            return
        with self._lock:
            now = time.monotonic_ns()
            self._guard.heard(names.ROBOT_STATE.name, now)
            self._guard.state_heard(state, now)

    def _may_arm(self) -> str:
        """Say why the robot may not be armed; empty if it may."""
        with self._lock:
            if not self._active:
                return "serial_driver is not active"
            if not self._session.is_ready and not self._connection_problem():
                return "the gyroscope is not calibrated yet; keep the robot still for a second"
            return self._guard.may_arm(time.monotonic_ns(), self._connection_problem())

    def _health(self) -> list[Health]:
        with self._lock:
            if not self._active:
                return [Health("motor gate", b"\x01", "not active")]
            healths = self._report.healths(time.monotonic_ns(), self._connection_problem())
            return [self._gate_services.health(), *healths]


def main() -> None:
    """Run the node."""
    run_node(SerialDriverNode, "serial_driver")


if __name__ == "__main__":
    main()
