# SPDX-License-Identifier: Apache-2.0
"""How the axes of the tracked body sit on the robot: from poses of a robot that stands level and looks a known way.

The way is given, or is that of a line along which the robot is slid forward: a ruler on the floor does for that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.estimation.calibration.rest import POSITION_SPREAD, TURN_SPREAD, motion_of
from l2a_ros.estimation.calibration.tracks import Outcome, PoseTrack, Stillness, blocks, turns

#: Length of the pieces in which a robot is looked at for being still, s, and how many in a row are a rest.
PIECE, LEAST_PIECES = 0.25, 3
#: Least poses of a robot that stands all the time, and time, s.
LEAST_POSES, LEAST_SECONDS = 50, 1.0
#: Least way along the line, m: over it the noise of two rests (0.2 mm) turns it by 0.1 deg.
LEAST_WAY = 0.15
#: Largest turn on the way, and slope of the way, rad.
LARGEST_TURN, LARGEST_SLOPE = math.radians(3.0), math.radians(3.0)


@dataclass(frozen=True)
class Standing(Outcome):
    """Of a robot that stands level.

    Args:
        rotation: axes of the tracked body in ``base_link``, as columns ``(3, 3)``.
        spread: its standard error about the axes of ``map`` ``(3,)``, rad, as far as poses can tell: how level and how
            straight the robot stood is not in it.
        heading: which way the robot looked, rad in ``map``.
        way: how far it was slid, m; 0 where the heading was given.
    """

    rotation: np.ndarray
    spread: np.ndarray
    heading: float
    way: float


def measure_standing(poses: PoseTrack, heading: float | None = None) -> Standing:
    """Measure a robot that stands, or that stands, is slid straight forward, and stands again.

    Args:
        poses: of all of it.
        heading: which way it looks, rad in ``map``; None if it is slid.
    """
    unknown = Standing(np.full((3, 3), math.nan), np.full(3, math.nan), math.nan if heading is None else heading, 0.0)
    if len(poses) < LEAST_POSES or poses.seconds[-1] - poses.seconds[0] < LEAST_SECONDS:
        return replace(unknown, problem=f"only {len(poses)} poses; is the body tracked?")
    if heading is not None:
        if problem := motion_of(poses):
            return replace(unknown, problem=problem)
        return _stood(poses, heading)
    rests = _rests(poses)
    if len(rests) < 2:
        return replace(unknown, problem="it must stand still for a second, be slid forward, and stand still for a "
                                        f"second; it stood still {['never', 'once'][len(rests)]}")
    first, last = poses.part(rests[0]), poses.part(rests[-1])
    way = np.median(last.positions, axis=0) - np.median(first.positions, axis=0)
    length = float(np.hypot(way[0], way[1]))
    if length < LEAST_WAY:
        return replace(unknown, problem=f"it was slid by {100 * length:.1f} cm; {100 * LEAST_WAY:.0f} cm and more are "
                                        "needed")
    slope = math.atan2(way[2], length)
    if abs(slope) > LARGEST_SLOPE:
        return replace(unknown, problem=f"it went {'up' if slope > 0 else 'down'} by {math.degrees(abs(slope)):.1f} "
                                        "deg on the way; the floor must be level, and z of motion capture point up")
    a, b = (_stood(each, 0.0).rotation for each in (first, last))
    turn = float(Rotation.from_matrix(a.T @ b).magnitude())
    if turn > LARGEST_TURN:
        return replace(unknown, problem=f"it turned by {math.degrees(turn):.1f} deg on the way; slide it along a "
                                        "straight edge")
    both = PoseTrack(np.concatenate([first.seconds, last.seconds]), np.vstack([first.positions, last.positions]),
                     Rotation.concatenate([first.attitudes, last.attitudes]))
    found = _stood(both, math.atan2(way[1], way[0]))
    # Both rests should show the same attitude, and the way is as sure as its ends.
    ends = math.hypot(*(np.std(each.positions[:, :2], axis=0).max() for each in (first, last))) / length
    spread = np.hypot(found.spread, [turn / 2.0, turn / 2.0, math.hypot(turn / 2.0, ends)])
    return Standing(found.rotation, spread, found.heading, length)


def _stood(poses: PoseTrack, heading: float) -> Standing:
    base = Rotation.from_euler("z", heading)
    away = turns(poses.attitudes)
    spread = Stillness.of(away, [slice(None)]).spreads[0] / math.sqrt(len(poses))
    return Standing((base.inv() * poses.attitudes.mean()).as_matrix(), spread, heading, 0.0)


def _rests(poses: PoseTrack) -> list[slice]:
    """Return the parts in which the robot is still, each longer than a moment."""
    pieces = blocks(poses.seconds, PIECE, 5)
    if not pieces:
        return []
    # Turns from the mean would do, but a robot may be turned right round meanwhile.
    moved = Stillness.of(poses.positions, pieces)
    shaken = np.array([Stillness.of(turns(poses.attitudes[each]), [slice(None)]).spreads.max() for each in pieces])
    is_still = (moved.spreads.max(axis=1) < POSITION_SPREAD) & (shaken < TURN_SPREAD)
    rests: list[slice] = []
    start: int | None = None
    for i in range(len(pieces) + 1):
        goes_on = i < len(pieces) and is_still[i] and (
            start is None or np.abs(moved.middles[i] - moved.middles[i - 1]).max() < POSITION_SPREAD)
        if start is not None and not goes_on:
            if i - start >= LEAST_PIECES:
                rests.append(slice(pieces[start].start, pieces[i - 1].stop))
            start = None
        if start is None and i < len(pieces) and is_still[i]:
            start = i
    return rests

