# SPDX-License-Identifier: Apache-2.0
"""`l2a bench fidelity`: drive the simulated robot and compare it with the measured one."""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from l2a_ros.benchmarks.fidelity import fidelity_rows, plan_drives, record_drives
from l2a_ros.benchmarks.fidelity_report import draw, markdown, replace_section, write_drives
from l2a_ros.benchmarks.measured import MEASURED
from l2a_ros.benchmarks.speed import fleet_rows, robot_rows
from l2a_ros.benchmarks.table import table, write_json
from l2a_ros.errors import UserError, unknown_name


def run(args: argparse.Namespace) -> int:
    """Drive, compare, write."""
    terrains = args.terrain or list(MEASURED)
    for terrain in terrains:
        if terrain not in MEASURED:
            raise unknown_name("measured terrain", terrain, list(MEASURED))
    if not args.minutes > 0.0:
        raise UserError(f"minutes must be more than 0, not {args.minutes:g}")
    plans = [plan for terrain in terrains for plan in plan_drives(terrain, args.minutes, args.seed)]
    made: dict[str, dict[int, np.ndarray]] = {terrain: {} for terrain in terrains}
    for done, (plan, drive) in enumerate(record_drives(plans, args.workers), 1):
        made[plan.terrain][plan.seed] = drive
        if sys.stderr.isatty() or done == len(plans):
            print(f"\rdrives {done}/{len(plans)}", end="\n" if done == len(plans) else "", file=sys.stderr, flush=True)
    drives = {terrain: [of_terrain[seed] for seed in sorted(of_terrain)] for terrain, of_terrain in made.items()}
    rows = fidelity_rows(drives)
    if not args.skip_speed:
        rows += robot_rows(time.perf_counter) + fleet_rows(time.perf_counter)
    print("\n".join(table(rows)))
    judged = [row for row in rows if row.met is not None]
    print(f"{sum(bool(row.met) for row in judged)} of {len(judged)} targets met")
    write_drives(args.out / "drives.csv", drives)
    draw(args.out / "fidelity.png", drives)
    print(f"drives and picture: {args.out}")
    if args.markdown is not None:
        replace_section(args.markdown, markdown(drives))
    if args.json is not None:
        write_json(args.json, "fidelity", rows)
    return 0
