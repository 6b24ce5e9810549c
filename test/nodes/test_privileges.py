# SPDX-License-Identifier: Apache-2.0
"""Real-time privileges as parameters of a node process: taken, refused by the system, refused as bad input."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from nodes.support import NodeProcess, Peer, assert_refused, refusal, until
from timing.unprivileged import unprivileged_python

from l2a_ros.nodes.state_estimator import StateEstimatorNode

#: One that this process may run on.
CPU = min(os.sched_getaffinity(0))


def values(status: DiagnosticStatus) -> dict[str, str]:
    """Return what a status says."""
    return {pair.key: pair.value for pair in status.values}


def test_bad_values_are_refused() -> None:
    assert_refused("state_estimator", "realtime_priority is out of range (from 0 to 99)", realtime_priority=100)
    assert "realtime_priority is out of range" in refusal(StateEstimatorNode, realtime_priority=-1)
    assert refusal(StateEstimatorNode, cpu_affinity=1) == "parameter cpu_affinity must be of type list of int"
    assert "lock_memory must be of type bool" in refusal(StateEstimatorNode, lock_memory=1)


@pytest.mark.parametrize("node", ["state_estimator", "mujoco_sim"])
def test_without_the_rights_it_warns_and_goes_on(node: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(unprivileged_python(tmp_path)))
    with NodeProcess(node, realtime_priority=40, lock_memory=True, cpu_affinity=[CPU]) as process, Peer() as peer:
        status = peer.status(f"{node}: process")
        assert status.level == DiagnosticStatus.WARN
        assert "'@realtime - rtprio 40'" in status.message
        assert "'@realtime - memlock unlimited'" in status.message
        assert values(status) | {"scheduling": "SCHED_OTHER", "priority": "0", "CPUs": str(CPU),
                                 "locked memory (B)": "0"} == values(status)
        if node == "mujoco_sim":
            assert peer.lifecycle_state(node) == "active"
        until(lambda: process.errors.count("[WARN]") == 2, "two warnings")
        assert all("docs/realtime.md" in line for line in process.errors.splitlines() if "[WARN]" in line)


def test_with_the_rights_it_has_what_it_asked_for() -> None:
    with NodeProcess("state_estimator", realtime_priority=2, lock_memory=True, cpu_affinity=[CPU]), Peer() as peer:
        status = peer.status("state_estimator: process")
        if status.level != DiagnosticStatus.OK:
            pytest.skip(f"this process may not: {status.message}")
        seen = values(status)
        assert (seen["scheduling"], seen["priority"], seen["CPUs"]) == ("SCHED_FIFO", "2", str(CPU))
        assert int(seen["locked memory (B)"]) > 10_000_000


def test_nothing_is_changed_unless_asked_for() -> None:
    with NodeProcess("state_estimator"), Peer() as peer:
        status = peer.status("state_estimator: process")
        assert status.level == DiagnosticStatus.OK
        assert values(status)["scheduling"] == "SCHED_OTHER"


@pytest.mark.parametrize("text", ["[]", "[-1]"])
def test_an_empty_list_leaves_the_cpus(text: str, tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text(f"/**:\n  ros__parameters:\n    cpu_affinity: {text}\n")
    with NodeProcess("state_estimator", ("--ros-args", "--params-file", str(file))) as process, Peer() as peer:
        assert peer.status("state_estimator: process").level == DiagnosticStatus.OK
        assert "on CPU" not in process.errors
