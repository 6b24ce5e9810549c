# SPDX-License-Identifier: Apache-2.0
"""Executed tracks seen from where their path begins, so that trials lie over each other; and their mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.experiments.trial_files import TrialResult, read_rows
from l2a_ros.trials.paths import load_path

#: Between points of the mean track, m of progress.
STEP = 0.02
#: The mean track ends where fewer than this share of the trials got.
LEAST_SHARE = 0.5


@dataclass(frozen=True)
class Track:
    """The rows of a trial; every array has shape ``(rows,)`` but for the positions.

    Args:
        positions: shape ``(rows, 2)``, m, in the frame of the path's way-points: x forward from the start, y left.
        elapsed: s.
        progress: arc length along the path, m.
        lateral: distance to the path, m, left positive.
        cost: of the step that ended in a row; NaN in the first.
    """

    positions: np.ndarray
    elapsed: np.ndarray
    progress: np.ndarray
    lateral: np.ndarray
    cost: np.ndarray

    def at(self, moment: float) -> np.ndarray:
        """Return the position ``(2,)`` at a time, s."""
        return np.array([np.interp(moment, self.elapsed, self.positions[:, i]) for i in range(2)])


@dataclass(frozen=True)
class MeanTrack:
    """The mean of tracks at equal progress.

    Args:
        positions: shape ``(n, 2)``, m.
        spread: standard deviation of the tracks across the mean track, shape ``(n,)``, m.
        progress: at which it was taken, shape ``(n,)``, m.
        lateral: mean of the lateral errors, shape ``(n,)``, m.
        lateral_spread: their standard deviation, shape ``(n,)``, m.
        count: how many tracks got that far, shape ``(n,)``.
    """

    positions: np.ndarray
    spread: np.ndarray
    progress: np.ndarray
    lateral: np.ndarray
    lateral_spread: np.ndarray
    count: np.ndarray


def read_track(trial: TrialResult) -> Track:
    """Read the track of a trial.

    Where the path lay in the room is found from what the rows say of it: its heading is the robot's minus the heading
    error, its points are beside the robot by the lateral error.

    Raises:
        ValueError: if ``trial.csv`` is damaged.
        OSError: if it cannot be read.
    """
    rows = read_rows(trial.csv)
    positions = np.stack([rows["position_x"], rows["position_y"]], axis=1)
    points = reference_points(trial)
    seen = np.isfinite(positions).all(axis=1) & np.isfinite(rows["heading_error_rad"])
    if points is not None and seen.any():
        positions = _to_path(positions, rows, seen, points)
    return Track(positions, rows["elapsed_s"], rows["progress_m"], rows["lateral_error_m"], rows["cost"])


def reference_points(trial: TrialResult) -> np.ndarray | None:
    """Return the way-points of a trial's path, shape ``(n, 2)``, m; None if its file is not there any more."""
    try:
        return load_path(str(trial.report["path"]))
    except (UserError, KeyError):
        return None


def _to_path(positions: np.ndarray, rows: dict[str, np.ndarray], seen: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Move positions ``(rows, 2)`` from the room to the frame of the way-points ``(n, 2)``."""
    along = np.diff(points, axis=0)
    lengths = np.hypot(along[:, 0], along[:, 1])
    ends = np.cumsum(lengths)
    segment = np.clip(np.nan_to_num(rows["segment"]).astype(np.int64), 0, len(lengths) - 1)
    headings = np.arctan2(along[:, 1], along[:, 0])[segment]
    yaw = np.arctan2(rows["yaw_sin"], rows["yaw_cos"])
    turned = (yaw - rows["heading_error_rad"] - headings)[seen]
    turn = math.atan2(float(np.sin(turned).mean()), float(np.cos(turned).mean()))
    cos, sin = math.cos(turn), math.sin(turn)
    level = positions @ np.array([[cos, -sin], [sin, cos]])
    # Only beside a segment is the lateral error a perpendicular one; at the ends and outside of corners it is not.
    within = rows["progress_m"] - (ends - lengths)[segment]
    beside = seen & (within > 1e-6) & (within < lengths[segment] - 1e-6)
    if not beside.any():
        moved: np.ndarray = level - level[np.argmax(seen)] + points[0]
        return moved
    unit = (along / lengths[:, np.newaxis])[segment]
    normal = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    expected = points[segment] + within[:, np.newaxis] * unit + rows["lateral_error_m"][:, np.newaxis] * normal
    moved = level + (expected - level)[beside].mean(axis=0)
    return moved


def mean_track(tracks: Sequence[Track]) -> MeanTrack | None:
    """Return the mean of tracks where at least half of them, and at least two, got.

    Each track is taken at the first moment it reached a progress, so that turning back does not count twice.
    """
    sampled = [_by_progress(track) for track in tracks]
    reached = [float(progress[-1]) for progress, _ in sampled if len(progress) > 1]
    enough = max(2, math.ceil(LEAST_SHARE * len(tracks)))
    if len(reached) < enough:
        return None
    end = sorted(reached, reverse=True)[enough - 1]
    grid = np.append(np.arange(0.0, end - STEP / 2, STEP), end)
    values = np.full((len(sampled), len(grid), 3), np.nan)
    for i, (progress, own) in enumerate(sampled):
        if len(progress) < 2:
            continue
        got = grid <= progress[-1] + 1e-12
        for column in range(3):
            values[i, got, column] = np.interp(grid[got], progress, own[:, column])
    count = np.isfinite(values[:, :, 0]).sum(axis=0)
    mean = np.nanmean(values, axis=0)
    across = np.einsum("tgi,gi->tg", values[:, :, :2] - mean[:, :2], normals(mean[:, :2]))
    freedom = np.maximum(count - 1, 1)
    return MeanTrack(
        positions=mean[:, :2], spread=np.sqrt(np.nansum(across**2, axis=0) / freedom), progress=grid,
        lateral=mean[:, 2],
        lateral_spread=np.sqrt(np.nansum((values[:, :, 2] - mean[:, 2])**2, axis=0) / freedom), count=count)


def normals(line: np.ndarray) -> np.ndarray:
    """Return the unit vectors to the left of a line through points ``(n, 2)``, shape ``(n, 2)``."""
    if len(line) < 2:
        return np.tile([0.0, 1.0], (len(line), 1))
    direction = np.gradient(line, axis=0)
    length = np.maximum(np.hypot(direction[:, 0], direction[:, 1]), 1e-12)
    left: np.ndarray = np.stack([-direction[:, 1], direction[:, 0]], axis=1) / length[:, np.newaxis]
    return left


def _by_progress(track: Track) -> tuple[np.ndarray, np.ndarray]:
    """Return progress, increasing, ``(n,)``, with x, y and lateral error ``(n, 3)`` when it was first reached, m."""
    values = np.column_stack([track.positions, track.lateral])
    fine = np.isfinite(track.progress) & np.isfinite(values).all(axis=1)
    progress, values = track.progress[fine], values[fine]
    before = np.concatenate([[-math.inf], np.maximum.accumulate(progress)[:-1]])[:len(progress)]
    new = progress > before
    return progress[new], values[new]
