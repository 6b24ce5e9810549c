# SPDX-License-Identifier: Apache-2.0
"""Who must be there before a recording is played, and who must not be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.node import Node

from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.runtime import NodeStopped

#: Between two looks at who is there, s.
POLL = 0.05
#: At least so long a robot is looked for before the first message, s: it is found a moment after one is there.
LOOK = 1.0
#: So long a robot that seems to be there may have to vanish before the first message, s.
GRACE = 3.0
#: After so long a request is sent again, s.
RESEND = 0.5
#: Between two looks for a robot, s.
GUARD = 1.0

Script = Iterator[float]


class Company:
    """The other nodes of the graph.

    Args:
        node: the player.
        expected: nodes that answer.
        timeout: longest wait for them, s.
    """

    def __init__(self, node: Node, expected: Sequence[str], timeout: float) -> None:
        self._node, self._timeout = node, timeout
        self._clients = {each: node.create_client(GetParameters, f"{each}/get_parameters") for each in expected}
        self._looked = 0.0

    def gather(self, unheard: Callable[[], list[str]]) -> Script:
        """Wait until everybody is there; an answer proves that who gives it knows of the player's topics.

        Args:
            unheard: says which topics nobody listens to yet.

        Raises:
            NodeStopped: if somebody does not come.
            UserError: if a robot is there.
        """
        begin = time.monotonic()
        end = begin + self._timeout
        asked: dict[str, list[Any]] = {each: [] for each in self._clients}
        again = 0.0
        while True:
            missing = [each for each, futures in asked.items() if not any(future.done() for future in futures)]
            if time.monotonic() >= again:
                # A request can be lost while two processes find each other.
                again = time.monotonic() + RESEND
                for each in missing:
                    if self._clients[each].service_is_ready():
                        asked[each].append(self._clients[each].call_async(GetParameters.Request()))
            silent = unheard() if self._clients else []
            if not missing and not silent:
                break
            if time.monotonic() > end:
                what = ", ".join(missing) or f"a listener to {', '.join(silent)}"
                raise NodeStopped(f"error: {what} is not there (waited {self._timeout:g} s)")
            yield POLL
        while time.monotonic() < begin + LOOK:
            yield POLL
        end = time.monotonic() + GRACE
        while self._robot() and time.monotonic() < end:
            # Perhaps the last words of a replay that has just ended.
            yield POLL
        self._looked = 0.0
        self.refuse_robots()

    def refuse_robots(self) -> None:
        """End rather than move a robot, which would hear the recorded commands; looks once a second.

        Raises:
            UserError: if a robot, a simulation or another planner is in the graph.
        """
        now = time.monotonic()
        if now < self._looked + GUARD:
            return
        self._looked = now
        if sign := self._robot():
            raise UserError(f"a robot or a simulation is in this ROS graph ({sign}), and a replay sends the recorded "
                            "motor_commands; end it, or replay under another ROS_DOMAIN_ID")

    def _robot(self) -> str:
        """Return what shows that there is a robot, or somebody who commands one; empty for nothing."""
        node, arm = self._node, self._node.resolve_service_name(names.ARM)
        if node.count_publishers(names.MOTOR_COMMANDS.name) > 1:
            return f"somebody else publishes {names.MOTOR_COMMANDS.name}"
        is_there = any(name == arm for name, _ in node.get_service_names_and_types())
        return f"service {arm} is there" if is_there else ""
