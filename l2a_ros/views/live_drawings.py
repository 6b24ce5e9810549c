# SPDX-License-Identifier: Apache-2.0
"""What a live view is made of, whatever shows it: drawings with a place in a tree of names, and pictures of a moment.

Points are in m, of shape ``(n, 3)``, in the frame of the nearest :class:`Pose` above them in the tree, else in ``map``.
Colours are red, green, blue and opacity from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

Colour = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Lines:
    """Some lines; none at all takes away those that were there.

    Args:
        place: in the tree, such as ``world/ground/plan``.
        strips: the lines' corners.
        colours: one for each line, ``(k, 4)``, or one for all, ``(4,)``.
        radius: m; of a line ``on_screen``: points of the screen, however near it is.
        on_screen: whether the radius is one on the screen.
    """

    place: str
    strips: Sequence[np.ndarray]
    colours: np.ndarray | Colour
    radius: float
    on_screen: bool = True


@dataclass(frozen=True, eq=False)
class Balls:
    """Some balls: centres ``(n, 3)`` m, one radius (m, or points of the screen), one colour."""

    place: str
    centres: np.ndarray
    radius: float
    colour: Colour
    on_screen: bool = False


@dataclass(frozen=True, eq=False)
class Box:
    """A box: centre and half of its sides, ``(3,)`` m, quaternion ``(4,)`` x y z w."""

    place: str
    centre: np.ndarray
    half_sides: np.ndarray
    quaternion: np.ndarray
    colour: Colour


@dataclass(frozen=True, eq=False)
class Pose:
    """Where everything below a place is: translation ``(3,)`` m, quaternion ``(4,)`` x y z w."""

    place: str
    translation: np.ndarray
    quaternion: np.ndarray


@dataclass(frozen=True)
class Figures:
    """Numbers of a plot, as many as its :class:`Plot` has names; NaN leaves a gap."""

    place: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Plot:
    """How the numbers at a place are called, and their colours."""

    place: str
    names: tuple[str, ...]
    colours: tuple[Colour, ...]


@dataclass(frozen=True)
class Words:
    """A text in Markdown."""

    place: str
    text: str


Drawing = Lines | Balls | Box | Pose | Figures | Plot | Words


@dataclass(frozen=True)
class Picture:
    """What is new at a moment.

    Args:
        seconds: since the first state; never less than in an earlier picture by more than some seconds.
        drawings: each replaces what was at its place.
    """

    seconds: float
    drawings: list[Drawing] = field(default_factory=list)
