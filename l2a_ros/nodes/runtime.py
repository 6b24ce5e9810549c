# SPDX-License-Identifier: Apache-2.0
"""How a node process starts, waits and ends.

One thread serves messages and deadlines in turn. The events executor has the lowest latency and load of rclpy's
executors, but its ``spin`` never returns in the wheels this was measured with, so it is driven by ``spin_once``.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from l2a_ros.errors import UserError

#: Longest wait of one ``spin_once``, seconds: bounds how late a signal or an end condition is noticed.
POLL = 0.1
#: Longest time that the middleware gets to close, s.
LONGEST_END = 1.0


@runtime_checkable
class HasDeadline(Protocol):
    """A node that must act at certain moments even when no message comes."""

    def next_deadline(self) -> float | None:
        """Return when ``on_deadline`` is due, seconds on the monotonic clock; None for never."""

    def on_deadline(self) -> None:
        """Act; called once the deadline has passed."""


@runtime_checkable
class HasEnd(Protocol):
    """A node that ends by itself."""

    exit_code: int | None


class NodeStopped(Exception):
    """Raised in a node to end its process with an exit code and a last line."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _Signals:
    """What a signal does: at once where nothing would be torn, else after the callback that is running."""

    is_spinning = False
    is_pending = False


def _terminate(*_: object) -> None:
    # Out of a callback rclpy would print it as a fatal error, and a message might be half sent.
    if not _Signals.is_spinning or _Signals.is_pending:
        raise KeyboardInterrupt
    _Signals.is_pending = True


def make_executor() -> Executor:
    """Return the events executor where this rclpy has one, else the single-threaded one (never the multi-threaded)."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    executor: Executor = EventsExecutor()
    return executor


def spin(node: Node, executor: Executor) -> int:
    """Serve messages and deadlines until the node or ROS ends; return the exit code."""
    with_deadline = node if isinstance(node, HasDeadline) else None
    with_end = node if isinstance(node, HasEnd) else None
    while rclpy.ok():
        if with_end is not None and with_end.exit_code is not None:
            return with_end.exit_code
        wait = POLL
        if with_deadline is not None:
            deadline = with_deadline.next_deadline()
            if deadline is not None:
                wait = min(wait, deadline - time.monotonic())
                if wait <= 0.0:
                    with_deadline.on_deadline()
                    wait = 0.0
        _Signals.is_spinning = True
        # An event of a publisher or a message may wait for what a clean-up has closed meanwhile.
        with contextlib.suppress(InvalidHandle):
            executor.spin_once(timeout_sec=wait)
        _Signals.is_spinning = False
        if _Signals.is_pending:
            raise KeyboardInterrupt
    return 0


def run_node(factory: Callable[[], Node], name: str) -> None:
    """Run one node as a process: exit 0 at a signal, 2 for bad input (one line on stderr), the node's own code else.

    An exception that nobody expected ends it with its traceback and 1.
    """
    code = 0
    node: Node | None = None
    executor: Executor | None = None
    try:
        rclpy.init(args=sys.argv, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
        # Set both: a process started in the background inherits an ignored SIGINT.
        signal.signal(signal.SIGINT, _terminate)
        signal.signal(signal.SIGTERM, _terminate)
        node = factory()
        executor = make_executor()
        executor.add_node(node)
        # Everything built so far lives as long as the process: keep the collector from walking it in the loop.
        gc.collect()
        gc.freeze()
        code = spin(node, executor)
    except (KeyboardInterrupt, ExternalShutdownException):
        code = 0
    except UserError as error:
        print(f"{name}: error: {error}", file=sys.stderr, flush=True)
        code = 2
    except NodeStopped as stopped:
        print(f"{name}: {stopped}", file=sys.stderr, flush=True)
        code = stopped.exit_code
    except Exception:  # noqa: BLE001 - the process ends here, with the reason on stderr
        traceback.print_exc()
        code = 1
    finally:
        # A second Ctrl-C must not cut the clean-up short.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        if executor is not None:
            # It holds on to the node's participant, which would leave its shared memory behind.
            executor.shutdown()
        node = executor = None
        _end(code)


def _end(code: int) -> None:
    """End the process; middleware threads now and then hang while Python takes itself apart: that is not waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    last_resort = threading.Timer(LONGEST_END, os._exit, (code,))
    last_resort.daemon = True
    last_resort.start()
    try:
        if rclpy.ok():
            rclpy.shutdown()
        gc.unfreeze()
        gc.collect()
    finally:
        os._exit(code)
