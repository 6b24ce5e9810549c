# SPDX-License-Identifier: Apache-2.0
"""A track that a robot has walked, or that was carried through the room, as a path to follow."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.robot.layout import STATE

#: Where a trial wrote its rows, in its folder.
TRIAL = "trial.csv"
#: Distance of the way-points along the track, m, unless a path file says otherwise.
SPACING = 0.2
#: Points nearer to the last one are left out before the track is smoothed, as a part of the spacing.
_NEAR = 0.1
#: A track shorter than so many spacings is no path.
_SHORTEST = 2.0
_ELEMENTS = ("position_x", "position_y", "yaw_cos", "yaw_sin")
_POSE = "geometry_msgs/msg/PoseStamped"


def load_track(file: Path, topic: str = "") -> tuple[np.ndarray, float]:
    """Read a track.

    Args:
        file: ``trial.csv`` of a trial, a folder with one, or a recording with ``robot_state`` or ``mocap/pose``.
        topic: of the recording: which one; empty for that of the only robot, the state before the pose.

    Returns:
        Positions ``(n, 2)`` in ``map``, m, and the yaw at the first of them, rad.

    Raises:
        UserError: if there is no track in it.
    """
    table = file / TRIAL if (file / TRIAL).is_file() and not topic else file
    poses = _from_table(table) if table.suffix == ".csv" else _from_recording(file, topic)
    poses = poses[np.all(np.isfinite(poses), axis=1)]
    if len(poses) < 2:
        raise UserError(f"{file} holds no track: it has {len(poses)} positions")
    return poses[:, :2], float(poses[0, 2])


def way_points(track: np.ndarray, spacing: float = SPACING) -> np.ndarray:
    """Return way-points along a track, smooth enough to follow.

    Noise, and what a robot that stands or sways adds to the way, are taken out by a weighted mean over one spacing to
    either side. The first point and the last stay where they are.

    Args:
        track: positions ``(n, 2)``, m, in order.
        spacing: of the way-points along the track, about, m.

    Raises:
        UserError: if it is too short.
    """
    step = _NEAR * spacing
    kept = [track[0]]
    for point in track[1:]:
        if math.dist(point, kept[-1]) >= step:
            kept.append(point)
    if math.dist(track[-1], kept[-1]) > 0.0:
        kept.append(track[-1])
    rough = np.array(kept)
    length = _arc_length(rough)[-1]
    if length < _SHORTEST * spacing:
        raise UserError(f"the track is {length:.2f} m long, too short for way-points {spacing:g} m apart")
    fine = _resample(rough, math.ceil(length / step) + 1)
    reach = round(spacing / step)
    # Mirrored in its ends, so that these keep their place.
    before, after = 2.0 * fine[0] - fine[reach:0:-1], 2.0 * fine[-1] - fine[-2:-reach - 2:-1]
    weights = np.hanning(2 * reach + 3)[1:-1]
    longer = np.concatenate([before, fine, after])
    smooth = np.stack([np.convolve(axis, weights / weights.sum(), mode="valid") for axis in longer.T], axis=1)
    return _resample(smooth, max(2, round(float(_arc_length(smooth)[-1]) / spacing)) + 1)


def _arc_length(points: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])


def _resample(points: np.ndarray, count: int) -> np.ndarray:
    """Return so many points, evenly spread along a line of points."""
    along = _arc_length(points)
    places = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(places, along, axis) for axis in points.T], axis=1)


def _from_table(file: Path) -> np.ndarray:
    """Return x, y and yaw ``(n, 3)`` of the rows of a trial."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        values = np.array([[float(row[name] or "nan") for name in _ELEMENTS] for row in rows]).reshape(-1, 4)
    except OSError as error:
        raise UserError(f"the track {file} cannot be read: {error.strerror}") from None
    except (KeyError, ValueError, TypeError, csv.Error, UnicodeDecodeError):
        raise UserError(f"the track {file} is no {TRIAL} of a trial: it needs numbers in "
                        f"{', '.join(_ELEMENTS)}") from None
    return np.column_stack([values[:, :2], np.arctan2(values[:, 3], values[:, 2])])


def _from_recording(bag: Path, topic: str) -> np.ndarray:
    """Return x, y and yaw ``(n, 3)`` of a recording."""
    # The libraries that read recordings take a while to import, which other paths need not wait for.
    from l2a_ros.experience.bag_reader import find_bags, read_bag, recorded_topics
    from l2a_ros.experience.streams import NAMED_VECTOR, STATES

    bags = find_bags(bag)
    if len(bags) > 1:
        raise UserError(f"{bag} holds {len(bags)} recordings; name one of them")
    topics = {each.name: each.type for each in recorded_topics(bags[0]) if each.count}
    if not topic:
        ends = (f"/{STATES}", "/mocap/pose")
        states, poses = ([name for name, kind in topics.items() if kind == wanted and name.endswith(end)]
                         for wanted, end in zip((NAMED_VECTOR, _POSE), ends, strict=True))
        found = states or poses
        if not found:
            raise UserError(f"{bag} has nothing on robot_state or mocap/pose; name the topic of a pose with 'topic'")
        if len(found) > 1:
            raise UserError(f"{bag} holds the tracks of several robots; name one with 'topic': {', '.join(found)}")
        topic = found[0]
    kind = topics.get(topic)
    if kind not in (_POSE, NAMED_VECTOR):
        raise UserError(f"{bag} has {kind or 'nothing'} on {topic}, not a robot_state or poses ({_POSE})")
    track: dict[int, tuple[float, float, float]] = {}
    for message in read_bag(bags[0], (topic,)):
        if message.topic == topic:
            stamp = message.stamp or message.log_time
            track.setdefault(stamp, _of_state(message.message, str(bag)) if kind == NAMED_VECTOR
                             else _of_pose(message.message.pose))
    return np.array([track[stamp] for stamp in sorted(track)]).reshape(-1, 3)


def _of_state(message: Any, source: str) -> tuple[float, float, float]:
    STATE.check_names(list(message.name), source)
    x, y, cosine, sine = (float(message.position[STATE.index(name)]) for name in _ELEMENTS)
    return x, y, math.atan2(sine, cosine)


def _of_pose(pose: Any) -> tuple[float, float, float]:
    turn = pose.orientation
    yaw = math.atan2(2.0 * (turn.w * turn.z + turn.x * turn.y), 1.0 - 2.0 * (turn.y * turn.y + turn.z * turn.z))
    return float(pose.position.x), float(pose.position.y), yaw
