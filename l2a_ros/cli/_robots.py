# SPDX-License-Identifier: Apache-2.0
"""``l2a bench robots``: the same trials on the simulated robot and through driver and emulated firmware."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from l2a_ros.benchmarks.planners import Outcome, read_outcome
from l2a_ros.benchmarks.table import Row, at_most, table, write_json
from l2a_ros.cli._flags import check_ros
from l2a_ros.errors import UserError

#: How each kind of robot is started.
ROBOTS = {"simulator": ("sim",), "driver": ("hardware", "--emulate")}
#: The driver's lateral error may be larger by this share.
MARGIN = 0.3


def run(args: argparse.Namespace) -> int:
    """Run the trials that are not there yet and print the table; return 1 if a target was missed.

    Raises:
        UserError: if a trial cannot be run, with its last words.
    """
    check_ros()
    if args.seeds < 1:
        raise UserError(f"seeds must be at least 1, not {args.seeds}")
    rows: list[Row] = []
    for path in args.path or ["straight", "zigzag", "figure8"]:
        # By turns: what else the machine does meanwhile meets both.
        reports = [(robot, _report(args, robot, path, seed)) for seed in range(args.seeds) for robot in ROBOTS]
        outcomes = {robot: read_outcome([file for each, file in reports if each == robot]) for robot in ROBOTS}
        rows += robot_rows(path, outcomes["driver"], outcomes["simulator"])
        print("\n".join(table(rows[-3:])), file=sys.stderr, flush=True)
    print("\n".join(table(rows)))
    if args.json is not None:
        write_json(args.json, "robots", rows)
    return int(any(row.met is False for row in rows))


def robot_rows(path: str, driver: Outcome, simulator: Outcome) -> list[Row]:
    """Return the driver's trials on a path beside the simulator's."""
    ours, theirs = 100.0 * float(driver.lateral_errors.mean()), 100.0 * float(simulator.lateral_errors.mean())
    target = (1.0 + MARGIN) * theirs
    missing = len(driver.costs) - driver.completed
    return [Row(f"{path}: mean lateral error", ours, "cm", "simulator", theirs, theirs / ours, target, ours <= target),
            Row(f"{path}: mean duration", float(driver.durations.mean()), "s", "simulator",
                float(simulator.durations.mean())),
            at_most(f"{path}: trials not completed of {len(driver.costs)}", float(missing), "1", 0.0)]


def _report(args: argparse.Namespace, robot: str, path: str, seed: int) -> Path:
    """Return the report of a trial, which is run if it was not before."""
    out = args.out / Path(path).stem / robot / f"seed{seed}"
    report: Path = out / "report.json"
    if report.exists():
        return report
    done = subprocess.run(
        [sys.executable, "-m", "l2a_ros.cli", *ROBOTS[robot], "--path", path, "--seed", str(seed), "--terrain",
         args.terrain, "--method", args.method, "--duration", str(args.duration), "--out", str(out)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"the trial in {out} failed: {last}")
    return report
