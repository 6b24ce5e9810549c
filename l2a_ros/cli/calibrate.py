# SPDX-License-Identifier: Apache-2.0
"""`l2a calibrate`: finds out how the sensors sit on a robot, and writes its calibration file.

Step by step: it says what to do with the robot, listens to its sensors, says what it found and how sure that is.
Nothing moves by itself. The file is written at the end: until then Ctrl-C leaves everything as it was.

rest: what gyroscope and accelerometer are off by. mocap: how the tracked body's axes sit on the robot. imu: how the
inertial unit sits on it. pivot: where the tracked body's origin is.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2a_ros.cli._calibration_sensors import IMU_TOPIC, Hear, live, recorded
from l2a_ros.driver.profiles import profile_names
from l2a_ros.errors import UserError
from l2a_ros.robot.calibration import load_calibration
from l2a_ros.robot.mocap import DEFAULT_MOCAP_TYPE, MOCAP_TOPIC, mocap_types

if TYPE_CHECKING:
    from l2a_ros.estimation.calibration.steps import Options, Result, Step
    from l2a_ros.robot.calibration import Calibration

STEP_NAMES = "rest,mocap,imu,pivot"
DEFAULT_OUT = "robot.yaml"
#: Longest time to listen, s.
LONGEST = 600.0


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("calibrate", help="find out how the sensors sit on a robot; write its calibration",
                                   description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, metavar="FILE",
        help=f"calibration file to write. Default: that of --calibration, else {DEFAULT_OUT}.")
    add("--calibration", metavar="FILE",
        help="file that the driver runs with: what it says is kept, what is found is added. Default: --out, if it is "
             "there.")
    add("--steps", default=STEP_NAMES, metavar="STEP,...", help=f"what to do. Default: {STEP_NAMES}.")
    add("--seconds", type=float, metavar="S", help="how long to listen in each step. Default: 5 to 20, by step.")
    add("--mocap_topic", metavar="TOPIC", help=f"poses of motion capture. Default: {MOCAP_TOPIC}.")
    add("--mocap_type", default=DEFAULT_MOCAP_TYPE, choices=mocap_types(), metavar="TYPE",
        help=f"their type: {', '.join(mocap_types())}. Default: {DEFAULT_MOCAP_TYPE}. A recording says it itself.")
    add("--imu", metavar="TOPIC", help=f"readings of the inertial unit. Default: {IMU_TOPIC}.")
    add("--port", metavar="PORT", help="start the driver of the robot at this port meanwhile, motors off.")
    add("--baud", type=int, default=57600, metavar="BAUD", help="speed of that port, bit/s. Default: 57600.")
    add("--profile", default="velociroach_gbac", choices=profile_names(), metavar="PROFILE",
        help="firmware at that port. Default: velociroach_gbac.")
    add("--heading", type=float, metavar="DEG",
        help="step mocap: the robot stands and looks this way, degrees from x of map to the left, instead of being "
             "slid forward.")
    add("--pivot_point", type=float, nargs=3, default=(0.0, 0.0, 0.0), metavar=("X", "Y", "Z"),
        help="step pivot: the point of base_link that is held fixed, m. Default: 0 0 0.")
    add("--reference", choices=("mocap", "imu"), default="mocap",
        help="step imu: whose rotation is right already; the other one is found. Default: mocap.")
    add("--driver_corrects_imu", choices=("true", "false"),
        help="whether the driver knows the calibration file, as serial_driver does. Goes into the file.")
    add("--yes", action="store_true", help="ask nothing: one step after the other, keep what is good.")
    add("--wait", type=float, default=5.0, metavar="S", help="with --yes: time before each step. Default: 5.")
    add("--bag", type=Path, metavar="FOLDER", help="a recording instead of the robot; asks nothing.")
    add("--from", dest="start", metavar="S,...",
        help="where each step begins in the recording, s from its first sample; one for all, or one for each step. "
             "Default: 0.")
    add("--to", dest="end", metavar="S,...", help="where it ends. Default: the end of the recording.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Take the steps; return 1 if nobody was asked and one of them failed."""
    from l2a_ros.estimation.calibration.steps import Options, find_steps
    from l2a_ros.robot.calibration_file import save_calibration

    names = [each.strip() for each in args.steps.split(",") if each.strip()]
    steps = find_steps(names)
    if not steps:
        raise UserError(f"no step; known: {STEP_NAMES}")
    out, base = _files(args)
    if args.seconds is not None and not 1.0 <= args.seconds <= LONGEST:
        raise UserError(f"seconds must be from 1 to {LONGEST:g}, not {args.seconds:g}")
    if args.wait < 0.0 or not math.isfinite(args.wait):
        raise UserError(f"wait must be 0 or more, not {args.wait:g}")
    if not all(abs(each) <= 1.0 for each in args.pivot_point):
        raise UserError("pivot_point must be within 1 m of base_link")
    if args.heading is not None and not math.isfinite(args.heading):
        raise UserError("heading must be a number of degrees")
    published = load_calibration(base)
    changes: dict[str, Any] = {}
    if args.driver_corrects_imu is not None:
        changes["driver_corrects_imu"] = args.driver_corrects_imu == "true"
        published = replace(published, **changes)
    options = Options(None if args.heading is None else math.radians(args.heading), args.pivot_point, args.reference)
    current, failed = published, False
    source = recorded(args, names, steps) if args.bag is not None else live(args, base, options)
    with source as hear, _nothing_written():
        for i, step in enumerate(steps):
            print(f"\n{step.name} ({i + 1} of {len(steps)})", flush=True)
            result = _take(args, step, hear, published, current, options)
            if result is None:
                failed |= not _asks(args)
            else:
                current = replace(current, **result.changes)
                changes |= result.changes
    before = load_calibration(base)
    changes = {name: value for name, value in changes.items() if getattr(before, name) != value}
    if not changes:
        print(f"\nnothing to write: {out} stays as it is")
        return 1 if failed else 0
    after = save_calibration(out, base, changes)
    print(f"\nwrote {out}")
    for name in changes:
        print(f"  {name}: {_text(getattr(before, name))} -> {_text(getattr(after, name))}")
    print(f"give it to driver and estimator: l2a hardware --calibration {out}", flush=True)
    return 1 if failed else 0


@contextmanager
def _nothing_written() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print("\nnothing was written", file=sys.stderr, flush=True)
        raise


def _files(args: argparse.Namespace) -> tuple[Path, str]:
    """Return the file to write and the one whose content is kept, empty for none.

    Raises:
        UserError: if it could not be written: better now than after the work.
    """
    base = str(Path(args.calibration).expanduser()) if args.calibration else ""
    if base:
        load_calibration(base)
    out = (args.out or Path(base or DEFAULT_OUT)).expanduser()
    if not base and out.exists():
        base = str(out)
    elif out.exists() and not out.samefile(base):
        raise UserError(f"{out} is there already and would be lost; name another --out, or none")
    if out.is_dir() or not out.absolute().parent.is_dir() or not os.access(out.absolute().parent, os.W_OK):
        raise UserError(f"{out} cannot be written; name a file in a folder that can be with --out")
    return out.absolute(), base


def _asks(args: argparse.Namespace) -> bool:
    return args.bag is None and not args.yes


def _take(args: argparse.Namespace, step: Step, hear: Hear, published: Calibration, current: Calibration,
          options: Options) -> Result | None:
    """Take one step until it is kept or skipped; return what was kept."""
    from l2a_ros.estimation.calibration.steps import Result

    asks = _asks(args)
    if args.bag is None:
        for line in step.say(options):
            print(f"  {line}", flush=True)
        if asks and _answer("Enter: begin, s: skip", {"": "go", "s": "skip"}) == "skip":
            return None
        if not asks:
            time.sleep(args.wait)
    while True:
        try:
            result = step.measure(hear(step), published, current, options)
        except UserError as error:
            # What was kept so far must not be lost.
            result = Result([], problem=str(error))
        for line in result.lines:
            print(f"  {line}")
        if result.problem:
            print(f"  REFUSED: {result.problem}", flush=True)
        if not asks:
            return None if result.problem else result
        if result.problem:
            answer = _answer("Enter: once more, s: skip", {"": "again", "s": "skip"})
        else:
            answer = _answer("Enter: keep, r: once more, s: skip", {"": "keep", "r": "again", "s": "skip"})
        if answer != "again":
            return result if answer == "keep" else None


def _answer(question: str, answers: dict[str, str]) -> str:
    while True:
        try:
            given = input(f"  [{question}] ").strip().lower()
        except EOFError:
            raise UserError("nobody answers; --yes asks nothing") from None
        if given in answers:
            return answers[given]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_text(each) for each in value)}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else f"{value:.6g}"
