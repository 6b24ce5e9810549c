# SPDX-License-Identifier: Apache-2.0
"""`l2a trial`: a trial on a robot or a simulation whose other nodes run already.

Method, planner, terrain, fault, seed and checkpoint are what the report says about those nodes; they are not changed.
"""

from __future__ import annotations

import argparse
from typing import Any

from l2a_ros.bringup.graph import trial_graph
from l2a_ros.bringup.supervisor import run_graph
from l2a_ros.cli._flags import add_flags, settings_from


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("trial", help="run a trial with nodes that are already running", description=__doc__)
    add_flags(parser, leave_out=("headless", "video"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Start the trial, and the recorder when asked for, and return the trial's exit status."""
    settings = settings_from(args)
    return run_graph(trial_graph(settings), settings.out / "logs")
