# SPDX-License-Identifier: Apache-2.0
"""Real-time privileges, with the rights and without. Each is taken in a process of its own, and none spins with it."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from timing.unprivileged import unprivileged_python

from l2a_ros.timing import realtime
from l2a_ros.timing.realtime import (
    give_way_to_loop,
    lock_memory,
    privileges_in_force,
    request_privileges,
    set_cpu_affinity,
    set_fifo_priority,
)

ROOT = Path(__file__).resolve().parents[2]
PRELUDE = """
import json, os, threading
from l2a_ros.timing.realtime import *

def in_new_thread(function):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(function()))
    thread.start()
    thread.join()
    return answers[0]
"""


def run(code: str, python: str | Path = sys.executable) -> Any:
    """Run code that ends with ``answer = …`` in a process of its own; return the answer, or skip without the right."""
    done = subprocess.run([str(python), "-c", f"{PRELUDE}\n{code}\nprint(json.dumps(answer))"], cwd=ROOT, check=False,
                          capture_output=True, text=True, timeout=60.0, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    if isinstance(answer, str):
        pytest.skip(f"this process may not: {answer}")
    return answer


# With the rights ---------------------------------------------------------------------------------------------------

def test_priority_is_set_and_read_back() -> None:
    assert run("""
outcome = set_fifo_priority(3)
now = privileges_in_force()
answer = [outcome, now.policy, now.priority] if outcome.succeeded else outcome.message
""") == [[True, "SCHED_FIFO priority 3"], "SCHED_FIFO", 3]


def test_threads_inherit_a_priority_only_if_started_later() -> None:
    assert run("""
asked, answered, before = threading.Event(), threading.Event(), []
def early():
    asked.wait()
    before.append(privileges_in_force().policy)
thread = threading.Thread(target=early)
thread.start()
outcome = set_fifo_priority(1)
asked.set()
thread.join()
later = in_new_thread(privileges_in_force).policy
answer = [before[0], later] if outcome.succeeded else outcome.message
""") == ["SCHED_OTHER", "SCHED_FIFO"]


@pytest.mark.parametrize(("loop", "worker"), [(5, ["SCHED_FIFO", 4]), (1, ["SCHED_OTHER", 0])])
def test_a_worker_gives_way_to_the_loop(loop: int, worker: list[Any]) -> None:
    assert run(f"""
def work():
    outcome, now = give_way_to_loop(), privileges_in_force()
    return [outcome.succeeded, now.policy, now.priority]
outcome = set_fifo_priority({loop})
answer = [in_new_thread(work), privileges_in_force().priority] if outcome.succeeded else outcome.message
""") == [[True, *worker], loop]


def test_a_worker_of_an_ordinary_loop_stays_as_it_is() -> None:
    before = privileges_in_force()
    assert give_way_to_loop().succeeded
    assert (privileges_in_force().policy, privileges_in_force().priority) == (before.policy, before.priority)


def test_affinity_holds_for_this_thread_and_later_ones() -> None:
    cpu = max(os.sched_getaffinity(0))
    assert run(f"""
asked, before = threading.Event(), []
def early():
    asked.wait()
    before.append(len(privileges_in_force().cpus))
thread = threading.Thread(target=early)
thread.start()
outcome = set_cpu_affinity([{cpu}])
asked.set()
thread.join()
answer = [outcome, privileges_in_force().cpus, in_new_thread(privileges_in_force).cpus, before[0]]
""") == [[True, f"on CPU {cpu}"], [cpu], [cpu], len(os.sched_getaffinity(0))]


def test_locked_memory_is_what_there_is_and_what_comes() -> None:
    before, after, grown = run("""
before = privileges_in_force().locked_memory
outcome = lock_memory()
after = privileges_in_force().locked_memory
block = bytearray(8_000_000)
answer = [before, after, privileges_in_force().locked_memory] if outcome.succeeded else outcome.message
""")
    assert before == 0
    assert after > 1_000_000
    assert grown >= after + 7_000_000


def test_only_what_is_wanted_is_asked_for() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    before = privileges_in_force()
    assert request_privileges(0, [], False) == []
    after = privileges_in_force()
    assert (before.policy, before.priority, before.cpus) == (after.policy, after.priority, after.cpus)
    assert request_privileges(0, cpus, False) == [(True, f"on CPU {', '.join(map(str, cpus))}")]


# Without -----------------------------------------------------------------------------------------------------------

def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    outcomes, now = run("""
outcomes = request_privileges(40, [10**6], True)
now = privileges_in_force()
answer = [outcomes, [now.policy, now.priority, now.locked_memory]]
""", unprivileged_python(tmp_path))
    assert now == ["SCHED_OTHER", 0, 0]
    assert [succeeded for succeeded, _ in outcomes] == [False] * 3
    cpu, memory, priority = (message for _, message in outcomes)
    assert "there is no CPU 1000000" in cpu
    assert "memlock is 65536 B" in memory and "'@realtime - memlock unlimited'" in memory
    assert "rtprio is 0" in priority and "'@realtime - rtprio 40'" in priority
    assert not any("\n" in message for _, message in outcomes)


@pytest.mark.parametrize("cpus", [[-3], [10**6], [2**70]])
def test_cpus_that_are_not_there_change_nothing(cpus: list[int]) -> None:
    before = os.sched_getaffinity(0)
    for wanted in (cpus, [min(before), *cpus]):
        succeeded, message = set_cpu_affinity(wanted)
        assert not succeeded
        assert str(cpus[0]) in message
        assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("priority", [100, -1, 2**70])
def test_a_priority_that_does_not_exist_is_refused(priority: int) -> None:
    succeeded, message = set_fifo_priority(priority)
    assert not succeeded
    assert "1 to 99" in message or "no right" in message
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_right_that_something_else_forbids(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert set_fifo_priority(5) == (False, "no right to SCHED_FIFO priority 5 (rtprio is unlimited): its container or "
                                           "control group forbids it")


def test_memory_that_the_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def mlockall(self, _: int) -> int:
            ctypes.set_errno(12)
            return -1

    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library())
    succeeded, message = lock_memory()
    assert not succeeded
    assert "Cannot allocate memory" in message


# Systems that lack a call ------------------------------------------------------------------------------------------

def test_systems_without_the_calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for call in ("sched_setscheduler", "sched_getscheduler", "sched_setaffinity", "sched_getaffinity"):
        monkeypatch.delattr(os, call)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    monkeypatch.setattr(realtime, "_STATUS", tmp_path / "missing")
    outcomes = request_privileges(10, [0], True)
    assert [succeeded for succeeded, _ in outcomes] == [False] * 3
    assert all("this system" in message for _, message in outcomes)
    now = privileges_in_force()
    assert (now.policy, now.priority, now.cpus, now.locked_memory) == ("", 0, (), 0)
