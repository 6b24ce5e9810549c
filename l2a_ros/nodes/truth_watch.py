# SPDX-License-Identifier: Apache-2.0
"""``truth_watch``: writes what the legs of an emulated robot truly do, a line per sample, for ``l2a bench kills``."""

from __future__ import annotations

from pathlib import Path

from rclpy.node import Node
from sensor_msgs.msg import JointState

from l2a_ros.benchmarks.soak import COLUMNS
from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import named_values, to_nanoseconds
from l2a_ros.nodes.parameters import Parameter, declare
from l2a_ros.nodes.runtime import run_node

SCHEMA = (Parameter("out", "", "CSV file to write"),)


class TruthWatch(Node):
    """Writes every sample at once, so that another process can read along."""

    def __init__(self) -> None:
        super().__init__("truth_watch")
        out = declare(self, SCHEMA)["out"]
        if not out:
            raise UserError("parameter out must name the CSV file to write")
        try:
            self._file = Path(out).open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 - as long as the node
        except OSError as error:
            raise UserError(f"{out} cannot be written: {error.strerror}") from None
        self._file.write(f"{COLUMNS['truth']}\n")
        self.create_subscription(JointState, names.EMULATOR_TRUTH.name, self._on_truth, names.EMULATOR_TRUTH.qos)

    def _on_truth(self, message: JointState) -> None:
        values = named_values(message)
        self._file.write(f"{to_nanoseconds(message.header.stamp)},{values['left_leg_rate']:.4f},"
                         f"{values['right_leg_rate']:.4f},{values['motors_on']:.0f},{values['plugged']:.0f}\n")

    def destroy_node(self) -> None:
        """Close the file."""
        self._file.close()
        super().destroy_node()


def main() -> None:
    """Run the node."""
    run_node(TruthWatch, "truth_watch")


if __name__ == "__main__":
    main()
