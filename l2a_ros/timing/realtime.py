# SPDX-License-Identifier: Apache-2.0
"""Real-time privileges of the process: each is asked for, and refused in one line that says what to do.

Scheduling and CPUs are those of the calling thread. Threads and processes that it starts later inherit them, those
that are there already keep theirs. Locked memory is that of the whole process. Nothing here raises: a loop without
privileges is later now and then, a loop that does not start is useless.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_STATUS = Path("/proc/self/status")
#: <sys/mman.h>, <linux/capability.h>.
_MCL_CURRENT, _MCL_FUTURE, _CAP_IPC_LOCK = 1, 2, 14
_LIMITS_FILE = "/etc/security/limits.d/realtime.conf"
_POLICIES = ("SCHED_OTHER", "SCHED_BATCH", "SCHED_IDLE", "SCHED_FIFO", "SCHED_RR")


class Outcome(NamedTuple):
    """What came of a request.

    Args:
        succeeded: whether it holds now; else all is as it was.
        message: one line; what to do if it was refused.
    """

    succeeded: bool
    message: str


@dataclass(frozen=True)
class Privileges:
    """What is in force.

    Args:
        policy: of the calling thread, by the system's name; empty where the system does not say.
        priority: of the calling thread, 1 to 99 under SCHED_FIFO and SCHED_RR, else 0.
        cpus: that the calling thread may run on; empty where the system does not say.
        locked_memory: of the process, B; 0 where the system does not say.
        major_faults: times that the process waited for a page from the disk.
        preemptions: times that a thread of the process had to give way to another.
    """

    policy: str
    priority: int
    cpus: tuple[int, ...]
    locked_memory: int
    major_faults: int
    preemptions: int


def set_fifo_priority(priority: int) -> Outcome:
    """Let the calling thread run before all that has no or less priority, 1 to 99."""
    if not hasattr(os, "sched_setscheduler"):
        return Outcome(False, "this system has no SCHED_FIFO; leave the priority at 0")
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
        remedy = ("its container or control group forbids it" if limit == resource.RLIM_INFINITY or limit >= priority
                  else _limits_line("rtprio", priority))
        return Outcome(False, f"no right to SCHED_FIFO priority {priority} (rtprio is {_limit_text(limit)}): {remedy}")
    except (OSError, OverflowError) as error:
        return Outcome(False, f"SCHED_FIFO priority {priority} is refused ({error}): give one from 1 to 99")
    return Outcome(True, f"SCHED_FIFO priority {priority}")


def give_way_to_loop() -> Outcome:
    """Let the calling thread, which inherited the loop's priority, run after the loop: one below it.

    For what computes long beside the loop: threads of one priority do not interrupt each other, so messages would wait.
    Nothing without SCHED_FIFO, where everyone gets a turn.
    """
    now = privileges_in_force()
    if now.policy != "SCHED_FIFO":
        return Outcome(True, "scheduled as before")
    if now.priority > 1:
        return set_fifo_priority(now.priority - 1)
    try:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError as error:
        return Outcome(False, f"there is no priority below 1 ({error}): give the loop 2 or more")
    return Outcome(True, "scheduled without priority")


def set_cpu_affinity(cpus: Collection[int]) -> Outcome:
    """Let the calling thread run on these CPUs only, numbers from 0."""
    if not hasattr(os, "sched_setaffinity"):
        return Outcome(False, "this system cannot tie a thread to CPUs; leave the affinity empty")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
        # The system leaves out what is not there, and takes the rest.
        missing = set(cpus) - os.sched_getaffinity(0)
        if missing:
            os.sched_setaffinity(0, before)
    except (OSError, OverflowError, ValueError):
        missing = set(cpus)
    if missing:
        return Outcome(False, f"there is no CPU {_listed(missing)} for this process: name some of "
                              f"{_listed(before)}, or widen its cpuset")
    return Outcome(True, f"on CPU {_listed(cpus)}")


def lock_memory() -> Outcome:
    """Keep all memory that the process has or gets in RAM."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit != resource.RLIM_INFINITY and not _has_capability(_CAP_IPC_LOCK):
        # It might even be granted, but the first allocation beyond the limit would fail, in the middle of the loop.
        return Outcome(False, f"no right to lock all memory (memlock is {limit} B): "
                              f"{_limits_line('memlock', 'unlimited')}")
    try:
        failed = ctypes.CDLL(None, use_errno=True).mlockall(_MCL_CURRENT | _MCL_FUTURE)
    except (AttributeError, OSError, TypeError):
        return Outcome(False, "this system has no mlockall; leave the memory unlocked")
    if failed:
        return Outcome(False, f"memory is not locked ({os.strerror(ctypes.get_errno())}): "
                              "leave it unlocked where the system or its RAM does not allow it")
    return Outcome(True, "memory locked")


def request_privileges(priority: int, cpus: Collection[int], memory: bool) -> list[Outcome]:
    """Ask for what is wanted and return what came of it; 0, no CPUs and False leave things as they are."""
    outcomes = []
    if cpus:
        outcomes.append(set_cpu_affinity(cpus))
    if memory:
        outcomes.append(lock_memory())
    if priority:
        outcomes.append(set_fifo_priority(priority))
    return outcomes


def privileges_in_force() -> Privileges:
    """Read back what holds for the calling thread and its process, whoever asked for it."""
    policy, priority, cpus = "", 0, set[int]()
    if hasattr(os, "sched_getscheduler"):
        number = os.sched_getscheduler(0)
        policy = next((name for name in _POLICIES if getattr(os, name, None) == number), f"policy {number}")
        priority = os.sched_getparam(0).sched_priority
    if hasattr(os, "sched_getaffinity"):
        cpus = os.sched_getaffinity(0)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    locked = _status("VmLck").split()
    return Privileges(policy, priority, tuple(sorted(cpus)), int(locked[0]) * 1024 if locked else 0, usage.ru_majflt,
                      usage.ru_nivcsw)


def _status(key: str) -> str:
    """Return what the system says about the process under a key; empty where it says nothing."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{key}:")), "")


def _has_capability(number: int) -> bool:
    return bool(int(_status("CapEff") or "0", 16) >> number & 1)


def _limits_line(item: str, value: object) -> str:
    return f"put '@realtime - {item} {value}' into {_LIMITS_FILE} and log in again as one of that group"


def _limit_text(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def _listed(cpus: Collection[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))
