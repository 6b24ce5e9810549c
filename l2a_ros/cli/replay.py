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
from l2a_ros.cli._flags import add_flags, check_ros, given


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("replay", help="play a recording to the learner", description=__doc__)
    parser.add_argument("bag", metavar="BAG", help="Recording: a folder of rosbag2, or a .mcap, .db3 or .bag file, "
                                                   "also a damaged one.")
    add_flags(parser, REPLAY, leave_out=("bag",))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay."""
    check_ros()
    settings = read_replay_settings(given(args, REPLAY), datetime.now())
    return run_graph(replay_graph(settings), settings.out / "logs")
