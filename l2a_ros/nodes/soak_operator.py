# SPDX-License-Identifier: Apache-2.0
"""``soak_operator``: makes an emulated robot walk, unplugs its radio now and then, and writes down what happens.

For ``l2a bench soak``: it commands the driver as mpc would, arms it again after every stop, and compares every sample
that the driver publishes with the records that the emulated firmware has sent.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import HistoryPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

from l2a_ros.benchmarks.soak import COLUMNS, SampleCheck, unplug_times
from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.interfaces import Topic
from l2a_ros.nodes.messages import SECOND, motor_commands, named_values, to_nanoseconds
from l2a_ros.nodes.parameters import Parameter, declare
from l2a_ros.nodes.runtime import run_node
from l2a_ros.robot.limits import REVOLUTION
from l2a_ros.safety.motor_gate import NOT_READY

PERIOD = 0.1
#: A command is kept for so many periods.
HOLD = 10
#: The robot walks for so long before its radio is unplugged, s.
WALKING = 1.0
#: A request that is not answered is sent again, s.
RESEND = 1.0

SCHEMA = (
    Parameter("seconds", 1800.0, "how long, s", 1.0, 1e6),
    Parameter("cycles", 10, "how often the radio is unplugged", 0, 100_000),
    Parameter("seed", 0, "of the commands and the moments", 0, 2**31 - 1),
    Parameter("faults", [""], "what is wrong with the wire all the time"),
    Parameter("out", "", "folder to write to"),
)


class SoakOperator(Node):
    """A person with a joystick, a plug in the other hand, and a stop watch."""

    exit_code: int | None = None

    def __init__(self) -> None:
        super().__init__("soak_operator")
        values = declare(self, SCHEMA)
        if not values["out"]:
            raise UserError("parameter out must name a folder to write to")
        self._faults: list[str] = values["faults"]
        self._rng = np.random.default_rng(values["seed"])
        self._plan = unplug_times(values["seconds"], values["cycles"], values["seed"])
        folder = Path(values["out"])
        folder.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, TextIO] = {}
        for name, columns in COLUMNS.items():
            self._files[name] = (folder / f"{name}.csv").open("w", encoding="utf-8")
            self._files[name].write(f"{columns}\n")
        self._check = SampleCheck()
        self._state, self._reason, self._not_ready = "", "", "not heard yet"
        self._rates = np.zeros(2)
        self._ticks = 0
        self._walking_since: float | None = None
        self._pending: Any = None
        self._asked_at = 0.0
        self._is_plugged = True
        self._commands = self.create_publisher(JointState, names.MOTOR_COMMANDS.name, names.MOTOR_COMMANDS.qos)
        self._reset = self.create_client(Trigger, names.RESET_STOP)
        self._arm = self.create_client(Trigger, names.ARM)
        self._set = self.create_client(SetParameters, "firmware_emulator/set_parameters")
        self._listen(names.EMULATOR_TRUTH, self._on_truth)
        self._listen(names.EMULATOR_RECORDS, self._on_record)
        self._listen(names.JOINT_STATES, lambda m: self._on_sample("legs", m, [*m.position]))
        self._listen(names.IMU, lambda m: self._on_sample("imu", m, [
            *(getattr(m.angular_velocity, axis) for axis in "xyz"),
            *(getattr(m.linear_acceleration, axis) for axis in "xyz")]))
        self._listen(names.MOTOR_TELEMETRY, lambda m: self._on_sample("motors", m, [*m.position]))
        self._listen(names.DIAGNOSTICS, self._on_diagnostics)
        self._begin: float | None = None
        self._seconds: float = values["seconds"]
        self._due = time.monotonic()

    def _listen(self, topic: Topic, callback: Any) -> None:
        deep = QoSProfile(reliability=topic.qos.reliability, history=HistoryPolicy.KEEP_LAST, depth=1000)
        self.create_subscription(topic.type, topic.name, callback, deep)

    # What is heard ---------------------------------------------------------------------------------------------------

    def _on_truth(self, message: JointState) -> None:
        values = named_values(message)
        self._write("truth", to_nanoseconds(message.header.stamp), values["left_leg_rate"], values["right_leg_rate"],
                    int(values["motors_on"]), int(values["plugged"]))
        self._is_plugged = values["plugged"] > 0.5

    def _on_record(self, message: UInt8MultiArray) -> None:
        self._check.sent(message.data.tobytes(), time.time_ns())

    def _on_sample(self, kind: str, message: Any, values: list[float]) -> None:
        now = time.time_ns()
        if kind == "legs":
            self._write("samples", now, to_nanoseconds(message.header.stamp))
        self._check.received(kind, to_nanoseconds(message.header.stamp), values, now)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "serial_driver: motor gate":
                values = {pair.key: pair.value for pair in status.values}
                state, self._not_ready = values.get("state", ""), values.get(NOT_READY, "")
                if (state, status.message) != (self._state, self._reason):
                    self._event(state, status.message)
                self._state, self._reason = state, status.message
            elif status.name == "serial_driver: link" and status.level != b"\x00":
                self._event("link", status.message)
            elif status.name == "serial_driver: stop":
                self._event("stop", status.message)

    # What is done ----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when the next command is due."""
        return self._due

    def on_deadline(self) -> None:
        """Command, unplug, arm again, or end."""
        now = time.monotonic()
        self._due = max(self._due + PERIOD, now)
        self._ticks += 1
        for wrong in self._check.judge(time.time_ns()):
            self._write("wrong", *wrong)
        if self._begin is None:
            self._prepare(now)
            return
        if now - self._begin >= self._seconds:
            for wrong in self._check.judge(time.time_ns() + 10 * SECOND):
                self._write("wrong", *wrong)
            self._event("end", f"{self._check.matched} samples were as sent")
            self.exit_code = 0
            return
        if self._ticks % HOLD == 0:
            self._rates = REVOLUTION * self._rng.uniform(2.0, 9.0, 2)
        self._commands.publish(motor_commands(self._rates, time.time_ns()))
        if self._state == "armed" and self._is_plugged:
            self._walking_since = self._walking_since or now
            if self._plan and now - self._begin >= self._plan[0][0] and now - self._walking_since >= WALKING:
                _, seconds = self._plan.pop(0)
                self._event("unplug", f"{seconds:.3f}")
                self._set_faults([*self._faults, f"unplug:{seconds:.3f}"])
                self._walking_since = None
        else:
            self._walking_since = None
            self._arm_again(now)

    def _prepare(self, now: float) -> None:
        """Spoil the wire once everybody is there; time counts from then on."""
        if not (self._set.service_is_ready() and self._arm.service_is_ready() and self._check.matched):
            return
        if self._pending is None or now - self._asked_at > RESEND:
            self._set_faults(self._faults)
            self._asked_at = now
        if self._pending.done():
            result = self._pending.result().results[0]
            if not result.successful:
                raise UserError(result.reason)
            self._begin, self._pending = now, None
            self._event("begin", " ".join(self._faults))

    def _set_faults(self, faults: list[str]) -> None:
        value = RosParameter("faults", value=faults or [""]).to_parameter_msg()
        self._pending = self._set.call_async(SetParameters.Request(parameters=[value]))

    def _arm_again(self, now: float) -> None:
        if now - self._asked_at < 0.2 or self._not_ready:
            return
        self._asked_at = now
        client = self._reset if self._state == "stopped" else self._arm
        client.call_async(Trigger.Request())

    def _event(self, name: str, text: str) -> None:
        self._write("events", time.time_ns(), name, '"' + text.replace('"', "'") + '"')

    def _write(self, file: str, *values: object) -> None:
        self._files[file].write(",".join(f"{value:.5g}" if isinstance(value, float) else str(value)
                                         for value in values) + "\n")

    def destroy_node(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        super().destroy_node()


def main() -> None:
    """Run the node."""
    run_node(SoakOperator, "soak_operator")


if __name__ == "__main__":
    main()
