# SPDX-License-Identifier: Apache-2.0
"""A thread of its own for what takes long, so that messages are served meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from l2a_ros.timing.realtime import give_way_to_loop


class PlanningThread:
    """Does one job after the other; of those that wait only the newest is kept.

    Args:
        failed: called in the thread with an exception that came out of a job; no job is done after it.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._changed = threading.Condition()
        self._job: Callable[[], None] | None = None
        self._ends = False
        self.replaced = 0
        self._thread = threading.Thread(target=self._run, name="planning", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Have a job done next."""
        with self._changed:
            self.replaced += self._job is not None
            self._job = job
            self._changed.notify()

    def stop(self) -> None:
        """End the thread, once the job that it does is done."""
        with self._changed:
            self._ends, self._job = True, None
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        # With real-time priority a thread is not interrupted by others of the same: a stop must not wait for a plan.
        give_way_to_loop()
        while True:
            with self._changed:
                while self._job is None and not self._ends:
                    self._changed.wait()
                if self._ends:
                    return
                job, self._job = self._job, None
            assert job is not None
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whatever it is, the node has to know
                self._failed(error)
                return
