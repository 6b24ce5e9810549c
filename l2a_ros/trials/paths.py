# SPDX-License-Identifier: Apache-2.0
"""Path shapes: way-points relative to the start pose, kept as data in ``config/paths/*.yaml``."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import yaml

from l2a_ros.errors import UserError, unknown_name
from l2a_ros.robot.share import share_file, shared_names

FOLDER = "config/paths"
SUFFIX = ".yaml"


def path_names() -> list[str]:
    """List the shapes that can be named, sorted."""
    return shared_names(FOLDER, SUFFIX)


def load_path(name_or_file: str | Path) -> np.ndarray:
    """Return the way-points of a shape, shape ``(n, 2)``, metres from the start pose, x forward, y left.

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
            raise unknown_name("path", text, path_names())
        file = share_file(*FOLDER.split("/"), text + SUFFIX)
    return _read(file)


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


def _read(file: Path) -> np.ndarray:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"path file {file} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or "points" not in content:
        raise UserError(f"path file {file} needs a list 'points' of [x, y] in metres")
    try:
        points = np.array(content["points"], dtype=np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2 or not np.all(np.isfinite(points)):
        raise UserError(f"path file {file} needs at least two points [x, y], all finite numbers in metres")
    if not np.all(np.any(np.diff(points, axis=0), axis=1)):
        raise UserError(f"path file {file} repeats a point: neighbouring points must differ")
    return points
