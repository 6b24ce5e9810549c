# SPDX-License-Identifier: Apache-2.0
"""The thread that keeps the link to the robot: opens the port, again whenever it is gone, reads, and polls on time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from l2a_ros.driver.port import Alarm, Port, PortError
from l2a_ros.driver.session import SECOND, Event, Phase, Session

#: Waits between two tries to open the port, s: the first after it was lost, the last from then on.
BACK_OFF = (0.02, 0.05, 0.1, 0.2, 0.3)

#: What the motors may do at a moment: rates ``(2,)`` in rad/s, and whether they must be off.
Output = Callable[[], tuple[np.ndarray, bool]]


class DriverLink:
    """Runs a session on a port in a thread of its own.

    Args:
        port: path or URL.
        baud: bit/s.
        session: whoever touches it holds ``lock``.
        lock: of the session and of what ``output`` reads.
        output: called with the lock, right before a poll.
        on_events: called without the lock, in the link's thread, with what the robot said.
        on_lost: called without the lock when the connection is gone, with the reason.
        on_broken: called when the thread ends by an error that nobody expected.
    """

    def __init__(self, port: str, baud: int, session: Session, lock: threading.RLock, output: Output,
                 on_events: Callable[[list[Event]], None], on_lost: Callable[[str], None],
                 on_broken: Callable[[Exception], None]) -> None:
        self._url, self._baud, self._session, self._lock = port, baud, session, lock
        self._output, self._on_events, self._on_lost, self._on_broken = output, on_events, on_lost, on_broken
        self._alarm = Alarm()
        self._ended = threading.Event()
        #: Why there is no connection; empty while there is one.
        self.problem = "not opened yet"
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """Let a new command go out now, without waiting for the next poll."""
        with self._lock:
            self._session.hurry(time.monotonic_ns())
        self._alarm.ring()

    def stop(self) -> None:
        """End the thread and close the port."""
        self._ended.set()
        self._alarm.ring()
        self._thread.join(2.0)

    def _run(self) -> None:
        tries = 0
        try:
            while not self._ended.is_set():
                try:
                    port = Port(self._url, self._baud)
                except PortError as error:
                    self.problem = str(error)
                    self._alarm.wait(BACK_OFF[min(tries, len(BACK_OFF) - 1)])
                    tries += 1
                    continue
                tries = 0
                try:
                    self._serve(port)
                except PortError as error:
                    self.problem = f"port {self._url} {error}"
                    self._on_lost(self.problem)
                finally:
                    with self._lock:
                        self._session.closed()
                    port.close()
        except Exception as error:  # noqa: BLE001 - the node ends with it, in its own thread
            self._on_broken(error)

    def _serve(self, port: Port) -> None:
        session = self._session
        with self._lock:
            session.opened(time.monotonic_ns())
            session.figures.connections += 1
        self.problem = ""
        while not self._ended.is_set():
            port.wait((session.next_poll - time.monotonic_ns()) / SECOND, self._alarm)
            data, events, answer = port.read(), list[Event](), b""
            with self._lock:
                if data:
                    events += session.receive(data, time.monotonic_ns())
                now = time.monotonic_ns()
                if now >= session.next_poll and session.phase is not Phase.CLOSED:
                    rates, is_stop = self._output()
                    answer, late = session.poll(now, rates, is_stop)
                    events += late
            if answer:
                port.write(answer)
            if events:
                self._on_events(events)
