# SPDX-License-Identifier: Apache-2.0
"""The fault ``payload``: a sled that the robot pulls on a string. Every number but the mass is assumed."""

from __future__ import annotations

import math

import mujoco
import numpy as np

#: Length of the string from the robot's tail to the sled, m.
STRING = 0.08
#: Friction of the sled's runners on any ground.
FRICTION = 0.35
#: Half extents of the sled, m.
_SIZE = (0.02, 0.015, 0.005)
_RUNNER = 0.003
#: Height from which the ground under the sled is looked for, m.
_ABOVE = 0.3


def add_sled(spec: mujoco.MjSpec, mass: float, pose: np.ndarray) -> None:
    """Add a sled and its string at the end of a world, so that no index of the robot changes.

    Args:
        spec: the world.
        mass: kg.
        pose: of the sled: position m and quaternion wxyz, shape ``(7,)``.
    """
    length, width, height = _SIZE
    ground = spec.worldbody.geoms[0]
    sled = spec.worldbody.add_body(name="sled", pos=pose[:3], quat=pose[3:])
    sled.add_freejoint(name="sled")
    sled.add_geom(name="sled", type=mujoco.mjtGeom.mjGEOM_BOX, size=_SIZE, mass=mass, contype=0, conaffinity=0,
                  rgba=[0.55, 0.40, 0.25, 1.0])
    # A box on a height field is slow; balls are not.
    for i, (x, y) in enumerate(((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0))):
        sled.add_geom(name=f"sled_runner_{i}", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[_RUNNER, 0.0, 0.0], mass=0.0,
                      pos=[x * (length - _RUNNER), y * (width - _RUNNER), -height], group=3, condim=3, priority=2,
                      contype=ground.conaffinity, conaffinity=ground.contype,
                      friction=[FRICTION, 0.005, 0.0001])
    sled.add_site(name="sled_ring", pos=[length, 0.0, 0.0], size=[0.001, 0.001, 0.001])
    spec.body("base_link").add_site(name="hook", pos=_hook(spec), size=[0.001, 0.001, 0.001])
    string = spec.add_tendon(name="string", limited=True, range=[0.0, STRING], width=0.0006, rgba=[0.9, 0.9, 0.9, 1.0])
    string.wrap_site("hook")
    string.wrap_site("sled_ring")


def _hook(spec: mujoco.MjSpec) -> list[float]:
    hull = spec.geom("hull")
    return [float(hull.pos[0] - hull.size[0]), 0.0, float(hull.pos[2])]


def pose_behind(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """Return where a sled stands on the ground behind the robot with its string just taut, shape ``(7,)``."""
    x, y, z, w, i, j, k = data.qpos[:7]
    yaw = math.atan2(2.0 * (w * k + i * j), 1.0 - 2.0 * (j * j + k * k))
    hull = model.geom("hull")
    behind = float(hull.size[0] - hull.pos[0]) + 0.95 * STRING + _SIZE[0]
    place = np.array([x - behind * math.cos(yaw), y - behind * math.sin(yaw), z + _ABOVE])
    drop = mujoco.mj_ray(model, data, place, np.array([0.0, 0.0, -1.0]), None, 1, model.body("base_link").id,
                         np.zeros(1, np.int32))
    ground = place[2] - drop if drop >= 0.0 else z
    place[2] = ground + _SIZE[2] + _RUNNER + 0.001
    return np.array([*place, math.cos(yaw / 2.0), 0.0, 0.0, math.sin(yaw / 2.0)])
