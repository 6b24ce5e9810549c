# SPDX-License-Identifier: Apache-2.0
"""`l2a render`: the film of a run that was started with video, once more or in another size."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2a_ros.bringup.arguments import FRAMES
from l2a_ros.errors import UserError

if TYPE_CHECKING:
    import numpy as np

#: With --wait: longest time between the end of the run and the file of its pictures, s.
LONGEST_WRITE = 5.0
POLL = 0.1
_SMALLEST, _LARGEST = 64, 4096


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("render", help="make the film of a run that was started with video",
                                   description=__doc__)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="Folder of the report.")
    parser.add_argument("--size", default="960x540", metavar="WIDTHxHEIGHT",
                        help="Size of the pictures, pixels. Default: 960x540.")
    parser.add_argument("--wait", action="store_true",
                        help="Render when told by SIGINT that the run is over (what launch does).")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render; a Ctrl-C ends the film early."""
    size = read_size(args.size)
    frames: Path = args.run_folder.expanduser().absolute() / FRAMES
    if args.wait and not _wait_for_end(frames):
        return 1
    make_film(frames, size)
    return 0


def read_size(text: str) -> tuple[int, int]:
    """Return width and height, pixels.

    Raises:
        UserError: if they will not do.
    """
    width, _, height = text.lower().partition("x")
    try:
        size = int(width), int(height)
    except ValueError:
        size = 0, 0
    if not all(_SMALLEST <= side <= _LARGEST and side % 2 == 0 for side in size):
        raise UserError(f"size must be WIDTHxHEIGHT, both even and from {_SMALLEST} to {_LARGEST}, not '{text}'")
    return size


def forget_film(frames: Path) -> None:
    """Remove what an earlier run left in the folder: it would be taken for this one's film.

    Raises:
        UserError: if that is not allowed.
    """
    from l2a_ros.simulation.video import FILM, STILL

    for file in (frames, frames.with_name(FILM), frames.with_name(STILL)):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{file} cannot be replaced: {error.strerror}; name another folder with out") from None


def make_film(frames: Path, size: tuple[int, int] | None = None) -> None:
    """Render the film and the still of its end beside the file of recorded pictures, with a progress bar.

    Raises:
        UserError: if there is nothing to render, or it cannot be.
    """
    if not frames.exists():
        raise UserError(f"no film: {frames} does not exist; it is written at the end of a run with video, if the "
                        f"robot was given a path")
    from tqdm import tqdm

    from l2a_ros.simulation.frames import MOST_FRAMES, load_frames
    from l2a_ros.simulation.video import FILM, SIZE, STILL, FilmRenderer, write_film, write_still

    size = size or SIZE
    recorded = load_frames(frames)
    if len(recorded) == MOST_FRAMES:
        print("the film shows the first ten minutes", flush=True)
    film, still = frames.with_name(FILM), frames.with_name(STILL)
    with FilmRenderer(recorded, size) as renderer:
        write_still(still, renderer.picture(len(recorded) - 1))

        def pictures() -> Iterator[np.ndarray]:
            for i in tqdm(range(len(recorded)), desc="film", unit="picture", leave=False, file=sys.stderr,
                          disable=None):
                yield renderer.picture(i)

        count = write_film(film, pictures(), size)
    shortened = f", cut short: {count} of {len(recorded)} pictures" if count < len(recorded) else ""
    print(f"  {'film':<17} {film}{shortened}\n  {'its end':<17} {still}", flush=True)


def film_of_run(frames: Path, status: int) -> int:
    """Render the film of a run that has just ended with this status; return the status of both.

    A film that cannot be made is one line, and the run's own failure matters more.
    """
    # Who ended it with another signal than Ctrl-C does not want to wait.
    if status in (128 + signal.SIGTERM, 128 + signal.SIGHUP):
        if frames.exists():
            print(f"no film yet: l2a render {frames.parent} makes it", file=sys.stderr, flush=True)
        return status
    if status and not frames.exists():
        return status  # it has been said why there was no run
    try:
        make_film(frames)
    except UserError as error:
        if not status:
            raise
        print(f"l2a: error: {error}", file=sys.stderr, flush=True)
    return status


def _wait_for_end(frames: Path) -> bool:
    """Wait for SIGINT and then for the recorded pictures; return whether it came before the parent was gone."""
    told: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: told.append(number))
    forget_film(frames)
    parent = os.getppid()
    while not told and os.getppid() == parent:
        time.sleep(POLL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end = time.monotonic() + LONGEST_WRITE
    while told and not frames.exists() and time.monotonic() < end:
        time.sleep(POLL)
    return bool(told)
