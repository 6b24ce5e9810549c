# SPDX-License-Identifier: Apache-2.0
"""One job after the other, the newest of those that wait, and an end that comes when it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from nodes.support import until

from l2a_ros.nodes import planning_thread
from l2a_ros.nodes.planning_thread import PlanningThread


class Jobs:
    """Makes jobs that note their names; one can be held."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.go_on = threading.Event()

    def job(self, name: str, held: bool = False) -> Callable[[], None]:
        """Return a job; one that is held ends when ``go_on`` is set."""
        def run() -> None:
            self.begun.append(name)
            self.threads.add(threading.current_thread())
            if held:
                assert self.go_on.wait(30.0)
            self.done.append(name)

        return run

    def hold(self, thread: PlanningThread) -> None:
        """Keep a thread at work."""
        thread.submit(self.job("held", held=True))
        until(lambda: self.begun == ["held"])


@pytest.fixture
def errors() -> list[Exception]:
    """What a thread failed with."""
    return []


@pytest.fixture
def thread(errors: list[Exception]) -> Iterator[PlanningThread]:
    """A thread that is stopped at the end."""
    made = PlanningThread(errors.append)
    yield made
    made.stop()
    assert not any(each.name == "planning" for each in threading.enumerate())


@pytest.fixture
def jobs() -> Jobs:
    """Jobs to do."""
    return Jobs()


def test_jobs_are_done_in_a_thread_of_their_own_in_order(thread: PlanningThread, jobs: Jobs) -> None:
    for i in range(20):
        thread.submit(jobs.job(str(i)))
        until(lambda i=i: jobs.done[-1:] == [str(i)])
    assert jobs.done == [str(i) for i in range(20)]
    assert len(jobs.threads) == 1
    assert threading.current_thread() not in jobs.threads
    assert thread.replaced == 0


def test_submitting_does_not_wait_and_the_newest_is_kept(thread: PlanningThread, jobs: Jobs) -> None:
    jobs.hold(thread)
    for i in range(5):
        thread.submit(jobs.job(str(i)))
    assert jobs.begun == ["held"]
    assert thread.replaced == 4
    jobs.go_on.set()
    until(lambda: jobs.done == ["held", "4"])


def test_a_job_may_submit_the_next(thread: PlanningThread, jobs: Jobs) -> None:
    thread.submit(lambda: thread.submit(jobs.job("next")))
    until(lambda: jobs.done == ["next"])


def test_stop_waits_for_the_job_and_drops_the_next(thread: PlanningThread, jobs: Jobs) -> None:
    jobs.hold(thread)
    thread.submit(jobs.job("never"))
    stopping = threading.Thread(target=thread.stop)
    stopping.start()
    stopping.join(0.05)
    assert stopping.is_alive()
    jobs.go_on.set()
    stopping.join(30.0)
    assert not stopping.is_alive()
    assert jobs.done == ["held"]
    thread.submit(jobs.job("too late"))
    thread.stop()
    assert jobs.begun == ["held"]


def test_stop_without_a_job_and_twice(errors: list[Exception]) -> None:
    made = PlanningThread(errors.append)
    for _ in range(2):
        made.stop()
    assert not errors


def test_a_job_may_stop_its_thread(thread: PlanningThread, jobs: Jobs) -> None:
    thread.submit(thread.stop)
    until(lambda: not any(each.name == "planning" for each in threading.enumerate()))
    thread.submit(jobs.job("never"))
    assert not jobs.begun


def test_error_is_told_with_its_traceback_and_ends_it(thread: PlanningThread, errors: list[Exception],
                                                      jobs: Jobs) -> None:
    def broken() -> None:
        raise ArithmeticError("no plan")

    jobs.hold(thread)
    thread.submit(broken)
    jobs.go_on.set()
    until(lambda: errors)
    (error,) = errors
    assert isinstance(error, ArithmeticError)
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert places[-1] == "broken"
    until(lambda: not any(each.name == "planning" for each in threading.enumerate()))
    thread.submit(jobs.job("never"))
    assert jobs.begun == ["held"]


def test_it_gives_way_to_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own thread, before its first job."""
    gave_way: list[threading.Thread] = []
    monkeypatch.setattr(planning_thread, "give_way_to_loop", lambda: gave_way.append(threading.current_thread()))
    jobs = Jobs()
    made = PlanningThread(pytest.fail)
    made.submit(jobs.job("one"))
    until(lambda: jobs.done)
    made.stop()
    assert gave_way == list(jobs.threads)
