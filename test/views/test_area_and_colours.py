# SPDX-License-Identifier: Apache-2.0
"""The area as it is written, and colours that everybody can tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from l2a_ros.errors import UserError
from l2a_ros.views.area import Area, area_around, read_area
from l2a_ros.views.colours import error_colours


@pytest.mark.parametrize("text", ["-2,-1.5,2,1.5", " -2.0, -1.5, 2e0 ,1.5 "])
def test_a_room_is_read(text: str) -> None:
    assert read_area(text) == Area(-2.0, -1.5, 2.0, 1.5)


@pytest.mark.parametrize("text", ["", "  "])
def test_no_room(text: str) -> None:
    assert read_area(text) is None


@pytest.mark.parametrize("text", ["1", "1,2,3", "1,2,3,4,5", "a,b,c,d", "0,0,inf,1", "0,0,nan,1", "2,0,1,1", "0,1,1,1"])
def test_what_is_no_room_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^room .* not '"):
        read_area(text)


def test_an_outline_is_closed() -> None:
    outline = Area(-2.0, -1.0, 2.0, 1.0).outline()
    np.testing.assert_array_equal(outline[0], outline[-1])
    assert np.abs(np.diff(outline, axis=0)).sum() == 12.0


def test_an_area_around_points_has_a_least_size() -> None:
    around = area_around(np.array([[0.0, 0.0], [3.0, 0.25]]))
    assert around == Area(0.0, -0.375, 3.0, 0.625)
    assert area_around(np.empty((0, 2)), 2.0) == Area(-1.0, -1.0, 1.0, 1.0)


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
