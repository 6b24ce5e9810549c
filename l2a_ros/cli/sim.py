# SPDX-License-Identifier: Apache-2.0
"""`l2a sim`: a trial in simulation, every node a process of its own."""

from __future__ import annotations

import argparse
from typing import Any

from l2a_ros.bringup.graph import simulation_graph
from l2a_ros.bringup.supervisor import run_graph
from l2a_ros.cli._flags import add_flags, settings_from
from l2a_ros.cli.render import film_of_run, forget_film


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("sim", help="run a trial in simulation", description=__doc__)
    add_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Start the graph, show the trial's output, stop everything at its end."""
    settings = settings_from(args)
    if not settings.video:
        return run_graph(simulation_graph(settings), settings.out / "logs")
    forget_film(settings.frames)
    status = run_graph(simulation_graph(settings), settings.out / "logs")
    # Not while it runs: without a GPU, drawing takes longer than walking.
    return film_of_run(settings.frames, status)
