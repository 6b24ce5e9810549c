# SPDX-License-Identifier: Apache-2.0
"""Path shapes as data."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.planning.line_path import LinePath
from l2a_ros.trials.path_kinds import circle, u_turn
from l2a_ros.trials.paths import PUBLISHED_SHAPES, anchor, load_path, load_shape, path_choices, path_names
from l2a_ros.trials.room import NO_WALLS, Room

IN_ROOM = "frame: map\npoints: [[1, 1], [2, 1]]\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text)
    return file


def test_shapes_are_the_published_ones() -> None:
    assert load_path("straight").tolist() == [[0, 0], [1, 0], [2, 0]]
    assert load_path("left").tolist() == [[0, 0], [1, 0], [1.8, 0.2], [2, 1], [2, 2]]
    np.testing.assert_array_equal(load_path("right"), load_path("left") * [1, -1])
    assert load_path("zigzag").tolist() == [[0, 0], [1, 1], [2, 0], [3, 1]]
    eight = load_path("figure8")
    assert eight.shape == (14, 2)
    assert eight[0].tolist() == eight[-1].tolist() == [0, 0]
    assert (eight[1] - eight[0])[1] == 0.0
    np.testing.assert_allclose([eight.min(axis=0), eight.max(axis=0)], [[-1.0, -0.8], [2.2, 0.9]])
    assert set(PUBLISHED_SHAPES) < set(path_names())
    assert path_choices() == [*path_names(), "drawn"]


def test_anchor_turns_and_moves() -> None:
    np.testing.assert_allclose(anchor(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]), np.array([2.0, 3.0]),
                                      math.pi / 2), [[2, 3], [2, 4], [1, 4]], atol=1e-12)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown path 'square'; known: circle, drawn, figure8, left, right, straight, "
                                        "u_turn, zigzag"):
        load_path("square")


def test_file_of_the_user(tmp_path: Path) -> None:
    file = written(tmp_path, "points: [[0, 0], [0.5, 0.25]]\n")
    assert load_path(file).tolist() == [[0.0, 0.0], [0.5, 0.25]]
    assert load_path(str(file)).dtype == np.float64


@pytest.mark.parametrize(("text", "message"), [
    ("points: [[0, 0]]", "at least two points"),
    ("points: [[0, 0], [1, .nan]]", "finite"),
    ("points: [[0, 0], [1, 2, 3]]", "at least two points"),
    ("points: none", "at least two points"),
    ("kind: polyline", "at least two points"),
    ("points: [[0, 0], [0, 0], [1, 0]]", "points 0 and 1"),
    ("corners: []", "needs a list 'points'"),
    ("- 1", "needs a list 'points'"),
    ("points: [", "cannot be read"),
    ("kind: square", "unknown kind 'square'; known: circle, polyline, track, u_turn"),
    ("kind: circle", r"needs radius \(0.05 to 100 m\)"),
    ("{kind: circle, radius: 0}", "radius must be 0.05 to 100 m, not 0"),
    ("{kind: circle, radius: one}", "radius must be a finite number in m, not 'one'"),
    ("{kind: circle, radius: true}", "radius must be a finite number"),
    ("{kind: circle, radius: .inf}", "radius must be a finite number"),
    ("{kind: circle, radius: 1, turns: -1}", "turns must be 0.01 to 100 times round"),
    ("{kind: circle, radius: 1, direction: up}", "unknown direction 'up'; known: left, right"),
    ("{kind: circle, radius: 1, leg: 2}", "unknown key of a circle 'leg'; known: "),
    ("{kind: u_turn, radius: 1}", "needs leg"),
    ("{points: [[0, 0], [1, 0]], frame: odom}", "unknown frame 'odom'; known: map, robot"),
    ("{points: [[0, 0], [1, 0]], start: [0, 0, 0]}", "add 'frame: map'"),
    ("{points: [[0, 0], [1, 0]], frame: map, start: 3}", r"start must be \[x, y, yaw\]"),
    ("track: nowhere.csv", "nowhere.csv cannot be read: No such file"),
    ("track: nowhere", "nowhere does not exist"),
    ("{track: nowhere, start: [0, 0, 0], frame: map}", "start means nothing to a track"),
    ("track: 7", "track must name"),
])
def test_bad_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_path(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"path file {tmp_path / 'mine.yaml'}")


def test_missing_file_lists_the_known_names() -> None:
    with pytest.raises(UserError, match=r"does not exist; known paths: circle"):
        load_path("nowhere/else.yaml")


radii, sides = st.floats(0.05, 5.0), st.booleans()
tolerances = st.floats(0.001, 0.1)


def middles(points: np.ndarray) -> np.ndarray:
    return 0.5 * (points[1:] + points[:-1])


@given(radii, st.floats(0.05, 5.0), sides, tolerances)
def test_circle_stays_within_its_tolerance_and_ends_after_its_turns(radius: float, turns: float, is_left: bool,
                                                                    tolerance: float) -> None:
    points = circle(radius, turns, is_left, tolerance)
    side = 1.0 if is_left else -1.0
    assert points[0].tolist() == [0.0, 0.0]
    from_middle = points - [0.0, side * radius]
    np.testing.assert_allclose(np.hypot(*from_middle.T), radius)
    assert np.all(np.hypot(*(middles(points) - [0.0, side * radius]).T) >= radius - tolerance - 1e-9)
    turned = np.unwrap(np.arctan2(*from_middle.T[::-1]))
    assert (turned[-1] - turned[0]) * side == pytest.approx(2 * math.pi * turns)
    assert LinePath(points).length <= 2 * math.pi * radius * turns


@given(st.floats(0.05, 5.0), radii, sides, tolerances)
def test_u_turn_comes_back_beside_the_way_out(leg: float, radius: float, is_left: bool, tolerance: float) -> None:
    points = u_turn(leg, radius, is_left, tolerance)
    path = LinePath(points)
    side = 1.0 if is_left else -1.0
    assert points[0].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(points[-1], [0.0, side * 2 * radius], atol=1e-9)
    assert points[:, 0].max() == pytest.approx(leg + radius, abs=tolerance + 1e-9)
    assert path.segment_lengths.max() <= max(1.0, radius) + 1e-9, "so that progress is worth as much as elsewhere"
    assert 2 * leg + 2 * radius < path.length <= 2 * leg + math.pi * radius + 1e-9
    np.testing.assert_array_equal(u_turn(leg, radius, not is_left, tolerance), points * [1, -1])


def test_kinds_in_files(tmp_path: Path) -> None:
    np.testing.assert_array_equal(
        load_path(written(tmp_path, "{kind: circle, radius: 0.7, turns: 0.5, direction: right, tolerance: 0.01}")),
        circle(0.7, 0.5, False, 0.01))
    np.testing.assert_array_equal(load_path("u_turn"), u_turn(1.5, 0.5, True))
    np.testing.assert_array_equal(load_path("circle"), circle(0.6, 1.0, True))
    points = load_path(written(tmp_path, "{kind: polyline, points: [[0, 0], [1, 2]], frame: robot}"))
    assert points.tolist() == [[0, 0], [1, 2]]


def test_path_in_the_room_stays_where_it_is(tmp_path: Path) -> None:
    shape = load_shape(written(tmp_path, IN_ROOM))
    assert shape.laid(np.array([1.05, 1.0]), 2.0).tolist() == [[1, 1], [2, 1]], "the robot stands at its begin"
    assert shape.laid(np.array([0.0, 0.5]), 2.0).tolist() == [[0, 0.5], [1, 1], [2, 1]], "it has to walk there"
    with pytest.raises(UserError, match="has its place in the room"):
        load_path(written(tmp_path, IN_ROOM))
    turned = load_shape(written(tmp_path, "{kind: polyline, points: [[0, 0], [1, 0]], frame: map, "
                                          "start: [2, 3, 1.5707963267948966]}"))
    np.testing.assert_allclose(turned.points, [[2, 3], [2, 4]])


def test_path_before_the_robot_goes_where_it_looks() -> None:
    np.testing.assert_allclose(load_shape("straight").laid(np.array([1.0, 2.0]), math.pi / 2),
                               [[1, 2], [1, 3], [1, 4]], atol=1e-12)


def test_room_says_which_way_point_is_outside_and_by_how_much() -> None:
    room = Room(-1.0, 2.0, -1.0, 1.5)
    room.check_path(np.array([[-1.0, -1.0], [2.0, 1.5]]))
    with pytest.raises(UserError) as caught:
        room.check_path(load_path("left"))
    assert str(caught.value) == ("way-point 4 of the path (x 2.00 m, y 2.00 m) is 0.500 m outside the room (geofence: "
                                 "x -1 to 2 m, y -1 to 1.5 m)")
    assert room.distance(np.array([5.0, 5.5])) == pytest.approx(5.0)
    NO_WALLS.check_path(np.array([[1e6, -1e6], [0.0, 0.0]]))
    with pytest.raises(UserError, match="y_min below y_max"):
        Room(0.0, 1.0, 2.0, 2.0)
