# SPDX-License-Identifier: Apache-2.0
"""From a terrain's numbers to the geoms that the robot stands on.

The ground is made in a frame of its own, level at the origin where the robot starts, and is then tilted as a whole.
Smooth ground without steps is one plane. Anything else is a row of stretches along x, each a box or a height field,
with a plane below everything, so that nothing falls for ever. A slope that begins on the way is a stretch of level
ground, a height field for the transition, and a stretch in a frame of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter

from l2a_ros.simulation.slope_ahead import TRANSITION, slope_frame, transition_height
from l2a_ros.simulation.terrain import REACH, Terrain

#: Stream of the seed from which the bumps are drawn.
_STREAM = 4
#: Rough ground repeats after this distance, m: the bumps of one tile are stored once however far the ground reaches.
TILE = 4.0
#: Depth of a box below its surface and of a height field below its lowest point, m.
_DEPTH = 0.2
#: The plane below everything is so far below the lowest point, m, that no foot that sinks in touches both.
_GAP = 0.005
#: The start is level within the first radius, and rough as elsewhere beyond the second, m.
_LEVEL_START = (0.07, 0.13)
#: Height of a height field that is level everywhere, m: it needs one.
_FLATTEST = 1e-6
#: Grid of a height field, m: the feet have a radius of 3 mm and the corners between cells must not catch them.
_FINEST_GRID, _COARSEST_GRID = 0.01, 0.02


@dataclass(frozen=True)
class _Stretch:
    """Ground between two places along x (m) at one level (m)."""

    begin: float
    end: float
    level: float
    surface: Terrain


def add_ground(spec: mujoco.MjSpec, terrain: Terrain, seed: int, collision: tuple[int, int]) -> bool:
    """Add the ground to a world.

    Args:
        spec: the world.
        terrain: what to add.
        seed: of the bumps.
        collision: contype and conaffinity of the ground.

    Returns:
        Whether the ground has height fields, on which large boxes are slow.
    """
    ground = _Ground(spec, collision, np.array(terrain.attitude))
    rng = np.random.default_rng([seed, _STREAM])
    if terrain.slope_begin is not None:
        _add_slope_ahead(spec, terrain, rng, ground)
        return True
    stretches = _stretches(terrain)
    if len(stretches) == 1 and terrain.roughness == 0.0:
        ground.add_plane("floor", 0.0, terrain)
        return False
    lowest = 0.0
    for i, stretch in enumerate(stretches):
        lowest = min(lowest, ground.add(f"floor_{i}" if len(stretches) > 1 else "floor", stretch, rng))
    ground.add_plane("underground", lowest - _GAP, terrain)
    return any(stretch.surface.roughness > 0.0 for stretch in stretches)


def _add_slope_ahead(spec: mujoco.MjSpec, terrain: Terrain, rng: np.random.Generator, level: _Ground) -> None:
    begin = terrain.slope_begin or 0.0
    origin, attitude = slope_frame(terrain)
    slope = _Ground(spec, level.collision, attitude, origin)
    lowest = min(level.add("floor_0", _Stretch(-math.inf, begin, 0.0, terrain), rng),
                 level.add_transition("floor_1", terrain, rng))
    low = slope.add("floor_2", _Stretch(0.0, math.inf, 0.0, terrain), rng)
    corners = [float(slope.place(x, y, low)[2]) for x in (0.0, REACH) for y in (-REACH, REACH)]
    level.add_plane("underground", min(lowest, *corners) - _GAP, terrain)


def _stretches(terrain: Terrain) -> list[_Stretch]:
    changes = {zone.begin for zone in terrain.zones}
    if terrain.steps is not None:
        changes |= {terrain.steps.start + i * terrain.steps.run for i in range(terrain.steps.count)}
    places = [-math.inf, *sorted(changes), math.inf]
    # The middle of a stretch belongs to no other one, however its ends are rounded.
    middles = [(max(begin, -REACH) + min(end, REACH)) / 2.0 for begin, end in pairwise(places)]
    return [_Stretch(begin, end, terrain.level(middle), terrain.surface(middle))
            for (begin, end), middle in zip(pairwise(places), middles, strict=True)]


def bumps(surface: Terrain, size: tuple[float, float], rng: np.random.Generator, grid: float | None = None,
          ) -> np.ndarray:
    """Draw the heights of rough ground: white noise through a Gaussian filter, periodic both ways.

    The correlation of the heights at distance d is exp(-(d / roughness_length)^2).

    Args:
        surface: roughness and roughness_length, m.
        size: extent along x and y, m.
        rng: where the noise comes from.
        grid: distance of neighbouring heights, m; None for one that suits the bumps.

    Returns:
        Heights ``(rows, columns)``, m: rows along y, columns along x, zero mean, the last row and column equal to the
        first.
    """
    grid = grid or min(max(surface.roughness_length / 3.0, _FINEST_GRID), _COARSEST_GRID)
    columns, rows = (max(round(extent / grid), 4) for extent in size)
    # A filter of width s makes a correlation of exp(-d^2 / (4 s^2)).
    width = surface.roughness_length / 2.0
    noise = gaussian_filter(rng.standard_normal((rows, columns)), (width * rows / size[1], width * columns / size[0]),
                            mode="wrap")
    noise -= noise.mean()
    noise *= surface.roughness / noise.std()
    return np.pad(noise, ((0, 1), (0, 1)), mode="wrap")


def contact_friction(surface: Terrain) -> list[float]:
    """Return MuJoCo's three friction coefficients of a contact with a surface: sliding, torsional, rolling."""
    return [surface.friction, 0.005, 0.0001]


def contact_stiffness(surface: Terrain) -> list[float]:
    """Return MuJoCo's ``solref`` of a contact with a surface: time constant, s, and damping ratio."""
    return [surface.contact_time, surface.contact_damping]


def _ramp(distance: np.ndarray) -> np.ndarray:
    """Go smoothly from 0 at 0 to 1 at 1."""
    inside = np.clip(distance, 0.0, 1.0)
    smooth: np.ndarray = inside * inside * (3.0 - 2.0 * inside)
    return smooth


class _Ground:
    """Adds geoms in a frame of their own to a world."""

    def __init__(self, spec: mujoco.MjSpec, collision: tuple[int, int], attitude: np.ndarray,
                 origin: np.ndarray | None = None) -> None:
        self.collision = collision
        self._spec = spec
        self._attitude = attitude
        self._origin = np.zeros(3) if origin is None else origin

    def place(self, x: float, y: float, z: float) -> np.ndarray:
        """Return where in the world a place in this frame is."""
        position = np.zeros(3)
        mujoco.mju_rotVecQuat(position, np.array([x, y, z]), self._attitude)
        return self._origin + position

    def add_plane(self, name: str, level: float, surface: Terrain) -> None:
        self._add(name, surface, mujoco.mjtGeom.mjGEOM_PLANE, (0.0, 0.0, level), [0, 0, 0.5])

    def add(self, name: str, stretch: _Stretch, rng: np.random.Generator) -> float:
        """Add a stretch; returns the level of its lowest point, m."""
        if stretch.surface.roughness > 0.0:
            return self._add_bumps(name, stretch, rng)
        begin, end = max(stretch.begin, -REACH), min(stretch.end, REACH)
        self._add(name, stretch.surface, mujoco.mjtGeom.mjGEOM_BOX,
                  ((begin + end) / 2.0, 0.0, stretch.level - _DEPTH / 2.0), [(end - begin) / 2.0, REACH, _DEPTH / 2.0])
        return stretch.level

    def add_transition(self, name: str, terrain: Terrain, rng: np.random.Generator) -> float:
        """Add what lies between level ground and slope; returns the level of its lowest point, m."""
        begin = terrain.slope_begin or 0.0
        height = bumps(terrain, (TRANSITION, 2.0 * REACH), rng, _FINEST_GRID)
        x, y = np.linspace(0.0, TRANSITION, height.shape[1]), np.linspace(-REACH, REACH, height.shape[0])
        height *= _ramp(np.minimum(x, TRANSITION - x) / terrain.roughness_length)[None, :]
        height += transition_height(terrain, x, y)
        low = self._add_field(name, height, (TRANSITION, 2.0 * REACH))
        self._add(name, terrain, mujoco.mjtGeom.mjGEOM_HFIELD, (begin + TRANSITION / 2.0, 0.0, low), None, name)
        return low

    def _add_bumps(self, name: str, stretch: _Stretch, rng: np.random.Generator) -> float:
        """Add a height field, once per tile; returns the level of its lowest point, m."""
        surface = stretch.surface
        endless = math.isinf(stretch.begin) and math.isinf(stretch.end)
        begin, end = (-TILE / 2.0, TILE / 2.0) if endless else (max(stretch.begin, -REACH), min(stretch.end, REACH))
        height = bumps(surface, (end - begin, TILE), rng)
        x = np.linspace(begin, end, height.shape[1])
        y = np.linspace(-TILE / 2.0, TILE / 2.0, height.shape[0])
        inner, outer = _LEVEL_START
        height *= _ramp((np.hypot(x[None, :], y[:, None]) - inner) / (outer - inner))
        if not endless:
            height *= _ramp(np.minimum(x - begin, end - x) / surface.roughness_length)[None, :]
        low = self._add_field(name, height, (end - begin, TILE))
        tiles = math.ceil(REACH / TILE - 0.5)
        for i in range(-tiles, tiles + 1) if endless else (0,):
            for j in range(-tiles, tiles + 1):
                place = ((begin + end) / 2.0 + i * TILE, j * TILE, stretch.level + low)
                self._add(name if i == j == 0 else f"{name}_{i}_{j}", surface, mujoco.mjtGeom.mjGEOM_HFIELD, place,
                          None, name)
        return stretch.level + low

    def _add_field(self, name: str, height: np.ndarray, size: tuple[float, float]) -> float:
        """Add the heights of a height field, m, but no geom; returns the lowest, which is where a geom is placed."""
        low, high = float(height.min()), float(height.max())
        # MuJoCo wants heights from 0 to 1, and a field that has some.
        span = max(high - low, _FLATTEST)
        self._spec.add_hfield(name=name, nrow=height.shape[0], ncol=height.shape[1],
                              size=[size[0] / 2.0, size[1] / 2.0, span, _DEPTH],
                              userdata=((height - low) / span).astype(np.float32).ravel())
        return low

    def _add(self, name: str, surface: Terrain, kind: mujoco.mjtGeom, place: tuple[float, float, float],
             size: list[float] | None, field: str = "") -> None:
        contype, conaffinity = self.collision
        geom = self._spec.worldbody.add_geom(
            name=name, type=kind, pos=self.place(*place), quat=self._attitude, contype=contype,
            conaffinity=conaffinity, priority=1, condim=3, friction=contact_friction(surface),
            solref=contact_stiffness(surface), rgba=[*surface.color, 1.0])
        if size is not None:
            geom.size = size
        if field:
            geom.hfieldname = field
