# SPDX-License-Identifier: Apache-2.0
"""Shapes that are made of straight lines and arcs, as way-points that begin at the origin and go along +x.

An arc becomes the chords of a polygon with its corners on the arc.
"""

from __future__ import annotations

import math

import numpy as np

#: The way-points of straight lines are no further apart, m: what progress is worth counts by the segment, and those of
#: the published shapes are about as long.
LONGEST_SEGMENT = 1.0
#: An arc is left by its chords by at most this, m, unless a path file says otherwise.
TOLERANCE = 0.02


def circle(radius: float, turns: float, is_left: bool, tolerance: float = TOLERANCE) -> np.ndarray:
    """Return a circle that begins and ends at the origin after whole turns.

    Args:
        radius: m.
        turns: times round; a part of a turn makes an arc.
        is_left: whether it goes round to the left.
        tolerance: largest distance between arc and chords, m.

    Returns:
        Way-points ``(n, 2)``, m.
    """
    angles = np.linspace(0.0, 2.0 * math.pi * turns, _chords(radius, 2.0 * math.pi * turns, tolerance) + 1)
    side = 1.0 if is_left else -1.0
    return np.stack([radius * np.sin(angles), side * radius * (1.0 - np.cos(angles))], axis=1)


def u_turn(leg: float, radius: float, is_left: bool, tolerance: float = TOLERANCE) -> np.ndarray:
    """Return a straight leg, half a circle, and the leg back beside the first.

    Args:
        leg: length of each leg, m.
        radius: of the half circle, m: the legs are twice as far apart.
        is_left: whether it turns to the left.
        tolerance: largest distance between arc and chords, m.

    Returns:
        Way-points ``(n, 2)``, m.
    """
    out = np.zeros((math.ceil(leg / LONGEST_SEGMENT - 1e-9) + 1, 2))
    out[:, 0] = np.linspace(0.0, leg, len(out))
    arc = circle(radius, 0.5, is_left, tolerance) + [leg, 0.0]
    back = np.stack([out[::-1, 0], np.full(len(out), arc[-1, 1])], axis=1)
    return np.concatenate([out, arc[1:-1], back])


def _chords(radius: float, angle: float, tolerance: float) -> int:
    """Return how many chords stay within a tolerance of an arc; at least two, or eight per turn."""
    # The middle of a chord over the angle a is r (1 - cos(a / 2)) inside the arc.
    widest = 2.0 * math.acos(max(0.0, 1.0 - tolerance / radius))
    return max(2, math.ceil(angle / min(widest, 0.25 * math.pi) - 1e-9))
