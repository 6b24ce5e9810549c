# SPDX-License-Identifier: Apache-2.0
"""``clock_watch``: writes how far the stamps of a robot's samples are from this machine's clock, a line per second.

For ``l2a bench endurance``; it follows the encoders, which every robot sends often and without delay.
"""

from __future__ import annotations

import time
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import JointState

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import SECOND, to_nanoseconds
from l2a_ros.nodes.parameters import Parameter, declare
from l2a_ros.nodes.runtime import run_node

SCHEMA = (Parameter("out", "", "CSV file to write"),)
#: Time between two lines, s.
INTERVAL = 1.0


class ClockWatch(Node):
    """Notes the smallest lag of the stamps within each second: a message may be late, but not early."""

    def __init__(self) -> None:
        super().__init__("clock_watch")
        out = declare(self, SCHEMA)["out"]
        if not out:
            raise UserError("parameter out must name the CSV file to write")
        try:
            self._file = Path(out).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the node
        except OSError as error:
            raise UserError(f"{out} cannot be written: {error.strerror}") from None
        self._file.write("elapsed_s,lead_s,skipped_s\n")
        self._begin = time.monotonic()
        self._due = self._begin + INTERVAL
        self._lead: float | None = None
        self._skipped = 0.0
        self.create_subscription(JointState, names.JOINT_STATES.name, self._on_sample, names.JOINT_STATES.qos)
        self.create_subscription(DiagnosticArray, names.DIAGNOSTICS.name, self._on_diagnostics, names.DIAGNOSTICS.qos)

    def next_deadline(self) -> float | None:
        """Return when the next line is due, monotonic seconds."""
        return self._due

    def on_deadline(self) -> None:
        """Write the line of this second, if anything was heard."""
        if self._lead is not None:
            self._file.write(f"{self._due - self._begin:.3f},{self._lead:.6f},{self._skipped:.6f}\n")
            self._file.flush()
        self._due, self._lead = self._due + INTERVAL, None

    def _on_sample(self, message: JointState) -> None:
        lead = (to_nanoseconds(message.header.stamp) - time.time_ns()) / SECOND
        self._lead = lead if self._lead is None else max(self._lead, lead)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            for pair in status.values:
                if pair.key == "skipped time (s)":
                    self._skipped = float(pair.value)

    def destroy_node(self) -> None:
        """Close the file."""
        self._file.close()
        super().destroy_node()


def main() -> None:
    """Run the node."""
    run_node(ClockWatch, "clock_watch")


if __name__ == "__main__":
    main()
