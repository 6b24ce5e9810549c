# SPDX-License-Identifier: Apache-2.0
"""`l2a hardware`: a trial on the robot, or with --emulate on an emulated one behind a real serial port.

Every node is a process of its own. Refuses to start when the port is not there, may not be opened, or is in use.
"""

from __future__ import annotations

import argparse
from typing import Any

from l2a_ros.bringup.words import HARDWARE
from l2a_ros.cli._flags import add_flags, settings_from
from l2a_ros.cli._run import run_trial


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("hardware", help="run a trial on the robot", description=__doc__)
    add_flags(parser, HARDWARE)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Start the graph, show the trial's output, stop everything at its end."""
    return run_trial(settings_from(args, HARDWARE))
