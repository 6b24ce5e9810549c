# SPDX-License-Identifier: Apache-2.0
"""Projection, progress and segment switching: properties on random paths, and the corners where it can go wrong."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.planning.line_path import LinePath
from l2a_ros.trials.paths import anchor, load_path, path_names

coordinate = st.floats(-3.0, 3.0).map(lambda value: round(value, 3))
point = st.tuples(coordinate, coordinate)


@st.composite
def paths(draw: st.DrawFn, most: int = 8) -> LinePath:
    points = np.array(draw(st.lists(point, min_size=2, max_size=most)))
    assume(np.all(np.hypot(*np.diff(points, axis=0).T) > 0.01))
    return LinePath(points)


# On a coarse grid points coincide, paths cross themselves and turn back, and distances tie.
grid_point = st.tuples(st.integers(-2, 2), st.integers(-2, 2)).map(lambda p: (0.25 * p[0], 0.25 * p[1]))
odd_number = st.sampled_from([math.nan, math.inf, -math.inf, 1e200])
anywhere = st.one_of(grid_point, grid_point, point, st.tuples(odd_number, coordinate),
                     st.tuples(coordinate, odd_number))


@st.composite
def paths_on_a_grid(draw: st.DrawFn) -> LinePath:
    points = np.array([*draw(st.lists(grid_point, min_size=1, max_size=12)), (0.6, 0.6)])
    return LinePath(points[np.append(np.any(np.diff(points, axis=0) != 0.0, axis=1), True)])


@st.composite
def tracks(draw: st.DrawFn, path: LinePath, horizon: int) -> list[tuple[float, float]]:
    """A walk along the path that may be fast, so that several segments pass, or positions anywhere."""
    if draw(st.booleans()):
        return draw(st.lists(anywhere, min_size=horizon, max_size=horizon))
    pace, at, walk = draw(st.floats(0.1, 1.5)), draw(st.floats(0.0, 1.0)), []
    for _ in range(horizon):
        at += pace
        x, y = along(path, min(int(at), path.segments - 1), at - min(int(at), path.segments - 1))
        walk.append((x + draw(st.sampled_from([0.0, 0.0, 0.02, -0.1])), y + draw(st.sampled_from([0.0, 0.0, 0.05]))))
    return walk


def along(path: LinePath, segment: int, fraction: float) -> np.ndarray:
    return path.points[segment] + fraction * (path.points[segment + 1] - path.points[segment])


@given(paths(), st.data())
def test_point_on_its_segment_projects_onto_itself(path: LinePath, data: st.DataObject) -> None:
    segment = data.draw(st.integers(0, path.segments - 1))
    fraction = data.draw(st.floats(0.0, 1.0))
    position = along(path, segment, fraction)
    seen = path.project(position[None], np.array([segment]))
    assert seen.lateral_error[0] == pytest.approx(0.0, abs=1e-7)
    if seen.segment[0] == segment:
        assert seen.fraction[0] == pytest.approx(fraction, abs=1e-6)
        expected = path.segment_lengths[:segment].sum() + fraction * path.segment_lengths[segment]
        assert seen.arc_length[0] == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(along(path, seen.segment[0], seen.fraction[0]), position, atol=1e-6)


@given(paths(), st.integers(2, 60))
def test_walking_the_path_covers_it_once_and_never_goes_back(path: LinePath, steps: int) -> None:
    segment, arc, segments = np.array([0]), [], []
    for index in range(path.segments):
        for fraction in np.linspace(0.0, 1.0, steps):
            seen = path.project(along(path, index, float(fraction))[None], segment)
            segment = seen.segment
            arc.append(float(seen.arc_length[0]))
            segments.append(int(segment[0]))
    assert all(later - earlier >= 0 for earlier, later in itertools.pairwise(segments))
    if np.all(np.diff(arc) >= -1e-9):  # not where the path folds back over itself and the switch comes early
        assert arc[0] == pytest.approx(0.0, abs=1e-9)
        assert arc[-1] == pytest.approx(path.length, abs=1e-6) or segments[-1] < path.segments - 1


@given(st.floats(-math.pi, math.pi), st.lists(st.floats(0.3, 1.5), min_size=1, max_size=6),
       st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=6))
def test_arc_length_is_monotone_along_paths_with_gentle_bends(
        heading: float, lengths: list[float], bends: list[float]) -> None:
    points = [np.zeros(2)]
    for length, bend in zip(lengths, bends, strict=False):
        points.append(points[-1] + length * np.array([math.cos(heading), math.sin(heading)]))
        heading += bend
    path = LinePath(np.array(points))
    seen, arc = path.start(points[0]), [0.0]
    for index in range(path.segments):
        for fraction in np.linspace(0.0, 1.0, 21):
            seen = path.project(along(path, index, float(fraction))[None], seen.segment)
            arc.append(float(seen.arc_length[0]))
    assert np.all(np.diff(arc) >= -1e-9)
    assert arc[-1] == pytest.approx(path.length, abs=1e-9)


@given(paths(), st.lists(point, min_size=1, max_size=20), point, st.floats(-math.pi, math.pi), st.data())
def test_nothing_changes_when_everything_is_moved(
        path: LinePath, positions: list[tuple[float, float]], shift: tuple[float, float], turn: float,
        data: st.DataObject) -> None:
    segment = np.array(data.draw(st.lists(st.integers(0, path.segments - 1), min_size=len(positions),
                                          max_size=len(positions))))
    here = path.project(np.array(positions), segment)
    moved = LinePath(anchor(path.points, np.array(shift), turn))
    there = moved.project(anchor(np.array(positions), np.array(shift), turn), segment)
    same = here.segment == there.segment  # ties may fall either way by rounding
    np.testing.assert_allclose(np.abs(there.lateral_error), np.abs(here.lateral_error), atol=1e-6)
    np.testing.assert_allclose(there.arc_length[same], here.arc_length[same], atol=1e-6)
    difference = there.heading[same] - here.heading[same] - turn
    np.testing.assert_allclose(np.cos(difference), 1.0, atol=1e-9)


@given(paths(), st.lists(point, min_size=1, max_size=12), st.data())
def test_batch_equals_one_by_one_and_switches_at_most_one_forward(
        path: LinePath, positions: list[tuple[float, float]], data: st.DataObject) -> None:
    segment = np.array(data.draw(st.lists(st.integers(0, path.segments - 1), min_size=len(positions),
                                          max_size=len(positions))))
    batch = path.project(np.array(positions), segment)
    for i, position in enumerate(positions):
        one = path.project(np.array([position]), segment[i:i + 1])
        for name in ("segment", "lateral_error", "fraction", "heading", "arc_length"):
            assert getattr(one, name)[0] == getattr(batch, name)[i]
    assert set(np.unique(batch.segment - segment)) <= {0, 1}
    assert np.all((batch.arc_length >= 0.0) & (batch.arc_length <= path.length))


@given(st.one_of(paths(12), paths_on_a_grid()), st.integers(1, 8), st.integers(1, 6), st.data())
def test_following_is_projecting_step_by_step(
        path: LinePath, horizon: int, count: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, path.segments - 1))
    walks = np.array([data.draw(tracks(path, horizon)) for _ in range(count)])
    with np.errstate(invalid="ignore", over="ignore"):
        seen = path.follow(np.ascontiguousarray(walks[:, :, 0].T), np.ascontiguousarray(walks[:, :, 1].T), start)
        segment = np.full(count, start)
        for step in range(horizon):
            expected = path.project(walks[:, step], segment)
            segment = expected.segment
            np.testing.assert_array_equal(np.broadcast_to(seen.segment, (horizon, count))[step], segment)
            np.testing.assert_array_equal(np.sqrt(seen.squared_distance[step]), np.abs(expected.lateral_error))
            np.testing.assert_array_equal(seen.fraction[step], expected.fraction)


def test_following_passes_one_segment_a_step_where_they_are_shorter_than_the_steps() -> None:
    path = LinePath(np.column_stack([np.arange(9) * 0.1, np.zeros(9)]))
    x = np.array([[0.75], [0.75], [0.75], [0.05], [0.75]])
    assert path.follow(x, np.zeros_like(x), 2).segment[:, 0].tolist() == [3, 4, 5, 5, 6]


def test_following_stays_on_its_segment_of_a_path_that_crosses_itself() -> None:
    path = LinePath(np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, -1.0]]))
    x = np.linspace(0.5, 1.5, 9)[:, np.newaxis]
    assert path.follow(x, np.zeros_like(x), 0).segment.tolist() == 0, "the crossing is at x = 1 m"


def test_left_is_positive() -> None:
    path = LinePath(np.array([[0.0, 0.0], [2.0, 0.0]]))
    seen = path.project(np.array([[1.0, 0.3], [1.0, -0.3]]), np.array([0, 0]))
    np.testing.assert_allclose(seen.lateral_error, [0.3, -0.3])


def test_progress_goes_on_beyond_the_ends_but_arc_length_does_not() -> None:
    path = LinePath(np.array([[0.0, 0.0], [2.0, 0.0]]))
    seen = path.project(np.array([[-1.0, 0.0], [3.0, 0.0]]), np.array([0, 0]))
    np.testing.assert_allclose(seen.fraction, [-0.5, 1.5])
    np.testing.assert_allclose(seen.arc_length, [0.0, 2.0])
    np.testing.assert_allclose(seen.lateral_error, [1.0, 1.0])


def test_going_straight_on_at_a_corner_is_seen_as_an_error() -> None:
    path = LinePath(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
    seen = path.project(np.array([[1.4, -0.3]]), np.array([0]))
    assert abs(seen.lateral_error[0]) == pytest.approx(0.5)
    assert seen.segment[0] == 1, "and the way to go is that of the next segment"
    assert seen.arc_length[0] == 1.0


def test_outer_side_of_a_corner_belongs_to_the_next_segment_whatever_the_rounding() -> None:
    shape = np.array([[0.0, 0.0], [1.0, 0.0], [1.3, 0.9]])
    outside = np.array([[1.1, -0.1], [1.05, -0.3], [1.2, -0.07], [1.3, -0.2]])
    for turn in np.linspace(-3.0, 3.0, 50):
        path = LinePath(anchor(shape, np.array([0.7, -20.3]), float(turn)))
        seen = path.project(anchor(outside, np.array([0.7, -20.3]), float(turn)), np.zeros(4, dtype=int))
        assert seen.segment.tolist() == [1, 1, 1, 1]


def test_switch_before_the_corner_needs_to_be_strictly_closer() -> None:
    path = LinePath(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
    on_the_bisector = path.project(np.array([[0.5, 0.5]]), np.array([0]))
    assert on_the_bisector.segment[0] == 0
    past_it = path.project(np.array([[0.51, 0.5]]), np.array([0]))
    assert past_it.segment[0] == 1


def test_the_crossing_of_the_figure_eight_is_passed_twice_without_a_jump() -> None:
    path = LinePath(load_path("figure8"))
    segment, before, crossings = np.array([0]), 0.0, []
    for index in range(path.segments):
        for fraction in np.linspace(0.0, 1.0, 200):
            position = along(path, index, float(fraction))
            seen = path.project(position[None], segment)
            segment = seen.segment
            assert abs(seen.arc_length[0] - before) < 0.02
            before = float(seen.arc_length[0])
            if math.dist(position, (0.525, 0.0)) < 0.005:
                crossings.append(before)
    assert before == pytest.approx(path.length)
    assert min(crossings) < 1.0
    assert max(crossings) > 4.0


@given(st.floats(-10.0, 10.0), st.floats(-10.0, 10.0))
def test_heading_error_is_the_smallest_turn_from_the_segment(yaw: float, direction: float) -> None:
    path = LinePath(np.array([[0.0, 0.0], [math.cos(direction), math.sin(direction)]]))
    (error,) = path.heading_error(np.array([0]), np.array([math.cos(yaw)]), np.array([math.sin(yaw)]))
    assert abs(error) <= math.pi
    assert math.remainder(error - (yaw - direction), 2 * math.pi) == pytest.approx(0.0, abs=1e-9)


def test_only_positions_after_the_last_way_point_are_beyond_the_end() -> None:
    path = LinePath(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]))
    seen = path.project(np.array([[1.5, -0.5], [0.9, 1.5], [0.2, 2.4], [math.nan, 0.0]]), np.array([0, 1, 1, 1]))
    np.testing.assert_allclose(path.beyond_end(seen), [0.0, 0.0, 0.4, math.nan])


def test_position_that_is_not_finite_gets_nan_and_stays() -> None:
    path = LinePath(load_path("left"))
    seen = path.project(np.array([[math.nan, 0.0], [0.5, 0.0]]), np.array([1, 0]))
    assert math.isnan(seen.lateral_error[0])
    assert seen.segment[0] == 1
    assert seen.lateral_error[1] == 0.0


@pytest.mark.parametrize(("points", "message"), [
    (np.zeros((1, 2)), "at least two points"),
    (np.zeros((0, 2)), "at least two points"),
    (np.zeros((3, 3)), "at least two points"),
    (np.array([[0.0, 0.0], [math.nan, 1.0]]), "finite"),
    (np.array([[0.0, 0.0], [1.0, math.inf]]), "finite"),
    (np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), "way-points 1 and 2"),
])
def test_degenerate_paths_are_refused(points: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        LinePath(points)


def test_every_shipped_shape_is_a_path_that_starts_at_the_robot() -> None:
    assert path_names() == ["circle", "figure8", "left", "right", "straight", "u_turn", "zigzag"]
    for name in path_names():
        assert LinePath(load_path(name)).points[0].tolist() == [0.0, 0.0]
