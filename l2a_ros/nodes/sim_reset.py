# SPDX-License-Identifier: Apache-2.0
"""A jump of the simulated robot, and a reset of the nodes that must not look back across it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from std_srvs.srv import Trigger

from l2a_ros.nodes import interfaces as names

#: Longest wait for the answer to a tick, and for each node, s; a reset is never refused because of them.
LONGEST_WAIT = 1.0
#: Between two looks for an answer, s.
POLL = 0.002


class WorldReset:
    """Moves the robot between two ticks, and lets estimator and adaptation forget before the next sample comes.

    The estimator is asked first: what it said before is forgotten by the adaptation. Who is not there is not asked.

    Args:
        node: of the simulated world.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._clients = [node.create_client(Trigger, name) for name in (names.ESTIMATOR_RESET, names.ADAPTATION_RESET)]
        self._wanted: Callable[[], None] | None = None
        self._to_ask: list[Any] = []
        self._asked: Any = None
        self._until = self._look_at = 0.0

    def request(self, move: Callable[[], None]) -> None:
        """Ask for a jump.

        Args:
            move: puts the robot elsewhere.
        """
        if self._wanted is None:
            self._until = time.monotonic() + LONGEST_WAIT
        self._wanted = move

    @property
    def next_look(self) -> float | None:
        """When :meth:`holds` is to be called again, monotonic seconds; None while nothing is being reset."""
        return self._look_at if self._asked is not None else None

    def holds(self, is_between_ticks: bool) -> bool:
        """Go on with a reset; tell whether the world must wait for it."""
        now = time.monotonic()
        if self._wanted is not None and (is_between_ticks or now > self._until):
            move, self._wanted = self._wanted, None
            move()
            self._to_ask = [client for client in self._clients if client.service_is_ready()]
        while True:
            if self._asked is not None:
                if not self._asked.done() and now <= self._until:
                    self._look_at = now + POLL
                    return True
                if not self._asked.done():
                    self._node.get_logger().warning("a node did not answer that it was reset; going on without")
                self._asked = None
            if not self._to_ask:
                return False
            self._asked = self._to_ask.pop(0).call_async(Trigger.Request())
            self._until = now + LONGEST_WAIT
