# SPDX-License-Identifier: Apache-2.0
"""``l2a bench kills``: the whole stack on an emulated robot, and one of its processes killed while it walks."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from l2a_ros.errors import UserError

if TYPE_CHECKING:
    from l2a_ros.benchmarks.kills import Kill

#: What the start of the stack may take, and its end, s.
PATIENCE = 60.0
#: The robot is watched for so long after a kill, s.
AFTERWARDS = 1.5
#: The kill comes so long after the robot began to walk, s.
WALK = (0.5, 4.0)
_POLL = 0.02
#: The robot goes on from where it was left, kill after kill.
_CONFIG = "/**:\n  ros__parameters:\n    geofence: {x_min: -1000.0, x_max: 1000.0, y_min: -1000.0, y_max: 1000.0}\n"


def run(args: argparse.Namespace) -> int:
    """Run it and print the table; return 1 if a target was missed.

    Raises:
        UserError: if the stack does not start or the robot does not walk.
    """
    from l2a_ros.benchmarks.endurance import failed
    from l2a_ros.benchmarks.kills import VICTIMS, kill_rows
    from l2a_ros.benchmarks.table import table, write_json
    from l2a_ros.cli._flags import check_ros

    check_ros()
    out: Path = (args.out or Path(f"runs/{datetime.now():%Y%m%d_%H%M%S}_kills")).absolute()
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.yaml").write_text(_CONFIG, encoding="utf-8")
    rng = np.random.default_rng(args.seed)
    kills: list[Kill] = []
    robot = [_start(out / "emulator.log", "l2a_ros.nodes.firmware_emulator", {"link": str(out / "port")}),
             _start(out / "truth.log", "l2a_ros.nodes.truth_watch", {"out": str(out / "truth.csv")})]
    try:
        _await(lambda: (out / "port").exists() or robot[0].poll() is not None, "the emulated robot")
        for number in range(args.count):
            victim = VICTIMS[number % len(VICTIMS)]
            kills.append(_kill_one(out, number, victim, float(rng.uniform(*WALK))))
            print(f"{number + 1:3d}  {victim:16s} {kills[-1].stop:6.3f} s  "
                  f"{'said' if kills[-1].said else 'NOT SAID'}", flush=True)
    finally:
        for process in robot:
            process.send_signal(signal.SIGINT)
        for process in robot:
            process.wait(10.0)
    rows = kill_rows(kills)
    print("\n".join(table(rows)))
    if args.json is not None:
        write_json(args.json, "kills", rows)
    for case in failed(rows):
        print(f"target missed: {case}", file=sys.stderr)
    return 1 if failed(rows) else 0


def _start(log: Path, module: str, parameters: dict[str, str]) -> subprocess.Popen[bytes]:
    from l2a_ros.bringup.environment import node_environment

    arguments = [text for name, value in parameters.items() for text in ("-p", f"{name}:={value}")]
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", module, "--ros-args", *arguments], stdin=subprocess.DEVNULL,
                                stdout=file, stderr=file, env={**os.environ, **node_environment(os.environ)})


def _await(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() >= end:
            raise UserError(f"waited {PATIENCE:g} s in vain for {what}; see the logs")
        time.sleep(_POLL)


def _kill_one(out: Path, number: int, victim: str, walk: float) -> Kill:
    """Start the stack, let the robot walk, kill one process and see what becomes of the legs."""
    from l2a_ros.benchmarks.kills import judge_kill, moving_for, read_truth

    truth, log = out / "truth.csv", out / f"{number:03d}.log"
    with log.open("wb") as file:
        stack = subprocess.Popen(
            [sys.executable, "-m", "l2a_ros.cli", "hardware", "--port", str(out / "port"), "--path", "figure8",
             "--duration", "120", "--record", "--config", str(out / "config.yaml"),
             "--out", str(out / f"{number:03d}")],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        def walks() -> bool:
            if stack.poll() is not None:
                raise UserError(f"the stack ended before the robot walked; see {log}")
            return moving_for(read_truth(truth)) >= walk

        _await(walks, "the robot to walk")
        os.kill(_find(stack.pid, victim), signal.SIGKILL)
        moment = time.time_ns()
        stack.wait(PATIENCE)
        time.sleep(AFTERWARDS)
    finally:
        if stack.poll() is None:
            stack.send_signal(signal.SIGINT)
            stack.wait(PATIENCE)
    said = f"{victim} was killed by SIGKILL" in log.read_text(encoding="utf-8", errors="replace")
    return judge_kill(victim, read_truth(truth), moment, said)


def _find(parent: int, node: str) -> int:
    """Return the process id of a node that a process has started."""
    for line in Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8").split():
        words = Path(f"/proc/{line}/cmdline").read_bytes().split(b"\0")
        if f"l2a_ros.nodes.{node}".encode() in words:
            return int(line)
    raise UserError(f"there is no process of {node}")
