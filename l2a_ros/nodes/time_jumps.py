# SPDX-License-Identifier: Apache-2.0
"""Tells a node when ROS time jumps: a bag that loops, a simulation that is started again, another clock source."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import ClockChange, JumpThreshold, ROSClock, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node

from l2a_ros.nodes.messages import SECOND

#: A jump forward is no jump but a ``/clock`` that was not heard for a moment unless it is longer, s.
FORWARD = 1.0


def time_is_simulated(node: Node) -> bool:
    """Tell whether a node's time comes from /clock now."""
    clock = node.get_clock()
    return isinstance(clock, ROSClock) and bool(clock.ros_time_is_active)


class TimeJumps:
    """Calls back at jumps of a node's clock, in the thread of its executor, and counts them.

    Time that is first heard of is no jump. In lock-step only jumps back count: ``/clock`` and the samples come on
    topics of their own, and what a node does must not depend on which of them is seen first.

    Args:
        node: whose clock it is.
        react: called with one line that says what happened, and by how much in s.
        lockstep: whether the world waits for each command.
        forward: a shorter jump forward is none, s.
    """

    def __init__(self, node: Node, react: Callable[[str, float], None], lockstep: bool = False,
                 forward: float = FORWARD) -> None:
        self._node, self._react = node, react
        self._is_known = False
        self.count = 0
        shortest = None if lockstep else Duration(seconds=forward)
        # The clock holds on to this object, not to a method alone, as long as the node lives.
        self._handle = node.get_clock().create_jump_callback(
            JumpThreshold(min_forward=shortest, min_backward=Duration(nanoseconds=-1), on_clock_change=True),
            pre_callback=self._before, post_callback=self._after)

    def _before(self) -> None:
        # Zero is ROS's "no time yet".
        self._is_known = self._node.get_clock().now().nanoseconds > 0

    def _after(self, jump: TimeJump) -> None:
        seconds = jump.delta.nanoseconds / SECOND
        if jump.clock_change in (ClockChange.ROS_TIME_ACTIVATED, ClockChange.ROS_TIME_DEACTIVATED):
            what = "the clock's source has changed"
        elif not self._is_known:
            return
        else:
            what = f"time jumped {'back' if seconds < 0.0 else 'forward'} by {abs(seconds):.3f} s"
        self.count += 1
        self._node.get_logger().warning(what)
        self._react(what, seconds)
