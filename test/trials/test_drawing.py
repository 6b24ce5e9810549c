# SPDX-License-Identifier: Apache-2.0
"""Lines drawn by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.planning.line_path import LinePath
from l2a_ros.trials.drawing import AGAIN, CLOSES, SHORTEST, Drawing, path_file_text
from l2a_ros.trials.paths import load_shape
from l2a_ros.trials.room import Room

ROBOT = np.array([1.0, 2.0])
ROOM = Room(-3.0, 4.0, -1.0, 5.0)
# On a grid of 5 cm points coincide and distances tie; beside them numbers that are none, and places outside the room.
numbers = st.one_of(st.integers(-100, 120).map(lambda i: 0.05 * i), st.sampled_from([math.nan, math.inf]))
points = st.tuples(numbers, numbers).map(np.array)
tools = st.sampled_from(["goal", "click", "click", "click", "clear", "on_begin", "on_end"])


def at(*place: float) -> np.ndarray:
    return np.array(place)


def test_goal_is_a_straight_line_from_the_robot_and_replaces_what_was_drawn() -> None:
    drawing = Drawing()
    assert drawing.is_empty
    assert drawing.points.shape == (0, 2)
    drawing.add_click(ROBOT, at(0.0, 0.0))
    drawing.set_goal(ROBOT, at(2.0, 2.0))
    assert drawing.points.tolist() == [[1, 2], [2, 2]]
    assert drawing.length == pytest.approx(1.0)


def test_clicks_add_corners_and_the_last_one_again_finishes() -> None:
    drawing = Drawing()
    assert not drawing.add_click(ROBOT, at(2.0, 2.0))
    assert not drawing.add_click(at(1.1, 2.0), at(2.0, 3.0))
    assert drawing.points.tolist() == [[1, 2], [2, 2], [2, 3]], "it begins where the robot was at the first click"
    assert drawing.add_click(ROBOT, at(2.05, 3.05))
    assert len(drawing.points) == 3
    drawing.clear()
    assert drawing.is_empty


def test_click_near_the_begin_makes_a_loop_that_takes_no_more() -> None:
    drawing = Drawing()
    drawing.add_click(ROBOT, at(2.0, 2.0))
    with pytest.raises(UserError, match="a loop needs 2 corners"):
        drawing.add_click(ROBOT, at(1.1, 2.0))
    drawing.add_click(ROBOT, at(2.0, 3.0))
    assert not drawing.add_click(ROBOT, at(1.0, 2.14))
    assert drawing.is_loop
    assert drawing.points.tolist() == [[1, 2], [2, 2], [2, 3], [1, 2]]
    with pytest.raises(UserError, match="a loop already"):
        drawing.add_click(ROBOT, at(3.0, 3.0))
    assert drawing.add_click(ROBOT, at(1.0, 1.9)), "on its begin, which is its end"
    moved = drawing.laid(at(1.2, 2.2), 0.0)
    assert moved.tolist() == [[1.2, 2.2], [2, 2], [2, 3], [1.2, 2.2]], "from where the robot stands now, and back there"
    drawing.set_goal(ROBOT, at(3.0, 2.0))
    assert not drawing.is_loop


def test_line_to_where_the_robot_was_put_meanwhile() -> None:
    drawing = Drawing()
    with pytest.raises(UserError, match="nothing is drawn"):
        drawing.laid(ROBOT, 0.0)
    drawing.add_click(ROBOT, at(2.0, 2.0))
    drawing.add_click(ROBOT, at(2.0, 3.0))
    assert drawing.laid(at(2.05, 2.0), 0.0).tolist() == [[2.05, 2.0], [2, 3]]
    drawing.set_goal(ROBOT, at(2.0, 2.0))
    with pytest.raises(UserError, match="stands 0.05 m from the end"):
        drawing.laid(at(1.95, 2.0), 0.0)


@pytest.mark.parametrize(("point", "message"), [
    (at(math.nan, 0.0), "is not finite"),
    (at(0.0, math.inf), "is not finite"),
    (at(4.5, 2.0), r"\(x 4.50 m, y 2.00 m\) is 0.500 m outside the room"),
    (at(1.1, 2.0), "0.10 m from the"),
])
def test_points_that_will_not_do_change_nothing(point: np.ndarray, message: str) -> None:
    for before in ([], [at(3.0, 3.0)]):
        drawing = Drawing(ROOM)
        for corner in before:
            drawing.add_click(ROBOT, corner)
        drawn = drawing.points
        for take in (drawing.set_goal, drawing.add_click):
            with pytest.raises(UserError, match=message):
                take(ROBOT, point)
            np.testing.assert_array_equal(drawing.points, drawn)


@given(st.lists(st.tuples(tools, points), max_size=25))
def test_whatever_is_drawn_is_a_path_in_the_room(steps: list[tuple[str, np.ndarray]]) -> None:
    drawing = Drawing(ROOM)
    for tool, place in steps:
        before, was_loop = drawing.points, drawing.is_loop
        point = place
        if len(before) and tool == "on_begin":
            point = before[0] + at(0.0, 0.9 * CLOSES)
        elif len(before) and tool == "on_end":
            point = before[-1] + at(0.9 * AGAIN, 0.0)
        try:
            if tool == "clear":
                drawing.clear()
            elif tool == "goal":
                drawing.set_goal(ROBOT, point)
            elif drawing.add_click(ROBOT, point):
                np.testing.assert_array_equal(drawing.points, before)
                assert len(before), "nothing to follow is never followed"
        except UserError as error:
            assert "\n" not in str(error)
            np.testing.assert_array_equal(drawing.points, before)
            assert drawing.is_loop == was_loop
        drawn = drawing.points
        assert drawing.is_empty == (len(drawn) == 0)
        if drawing.is_empty:
            continue
        path = LinePath(drawn)
        assert path.length >= SHORTEST
        assert path.segment_lengths.min() > AGAIN - 1e-9
        assert drawn[0].tolist() == ROBOT.tolist()
        assert drawing.is_loop == (len(drawn) > 2 and math.dist(drawn[0], drawn[-1]) == 0.0)
        ROOM.check_path(drawn)
        np.testing.assert_array_equal(drawing.laid(ROBOT, 0.3), drawn)


CORNERS = (at(2.0, 2.0), at(2.0, 2.2), at(0.0, 1.0))


@given(st.one_of(points.filter(lambda place: bool(np.all(np.isfinite(place)))), st.sampled_from(CORNERS)))
def test_line_from_anywhere_is_a_path_or_refused(place: np.ndarray) -> None:
    drawing = Drawing()
    for corner in CORNERS:
        drawing.add_click(ROBOT, corner)
    drawing.add_click(ROBOT, ROBOT)
    laid = LinePath(drawing.laid(place, 0.0)).points
    assert laid[0].tolist() == laid[-1].tolist() == place.tolist()


def test_drawn_line_can_be_laid_again_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "path.yaml"
    file.write_text(path_file_text(np.array([[1.0, 2.00004], [2.5, -3.25]])))
    shape = load_shape(file)
    assert shape.is_in_room
    assert shape.points.tolist() == [[1.0, 2.0], [2.5, -3.25]]
