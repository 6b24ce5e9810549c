# SPDX-License-Identifier: Apache-2.0
"""Reads the emulated port in a thread of its own: bytes have the moment when they came, whatever the world does."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress

from l2a_ros.driver.emulator.pseudo_terminal import PseudoTerminal
from l2a_ros.driver.port import Alarm

#: With no room for more bytes, the port is looked at again after so long, s.
PAUSE = 0.005


class PortReader:
    """The thread of one pseudo-terminal; follows it through unplugging if that is done with :meth:`stop` before.

    Args:
        port: to read from.
        capacity: most bytes that wait to be taken; beyond it they stay where the host has written them.
    """

    def __init__(self, port: PseudoTerminal, capacity: int) -> None:
        self._port, self._capacity = port, capacity
        self._alarm = Alarm()
        self._came: deque[tuple[int, bytes]] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._stopped = True
        self._thread = threading.Thread()

    def start(self) -> None:
        """Begin to read."""
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="port reader", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no more; what was not taken is lost."""
        if self._stopped:
            return
        self._stopped = True
        self._alarm.ring()
        self._thread.join()
        self.take()

    def take(self) -> list[tuple[int, bytes]]:
        """Return what came since the last call: monotonic moments, ns, and bytes."""
        if not self._came:
            return []
        with self._lock:
            came = list(self._came)
            self._came.clear()
            self._waiting = 0
        return came

    def _run(self) -> None:
        while not self._stopped:
            if self._waiting >= self._capacity:
                self._alarm.wait(PAUSE)
                continue
            with suppress(OSError):
                self._alarm.wait(1.0, self._port.descriptor)
            if self._stopped:
                return
            data = self._port.read(self._capacity - self._waiting)
            if data:
                with self._lock:
                    self._came.append((time.monotonic_ns(), data))
                    self._waiting += len(data)
