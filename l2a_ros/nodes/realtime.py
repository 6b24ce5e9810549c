# SPDX-License-Identifier: Apache-2.0
"""The process of a node of the control loop: which real-time privileges it asks for, and what came of it."""

from __future__ import annotations

from rclpy.node import Node

from l2a_ros.nodes.diagnostics import OK, WARN, Health
from l2a_ros.nodes.parameters import Parameter, declare
from l2a_ros.timing.realtime import privileges_in_force, request_privileges

REALTIME_SCHEMA = (
    Parameter("realtime_priority", 0, "SCHED_FIFO priority of the loop's thread; 0 leaves it as it is", 0, 99),
    Parameter("cpu_affinity", [-1], "CPUs that the loop's thread may run on; empty leaves them as they are"),
    Parameter("lock_memory", False, "keep all memory of the process in RAM"),
)


class LoopProcess:
    """Declares the parameters, asks for the privileges, warns of what is refused and goes on.

    Threads that are started later inherit them; those of the middleware are there before any parameter is.

    Args:
        node: made in the thread that will spin it.
    """

    def __init__(self, node: Node) -> None:
        values = declare(node, REALTIME_SCHEMA)
        outcomes = request_privileges(values["realtime_priority"], values["cpu_affinity"], values["lock_memory"])
        for outcome in outcomes:
            # Two calls: rclpy holds the severity of a place in the code to be always the same.
            if outcome.succeeded:
                node.get_logger().info(outcome.message)
            else:
                node.get_logger().warning(f"{outcome.message} (docs/realtime.md)")
        self._refusals = [outcome.message for outcome in outcomes if not outcome.succeeded]

    def health(self) -> Health:
        """Return what is in force now; a warning if anything was refused. Called in the thread of the loop."""
        now = privileges_in_force()
        return Health("process", WARN if self._refusals else OK, "; ".join(self._refusals) or "as asked for", {
            "scheduling": now.policy, "priority": now.priority, "CPUs": ", ".join(map(str, now.cpus)),
            "locked memory (B)": now.locked_memory, "page faults from disk": now.major_faults,
            "preemptions": now.preemptions})
