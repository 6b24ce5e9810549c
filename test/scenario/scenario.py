# SPDX-License-Identifier: Apache-2.0
"""Runs of the whole graph, as a user starts them."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import av
import psutil

ROOT = Path(__file__).resolve().parents[2]
#: Deadline of a run: far more than needed, so that only what hangs fails.
PATIENCE = 120.0


def command(*arguments: object) -> list[str]:
    """Return the command line of ``l2a`` with arguments."""
    return [sys.executable, "-m", "l2a_ros.cli", *map(str, arguments)]


def environment() -> dict[str, str]:
    """Return the environment of ``l2a``."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def l2a(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``l2a`` to its end."""
    return subprocess.run(command(*arguments), cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=PATIENCE, check=False)


def sim(out: Path, *arguments: object) -> dict[str, Any]:
    """Run a trial that must succeed and return its report."""
    done = l2a("sim", "--out", out, *arguments)
    assert done.returncode == 0, done.stderr + done.stdout + _logs(out)
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def _logs(out: Path) -> str:
    return "".join(f"\n--- {log.name}\n{log.read_text()[-1000:]}" for log in sorted((out / "logs").glob("*.log")))


def rows(out: Path) -> list[dict[str, float]]:
    """Return the rows of a trial; empty cells are NaN."""
    with (out / "trial.csv").open() as file:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]


def pictures(film: Path) -> int:
    """Return how many pictures a film has."""
    with av.open(str(film)) as opened:
        return sum(1 for _ in opened.decode(opened.streams.video[0]))


class Run:
    """A run of ``l2a sim`` in the background; use as a context."""

    def __init__(self, out: Path, *arguments: object) -> None:
        self.out = out
        self.process = subprocess.Popen(command("sim", "--out", out, *arguments), cwd=ROOT, env=environment(),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        self.nodes: dict[str, psutil.Process] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def wait_until_it_walks(self) -> None:
        """Wait for the first progress that is not zero, and note the processes by node name."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            progress = re.search(r"([\d.]+) of [\d.]+ m ", line)
            if progress and float(progress[1]) > 0.05:
                break
        else:
            raise AssertionError(f"it never walked: {self.process.communicate()[1]}{_logs(self.out)}")
        for child in psutil.Process(self.process.pid).children(recursive=True):
            found = re.search(r"l2a_ros\.nodes\.(\w+)", " ".join(child.cmdline()))
            if found:
                self.nodes[found[1]] = child

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; return exit status, further output and errors."""
        output, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output, errors

    def left(self) -> list[str]:
        """Return the names of the nodes that still run."""
        return [name for name, process in self.nodes.items()
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
