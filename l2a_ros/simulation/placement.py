# SPDX-License-Identifier: Apache-2.0
"""Where a robot stands that is put somewhere: on the ground as it is there, upright on it."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.simulation.world import START_HEIGHT

#: The ground is felt for so far before and behind, left and right of the middle of the robot, m: under its feet.
_REACH = (0.05, 0.035)
#: From so high, m; the steepest slope is lower at the end of what there is of it.
_ABOVE = 20.0
#: The robot is kept so far below while the ground is felt for, m.
_AWAY = -1000.0
#: Farther from the origin, m, nobody can mean.
FARTHEST = 100.0


def pose_on_ground(model: mujoco.MjModel, data: mujoco.MjData, x: float, y: float, yaw: float) -> np.ndarray:
    """Return the pose of a robot that is put onto the ground.

    Args:
        model: the world.
        data: as it is; nothing is changed.
        x: of the middle of ``base_link`` in ``map``, m.
        y: the same, m.
        yaw: where it looks, rad.

    Returns:
        Position m and quaternion wxyz, shape ``(7,)``.

    Raises:
        UserError: for a place that is none.
    """
    if not (all(map(math.isfinite, (x, y, yaw))) and math.hypot(x, y) <= FARTHEST):
        raise UserError(f"the robot cannot be put to x {x:g} m, y {y:g} m: that is no place within {FARTHEST:g} m")
    empty = mujoco.MjData(model)
    empty.qpos[:] = data.qpos
    empty.qpos[2] = _AWAY
    mujoco.mj_kinematics(model, empty)
    cos, sin = math.cos(yaw), math.sin(yaw)
    offsets = [(cos * forward - sin * left, sin * forward + cos * left)
               for forward in (-_REACH[0], 0.0, _REACH[0]) for left in (-_REACH[1], 0.0, _REACH[1])]
    heights = np.array([_height(model, empty, x + dx, y + dy) for dx, dy in offsets])
    # The plane that fits best, raised until nothing sticks out of it: the feet do not begin inside a bump or a step.
    places = np.column_stack([np.array(offsets), np.ones(len(offsets))])
    (slope_x, slope_y, level), *_ = np.linalg.lstsq(places, heights, rcond=None)
    level += float(np.max(heights - places @ [slope_x, slope_y, level]))
    normal = np.array([-slope_x, -slope_y, 1.0]) / math.sqrt(slope_x**2 + slope_y**2 + 1.0)
    tilt, quaternion = np.zeros(4), np.zeros(4)
    mujoco.mju_quatZ2Vec(tilt, normal)
    mujoco.mju_mulQuat(quaternion, tilt, np.array([math.cos(yaw / 2.0), 0.0, 0.0, math.sin(yaw / 2.0)]))
    return np.array([x, y, level + START_HEIGHT / normal[2], *quaternion])


def _height(model: mujoco.MjModel, data: mujoco.MjData, x: float, y: float) -> float:
    drop = mujoco.mj_ray(model, data, np.array([x, y, _ABOVE]), np.array([0.0, 0.0, -1.0]), None, 1, -1,
                         np.zeros(1, np.int32))
    if drop < 0.0:
        raise UserError(f"there is no ground at x {x:.2f} m, y {y:.2f} m")
    return _ABOVE - float(drop)
