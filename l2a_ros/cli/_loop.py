# SPDX-License-Identifier: Apache-2.0
"""``l2a bench loop``: the control loop of a real-time trial."""

from __future__ import annotations

import argparse
import math
import tempfile
from datetime import datetime
from pathlib import Path

from l2a_ros.benchmarks.loop import loop_rows
from l2a_ros.benchmarks.loop_setups import find_setup, write_checkpoint, write_config, write_laps
from l2a_ros.benchmarks.table import table, write_json
from l2a_ros.bringup.arguments import read_settings
from l2a_ros.bringup.graph import simulation_graph
from l2a_ros.bringup.supervisor import run_graph
from l2a_ros.cli._flags import check_ros
from l2a_ros.errors import UserError
from l2a_ros.robot.share import share_file

#: A round of the shortest closed path takes at least so long, s; more rounds than are walked do no harm.
_SHORTEST_LAP = 15.0


def run(args: argparse.Namespace) -> int:
    """Measure and print; return 1 if a target was missed."""
    check_ros()
    if not args.duration > 0.0:
        raise UserError(f"duration must be more than 0 s, not {args.duration:g}")
    setup = find_setup(args.setup)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, path = folder / "config.yaml", folder / "path.yaml"
        write_config(setup, share_file("config", "millirobot.yaml"), config)
        write_laps(args.path, math.ceil(args.duration / _SHORTEST_LAP), path)
        words = {"path": str(path), "method": args.method, "duration": str(args.duration), "record": "true",
                 "config": str(config), "out": str(folder / "run"),
                 "checkpoint": str(write_checkpoint(args.method, setup.control_period, folder / "model.safetensors"))}
        planner = args.planner or ("random_shooting" if args.setup == "published" else "")
        settings = read_settings(words | ({"planner": planner} if planner else {}), datetime.now())
        status = run_graph(simulation_graph(settings), settings.out / "logs")
        if status:
            return status
        rows = loop_rows(settings.bag, setup.control_period, setup.overruns, setup.latency)
    print("\n".join(table(rows)))
    if args.json is not None:
        write_json(args.json, "loop", rows)
    return int(any(row.met is False for row in rows))
