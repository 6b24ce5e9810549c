# SPDX-License-Identifier: Apache-2.0
"""The executed track: the trial's own lateral errors, in bounded memory, and nothing of what was before."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from l2a_ros.errors import UserError
from l2a_ros.planning.line_path import LinePath
from l2a_ros.robot.layout import STATE
from l2a_ros.trials.log import TrialLog, TrialSettings
from l2a_ros.trials.paths import load_path, path_names
from l2a_ros.views.track import ExecutedTrack

SECOND = 1_000_000_000
PERIOD = SECOND // 10
LINE = np.array([[0.0, 0.0], [2.0, 0.0]])


def state(x: float, y: float) -> np.ndarray:
    """A state at a place."""
    values = np.zeros(STATE.size)
    values[STATE.indices(["position_x", "position_y", "yaw_cos"])] = x, y, 1.0
    return values


def walked(track: ExecutedTrack, places: np.ndarray, first: int = 100 * SECOND) -> ExecutedTrack:
    """Let it see a walk, a state per period."""
    for i, (x, y) in enumerate(places):
        track.add(first + i * PERIOD, state(x, y))
    return track


def along(length: float, count: int, beside: float = 0.02) -> np.ndarray:
    """Places along x, beside it."""
    return np.stack([np.linspace(0.0, length, count), np.full(count, beside)], axis=-1)


@pytest.mark.parametrize("name", path_names())
def test_errors_are_those_of_the_trial(name: str) -> None:
    shape = load_path(name)
    rng = np.random.default_rng(1)
    places = np.concatenate([np.linspace(a, b, 25, endpoint=False) for a, b in itertools.pairwise(shape)])
    places = places + 0.02 * rng.standard_normal(places.shape)
    track = ExecutedTrack(spacing=1e-9)
    log = TrialLog(LinePath(shape), TrialSettings(name, "mb", "mppi", duration=1e6))
    track.begin(shape, 100 * SECOND)
    expected = []
    for i, (x, y) in enumerate(places):
        row = log.add_state((100 * SECOND) + i * PERIOD, state(x, y))
        track.add((100 * SECOND) + i * PERIOD, state(x, y))
        if row is None:  # the trial is over
            break
        expected.append(row.lateral_error)
        assert track.projection is not None
        assert float(track.projection.arc_length[0]) == row.progress
    np.testing.assert_array_equal(track.errors[:len(expected)], expected)


def test_only_what_is_a_step_away_is_kept_and_the_newest_place_always() -> None:
    track = ExecutedTrack(spacing=0.05)
    track.begin(LINE, 0)
    walked(track, along(1.0, 101))
    assert len(track.points) == pytest.approx(21, abs=3)
    np.testing.assert_allclose(track.points[-1], [1.0, 0.02])
    np.testing.assert_allclose(track.errors, 0.02)
    assert len(track.points) == len(track.errors)
    for i in range(1000):  # it stands
        track.add(200 * SECOND + i * PERIOD, state(1.0, 0.02))
    assert len(track.points) < 25


def test_memory_is_bounded_and_the_whole_way_is_still_there() -> None:
    track = ExecutedTrack(longest=64, spacing=0.001)
    track.begin(np.array([[0.0, 0.0], [100.0, 0.0]]), 0)
    most = 0
    for i in range(5000):
        track.add(100 * SECOND + i * PERIOD, state(0.02 * i, 0.01))
        most = max(most, len(track.points))
    assert most <= 65
    assert len(track.points) > 16
    assert track.points[0, 0] == 0.0
    assert track.points[-1, 0] == pytest.approx(0.02 * 4999)
    steps = np.diff(track.points[:-1, 0])
    assert steps.max() < 4.0 * steps.min(), "evenly thinned"


def test_a_new_path_takes_the_old_track_away_and_the_same_one_does_not() -> None:
    track = ExecutedTrack()
    track.begin(LINE, 90 * SECOND)
    walked(track, along(0.5, 11))
    generation = track.generation
    track.begin(LINE, 90 * SECOND)
    assert track.generation == generation
    assert len(track.points) > 5
    track.begin(np.empty((0, 2)), 102 * SECOND)  # the trial is over
    assert track.generation == generation
    assert len(track.points) > 5
    assert math.isnan(track.length)
    track.add(103 * SECOND, state(0.6, 0.0))
    assert track.points[-1, 0] == pytest.approx(0.5), "nothing is followed"
    track.begin(LINE, 104 * SECOND)
    assert track.generation > generation
    assert len(track.points) == 0
    assert track.projection is None


def test_a_path_is_followed_from_its_stamp_on() -> None:
    track = ExecutedTrack()
    track.begin(LINE, 101 * SECOND)
    walked(track, along(0.5, 11), first=100 * SECOND)
    np.testing.assert_allclose(track.points, [[0.5, 0.02]])


def test_who_comes_late_begins_on_the_nearest_segment() -> None:
    corner = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    track = ExecutedTrack()
    track.begin(corner, 50 * SECOND)
    track.add(100 * SECOND, state(0.5, 0.97))
    assert track.projection is not None
    assert int(track.projection.segment[0]) == 2
    np.testing.assert_allclose(track.errors, 0.03)


def test_a_reset_of_the_robot_and_of_time_begin_a_new_track() -> None:
    track = ExecutedTrack()
    track.begin(LINE, 100 * SECOND)
    walked(track, along(1.0, 31))
    generation = track.generation
    track.add(103 * SECOND + PERIOD, state(0.0, 0.0))  # put back to its start
    assert track.generation == generation + 1
    np.testing.assert_allclose(track.points, [[0.0, 0.0]])
    walked(track, along(0.5, 11), first=104 * SECOND)
    track.add(100 * SECOND, state(0.5, 0.0))  # a bag that loops
    assert track.generation == generation + 2
    assert len(track.points) == 1


def test_what_repeats_or_is_not_finite_changes_nothing() -> None:
    track = ExecutedTrack()
    track.begin(LINE, 0)
    walked(track, along(0.2, 5))
    points = track.points
    track.add(100 * SECOND, state(0.9, 0.0))
    track.add(101 * SECOND, state(math.nan, 0.0))
    np.testing.assert_array_equal(track.points, points)


def test_what_is_no_path_and_what_is_no_track_are_refused() -> None:
    with pytest.raises(UserError, match="at least two points"):
        ExecutedTrack().begin(np.zeros((1, 2)), 0)
    with pytest.raises(UserError, match="at least 8 points"):
        ExecutedTrack(longest=7)
    with pytest.raises(UserError, match="spacing"):
        ExecutedTrack(spacing=0.0)
