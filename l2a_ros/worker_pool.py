# SPDX-License-Identifier: Apache-2.0
"""Jobs on several processes that end with this one, whatever ended it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import connection, get_context
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(jobs: Sequence[Job], work: Callable[[Job], Result], workers: int) -> Iterator[Result]:
    """Do all jobs, several at once; yields each result when it is there.

    After Ctrl-C or a failure no further job begins; those under way end first.

    Args:
        jobs: what to do.
        work: does one; a function that another process can import.
        workers: processes.
    """
    if not jobs:
        return
    context = get_context("spawn")
    # Nothing is ever sent: workers end when this process drops its end, on purpose or because it was killed.
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _prepare_worker, (theirs,))
    try:
        for job in as_completed([pool.submit(work, job) for job in jobs]):
            yield job.result()
    except BaseException:
        ours.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        ours.close()
        theirs.close()


def _prepare_worker(lifeline: connection.Connection) -> None:
    """Make a worker end with its parent, whatever ended that one, and without a word at Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: connection.Connection) -> None:
    connection.wait([lifeline])
    os._exit(1)
