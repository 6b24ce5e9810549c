# SPDX-License-Identifier: Apache-2.0
"""The pictures of an experiment, into ``figures/``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from l2a_ros.experiments.outcome_picture import draw_onsets, draw_outcomes, has_onsets
from l2a_ros.experiments.results import Results, load_results
from l2a_ros.experiments.track_picture import draw_laterals, draw_tracks, read_tracks
from l2a_ros.trials.report import write_file

FOLDER = "figures"


@dataclass(frozen=True)
class Picture:
    """A picture of an experiment.

    Args:
        name: of its file, without ending.
        title: one line.
        caption: what is to be seen.
        png: its bytes.
    """

    name: str
    title: str
    caption: str
    png: bytes


def write_figures(out: Path) -> list[Path]:
    """Draw all pictures of an experiment and write them into ``figures/``; return their paths.

    Raises:
        UserError: if there is no experiment, or its folder cannot be written.
    """
    return save_pictures(out, draw_pictures(load_results(out)))


def save_pictures(out: Path, pictures: list[Picture]) -> list[Path]:
    """Write pictures into ``figures/``; return their paths."""
    files = []
    for picture in pictures:
        files.append(out / FOLDER / f"{picture.name}.png")
        write_file(files[-1], picture.png)
    return files


def draw_pictures(results: Results) -> list[Picture]:
    """Return the pictures of an experiment; none without trials."""
    if not results.found.trials:
        return []
    tracks = read_tracks(results)
    pictures = [
        Picture("outcomes", "What the trials came to",
                "Means over the trials with their 95 % intervals (of the share completed: Wilson's; else Student's t), "
                "and every single trial as a dot; trials far beyond the others as an arrow at the edge, with their "
                "values.", draw_outcomes(results)),
        Picture("tracks", "Tracks",
                "Every trial as a thin line where the estimator saw the robot, in the frame of the path (metres, from "
                "its start, straight ahead to the right). The thick line is the mean of the trials at equal progress, "
                "as far as at least half of them got; the band is one standard deviation across it to each side.",
                draw_tracks(results, tracks)),
        Picture("lateral_error", "Lateral error along the path",
                "The distance from the path, positive on its left, over the progress along it: every trial as a thin "
                "line, their mean as a thick one, as far as at least half of them got, with one standard deviation to "
                "each side.", draw_laterals(results, tracks)),
    ]
    if has_onsets(results):
        pictures.append(Picture(
            "onsets", "The cost around the moment when a fault strikes",
            "Means over the trials of their mean cost within half a second, with 95 % intervals (bands). Trials that "
            "were over by then are not in it.", draw_onsets(results, tracks)))
    return pictures
