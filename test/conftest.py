# SPDX-License-Identifier: Apache-2.0
"""What every test gets: a ROS graph of its own, on this machine only, and no process left behind."""

from __future__ import annotations

import fcntl
import gc
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest
from hypothesis import HealthCheck, settings

# Before torch is imported anywhere: small networks are slower with several threads, much slower on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The machine is shared: no example takes too long.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

#: Domain ids whose ports no other program is given (Linux).
DOMAINS = range(1, 101)
#: Folders whose tests are run one by one: whole ROS graphs, or nodes beside the clock.
ALONE = {"benchmarks", "bringup", "cli", "contract", "driver", "launch", "nodes", "scenario", "timing"}
#: Marks the processes that a test has started, whatever became of their parents.
MARK = "L2A_ROS_TEST"


def _claim_domain() -> tuple[int, IO[str]]:
    """Return a domain that no other test on this machine has, and the file whose lock holds it."""
    folder = Path(tempfile.gettempdir()) / "l2a_ros_test_domains"
    folder.mkdir(exist_ok=True)
    start = os.getpid()
    for i in DOMAINS:
        domain = DOMAINS[(start + i) % len(DOMAINS)]
        file = (folder / str(domain)).open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        return domain, file
    raise RuntimeError("every ROS domain is in use by another test run")


def _kill_marked(mark: str) -> None:
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                process.kill()
        except psutil.Error:
            continue


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what must not have other tests beside it."""
    for item in items:
        if ALONE.intersection(item.path.relative_to(Path(__file__).parent).parts):
            item.add_marker(pytest.mark.alone)


def _end_participants() -> None:
    """Collect nodes that are garbage but hold a participant of the domain yet.

    Each is found by the nodes of the next tests, and discovery on the loopback reaches 32 participants of a domain:
    with more than that nobody finds anybody.
    """
    if "rclpy" in sys.modules and psutil.Process().net_connections("udp"):
        gc.collect()


@pytest.fixture(autouse=True)
def ros_isolation(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Give the test a ROS domain of its own, and kill the processes it leaves."""
    domain, lock = _claim_domain()
    mark = uuid.uuid4().hex
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv(MARK, mark)
    try:
        yield domain
    finally:
        _kill_marked(mark)
        _end_participants()
        lock.close()
