# SPDX-License-Identifier: Apache-2.0
"""Light and tiles change nothing for the robot."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from l2a_ros.simulation import world
from l2a_ros.simulation.terrain import load_terrain


@pytest.mark.parametrize("terrain", ["carpet", "gravel", "stairs_down"])
def test_looks_are_not_felt(monkeypatch: pytest.MonkeyPatch, terrain: str) -> None:
    tiled = world.build_model(load_terrain(terrain))
    monkeypatch.setattr(world, "add_looks", lambda spec, follow: None)
    plain = world.build_model(load_terrain(terrain))
    assert (plain.ntex, plain.nlight) == (0, 0)
    assert tiled.nlight == 1
    ground = tiled.geom_bodyid == 0
    assert np.all(tiled.geom_matid[ground] >= 0)
    ends = []
    for model in (tiled, plain):
        data = mujoco.MjData(model)
        data.qpos[:7] = world.start_pose(load_terrain(terrain), 0.0)
        data.ctrl[:] = 0.002
        mujoco.mj_step(model, data, 200)
        ends.append(np.concatenate([data.qpos, data.qvel]))
    np.testing.assert_array_equal(*ends)


def test_ground_never_flickers() -> None:
    """No two visible surfaces of the ground are at the same height in the same place."""
    model = world.build_model(replace(load_terrain("stairs_down"), roughness=0.0))
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    planes = [i for i in range(model.ngeom) if model.geom_type[i] == mujoco.mjtGeom.mjGEOM_PLANE]
    assert planes
    assert all(model.geom_rgba[i, 3] == 0.0 for i in planes)
