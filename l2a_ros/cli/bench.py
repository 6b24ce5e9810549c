# SPDX-License-Identifier: Apache-2.0
"""``l2a bench``: measurements, each with a table and JSON."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("bench", help="measure the stack")
    benches = parser.add_subparsers(title="benchmarks", metavar="NAME", required=True)
    loop = benches.add_parser("loop", help="the control loop of a real-time trial: period, latency, shares")
    loop.add_argument("--duration", type=float, default=30.0, help="driving, s (default: 30)")
    loop.add_argument("--path", default="figure8", help="path to follow; long enough for the time (default: figure8)")
    loop.add_argument("--method", default="grbal", help="grbal or mb (default: grbal)")
    loop.add_argument("--json", type=Path, help="also write the figures to this file")
    loop.set_defaults(run=run_loop)


def run_loop(args: argparse.Namespace) -> int:
    """Drive a trial in real time with every node and the recorder, and measure it from the recording."""
    from datetime import datetime

    from l2a_ros.benchmarks.loop import loop_rows
    from l2a_ros.benchmarks.table import table, write_json
    from l2a_ros.bringup.arguments import read_settings
    from l2a_ros.bringup.graph import simulation_graph
    from l2a_ros.bringup.supervisor import run_graph
    from l2a_ros.cli._flags import check_ros

    check_ros()
    with tempfile.TemporaryDirectory() as folder:
        settings = read_settings({"path": args.path, "method": args.method, "duration": str(args.duration),
                                  "record": "true", "out": str(Path(folder) / "run")}, datetime.now())
        status = run_graph(simulation_graph(settings), settings.out / "logs")
        if status:
            return status
        rows = loop_rows(settings.bag, 0.1)
    print("\n".join(table(rows)))
    if args.json is not None:
        write_json(args.json, "loop", rows)
    return 0
