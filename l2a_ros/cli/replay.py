# SPDX-License-Identifier: Apache-2.0
"""`l2a replay`: a recording through estimator, adaptation and planner, whose commands move nothing.

Without --compare the nodes themselves are started, as in a run, and answer the recording tick by tick. With --compare
no node is started: the same objects adapt to the same windows, once per method, and their predictions are measured.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from l2a_ros.bringup.graph import replay_graph
from l2a_ros.bringup.replay_settings import read_replay_settings
from l2a_ros.bringup.supervisor import run_graph
from l2a_ros.bringup.words import REPLAY
from l2a_ros.cli._compare import models, run_compare
from l2a_ros.cli._flags import add_flags, check_ros, given
from l2a_ros.errors import UserError

#: Words that are matters of the nodes.
_OF_NODES = ("method", "checkpoint", "clock", "loop", "record")


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("replay", help="play a recording to the learner", description=__doc__)
    parser.add_argument("bag", metavar="BAG", help="Recording: a folder of rosbag2, or a .mcap, .db3 or .bag file, "
                                                   "also a damaged one.")
    add_flags(parser, REPLAY, leave_out=("bag",))
    group = parser.add_argument_group("comparison")
    group.add_argument("--compare", nargs="+", metavar="METHOD[=FILE]",
                       help="Compare these methods, each with the shipped model or the one in FILE.")
    group.add_argument("--future", type=int, default=10, metavar="K",
                       help="Control periods of the longer prediction. Default: 10.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay."""
    words = dict(given(args, REPLAY))
    if args.compare is None:
        check_ros()
        settings = read_replay_settings(words, datetime.now())
        return run_graph(replay_graph(settings), settings.out / "logs")
    for name in _OF_NODES:
        if name in words:
            raise UserError(f"--{name} is a matter of the nodes; with --compare name models as METHOD=FILE"
                            if name in ("method", "checkpoint") else f"--{name} means nothing with --compare")
    if args.future < 1:
        raise UserError(f"future must be at least 1, not {args.future}")
    # The first model is that of the report's folder; all are checked before the recording is read.
    [(_, method, file), *_] = models(args.compare)
    settings = read_replay_settings({**words, "method": method, "checkpoint": str(file)}, datetime.now())
    return run_compare(settings, args.compare, args.future)
