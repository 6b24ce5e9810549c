# SPDX-License-Identifier: Apache-2.0
"""The lines on the ground of a live view: path, executed track, plans."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2a_ros.trials.room import Room
from l2a_ros.views.area import outline
from l2a_ros.views.colours import error_colours
from l2a_ros.views.live_drawings import Balls, Colour, Drawing, Lines
from l2a_ros.views.track import ExecutedTrack

GROUND = "world/ground"
TRACK, TRACK_END, PATH = f"{GROUND}/track", f"{GROUND}/track_end", f"{GROUND}/reference_path"
#: Plans by what their markers are called (``mpc`` names them).
PLANS = {"candidates": f"{GROUND}/candidates", "plan": f"{GROUND}/plan",
         "plan of the trained model": f"{GROUND}/plan_of_the_trained_model"}
#: Height of ``base_link`` above the ground when the robot stands on its feet, m.
STANDING_HEIGHT = 0.0245
#: The error that the end of the track's colour scale stands for, m.
WORST = 0.05
#: Plans are taken away when no more come, s.
LIFETIME = 2.0
#: So many points of the track are drawn one by one before all of it is drawn again.
_PIECE = 25
_PATH_COLOUR: Colour = (0.80, 0.82, 0.86, 1.0)
_PREVIEW_COLOUR: Colour = (0.85, 0.65, 0.95, 1.0)
_ROOM_COLOUR: Colour = (0.9, 0.35, 0.3, 1.0)
_PLAN_COLOUR: Colour = (0.1, 0.4, 1.0, 1.0)
#: Radii in points of the screen, and heights in m so that none hides another one for good.
_RADII = {PATH: 1.5, TRACK: 2.5, PLANS["candidates"]: 0.6, PLANS["plan"]: 2.5,
          PLANS["plan of the trained model"]: 1.5}
_PATH_HEIGHT, _TRACK_HEIGHT, _PLAN_HEIGHT = 0.001, 0.003, 0.005


class TrackLines:
    """Draws a track that grows without drawing all of it each time."""

    def __init__(self) -> None:
        self._generation, self._drawn = -1, 0

    def grown(self, track: ExecutedTrack) -> list[Drawing]:
        """Return what is new: the end since the last time that all was drawn, or all of it."""
        points, errors = _lifted(track.points, _TRACK_HEIGHT), track.errors
        is_new = track.generation != self._generation or len(points) < self._drawn
        if not is_new and len(points) - self._drawn < _PIECE:
            first = max(self._drawn - 1, 0)
            return [_coloured(TRACK_END, points[first:], errors[first:])]
        self._generation, self._drawn = track.generation, len(points)
        return [_coloured(TRACK, points, errors), nothing(TRACK_END)]


def reference(points: np.ndarray) -> list[Drawing]:
    """Return the path to follow, ``(n, 2)`` m, with a ball at its end, in place of one drawn by hand."""
    lifted = _lifted(points, _PATH_HEIGHT)
    return [Lines(PATH, [lifted], _PATH_COLOUR, _RADII[PATH]),
            Balls(f"{PATH}/end", lifted[-1:], 0.012, _PATH_COLOUR), nothing(f"{GROUND}/path_preview")]


def preview(points: np.ndarray) -> list[Drawing]:
    """Return a path that is being drawn by hand, ``(n, 2)`` m."""
    lifted = _lifted(points, _PATH_HEIGHT)
    return [Lines(f"{GROUND}/path_preview", [lifted] if len(points) > 1 else [], _PREVIEW_COLOUR, _RADII[PATH])]


def room(walls: Room) -> Lines:
    """Return the walls of a room."""
    return Lines(f"{GROUND}/room", [_lifted(outline(walls), _PATH_HEIGHT)], _ROOM_COLOUR, _RADII[PATH])


def plan(points: np.ndarray) -> Lines:
    """Return the chosen plan, ``(h, 2)`` m."""
    place = PLANS["plan"]
    return Lines(place, [_lifted(points, _PLAN_HEIGHT)] if len(points) > 1 else [], _PLAN_COLOUR, _RADII[place])


def from_marker(marker: Any) -> Lines | None:
    """Return the lines of a marker of a plan; None for another one.

    Args:
        marker: a visualization_msgs/Marker, LINE_STRIP or LINE_LIST, with the colours of its ends if it has such.
    """
    place = PLANS.get(marker.ns)
    if place is None:
        return None
    points = _lifted(np.array([[each.x, each.y] for each in marker.points]).reshape(-1, 2), _PLAN_HEIGHT)
    if len(marker.colors) != len(points):
        return Lines(place, [points], _colour(marker.color), _RADII[place])
    # A list of pieces: what hangs together and has one colour is one line.
    begins = [0, *(i for i in range(2, len(points) - 1, 2)
                   if not np.array_equal(points[i], points[i - 1]) or marker.colors[i] != marker.colors[i - 2])]
    strips = [np.concatenate([points[i:j:2], points[j - 1:j]])
              for i, j in zip(begins, [*begins[1:], len(points)], strict=True)]
    return Lines(place, strips, np.array([_colour(marker.colors[i]) for i in begins]), _RADII[place])


def nothing(place: str) -> Lines:
    """Return what takes the lines at a place away."""
    return Lines(place, [], _PATH_COLOUR, 0.0)


def _coloured(place: str, points: np.ndarray, errors: np.ndarray) -> Lines:
    """Return a track, each piece with the colour of the mean error of its ends."""
    pieces = list(np.stack([points[:-1], points[1:]], axis=1)) if len(points) > 1 else []
    colours = error_colours(0.5 * (errors[:-1] + errors[1:]), WORST) if pieces else np.zeros((0, 3))
    return Lines(place, pieces, np.column_stack([colours, np.ones(len(colours))]), _RADII[TRACK])


def _lifted(points: np.ndarray, height: float) -> np.ndarray:
    return np.column_stack([np.asarray(points, dtype=np.float64).reshape(-1, 2), np.full(len(points), height)])


def _colour(rgba: Any) -> Colour:
    return float(rgba.r), float(rgba.g), float(rgba.b), float(rgba.a)
