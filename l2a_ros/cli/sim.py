# SPDX-License-Identifier: Apache-2.0
"""`l2a sim`: a trial in simulation, every node a process of its own."""

from __future__ import annotations

import argparse
from typing import Any

from l2a_ros.cli._flags import add_flags, settings_from
from l2a_ros.cli._run import run_trial


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("sim", help="run a trial in simulation", description=__doc__)
    add_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Start the graph, show the trial's output, stop everything at its end."""
    return run_trial(settings_from(args))
