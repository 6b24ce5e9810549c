# SPDX-License-Identifier: Apache-2.0
"""Lines on the ground for pictures of a run: the reference, the track so far, the plan.

They are drawn into a scene as flat ribbons: a dozen triangles each, so that software rendering stays quick.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import mujoco
import numpy as np

#: Red, green, blue, opacity.
REFERENCE_COLOUR = (0.10, 0.42, 0.96, 1.0)
TRACK_COLOUR = (0.93, 0.12, 0.36, 1.0)
PLAN_COLOUR = (0.13, 0.80, 0.40, 1.0)
#: Half widths of the ribbons, m.
REFERENCE_WIDTH, TRACK_WIDTH, PLAN_WIDTH = 0.0035, 0.002, 0.0025
#: Heights of the ribbons above the ground, m: what is drawn later lies on what was drawn before.
REFERENCE_HEIGHT, TRACK_HEIGHT, PLAN_HEIGHT = 0.0012, 0.0020, 0.0028
#: Radius of the ball at the end of the plan, m.
PLAN_BALL = 0.005
#: Half the thickness of a ribbon, m.
_THICKNESS = 0.0003
#: Every second ribbon lies so much higher, m: where they overlap, one hides the other.
_STAGGER = 0.0001
#: Longest ribbon, m, so that a line follows uneven ground.
LONGEST_RIBBON = 0.04
#: The track gets a new point after so much way, m.
TRACK_SPACING = 0.01
#: The longest track kept, points.
_LONGEST_TRACK = 2048
#: Rays to find the ground begin at this height, m, and the robot is moved this far out of their way, m.
_ABOVE, _AWAY = 50.0, 1.0e4


def _nothing() -> np.ndarray:
    return np.zeros((0, 3))


@dataclass(frozen=True)
class Lines:
    """What is drawn into a picture: points on the ground, each of shape ``(n, 3)``, m."""

    reference: np.ndarray = field(default_factory=_nothing)
    track: np.ndarray = field(default_factory=_nothing)
    plan: np.ndarray = field(default_factory=_nothing)


class Ground:
    """The height of the ground of a world, whatever it is made of.

    Args:
        model: the world.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._data = mujoco.MjData(model)
        for joint in np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE):
            self._data.qpos[model.jnt_qposadr[joint]] += _AWAY
        mujoco.mj_kinematics(model, self._data)

    def below(self, points: np.ndarray) -> np.ndarray:
        """Return points ``(n, 2)`` with the height of the ground there, ``(n, 3)``, m; 0 where there is none."""
        down, hit = np.array([0.0, 0.0, -1.0]), np.zeros(1, np.int32)
        lifted = np.zeros((len(points), 3))
        lifted[:, :2] = points
        for point in lifted:
            start = np.array([point[0], point[1], _ABOVE])
            distance = mujoco.mj_ray(self._model, self._data, start, down, None, 1, -1, hit)
            point[2] = _ABOVE - distance if distance >= 0.0 else 0.0
        return lifted

    def along(self, points: np.ndarray) -> np.ndarray:
        """Return a line through points ``(n, 2)``, ``(m, 3)``, m, with corners close enough to lie on the ground."""
        return self.below(_refined(points))


class Trace:
    """The lines of a run as it goes on.

    Args:
        model: the world.
        longest: points of the track; a longer one is thinned.
    """

    def __init__(self, model: mujoco.MjModel, longest: int = 2048) -> None:
        self._longest = longest
        self._points = np.zeros((0, 2))
        self._track = np.zeros((0, 2))
        self.enter(model)

    def enter(self, model: mujoco.MjModel) -> None:
        """Go on in another world."""
        self.model = model
        self._ground = Ground(model)
        self._reference = self._ground.along(self._points)

    def begin(self, reference: np.ndarray) -> None:
        """Take another reference ``(k, 2)``, m, and forget the track."""
        self._points = reference
        self._reference = self._ground.along(reference)
        self.cut()

    def cut(self) -> None:
        """Forget the track."""
        self._track = np.zeros((0, 2))

    def follow(self, position: np.ndarray) -> None:
        """Add the robot's position (the first two of any), m, to the track, unless it has hardly moved."""
        if len(self._track) and np.hypot(*(position[:2] - self._track[-1])) < TRACK_SPACING:
            return
        if len(self._track) >= self._longest:
            self._track = self._track[::2]
        self._track = np.vstack([self._track, position[:2]])

    def lines(self, position: np.ndarray, plan: np.ndarray | None) -> Lines:
        """Return the lines for a robot that is here and plans to go there, ``(h, 2)``, m."""
        here = position[None, :2]
        return Lines(self._reference, self._ground.below(np.vstack([self._track, here])),
                     _nothing() if plan is None else self._ground.along(np.vstack([here, plan])))


def draw_lines(scene: mujoco.MjvScene, lines: Lines) -> None:
    """Add lines to what is in a scene, thinned where it has no room for all of it."""
    _draw_balls(scene, lines.plan[-1:])
    room = scene.maxgeom - scene.ngeom
    # Each may take half of what is left, and what those after it do not need.
    plan = thinned(lines.plan, max(room // 2, room - _ribbon_count(lines.reference) - _ribbon_count(lines.track)) + 1)
    room -= _ribbon_count(plan)
    reference = thinned(lines.reference, max(room // 2, room - _ribbon_count(lines.track)) + 1)
    track = thinned(lines.track, room - _ribbon_count(reference) + 1)
    for points, half_width, height, colour in (
            (reference, REFERENCE_WIDTH, REFERENCE_HEIGHT, REFERENCE_COLOUR),
            (track, TRACK_WIDTH, TRACK_HEIGHT, TRACK_COLOUR), (plan, PLAN_WIDTH, PLAN_HEIGHT, PLAN_COLOUR)):
        rgba = np.array(colour, np.float32)
        for size, position, rotation in _ribbons(points + [0.0, 0.0, height], half_width):
            _add(scene, mujoco.mjtGeom.mjGEOM_BOX, size, position, rotation, rgba)


def thinned(points: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of the points, the first and the last among them where there may be two.

    Every second, fourth, eighth... is kept, so that a line that grows does not tremble.
    """
    if most < 2:
        return points[:0]
    step = 1
    while -(-len(points) // step) + 1 > most and len(points) > most:
        step *= 2
    kept = points[::step]
    return kept if step == 1 or (len(points) - 1) % step == 0 else np.vstack([kept, points[-1:]])


def _refined(points: np.ndarray) -> np.ndarray:
    """Return a line ``(n, 2)`` with points in between where two are too far apart."""
    if len(points) < 2:
        return points
    pieces = []
    for start, end in pairwise(points):
        count = max(1, int(np.ceil(np.hypot(*(end - start)) / LONGEST_RIBBON)))
        pieces.append(start + (end - start) * np.arange(count)[:, None] / count)
    return np.vstack([*pieces, points[-1:]])


def _ribbon_count(points: np.ndarray) -> int:
    return max(len(points) - 1, 0)


def _ribbons(points: np.ndarray, half_width: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield half sizes, centre and rotation (row by row) of the boxes between neighbouring points ``(n, 3)``."""
    if len(points) < 2:
        return
    along = np.diff(points, axis=0)
    length = np.linalg.norm(along, axis=1)
    keep = length > 1e-6
    along, length, centre = along[keep], length[keep], ((points[1:] + points[:-1]) / 2.0)[keep]
    x = along / length[:, None]
    y = np.stack([-x[:, 1], x[:, 0], np.zeros(len(x))], axis=1)
    across = np.linalg.norm(y, axis=1)
    y = np.where(across[:, None] > 1e-6, y / np.maximum(across, 1e-6)[:, None], [0.0, 1.0, 0.0])
    rotation = np.stack([x, y, np.cross(x, y)], axis=2).reshape(-1, 9)
    # Half a width longer at both ends: no gaps at corners.
    for i in range(len(length)):
        size = np.array([length[i] / 2.0 + half_width / 2.0, half_width, _THICKNESS])
        yield size, centre[i] + [0.0, 0.0, _STAGGER * (i % 2)], rotation[i]


def _draw_balls(scene: mujoco.MjvScene, points: np.ndarray) -> None:
    for point in points:
        if scene.ngeom < scene.maxgeom:
            _add(scene, mujoco.mjtGeom.mjGEOM_SPHERE, np.full(3, PLAN_BALL), point + [0.0, 0.0, PLAN_HEIGHT],
                 np.eye(3).ravel(), np.array(PLAN_COLOUR, np.float32))


def _add(scene: mujoco.MjvScene, kind: mujoco.mjtGeom, size: np.ndarray, position: np.ndarray, rotation: np.ndarray,
         rgba: np.ndarray) -> None:
    geom = scene.geoms[scene.ngeom]
    mujoco.mjv_initGeom(geom, kind, size, position, rotation, rgba)
    geom.category = mujoco.mjtCatBit.mjCAT_DECOR
    # As bright in the robot's shadow as beside it.
    geom.emission, geom.specular, geom.shininess = 0.6, 0.0, 0.0
    scene.ngeom += 1
