# SPDX-License-Identifier: Apache-2.0
"""Each node's word on /diagnostics: once a second, and at once when something changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from l2a_ros.nodes.interfaces import DIAGNOSTICS

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass(frozen=True)
class Health:
    """One status.

    Args:
        name: what it is about, after the node's name.
        level: OK, WARN or ERROR.
        message: one line.
        values: figures.
    """

    name: str
    level: bytes
    message: str
    values: dict[str, object] = field(default_factory=dict)


class _HasHealth(Protocol):
    def health(self) -> Health:
        """Return the health of now."""


@runtime_checkable
class HasLoopProcess(Protocol):
    """A node of the control loop, whose process is reported with it."""

    loop_process: _HasHealth


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class Diagnostics:
    """Publishes what ``collect`` says.

    Args:
        node: whose health it is.
        collect: returns the statuses of now.
    """

    def __init__(self, node: Node, collect: Callable[[], list[Health]]) -> None:
        self._node, self._collect = node, collect
        self._publisher = node.create_publisher(DIAGNOSTICS.type, DIAGNOSTICS.name, DIAGNOSTICS.qos)
        # On a steady clock: a world that stands still must not silence it.
        self._timer = node.create_timer(1.0, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self) -> None:
        """Publish now."""
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        process = [self._node.loop_process.health()] if isinstance(self._node, HasLoopProcess) else []
        for health in (*self._collect(), *process):
            message.status.append(DiagnosticStatus(
                level=health.level, name=f"{self._node.get_name()}: {health.name}", message=health.message,
                hardware_id="millirobot", values=[KeyValue(key=k, value=_text(v)) for k, v in health.values.items()]))
        self._publisher.publish(message)
