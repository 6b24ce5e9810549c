# SPDX-License-Identifier: Apache-2.0
"""The parameter ``faults`` of the simulated robot: checked before it is taken, and followed while the robot runs."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node

from l2a_ros.errors import UserError
from l2a_ros.nodes.diagnostics import OK, WARN, Health
from l2a_ros.simulation.faults import Fault, parse_faults
from l2a_ros.simulation.millirobot import Millirobot

PARAMETER = "faults"


class LiveFaults:
    """Carries the parameter to the robot, and says what strikes and heals.

    Args:
        node: whose parameter it is; it is declared already.
        has_wire: whether there is a wire that could fail.
    """

    def __init__(self, node: Node, has_wire: bool = False) -> None:
        self._node, self._has_wire = node, has_wire
        self._robot: Millirobot | None = None
        self._shown: tuple[Fault, ...] = ()
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._take)

    def attach(self, robot: Millirobot) -> None:
        """Look after this robot from now on."""
        self._robot, self._shown = robot, ()
        self.show()

    def _check(self, parameters: list[Any]) -> SetParametersResult:
        try:
            for each in parameters:
                if each.name == PARAMETER:
                    parse_faults(each.value, self._has_wire)
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take(self, parameters: list[Any]) -> None:
        # The executor has one thread: this runs between two slices of physics, or between two ticks.
        for each in parameters:
            if each.name == PARAMETER and self._robot is not None:
                self._robot.replace_faults(parse_faults(each.value))
                self.show()

    def show(self) -> bool:
        """Log what has struck or healed since the last call; return whether anything has."""
        assert self._robot is not None
        active = self._robot.faults.active
        if active is self._shown:
            return False
        for sign, faults, others in (("strikes", active, self._shown), ("is over", self._shown, active)):
            for fault in faults:
                if fault not in others:
                    self._node.get_logger().info(f"fault {fault.text} {sign} at {self._robot.time:.3f} s")
        self._shown = active
        return True

    def health(self) -> Health:
        """Return what acts and what does not yet."""
        assert self._robot is not None
        faults = self._robot.faults
        active = ", ".join(fault.text for fault in faults.active)
        return Health("faults", WARN if active else OK, active or "none", {
            "active": active, "not active": ", ".join(fault.text for fault in faults.waiting)})
