# SPDX-License-Identifier: Apache-2.0
"""Where things are drawn, and colours that everybody can tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from l2a_ros.trials.room import NO_WALLS, Room
from l2a_ros.views.area import FARTHEST, has_walls, outline, picture
from l2a_ros.views.colours import error_colours

ROOM = Room(-2.0, 2.0, -1.0, 1.0)


def test_an_outline_is_closed() -> None:
    corners = outline(ROOM)
    np.testing.assert_array_equal(corners[0], corners[-1])
    assert np.abs(np.diff(corners, axis=0)).sum() == 12.0


@pytest.mark.parametrize(("room", "expected"), [
    (ROOM, True), (NO_WALLS, False), (Room(-FARTHEST, FARTHEST, -FARTHEST, FARTHEST), False),
    (Room(-2.0, FARTHEST, -1.0, 1.0), False)])
def test_a_room_with_a_side_that_nobody_gave_has_no_walls(room: Room, expected: bool) -> None:
    assert has_walls(room) is expected


def test_texts_are_beside_the_room_or_beside_what_is_drawn_in_a_hall() -> None:
    points = np.array([[0.0, 0.0], [3.0, 0.25]])
    assert picture(ROOM, points) == ROOM
    for hall in (NO_WALLS, Room(-10.0, 10.0, -1.0, 1.0)):
        assert picture(hall, points) == Room(0.0, 3.0, -0.375, 0.625)
        assert picture(hall, np.empty((0, 2)), 2.0) == Room(-1.0, 1.0, -1.0, 1.0)


def test_colours_tell_the_size_of_an_error_and_not_its_side() -> None:
    errors = np.linspace(-0.2, 0.2, 41)
    colours = error_colours(errors, 0.05)
    np.testing.assert_allclose(colours, colours[::-1], atol=1e-9)
    assert np.all((colours >= 0.0) & (colours <= 1.0))
    assert np.ptp(colours[np.abs(errors) > 0.051], axis=0).max() == 0.0, "beyond the scale all look the same"
    assert len(np.unique(colours[20:26], axis=0)) == 6


def test_a_scale_is_told_apart_without_red_or_green_and_is_bright() -> None:
    ends = error_colours(np.array([0.0, 0.025, 0.05]), 0.05)
    # How a dichromat sees linear RGB; Viénot, Brettel and Mollon (1999), protanope and deuteranope.
    for red, green in (((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0)), ((0.29275, 0.70725, 0.0),) * 2):
        seen = np.stack([ends**2.2 @ red, ends**2.2 @ green, ends[:, 2] ** 2.2], axis=-1)
        for first, second in ((0, 1), (1, 2), (0, 2)):
            assert np.abs(seen[first] - seen[second]).max() > 0.25
    assert (ends**2.2 @ (0.2126, 0.7152, 0.0722)).min() > 0.15
