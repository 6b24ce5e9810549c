# SPDX-License-Identifier: Apache-2.0
"""Path shapes as data."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from l2a_ros.errors import UserError
from l2a_ros.trials.paths import anchor, load_path


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


def test_anchor_turns_and_moves() -> None:
    np.testing.assert_allclose(anchor(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]), np.array([2.0, 3.0]),
                                      math.pi / 2), [[2, 3], [2, 4], [1, 4]], atol=1e-12)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown path 'circle'; known: figure8, left, right, straight, zigzag"):
        load_path("circle")


def test_file_of_the_user(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("points: [[0, 0], [0.5, 0.25]]\n")
    assert load_path(file).tolist() == [[0.0, 0.0], [0.5, 0.25]]
    assert load_path(str(file)).dtype == np.float64


@pytest.mark.parametrize(("text", "message"), [
    ("points: [[0, 0]]", "at least two points"),
    ("points: [[0, 0], [1, .nan]]", "finite"),
    ("points: [[0, 0], [1, 2, 3]]", "at least two points"),
    ("points: none", "at least two points"),
    ("points: [[0, 0], [0, 0], [1, 0]]", "repeats a point"),
    ("corners: []", "needs a list 'points'"),
    ("- 1", "needs a list 'points'"),
    ("points: [", "cannot be read"),
])
def test_bad_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_path(file)
    assert "\n" not in str(caught.value)


def test_missing_file_lists_the_known_names() -> None:
    with pytest.raises(UserError, match=r"does not exist; known paths: figure8"):
        load_path("nowhere/else.yaml")
