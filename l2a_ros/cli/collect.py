# SPDX-License-Identifier: Apache-2.0
"""``l2a collect``: random driving in the simulator, recorded to bags."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("collect", help="drive at random in the simulator and record bags to train on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the bags; finished ones there are kept")
    parser.add_argument("--terrain", action="append", help="floor, repeatable (default: carpet, styrofoam, turf)")
    parser.add_argument("--fault", action="append", default=[], metavar="FAULT",
                        help="what may break, repeatable: each recording draws one of them or none; "
                             "'A;B' is both at once")
    parser.add_argument("--every-fault", action="store_true",
                        help="drive so many minutes with each fault instead of drawing; 'none' is a fault then")
    parser.add_argument("--minutes", type=float, default=30.0,
                        help="driving on each terrain, or with --every-fault in each condition, min (default: 30)")
    parser.add_argument("--run-seconds", type=float, default=20.0, help="length of one recording, s (default: 20)")
    parser.add_argument("--control-period", type=float, default=0.1, help="time between states, s (default: 0.1)")
    parser.add_argument("--seed", type=int, default=0, help="of starts, noise and driving (default: 0)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="robots at once (default: cores)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Collect."""
    from tqdm import tqdm

    from l2a_ros.bringup.fault_texts import read_faults
    from l2a_ros.errors import UserError
    from l2a_ros.training.collect import collect, plan_recordings

    if args.every_fault and not args.fault:
        raise UserError("--every-fault needs at least one --fault")
    faults = [() if text.strip() == "none" else read_faults(text) for text in args.fault]
    recordings = plan_recordings(args.out, args.terrain or ["carpet", "styrofoam", "turf"], args.minutes,
                                 args.run_seconds, args.control_period, args.seed, faults, args.every_fault)
    already = sum(recording.folder.exists() for recording in recordings)
    with tqdm(total=len(recordings), initial=already, unit="bag", desc="collect") as progress:
        for _ in collect(recordings, max(1, args.workers)):
            progress.update()
    minutes = sum(recording.ticks for recording in recordings) * args.control_period / 60.0
    print(f"{len(recordings)} recordings, {minutes:.1f} min of driving, in {args.out}")
    return 0
