# SPDX-License-Identifier: Apache-2.0
"""The supervisor with real processes: whatever ends a run, nothing is left of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from l2a_ros.bringup.graph import NodeSpec
from l2a_ros.bringup.supervisor import node_command

RUNNER = Path(__file__).with_name("run_programs.py")
#: What is promised between a Ctrl-C and the end of the last process, seconds.
GONE_WITHIN = 3.0


class Run:
    """A supervisor in a process of its own, with its children."""

    def __init__(self, logs: Path, *names: str) -> None:
        self.logs = logs
        self.names = names
        self.process = subprocess.Popen([sys.executable, str(RUNNER), str(logs), *names], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        # Who runs the tests with nohup hands on an ignored SIGHUP.
                                        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))  # noqa: PLW1509

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait_until_ready(self, *words: str) -> list[psutil.Process]:
        """Wait until each program but the one on the console has said it; return all of them."""
        for name, word in zip(self.names[:-1], words or ["ready"] * len(self.names), strict=False):
            log = self.logs / f"{name}.log"
            wait_for(lambda log=log, word=word: log.is_file() and word in log.read_text())  # type: ignore[misc]
        wait_for(lambda: len(self.children()) >= len(self.names))
        return self.children()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


def wait_for(condition: Callable[[], bool], longest: float = 20.0) -> None:
    end = time.monotonic() + longest
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_end_of_the_trial_ends_the_others_and_gives_the_status(tmp_path: Path) -> None:
    code, out, err = Run(tmp_path / "logs", "wait", "end").end()
    assert (code, err) == (0, "")
    assert out == "ready\n", "the trial's output is the user's"
    assert (tmp_path / "logs" / "wait.log").read_text() == "ready\ninterrupted\n"
    assert Run(tmp_path, "wait", "three").end()[0] == 3


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_everything_in_time(tmp_path: Path, number: signal.Signals, status: int) -> None:
    run = Run(tmp_path, "wait", "stubborn", "parent", "wait")
    children = run.wait_until_ready("ready", "deaf", "deaf", "ready")
    asked = time.monotonic()
    run.process.send_signal(number)
    code, _, err = run.end()
    # A loaded machine may be late in running us, so there is some room.
    assert time.monotonic() - asked < GONE_WITHIN + 2.0
    assert (code, err) == (status, "")
    assert len(children) == 5
    wait_for(lambda: all(gone(child) for child in children))


def test_a_second_signal_does_not_cut_the_end_short(tmp_path: Path) -> None:
    run = Run(tmp_path, "stubborn", "wait")
    children = run.wait_until_ready("deaf")
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    run.process.send_signal(signal.SIGINT)
    assert run.end()[0] == 130
    assert all(gone(child) for child in children)


def test_a_killed_supervisor_leaves_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, "wait", "stubborn", "wait")
    children = run.wait_until_ready("ready", "deaf")
    run.process.kill()
    run.process.communicate(timeout=30)
    wait_for(lambda: all(gone(child) for child in children))


def test_a_node_that_fails_ends_the_run_with_its_last_lines(tmp_path: Path) -> None:
    code, _, err = Run(tmp_path, "wait", "fail", "wait").end()
    assert code == 1
    lines = err.splitlines()
    assert lines[0] == "fail ended too early with exit code 1; its last lines:"
    assert "  something to say first" in lines
    assert lines[-1] == "  RuntimeError: the arm fell off"


def test_a_node_that_refuses_its_input_is_quoted_in_one_line(tmp_path: Path) -> None:
    code, _, err = Run(tmp_path, "wait", "refuse", "wait").end()
    assert (code, err) == (2, "refuse: error: unknown terrain 'lava'; known: carpet\n")


@pytest.mark.parametrize(("name", "status", "words"), [
    ("vanish", 1, "vanish ended too early with exit code 0"), ("crash", 139, "crash was killed by SIGSEGV")])
def test_a_node_that_goes_away_is_an_error(tmp_path: Path, name: str, status: int, words: str) -> None:
    code, _, err = Run(tmp_path, name, "wait").end()
    assert code == status
    assert err.startswith(words)


def test_a_run_goes_on_without_what_it_can_do_without(tmp_path: Path) -> None:
    code, _, err = Run(tmp_path, "wait", "refuse?", "end").end()
    assert code == 0
    assert err == "refuse: error: unknown terrain 'lava'; known: carpet\nthe run goes on without refuse\n"


def test_a_folder_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    _, _, err = Run(tmp_path / "file" / "logs", "wait", "end").end()
    assert "UserError" in err
    assert "name another folder" in err


def test_a_node_is_run_by_this_interpreter_without_log_files_of_its_own() -> None:
    command = node_command(NodeSpec("mpc", {"seed": 3}))
    assert command == [sys.executable, "-m", "l2a_ros.nodes.mpc", "--ros-args", "--disable-external-lib-logs",
                       "-p", "mpc:seed:=3"]
    assert os.access(command[0], os.X_OK)
