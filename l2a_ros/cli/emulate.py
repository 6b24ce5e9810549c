# SPDX-License-Identifier: Apache-2.0
"""`l2a emulate`: an emulated robot behind a serial port, until Ctrl-C; for any driver, that of `l2a hardware` first.

It makes a symbolic link to its port. Give that to the driver: `l2a hardware --port LINK`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from l2a_ros.bringup.environment import node_environment
from l2a_ros.bringup.fault_texts import read_faults
from l2a_ros.bringup.graph import NodeSpec
from l2a_ros.bringup.supervisor import node_command
from l2a_ros.cli._flags import check_ros
from l2a_ros.driver.profiles import find_profile, profile_names
from l2a_ros.errors import UserError
from l2a_ros.simulation.terrain import load_terrain

#: The link's name in the folder for temporary files.
LINK = "velociroach"


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("emulate", help="be a robot behind a serial port until Ctrl-C", description=__doc__)
    parser.add_argument("--link", default=str(Path(tempfile.gettempdir()) / LINK), metavar="PATH",
                        help="Symbolic link to make to the port. Default: velociroach in the temporary folder.")
    parser.add_argument("--profile", default="velociroach_gbac", metavar="PROFILE",
                        help=f"Firmware to be. Known: {', '.join(profile_names())}. Default: velociroach_gbac.")
    parser.add_argument("--baud", type=int, default=57600, metavar="BAUD",
                        help="Speed of the line, bit/s: bytes take as long. Default: 57600.")
    parser.add_argument("--terrain", default="carpet", metavar="TERRAIN",
                        help="Ground: NAME or a YAML file, with :ANGLE[,DIRECTION] in degrees. Default: carpet.")
    parser.add_argument("--fault", action="append", default=[], metavar="FAULT",
                        help="What breaks and when, of the robot or its wire: NAME[:ARGUMENTS][@ONSET_S]; repeatable.")
    parser.add_argument("--seed", type=int, default=0, metavar="SEED", help="Seed of everything random. Default: 0.")
    parser.add_argument("--headless", nargs="?", const="true", default="true", choices=("true", "false"),
                        metavar="true|false", help="Whether to run without a window. Default: true.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become the node: there is nothing else to watch, and Ctrl-C reaches it directly."""
    check_ros()
    find_profile(args.profile)
    load_terrain(args.terrain)
    if args.seed < 0:
        raise UserError(f"seed must be 0 or more, not {args.seed}")
    link = str(Path(args.link).expanduser().absolute())
    spec = NodeSpec("firmware_emulator", {
        "link": link, "profile": args.profile, "baud": args.baud, "terrain": args.terrain,
        "faults": read_faults(args.fault), "seed": args.seed, "headless": args.headless == "true"},
        ends_run=True, console=True)
    print(f"port: {link}\nl2a hardware --port {link} --profile {args.profile} --baud {args.baud}", flush=True)
    command = node_command(spec)
    os.execve(command[0], command, {**os.environ, **node_environment(os.environ, spec.threads)})
