# SPDX-License-Identifier: Apache-2.0
"""``l2a bench endurance``: the graph of a simulation kept running while trial follows trial."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from l2a_ros.errors import UserError

#: Longest time of one trial, s: the machine also starts and ends one every minute, as on a day of experiments.
TRIAL = 50.0
#: Shortest run that can be judged after the warm-up, minutes.
SHORTEST = 1.5


def run(args: argparse.Namespace) -> int:
    """Run it and print the table; return 1 if a target was missed.

    Raises:
        UserError: if something it needs is missing, or the time is too short.
    """
    from l2a_ros.benchmarks.endurance import endurance_rows, failed, read_columns
    from l2a_ros.benchmarks.table import table, write_json
    from l2a_ros.bringup.arguments import read_settings
    from l2a_ros.bringup.graph import NodeSpec, simulation_graph
    from l2a_ros.bringup.supervisor import node_command, run_graph
    from l2a_ros.cli._flags import check_ros

    check_ros()
    if importlib.util.find_spec("psutil") is None:
        raise UserError("psutil is missing; install it with pip install 'l2a_ros[bench]'")
    if not args.minutes >= SHORTEST:
        raise UserError(f"minutes must be at least {SHORTEST:g}: the first one is the warm-up")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run" if args.out is None else args.out.absolute()
        settings = read_settings({"path": args.path, "terrain": args.terrain, "method": args.method,
                                  "out": str(out)}, datetime.now())
        watch, walk = out / "clock.csv", NodeSpec("walk", ends_run=True, console=True)
        graph = [spec for spec in simulation_graph(settings) if not spec.ends_run]
        graph += [NodeSpec("clock_watch", {"out": str(watch)}), walk]
        words = ["--path", settings.path, "--terrain", settings.terrain, "--method", settings.method,
                 "--duration", str(TRIAL), "--seconds", str(60.0 * args.minutes), "--out", str(out)]

        def command(spec: NodeSpec) -> list[str]:
            return [sys.executable, "-m", "l2a_ros.cli._walk", *words] if spec is walk else node_command(spec)

        status = run_graph(graph, out / "logs", command)
        if status:
            return status
        rows = endurance_rows(read_columns(out / "samples.csv"), read_columns(watch))
    print("\n".join(table(rows)))
    if args.json is not None:
        write_json(args.json, "endurance", rows)
    for case in failed(rows):
        print(f"target missed: {case}", file=sys.stderr)
    return 1 if failed(rows) else 0
