# SPDX-License-Identifier: Apache-2.0
"""``l2a collect``: driving in the simulator, at random or with a model, recorded to bags."""

from __future__ import annotations

import argparse
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from l2a_ros.training.collect import Collector


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("collect", help="drive in the simulator and record bags to train on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the bags; finished ones there are kept")
    parser.add_argument("--terrain", action="append", help="floor, repeatable (default: carpet, styrofoam, turf)")
    parser.add_argument("--fault", action="append", default=[], metavar="FAULT",
                        help="what may break, repeatable: each recording draws one of them or none; "
                             "'A;B' is both at once")
    parser.add_argument("--every-fault", action="store_true",
                        help="drive so many minutes with each fault instead of drawing; 'none' is a fault then")
    parser.add_argument("--vary", action="store_true",
                        help="vary the robot between recordings: motor gain, shell weight, grip of a foot, encoder")
    parser.add_argument("--minutes", type=float, default=30.0,
                        help="driving on each terrain, or with --every-fault in each condition, min (default: 30)")
    parser.add_argument("--run-seconds", type=float, default=20.0, help="length of one recording, s (default: 20)")
    parser.add_argument("--control-period", type=float, default=0.1, help="time between states, s (default: 0.1)")
    parser.add_argument("--checkpoint", type=Path, help="follow lines with this model, adapting, instead of at random")
    parser.add_argument("--method", help="how the model adapts (default: as it was trained)")
    parser.add_argument("--exploration", type=float, default=0.1,
                        help="with a model: share of the time in which rates are random (default: 0.1)")
    parser.add_argument("--seed", type=int, default=0, help="of starts, noise and driving (default: 0)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="robots at once (default: cores)")
    parser.add_argument("--ray", metavar="local|ADDRESS", help="make the recordings with Ray, here or on a cluster")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Collect."""
    from tqdm import tqdm

    from l2a_ros.errors import UserError
    from l2a_ros.training.collect import Record, plan_recordings, record_random_driving

    if args.every_fault and not args.fault:
        raise UserError("--every-fault needs at least one --fault")
    if args.method is not None and args.checkpoint is None:
        raise UserError("--method needs a --checkpoint: random driving has no model")
    recordings = plan_recordings(args.out, args.terrain or ["carpet", "styrofoam", "turf"], args.minutes,
                                 args.run_seconds, args.control_period, args.seed, fault_menu(args.fault),
                                 args.every_fault)
    if args.vary:
        from l2a_ros.training.variation import vary

        recordings = vary(recordings)
    record: Record = record_random_driving
    if args.checkpoint is not None:
        from l2a_ros.learning.checkpoint_file import check_checkpoint
        from l2a_ros.training.on_policy import OnPolicy

        check_checkpoint(args.checkpoint, args.method)
        record = OnPolicy(args.checkpoint.read_bytes(), args.method, args.exploration)
        record.check(args.control_period)
    already = sum(recording.folder.exists() for recording in recordings)
    with ray_session_of(args), tqdm(total=len(recordings), initial=already, unit="bag", desc="collect") as progress:
        for _ in collector_of(args)(recordings, record):
            progress.update()
    minutes = sum(recording.ticks for recording in recordings) * args.control_period / 60.0
    print(f"{len(recordings)} recordings, {minutes:.1f} min of driving, in {args.out}")
    return 0


def ray_session_of(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Return the session that ``--ray`` asks for, or none."""
    if args.ray is None:
        return nullcontext()
    from l2a_ros.training.ray_collect import ray_session

    return ray_session(args.ray, args.workers)


def collector_of(args: argparse.Namespace) -> Collector:
    """Return what makes recordings: processes of this machine, or Ray."""
    if args.ray is None:
        from l2a_ros.training.collect import collect

        return lambda recordings, record: collect(recordings, max(1, args.workers), record)
    from l2a_ros.training.ray_collect import collect_with_ray

    return collect_with_ray


def fault_menu(texts: list[str]) -> list[tuple[str, ...]]:
    """Return what may break, one entry per flag; ``none`` is an empty one.

    Raises:
        UserError: for a fault that does not parse.
    """
    from l2a_ros.bringup.fault_texts import read_faults

    return [() if text.strip() == "none" else read_faults(text) for text in texts]
