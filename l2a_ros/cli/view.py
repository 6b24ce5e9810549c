# SPDX-License-Identifier: Apache-2.0
"""`l2a view`: a recording in a web browser, with the views of a live run and a timeline.

It needs no ROS and no robot. The same pictures go into a file with --out, which rerun's own viewer opens.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2a_ros.bringup.view_address import DEFAULT_ADDRESS, check_viewer, split_address
from l2a_ros.errors import UserError

if TYPE_CHECKING:
    from l2a_ros.views.live_rerun import RerunSink

POLL = 0.2
#: What of a recording is kept for browsers, MB.
MEMORY = 4096
SUFFIX = ".rrd"


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("view", help="show a recording in a web browser", description=__doc__)
    parser.add_argument("bag", metavar="BAG", help="Recording: a folder of rosbag2, a .mcap, .db3 or .bag file, or the "
                                                   "folder of a run with one in it.")
    parser.add_argument("--robot", default="", metavar="NAME",
                        help="Namespace of the robot. Default: the only one.")
    parser.add_argument("--view_address", default=DEFAULT_ADDRESS, metavar="HOST:PORT",
                        help="Where to listen: 0.0.0.0 lets other machines see it; port 0 means any free one. "
                             f"Default: {DEFAULT_ADDRESS}.")
    parser.add_argument("--headless", action="store_true", help="Do not open a browser.")
    parser.add_argument("--frame_rate", type=float, default=20.0, metavar="HZ",
                        help="Pictures of the moving robot per second of its time. Default: 20.")
    parser.add_argument("--out", default="", metavar="FILE", help="Write a .rrd file instead of serving it.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read the recording, show or write it; serve until Ctrl-C."""
    check_viewer()
    host, port = split_address(args.view_address)
    if not 1.0 <= args.frame_rate <= 1000.0:
        raise UserError(f"frame_rate must be from 1 to 1000 Hz, not {args.frame_rate:g}")
    from l2a_ros.experience.bag_reader import find_bags
    from l2a_ros.views.live_recording import choose_robot

    bags = find_bags(args.bag)
    if len(bags) > 1:
        raise UserError(f"{args.bag} holds {len(bags)} recordings; name one, such as {bags[0]}")
    robot = choose_robot(bags[0], args.robot)
    if args.out:
        return _write(bags[0], robot, args.frame_rate, Path(args.out).expanduser())
    return _serve(bags[0], robot, args.frame_rate, host, port, not args.headless)


def _write(bag: Path, robot: str, frame_rate: float, out: Path) -> int:
    from l2a_ros.views.live_rerun import RerunSink

    if out.suffix != SUFFIX:
        raise UserError(f"out must be a {SUFFIX} file, not {out}")
    try:
        out.touch()
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}") from None
    _draw(bag, robot, frame_rate, RerunSink(bag.name, file=out))
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB", flush=True)
    return 0


def _serve(bag: Path, robot: str, frame_rate: float, host: str, port: int, opens: bool) -> int:
    from l2a_ros.bringup.view_server import ViewServer
    from l2a_ros.views.live_rerun import RerunSink

    # The server's end is tidy only if this one's is.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with ViewServer(host, port, MEMORY) as server:
        opened = opens and server.open_browser()
        print(f"{server.url}{' (opened in the browser)' if opened else ''}", flush=True)
        _draw(bag, robot, frame_rate, RerunSink(bag.name, server.data_url))
        print("all of it is there; Ctrl-C ends the server", flush=True)
        while server.is_alive():
            time.sleep(POLL)
    print("l2a: error: rerun's server has ended", file=sys.stderr)
    return 1


def _draw(bag: Path, robot: str, frame_rate: float, sink: RerunSink) -> None:
    """Draw a recording, with a progress bar of its seconds."""
    from tqdm import tqdm

    from l2a_ros.views.live_recording import pictures_of
    from l2a_ros.views.live_rerun import LiveView
    from l2a_ros.views.live_scene import LiveScene

    scene = LiveScene(frame_rate)
    view = LiveView(scene, sink)
    warnings: list[str] = []
    with tqdm(desc="reading", unit=" s", leave=False, file=sys.stderr, disable=None,
              bar_format="{desc}: {n:.0f}{unit}") as bar:
        for picture in pictures_of(bag, robot, scene, warnings.append):
            view.show(picture)
            bar.update(max(0.0, picture.seconds - bar.n))
    view.close()
    for warning in warnings:
        print(f"l2a: warning: {warning}", file=sys.stderr)
