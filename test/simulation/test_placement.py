# SPDX-License-Identifier: Apache-2.0
"""A robot that is put elsewhere stands there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from l2a_ros.errors import UserError
from l2a_ros.simulation.faults import parse_faults
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.terrain import load_terrain

STAND, WALK = np.zeros(2), np.array([40.0, 50.0])


def yaw_of(robot: Millirobot) -> float:
    x, y, z, w = robot.quaternion
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def up(robot: Millirobot) -> np.ndarray:
    x, y, z, w = robot.quaternion
    return np.array([2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)])


@pytest.mark.parametrize(("terrain", "faults"), [
    ("styrofoam", ()), ("turf", ("payload:0.02",)), ("slope:20,90", ("missing_leg:front_left",)), ("stairs_up", ())])
def test_it_stands_where_it_is_put_whatever_the_ground(terrain: str, faults: tuple[str, ...]) -> None:
    robot = Millirobot(load_terrain(terrain), 0, parse_faults(faults))
    for _ in range(200):
        robot.step(WALK)
    before, angles = robot.time, robot.crank_angles.copy()
    robot.place(1.2, -0.7, 2.0)
    np.testing.assert_allclose(robot.position[:2], [1.2, -0.7])
    np.testing.assert_array_equal(robot.crank_angles, angles)
    assert not robot.crank_rates.any()
    assert robot.time == before, "time and faults go on"
    for _ in range(400):
        robot.step(STAND)
    np.testing.assert_allclose(robot.position[:2], [1.2, -0.7], atol=0.02)
    assert yaw_of(robot) == pytest.approx(2.0, abs=0.15)
    tilt = math.radians(20.0) if terrain.startswith("slope") else 0.0
    assert math.acos(up(robot)[2]) == pytest.approx(tilt, abs=0.15)
    assert np.abs(robot.data.qvel[:3]).max() < 0.05, "it stands still"


def test_place_that_is_none_is_refused() -> None:
    robot = Millirobot(load_terrain("styrofoam"))
    before = robot.data.qpos.copy()
    for place in ((math.nan, 0.0, 0.0), (0.0, 0.0, math.inf), (150.0, 0.0, 0.0)):
        with pytest.raises(UserError, match="cannot be put"):
            robot.place(*place)
    np.testing.assert_array_equal(robot.data.qpos, before)
