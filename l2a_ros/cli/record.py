# SPDX-License-Identifier: Apache-2.0
"""`l2a record`: record every topic of the stack to a rosbag2 folder until Ctrl-C."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from l2a_ros.bringup.arguments import read_clock, read_config
from l2a_ros.bringup.environment import node_environment
from l2a_ros.bringup.graph import record_graph
from l2a_ros.bringup.supervisor import node_command
from l2a_ros.cli._flags import check_ros
from l2a_ros.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("record", help="record all topics to a bag until Ctrl-C", description=__doc__)
    parser.add_argument("--out", required=True, metavar="FOLDER", help="Folder of the bag; it must not exist yet.")
    parser.add_argument("--clock", default="real", metavar="CLOCK",
                        help="The clock of the running graph. Default: real.")
    parser.add_argument("--config", default="", metavar="FILE", help="ROS 2 parameter file of the robot.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become the recorder: there is nothing else to watch, and Ctrl-C reaches it directly."""
    check_ros()
    bag = Path(args.out).expanduser().absolute()
    if bag.exists():
        raise UserError(f"{bag} exists already; name another folder with out")
    [spec] = record_graph(bag, read_config(args.config), read_clock(args.clock))
    command = node_command(spec)
    os.execve(command[0], command, {**os.environ, **node_environment(os.environ, spec.threads)})
