# SPDX-License-Identifier: Apache-2.0
"""The shape of a slope that begins on the way: level ground, a smooth transition along x, then an even slope.

The gradient of the height goes from zero to that of the slope along the middle of the way (y = 0), as the smooth step
``s(u) = 3 u^2 - 2 u^3`` of the way ``u`` through the transition. Beside it the ground twists: it is as steep along x as
the height that the slope has gained at that y makes it.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np

from l2a_ros.simulation.terrain import Terrain

#: Length of the transition along x, m.
TRANSITION = 0.3


def transition_height(terrain: Terrain, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the height of the ground within the transition, m, above the level ground before it.

    Args:
        terrain: its slope and the direction.
        x: places ``(n,)``, m from the begin of the transition, 0 to ``TRANSITION``.
        y: places ``(m,)``, m.

    Returns:
        Heights ``(m, n)``.
    """
    ahead, aside = _gradient(terrain)
    u = x / TRANSITION
    turned = u * u * (3.0 - 2.0 * u)
    # The integral of it.
    gained = TRANSITION * (u**3 - 0.5 * u**4)
    height: np.ndarray = ahead * gained[None, :] + aside * y[:, None] * turned[None, :]
    return height


def slope_frame(terrain: Terrain) -> tuple[np.ndarray, np.ndarray]:
    """Return the frame of the even slope: its y axis is the end of the transition, its z axis the normal of the ground.

    Returns:
        Position of its origin ``(3,)``, m, and its attitude ``(4,)``, w x y z.
    """
    ahead, aside = _gradient(terrain)
    origin = np.array([(terrain.slope_begin or 0.0) + TRANSITION, 0.0, 0.5 * TRANSITION * ahead])
    normal, across = np.array([-ahead, -aside, 1.0]), np.array([0.0, 1.0, aside])
    normal, across = normal / np.linalg.norm(normal), across / np.linalg.norm(across)
    attitude = np.zeros(4)
    mujoco.mju_mat2Quat(attitude, np.column_stack([np.cross(across, normal), across, normal]).ravel())
    return origin, attitude


def _gradient(terrain: Terrain) -> tuple[float, float]:
    """Return the gradient of the height on the even slope, along x and y."""
    steepness = -math.tan(terrain.slope)
    return steepness * math.cos(terrain.slope_direction), steepness * math.sin(terrain.slope_direction)
