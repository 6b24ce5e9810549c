# SPDX-License-Identifier: Apache-2.0
"""Path shapes, kept as data in ``config/paths/*.yaml`` or in a file of the user, and where they are laid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from l2a_ros.errors import UserError, unknown_name
from l2a_ros.planning.line_path import LinePath
from l2a_ros.robot.share import share_file, shared_names
from l2a_ros.trials.path_file import MAP, read_path_file

FOLDER = "config/paths"
SUFFIX = ".yaml"
#: Instead of a path: it is drawn by hand.
DRAWN = "drawn"
#: The shapes of the published trials.
PUBLISHED_SHAPES = ("figure8", "left", "right", "straight", "zigzag")
#: A robot that is further from the begin of a path in the room, m, has to walk there first.
AT_BEGIN = 0.1


class Shape(Protocol):
    """What a path is made from once it is known where the robot stands."""

    def laid(self, position: np.ndarray, yaw: float) -> np.ndarray:
        """Return way-points ``(n, 2)`` in ``map``, m, for a robot at a position ``(2,)``, m, with a yaw, rad."""


@dataclass(frozen=True)
class PathShape:
    """A path that is not laid yet.

    Args:
        points: way-points, shape ``(n, 2)``, metres.
        is_in_room: whether they are in ``map``; else they are seen from the robot's start pose, x forward, y left.

    Raises:
        UserError: if they are no path.
    """

    points: np.ndarray
    is_in_room: bool = False

    def __post_init__(self) -> None:
        LinePath(self.points)

    def laid(self, position: np.ndarray, yaw: float) -> np.ndarray:
        """Return the way-points in ``map``, shape ``(n, 2)``, m; see :class:`Shape`.

        One in the room begins with the way to it, if the robot is not there.
        """
        if not self.is_in_room:
            return anchor(self.points, position, yaw)
        here = np.asarray(position, dtype=np.float64)
        if math.dist(here, self.points[0]) <= AT_BEGIN:
            return self.points.copy()
        return np.concatenate([here[np.newaxis], self.points])


def path_names() -> list[str]:
    """List the shapes that can be named, sorted."""
    return shared_names(FOLDER, SUFFIX)


def path_choices() -> list[str]:
    """List what a path may be called: the shapes, and the word for one that is drawn by hand."""
    return [*path_names(), DRAWN]


def load_shape(name_or_file: str | Path) -> PathShape:
    """Return a shape.

    Args:
        name_or_file: one of :func:`path_names`, or a YAML file with the same content (anything with a folder or
            an ending is taken as a file).

    Raises:
        UserError: for an unknown name (listing the known ones) or a file that is not a path.
    """
    text = str(name_or_file)
    if Path(text).suffix or len(Path(text).parts) > 1:
        file = Path(text)
        if not file.is_file():
            raise UserError(f"path file {file} does not exist; known paths: {', '.join(path_names())}")
    else:
        if text not in path_names():
            raise unknown_name("path", text, path_choices())
        file = share_file(*FOLDER.split("/"), text + SUFFIX)
    points, frame = read_path_file(file)
    return PathShape(points, frame == MAP)


def load_path(name_or_file: str | Path) -> np.ndarray:
    """Return the way-points of a shape that begins at the robot, ``(n, 2)``, m from the start pose, x forward, y left.

    Args:
        name_or_file: as of :func:`load_shape`.

    Raises:
        UserError: as of :func:`load_shape`, and for a path that has its place in the room.
    """
    shape = load_shape(name_or_file)
    if shape.is_in_room:
        raise UserError(f"path {name_or_file} has its place in the room; here one is needed that begins at the robot")
    return shape.points


def anchor(points: np.ndarray, position: np.ndarray, yaw: float) -> np.ndarray:
    """Move way-points to a start pose.

    Args:
        points: shape ``(n, 2)``, metres, relative to the start pose.
        position: shape ``(2,)``, start position in ``map``, metres.
        yaw: start heading in ``map``, rad.

    Returns:
        Way-points in ``map``, shape ``(n, 2)``, metres.
    """
    cos, sin = math.cos(yaw), math.sin(yaw)
    turn = np.array([[cos, sin], [-sin, cos]])
    moved: np.ndarray = np.asarray(points, dtype=np.float64) @ turn + np.asarray(position, dtype=np.float64)
    return moved
