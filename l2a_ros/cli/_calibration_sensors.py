# SPDX-License-Identifier: Apache-2.0
"""Where the steps of `l2a calibrate` get their samples from: the robot's topics, or a recording."""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from l2a_ros.cli._flags import check_ros
from l2a_ros.errors import UserError
from l2a_ros.robot.mocap import MOCAP_TOPIC

if TYPE_CHECKING:
    from l2a_ros.estimation.calibration.steps import Heard, Options, Step

IMU_TOPIC = "imu/data_raw"
#: The driver has ended by then if its port will not do, s.
DRIVER_START = 3.0
Hear = Callable[["Step"], "Heard"]


@contextmanager
def live(args: argparse.Namespace, base: str, options: Options) -> Iterator[Hear]:
    """Listen to the robot's topics, with its driver if a port is given."""
    check_ros()
    from l2a_ros.bringup.environment import node_environment

    # What holds for the nodes, before anything is imported that reads it.
    os.environ.update(node_environment(os.environ))
    from l2a_ros.nodes.calibration_watch import CalibrationWatch

    with ExitStack() as stack:
        if args.port is not None:
            stack.enter_context(_driver(args, base))
        watch = stack.enter_context(CalibrationWatch(args.mocap_topic or MOCAP_TOPIC, args.mocap_type,
                                                     args.imu or IMU_TOPIC))

        def hear(step: Step) -> Heard:
            heard = watch.hear(step.sensors, args.seconds or step.seconds, lambda so_far, left: _show(
                f"{left:4.1f} s: {step.watch(so_far, options)}"))
            _show("")
            return heard

        yield hear


def _show(text: str) -> None:
    """Show a line in place of the one before, for eyes only."""
    if sys.stdout.isatty():
        print(f"\r\033[K  {text}" if text else "\r\033[K", end="", flush=True)


@contextmanager
def _driver(args: argparse.Namespace, base: str) -> Iterator[None]:
    """Run the driver of the robot beside; it is never armed."""
    import signal

    from l2a_ros.bringup.graph import NodeSpec
    from l2a_ros.bringup.supervisor import Supervisor, node_command
    from l2a_ros.robot.share import share_file

    spec = NodeSpec("serial_driver", {
        "port": args.port, "baud": args.baud, "profile": args.profile,
        "calibration": str(Path(base).absolute()) if base else ""},
        (share_file("config", "millirobot.yaml"), share_file("config", "hardware.yaml")), lifecycle=True)
    with tempfile.TemporaryDirectory(prefix="l2a_calibrate_") as folder, Supervisor(Path(folder),
                                                                                     node_command) as supervisor:
        # A question has to end on Ctrl-C, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        supervisor.start(spec)
        time.sleep(DRIVER_START)
        if (ended := supervisor.early_end(spec)) is not None:
            raise UserError(ended)
        yield


@contextmanager
def recorded(args: argparse.Namespace, names: list[str], steps: list[Step]) -> Iterator[Hear]:
    """Read a recording once; every step gets its part of it."""
    from l2a_ros.estimation.calibration.steps import IMU, Heard
    from l2a_ros.estimation.recorded_motion import NONE, choose_topics, read_motion
    from l2a_ros.experience.bag_reader import find_bags, read_bag
    from l2a_ros.robot.samples import ImuSample, PoseSample

    starts, ends = _times("from", args.start, names, 0.0), _times("to", args.end, names, math.inf)
    for name in names:
        if starts[name] >= ends[name]:
            raise UserError(f"step {name}: from {starts[name]:g} s to {ends[name]:g} s is nothing")
    needs_imu = any(IMU in step.sensors for step in steps)
    bag, *others = find_bags(args.bag)
    if others:
        raise UserError(f"{args.bag} holds {1 + len(others)} recordings; name one")
    topics = choose_topics(bag, args.mocap_topic or "", (args.imu or "") if needs_imu else NONE)
    reader = read_bag(bag, [each.name for each in (topics.mocap, topics.imu) if each is not None])
    samples = [sample for _, sample in read_motion(reader, topics) if isinstance(sample, PoseSample | ImuSample)]
    for warning in reader.warnings:
        print(f"l2a: warning: {warning}", file=sys.stderr)
    origin = min((sample.stamp for sample in samples if sample.stamp), default=0)

    def hear(step: Step) -> Heard:
        chosen = [each for each in samples if starts[step.name] <= (each.stamp - origin) / 1e9 <= ends[step.name]]
        return Heard([each for each in chosen if isinstance(each, PoseSample)],
                     [each for each in chosen if isinstance(each, ImuSample)])

    yield hear


def _times(word: str, text: str | None, steps: list[str], default: float) -> dict[str, float]:
    """Return a time for each step, in the order in which they were named."""
    try:
        values = [default] if text is None else [float(each) for each in text.split(",")]
    except ValueError:
        raise UserError(f"--{word} must be numbers of seconds, not '{text}'") from None
    if len(values) == 1:
        values *= len(steps)
    if len(values) != len(steps) or any(math.isnan(each) for each in values):
        raise UserError(f"--{word} must be one number of seconds, or one for each of {len(steps)} steps, not '{text}'")
    return dict(zip(steps, values, strict=True))
