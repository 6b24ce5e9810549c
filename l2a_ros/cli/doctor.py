# SPDX-License-Identifier: Apache-2.0
"""`l2a doctor`: checks everything that a trial on the robot needs, one line each, with what to do about it.

The robot is asked who it is and what it measures, and stopped by the way; nothing moves. Ends with 1 if something
keeps a trial from working.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from l2a_ros.bringup.arguments import Settings
from l2a_ros.bringup.environment import node_environment
from l2a_ros.bringup.findings import Finding, as_json, has_failed
from l2a_ros.bringup.words import HARDWARE
from l2a_ros.cli._flags import add_flags, check_ros, settings_from
from l2a_ros.errors import UserError

#: Words that change nothing about what is needed.
_LEFT_OUT = ("path", "terrain", "fault", "duration", "seed", "out", "record", "video", "headless")
#: How long motion capture is listened to, and how long the emulated robot may take to be there, s.
LISTEN, START = 2.0, 30.0
#: Of the names of the checks, characters.
_WIDTH = 16


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("doctor", help="check everything that a trial on the robot needs",
                                   description=__doc__)
    add_flags(parser, HARDWARE, leave_out=_LEFT_OUT)
    parser.add_argument("--json", type=Path, help="also write the findings to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one line per check; return 1 if one of them failed."""
    check_ros()
    # What holds for the nodes, before anything is imported that reads it.
    os.environ.update(node_environment(os.environ))
    with tempfile.TemporaryDirectory(prefix="l2a_doctor_") as folder:
        args.out = folder
        # A model that will not do is a finding.
        checkpoint, args.checkpoint = args.checkpoint, None
        settings = settings_from(args, HARDWARE)
        findings: list[Finding] = []
        with emulated(settings) as is_interrupted:
            for finding in examine(settings, Path(checkpoint).expanduser() if checkpoint else settings.checkpoint):
                findings.append(finding)
                print(finding.line(_WIDTH), flush=True)
                if is_interrupted():
                    raise KeyboardInterrupt
    if args.json is not None:
        try:
            args.json.write_text(json.dumps(as_json(findings), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{args.json} cannot be written: {error.strerror}") from None
    return 1 if has_failed(findings) else 0


def examine(settings: Settings, checkpoint: Path) -> Iterator[Finding]:
    """Check one thing after the other, what is quick first."""
    from l2a_ros.bringup import machine_checks as machine
    from l2a_ros.bringup.graph import hardware_graph
    from l2a_ros.bringup.mocap_check import check_mocap
    from l2a_ros.bringup.port_checks import check_line
    from l2a_ros.nodes.mocap_watch import hear_mocap

    robot = settings.hardware
    if robot is None:
        raise ValueError("these settings name no robot")
    yield from check_line(robot.port, robot.baud, robot.profile, robot.calibration)
    ros = machine.check_ros(os.environ)
    yield ros
    yield from check_mocap(hear_mocap(robot.mocap_topic, robot.mocap_type, LISTEN))
    yield machine.check_clock()
    yield machine.check_governor()
    yield machine.check_privileges()
    model = machine.check_checkpoint(checkpoint, settings.method)
    yield model
    if model.level == "ok":
        planner = next(spec for spec in hardware_graph(settings) if spec.name == "mpc")
        # The last one of a name wins.
        yield machine.check_budget([*planner.ros_arguments(), "-p", f"mpc:checkpoint:={checkpoint.absolute()}"])


@contextmanager
def emulated(settings: Settings) -> Iterator[Callable[[], bool]]:
    """Run the emulated robot beside the checks where the settings ask for it; tells whether a signal came meanwhile.

    Raises:
        UserError: if it does not come up.
    """
    from l2a_ros.bringup.graph import hardware_graph
    from l2a_ros.bringup.supervisor import Supervisor, node_command

    if settings.hardware is None or not settings.hardware.emulate:
        yield lambda: False
        return
    with Supervisor(settings.out / "logs", node_command) as supervisor:
        robot = hardware_graph(settings)[0]
        supervisor.start(robot)
        end = time.monotonic() + START
        while not Path(settings.hardware.port).exists():
            ended = supervisor.early_end(robot)
            if ended is not None or time.monotonic() > end:
                raise UserError(ended or f"the emulated robot was not there within {START:g} s")
            if supervisor.signal is not None:
                raise KeyboardInterrupt
            time.sleep(0.05)
        yield lambda: supervisor.signal is not None
