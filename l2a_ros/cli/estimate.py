# SPDX-License-Identifier: Apache-2.0
"""``l2a estimate``: the motion filter on a recording, and how far it is from the truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2a_ros.errors import UserError

if TYPE_CHECKING:
    from l2a_ros.estimation.replay_errors import Errors
    from l2a_ros.estimation.replay_report import RecordingReport
    from l2a_ros.estimation.settings import FilterSettings
    from l2a_ros.robot.calibration import Mounting

RATES = 0.1, 10_000.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "estimate", help="run the state estimator on recordings, and measure its errors",
        description="Runs the motion filter of state_estimator on recordings with poses and inertial readings, in the "
                    "order in which they were logged.",
        epilog="The truth is to be of base_link, in the frame of motion capture, on the same clock. --align moves a "
               "truth of another frame to where it fits; a truth of another point of the body is off by its lever.")
    add = parser.add_argument
    add("--bag", type=Path, action="append", required=True, metavar="FOLDER",
        help="recording (rosbag2 in MCAP or SQLite, .bag of ROS 1), or a folder of recordings; repeatable, each is "
             "estimated by itself")
    add("--mocap", default="", metavar="TOPIC",
        help="poses of the body: PoseStamped, PoseWithCovarianceStamped, TransformStamped or Odometry (default: the "
             "only such topic, or mocap/pose)")
    add("--imu", default="", metavar="TOPIC",
        help="sensor_msgs/Imu (default: the only such topic, or imu/data_raw); none to do without")
    add("--truth", default="", metavar="TOPIC",
        help="what errors are measured against: one of the types of --mocap. Its velocity is the twist of Odometry, "
             "else the central difference of positions. Without it only the filter's own figures are reported")
    add("--align", action="store_true",
        help="move the truth rigidly to where it fits the estimate best, before errors are measured (Umeyama)")
    add("--rate", type=float, default=100.0, metavar="HZ",
        help="estimates per second; with --truth at its stamps, but no more than so many (default: 100)")
    add("--config", default="", metavar="FILE",
        help="ROS 2 parameter file; the filter's settings are taken from the section of state_estimator")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the filter; repeatable")
    add("--calibration", default="", metavar="FILE", help="how the sensors sit on this robot (see l2a calibrate)")
    add("--out", type=Path, metavar="FOLDER",
        help="folder of estimate.tum, truth.tum, estimate.csv, estimate.png and report.json; of several recordings "
             "each has its own in there (default: runs/TIME_estimate)")
    add("--json", type=Path, metavar="FILE", help="also write the report to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Estimate."""
    import json
    from dataclasses import asdict
    from datetime import datetime

    from l2a_ros.benchmarks.table import machine
    from l2a_ros.bringup.filter_texts import read_filter_settings
    from l2a_ros.estimation.replay_errors import error_figures
    from l2a_ros.estimation.replay_report import error_lines, without_nan
    from l2a_ros.experience.bag_reader import find_bags
    from l2a_ros.robot.calibration import load_calibration

    if not RATES[0] <= args.rate <= RATES[1]:
        raise UserError(f"rate must be from {RATES[0]:g} to {RATES[1]:g} Hz, not {args.rate:g}")
    if args.align and not args.truth:
        raise UserError("--align needs --truth TOPIC: there is nothing to align with")
    settings, others = read_filter_settings(args.config, args.set)
    if others:
        print(f"not settings of the filter, left out: {', '.join(others)}")
    mounting = load_calibration(args.calibration).mounting
    bags = find_bags(args.bag)
    out = args.out or Path("runs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_estimate"
    _make_folder(out)
    reports, errors = [], []
    for number, bag in enumerate(bags, 1):
        folder = out if len(bags) == 1 else out / f"{number:03d}_{bag.stem}"
        _make_folder(folder)
        report, found = _estimate(args, bag, settings, mounting, folder)
        reports.append(report)
        errors += [found] if found is not None else []
        print("\n".join(report.lines()), flush=True)
    together = error_figures(errors) if errors else None
    if len(bags) > 1 and together is not None:
        print("\n".join(["", f"all {len(bags)} recordings", *error_lines(together)]))
    content = without_nan({
        "estimate": [str(path) for path in args.bag], "machine": machine(), "settings": asdict(settings),
        "calibration": args.calibration or None, "align": args.align, "rate_hz": args.rate,
        "recordings": [report.as_json() for report in reports],
        "errors": None if together is None else asdict(together)})
    for file in (out / "report.json", *([args.json] if args.json is not None else [])):
        _make_folder(file.parent)
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"\ntrajectories, table and picture: {out}")
    return 0


def _estimate(args: argparse.Namespace, bag: Path, settings: FilterSettings, mounting: Mounting,
              folder: Path) -> tuple[RecordingReport, Errors | None]:
    """Run the filter on one recording and write its files."""
    import time

    from tqdm import tqdm

    from l2a_ros.estimation.evo_errors import evo_errors, evo_is_installed
    from l2a_ros.estimation.motion_filter import MotionFilter
    from l2a_ros.estimation.recorded_motion import choose_topics, read_motion
    from l2a_ros.estimation.replay import Replay
    from l2a_ros.estimation.replay_errors import INTERVALS, error_figures, measure
    from l2a_ros.estimation.replay_picture import draw
    from l2a_ros.estimation.replay_report import RecordingReport, health_shares, write_csv, write_tum
    from l2a_ros.experience.bag_reader import BagReader

    topics = choose_topics(bag, args.mocap, args.imu, args.truth)
    motion = MotionFilter(settings, mounting)
    replay = Replay(motion, args.rate, topics.truth is not None)
    reader = BagReader([bag], topics.names)
    begin = time.monotonic()
    with tqdm(total=topics.count, unit="message", unit_scale=True, desc="estimate", disable=None) as progress:
        for log_time, sample in read_motion(reader, topics, progress.update):
            replay.add(log_time, sample)
        evaluated = replay.finish()
    took = time.monotonic() - begin
    warnings = list(reader.warnings)
    errors = figures = evo = None
    if evaluated.truth is not None:
        errors = measure(evaluated, args.align)
        figures = error_figures([errors])
        if not len(errors.truth):
            warnings.append(f"{bag}: no live estimate at a stamp of the truth; are both of one clock?")
        elif evo_is_installed():
            evo = evo_errors(errors.truth, errors.estimate, INTERVALS)
    if evaluated.bad_truths:
        warnings.append(f"{bag}: {evaluated.bad_truths} poses on {args.truth} are none, left out")
    duration = (evaluated.last - evaluated.first) / 1e9
    report = RecordingReport(bag, topics, duration, len(evaluated.estimate), evaluated.waiting,
                             health_shares(evaluated), motion.report(), motion.status(evaluated.last), figures, evo,
                             evaluated.bad_truths, warnings)
    write_tum(folder / "estimate.tum", evaluated.estimate.part(evaluated.is_live()))
    if evaluated.truth is not None:
        write_tum(folder / "truth.tum", evaluated.truth)
    write_csv(folder / "estimate.csv", evaluated)
    if len(evaluated.estimate):
        (folder / "estimate.png").write_bytes(draw(evaluated, errors, _title(args, bag, topics.truth)))
    print(f"{duration:.1f} s of recording in {took:.1f} s: {duration / max(took, 1e-9):.0f} times as fast")
    return report, errors


def _title(args: argparse.Namespace, bag: Path, truth: Any) -> str:
    return f"{bag}" + ("" if truth is None else f" against {truth.name}" + (", aligned" if args.align else ""))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made: {error.strerror}; name another with --out") from None
