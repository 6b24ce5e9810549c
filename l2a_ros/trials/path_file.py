# SPDX-License-Identifier: Apache-2.0
"""Path files: what is written in YAML, as way-points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from l2a_ros.errors import UserError, unknown_name
from l2a_ros.planning.line_path import SHORTEST_SEGMENT
from l2a_ros.trials.path_kinds import TOLERANCE, circle, u_turn
from l2a_ros.trials.recorded_track import SPACING, load_track, way_points

#: Where way-points are: seen from the robot's pose at the start, or in the room.
ROBOT, MAP = "robot", "map"
#: Keys of each kind besides those that all have. What is not named here is refused: it may be a slip of the pen.
_KEYS = {"polyline": ("points",), "circle": ("radius", "turns", "direction", "tolerance"),
         "u_turn": ("leg", "radius", "direction", "tolerance"), "track": ("track", "spacing", "topic")}
_COMMON = ("kind", "description", "frame", "start")


def read_path_file(file: Path) -> tuple[np.ndarray, str]:
    """Read a path file.

    Returns:
        Way-points ``(n, 2)``, m, and where they are: ``ROBOT`` or ``MAP``.

    Raises:
        UserError: if it cannot be read or is no path.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"path file {file} cannot be read: {' '.join(str(error).split())}") from None
    try:
        if not isinstance(content, dict):
            raise UserError("needs a list 'points' of [x, y] in metres, or a 'kind', or a 'track'")
        return _Content({str(key): value for key, value in content.items()}, file.parent).path()
    except UserError as error:
        raise UserError(f"path file {file}: {error}") from None


class _Content:
    """The keys of a path file, each checked when it is read."""

    def __init__(self, values: Mapping[str, Any], folder: Path) -> None:
        self._values, self._folder = values, folder

    def path(self) -> tuple[np.ndarray, str]:
        kind = self._kind()
        for key in self._values:
            if key not in (*_COMMON, *_KEYS[kind]):
                raise unknown_name(f"key of a {kind}", key, [*_COMMON, *_KEYS[kind]])
        frame = self._word("frame", ROBOT, (ROBOT, MAP))
        start = self._start(frame, kind)
        if kind == "track":
            points = self._track(frame)
        else:
            points = {"polyline": self._polyline, "circle": self._circle, "u_turn": self._u_turn}[kind]()
        if start is not None:
            x, y, yaw = start
            cos, sin = math.cos(yaw), math.sin(yaw)
            points = points @ np.array([[cos, sin], [-sin, cos]]) + [x, y]
        return points, frame

    def _kind(self) -> str:
        if "kind" in self._values:
            return self._word("kind", "", tuple(_KEYS))
        if "track" in self._values:
            return "track"
        if "points" in self._values:
            return "polyline"
        raise UserError(f"needs a list 'points' of [x, y] in metres, or a 'track', or a 'kind': {', '.join(_KEYS)}")

    def _polyline(self) -> np.ndarray:
        try:
            points = np.array(self._values.get("points"), dtype=np.float64)
        except (TypeError, ValueError):
            points = np.empty(0)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2 or not np.all(np.isfinite(points)):
            raise UserError("needs at least two points [x, y], all finite numbers in metres")
        lengths = np.hypot(*np.diff(points, axis=0).T)
        if np.any(lengths < SHORTEST_SEGMENT):
            repeated = int(np.argmin(lengths))
            raise UserError(f"repeats a point: points {repeated} and {repeated + 1}, counted from 0, are the same")
        return points

    def _circle(self) -> np.ndarray:
        radius = self._number("radius", None, 0.05, 100.0, "m")
        return circle(radius, self._number("turns", 1.0, 0.01, 100.0, "times round"), self._is_left(),
                      self._number("tolerance", TOLERANCE, 0.001, 1.0, "m"))

    def _u_turn(self) -> np.ndarray:
        leg, radius = self._number("leg", None, 0.05, 100.0, "m"), self._number("radius", None, 0.05, 100.0, "m")
        return u_turn(leg, radius, self._is_left(), self._number("tolerance", TOLERANCE, 0.001, 1.0, "m"))

    def _track(self, frame: str) -> np.ndarray:
        source, topic = self._values["track"], self._values.get("topic", "")
        if not isinstance(source, str) or not source or not isinstance(topic, str):
            raise UserError("track must name a trial.csv or a recording, and topic a topic of it")
        track, yaw = load_track(self._folder / Path(source).expanduser(), topic)
        points = way_points(track, self._number("spacing", SPACING, 0.02, 10.0, "m"))
        if frame == MAP:
            return points
        cos, sin = math.cos(yaw), math.sin(yaw)
        seen: np.ndarray = (points - track[0]) @ np.array([[cos, -sin], [sin, cos]])
        return seen

    def _start(self, frame: str, kind: str) -> tuple[float, float, float] | None:
        """Return x, y and yaw of the place in the room that a shape is put to."""
        if "start" not in self._values:
            return None
        if frame != MAP or kind == "track":
            raise UserError(f"start is for shapes in the room: add 'frame: {MAP}'" if kind != "track"
                            else "start means nothing to a track")
        start = self._values["start"]
        if not isinstance(start, list) or len(start) != 3:
            raise UserError("start must be [x, y, yaw] in m and rad")
        x, y, yaw = (_finite("start", value, "m, m and rad") for value in start)
        return x, y, yaw

    def _is_left(self) -> bool:
        return self._word("direction", "left", ("left", "right")) == "left"

    def _word(self, name: str, default: str, known: tuple[str, ...]) -> str:
        word = self._values.get(name, default)
        if word not in known:
            raise unknown_name(name, str(word), list(known))
        return str(word)

    def _number(self, name: str, default: float | None, low: float, high: float, unit: str) -> float:
        if default is None and name not in self._values:
            raise UserError(f"needs {name} ({low:g} to {high:g} {unit})")
        number = _finite(name, self._values.get(name, default), unit)
        if not low <= number <= high:
            raise UserError(f"{name} must be {low:g} to {high:g} {unit}, not {number:g}")
        return number


def _finite(name: str, value: object, unit: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{name} must be a finite number in {unit}, not '{value}'")
    return float(value)
