# SPDX-License-Identifier: Apache-2.0
"""``l2a bench planners``: lock-step trials with each planner at the same compute."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from l2a_ros.benchmarks.loop_setups import LoopSetup, write_config
from l2a_ros.benchmarks.planners import CONTENDERS, Contender, Outcome, markdown, planner_rows, read_outcome
from l2a_ros.benchmarks.table import table, write_json
from l2a_ros.cli._flags import check_ros
from l2a_ros.errors import UserError
from l2a_ros.robot.share import share_file


def run(args: argparse.Namespace) -> int:
    """Run the trials that are not there yet and print the table; return 1 if a target was missed.

    Raises:
        UserError: if a trial cannot be run, with its last words.
    """
    check_ros()
    if args.seeds < 1:
        raise UserError(f"seeds must be at least 1, not {args.seeds}")
    common = {name: value for name in ("candidates", "horizon") if (value := getattr(args, name)) is not None}
    outcomes: dict[tuple[str, str], Outcome] = {}
    for path in args.path or ["figure8", "zigzag"]:
        for contender in CONTENDERS:
            folder = args.out / Path(path).stem / contender.name.replace(", ", "_").replace(" ", "_")
            reports = [_report(folder, contender, path, seed, args, common) for seed in range(args.seeds)]
            outcomes[contender.name, path] = read_outcome(reports)
            print(f"{path}, {contender.name}: mean cost {outcomes[contender.name, path].costs.mean():.2f}",
                  file=sys.stderr, flush=True)
    rows = planner_rows(outcomes)
    print("\n".join([*table(rows), "", *markdown(outcomes)]))
    if args.json is not None:
        write_json(args.json, "planners", rows)
    return int(any(row.met is False for row in rows))


def _report(folder: Path, contender: Contender, path: str, seed: int, args: argparse.Namespace,
            common: dict[str, int]) -> Path:
    """Return the report of a trial, which is run if it was not before."""
    out = folder / f"seed{seed}"
    report = out / "report.json"
    if report.exists():
        return report
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    write_config(LoopSetup(parameters={"/**/mpc": {**common, **contender.parameters}}),
                 share_file("config", "millirobot.yaml"), config)
    done = subprocess.run(
        [sys.executable, "-m", "l2a_ros.cli", "sim", "--clock", "lockstep", "--path", path, "--seed", str(seed),
         "--duration", str(args.duration), "--planner", contender.planner, "--method", args.method,
         "--terrain", args.terrain, "--config", str(config), "--out", str(out)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"the trial in {out} failed: {last}")
    return report
