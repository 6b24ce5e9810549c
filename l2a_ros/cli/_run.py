# SPDX-License-Identifier: Apache-2.0
"""A whole run on the terminal: the graph, and its film when one was asked for."""

from __future__ import annotations

from l2a_ros.bringup.arguments import Settings, check_connection
from l2a_ros.bringup.graph import graph_of
from l2a_ros.bringup.supervisor import run_graph
from l2a_ros.cli.render import film_of_run, forget_film


def run_trial(settings: Settings) -> int:
    """Start the graph, show the trial's output, stop everything at its end; return the exit status.

    Raises:
        UserError: if the robot's port cannot be used, or the folder cannot be written.
    """
    check_connection(settings)
    graph, logs = graph_of(settings), settings.out / "logs"
    if not settings.video:
        return run_graph(graph, logs)
    forget_film(settings.frames)
    status = run_graph(graph, logs)
    # Not while it runs: without a GPU, drawing takes longer than walking.
    return film_of_run(settings.frames, status)
