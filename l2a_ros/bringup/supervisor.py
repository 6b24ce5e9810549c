# SPDX-License-Identifier: Apache-2.0
"""Runs a graph as processes where there is no launch: starts them, watches them, and leaves none behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Self

from l2a_ros.bringup.environment import node_environment
from l2a_ros.bringup.failure import describe_death, exit_status
from l2a_ros.bringup.graph import NodeSpec
from l2a_ros.errors import UserError

#: How often the children are looked at, seconds.
POLL = 0.05
#: How long the trial, told first, may have the other nodes to itself to stop the robot, seconds.
HEAD_START = 0.5
#: What a child gets to end by, and how long after the stop began, seconds.
ESCALATION = ((HEAD_START, signal.SIGINT), (1.5, signal.SIGTERM), (2.5, signal.SIGKILL))
#: How much of the end of a log is read for the last lines, bytes.
TAIL = 16_384

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1

Handler = Callable[[int, FrameType | None], object] | int | None


def node_command(spec: NodeSpec) -> list[str]:
    """Return the command line of a node; its output is in a file already, so ROS needs no log file of its own."""
    return [sys.executable, "-m", spec.module, "--ros-args", "--disable-external-lib-logs", *spec.ros_arguments()]


def run_graph(graph: Sequence[NodeSpec], logs: Path,
              command: Callable[[NodeSpec], list[str]] = node_command) -> int:
    """Run the processes of a graph until the one that ends the run has ended; return the exit status of the run.

    Ctrl-C, SIGTERM and SIGHUP stop everything within 3 s (status 128 + signal). A node that ends before its time stops
    everything, is reported on stderr with its last lines, and gives the run its exit code, or 1.

    Args:
        graph: what to run.
        logs: folder for the output of each process that is not on the console, ``<node>.log``.
        command: gives the command line of a node.

    Raises:
        UserError: if the folder or a log cannot be written.
    """
    supervisor = Supervisor(logs, command)
    with supervisor:
        for spec in graph:
            if supervisor.signal is None:
                supervisor.start(spec)
        return supervisor.wait()


class Supervisor:
    """The children of one run. Use as a context: leaving it, for whatever reason, leaves no child behind."""

    def __init__(self, logs: Path, command: Callable[[NodeSpec], list[str]]) -> None:
        self._logs = logs
        self._command = command
        self._children: list[tuple[NodeSpec, subprocess.Popen[bytes]]] = []
        self._files = ExitStack()
        self._missed: set[str] = set()
        self._previous: dict[signal.Signals, Handler] = {}
        #: The signal that asked for the end of the run, if one did.
        self.signal: int | None = None

    def __enter__(self) -> Self:
        try:
            self._logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self._logs} cannot be written: {error.strerror}; name another folder with out") from None
        for number in _STOP_SIGNALS:
            # Who runs this with nohup wants it to go on.
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            self._files.close()

    def log(self, spec: NodeSpec) -> Path:
        """Return the file that holds the output of a process that is not on the console."""
        return self._logs / f"{spec.name}.log"

    def start(self, spec: NodeSpec) -> None:
        """Start one process in a session of its own, so that a Ctrl-C of the terminal comes only from here.

        Raises:
            UserError: if its log cannot be written.
        """
        output: IO[bytes] | None = None
        if not spec.console:
            try:
                output = self._files.enter_context(self.log(spec).open("wb"))
            except OSError as error:
                raise UserError(f"{self.log(spec)} cannot be written: {error.strerror}") from None
        self._children.append((spec, subprocess.Popen(
            self._command(spec), env={**os.environ, **node_environment(os.environ, spec.threads, spec.large_messages)},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT if output else None,
            # The supervisor has one thread, so nothing can be locked in the child.
            start_new_session=True, preexec_fn=die_with_parent())))  # noqa: PLW1509

    def early_end(self, spec: NodeSpec) -> str | None:
        """Return how a process that was started has ended, with its last words, or None while it runs."""
        code = next(child.poll() for each, child in self._children if each == spec)
        return None if code is None else describe_death(spec.name, code, self._last_lines(spec))

    def wait(self) -> int:
        """Wait for the end of the run; return its exit status. The other processes still run then."""
        while self.signal is None:
            ended = [(spec, code) for spec, child in self._children if (code := child.poll()) is not None
                     and not self._can_do_without(spec, code)]
            dead = [(spec, code) for spec, code in ended if not spec.ends_run]
            if dead:
                # When several end together the one with an error is the cause, the others its consequence.
                spec, code = next((pair for pair in dead if pair[1]), dead[0])
                print(describe_death(spec.name, code, self._last_lines(spec)), file=sys.stderr, flush=True)
                return exit_status(code)
            if ended:
                spec, code = ended[0]
                if code < 0:  # it could not say so itself
                    print(describe_death(spec.name, code, self._last_lines(spec)), file=sys.stderr, flush=True)
                return exit_status(code) if code else 0
            time.sleep(POLL)
        return 128 + self.signal

    def stop(self) -> None:
        """End every process with SIGINT: the trial now, the others once it is gone or 0.5 s later.

        Who is still there gets SIGTERM 1.5 s and SIGKILL 2.5 s after the beginning.
        """
        begun = time.monotonic()
        told = [child for spec, child in self._children if spec.ends_run]
        _send(told, signal.SIGINT)
        for delay, number in ESCALATION:
            awaited = told if number == signal.SIGINT else [child for _, child in self._children]
            while _running(awaited) and time.monotonic() - begun < delay:
                time.sleep(POLL)
            # A second SIGINT would cut the first one's clean-up short.
            skipped = told if number == signal.SIGINT else []
            _send([child for _, child in self._children if child not in skipped], number)
        for _, child in self._children:
            # What a node started and left behind is still in its group.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self.signal = self.signal or number

    def _can_do_without(self, spec: NodeSpec, code: int) -> bool:
        """Tell whether the run goes on without a process that has ended; say so once."""
        if spec.optional and spec.name not in self._missed:
            self._missed.add(spec.name)
            print(f"{describe_death(spec.name, code, self._last_lines(spec))}\nthe run goes on without {spec.name}",
                  file=sys.stderr, flush=True)
        return spec.optional

    def _last_lines(self, spec: NodeSpec) -> list[str]:
        if spec.console:
            return []
        with self.log(spec).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return file.read().decode(errors="replace").splitlines()


def _running(children: Sequence[subprocess.Popen[bytes]]) -> list[subprocess.Popen[bytes]]:
    return [child for child in children if child.poll() is None]


def _send(children: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for child in _running(children):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)


def die_with_parent() -> Callable[[], None] | None:
    """Return what a child runs first so that the kernel kills it when its parent is gone, however that ended."""
    if sys.platform != "linux":
        return None
    # Loaded here: after the fork only async-signal-safe work is allowed.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def prepare() -> None:
        # Until a node can handle it, a Ctrl-C would make Python itself complain on the user's terminal.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)

    return prepare
