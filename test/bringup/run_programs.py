# SPDX-License-Identifier: Apache-2.0
"""``python run_programs.py LOGS NAME...``: run programs as the nodes of a graph; the last one ends the run.

A run goes on without those whose names are followed by a question mark.
"""

import sys
from pathlib import Path

from l2a_ros.bringup.graph import NodeSpec
from l2a_ros.bringup.supervisor import run_graph

PROGRAMS = Path(__file__).with_name("programs.py")


def command(spec: NodeSpec) -> list[str]:
    """Return the command line of a program."""
    return [sys.executable, str(PROGRAMS), spec.name]


if __name__ == "__main__":
    *others, last = sys.argv[2:]
    graph = [*(NodeSpec(name.rstrip("?"), optional=name.endswith("?")) for name in others),
             NodeSpec(last, ends_run=True, console=True)]
    sys.exit(run_graph(graph, Path(sys.argv[1]), command))
