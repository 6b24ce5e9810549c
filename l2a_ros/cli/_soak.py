# SPDX-License-Identifier: Apache-2.0
"""``l2a bench soak``: driver and emulated firmware on a bad wire, unplugged again and again."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path

from l2a_ros.errors import UserError


def run(args: argparse.Namespace) -> int:
    """Run it and print the table; return 1 if a target was missed.

    Raises:
        UserError: if there are more cycles than the time holds.
    """
    from l2a_ros.benchmarks.endurance import failed
    from l2a_ros.benchmarks.soak import soak_rows
    from l2a_ros.benchmarks.table import table, write_json
    from l2a_ros.bringup.soak_graph import soak_graph
    from l2a_ros.bringup.supervisor import run_graph
    from l2a_ros.cli._flags import check_ros

    check_ros()
    seconds = 60.0 * args.minutes
    if seconds < 20.0 + 6.0 * args.cycles:
        raise UserError(f"{args.cycles} cycles need at least {(20.0 + 6.0 * args.cycles) / 60.0:.1f} minutes")
    out: Path = (args.out or Path(f"runs/{datetime.now():%Y%m%d_%H%M%S}_soak")).absolute()
    faults = [f"wire_corrupt:{args.corrupt:g}", f"wire_drop:{args.drop:g}"]
    print(f"{args.minutes:g} minutes; files and logs in {out}", flush=True)
    status = run_graph(soak_graph(out, seconds, args.cycles, args.seed, faults), out / "logs")
    rows = soak_rows(out, args.cycles)
    print("\n".join(table(rows)))
    if args.json is not None:
        write_json(args.json, "soak", rows)
    for case in failed(rows):
        print(f"target missed: {case}", file=sys.stderr)
    return status or (1 if failed(rows) else 0)
