# SPDX-License-Identifier: Apache-2.0
"""A slope that begins on the way: the shape of the ground, and a robot that walks onto it."""

from __future__ import annotations

import dataclasses
import math

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from l2a_ros.robot.limits import REVOLUTION
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.slope_ahead import TRANSITION
from l2a_ros.simulation.terrain import Terrain, load_terrain
from l2a_ros.simulation.world import build_model, start_pose

#: Angle and direction, degrees, and where it begins, m.
SLOPES = [(10.0, 90.0, 0.8), (20.0, -60.0, 0.5), (15.0, 0.0, 0.3), (-15.0, 180.0, 0.3), (-25.0, 45.0, 2.0),
          (0.0, 0.0, 1.0)]


def ahead(angle: float, direction: float, begin: float, rough: bool = False) -> Terrain:
    terrain = load_terrain(f"slope:{angle},{direction},{begin}")
    return terrain if rough else dataclasses.replace(terrain, roughness=0.0)


def heights(model: mujoco.MjModel, places: np.ndarray) -> np.ndarray:
    """Return the height of the ground at places ``(n, 2)``, m."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    data.geom_xpos[model.geom_bodyid > 0] += 100.0
    seen, hit = np.array([1, 0, 0, 0, 0, 0], dtype=np.uint8), np.zeros(1, dtype=np.int32)
    down = np.array([0.0, 0.0, -1.0])
    return np.array([5.0 - mujoco.mj_ray(model, data, np.array([*place, 5.0]), down, seen, 1, -1, hit)
                     for place in places])


def integrated(angle: float, direction: float, begin: float, x: float, y: float) -> float:
    """Return what the height must be, by adding up the gradient along x in the middle and then across."""
    steepness, turn = -math.tan(math.radians(angle)), math.radians(direction)
    steps = np.linspace(0.0, max(x, 0.0), 4001)
    u = np.clip((steps - begin) / 0.3, 0.0, 1.0)
    share = u * u * (3.0 - 2.0 * u)
    return float(np.trapezoid(steepness * math.cos(turn) * share, steps) + steepness * math.sin(turn) * y * share[-1])


@pytest.mark.parametrize("slope", SLOPES)
def test_gradient_goes_smoothly_from_none_to_that_of_the_slope(slope: tuple[float, float, float]) -> None:
    begin = slope[2]
    along = [-6.0, 0.0, begin - 0.01, *(begin + np.linspace(0.003, TRANSITION - 0.003, 8)), begin + TRANSITION + 0.002,
             begin + 0.5, begin + 1.0, begin + 6.0]
    places = np.array([(x, y) for x in along for y in (-1.0, -0.31, 0.0, 0.11, 0.5)])
    expected = [integrated(*slope, *place) for place in places]
    np.testing.assert_allclose(heights(build_model(ahead(*slope)), places), expected, atol=3e-4)


def test_bumps_lie_on_it_and_end_at_its_borders() -> None:
    slope = (10.0, 90.0, 0.5)
    places = np.array([(x, y) for x in (-3.0, 0.3, 0.65, 1.0, 3.0) for y in np.linspace(-2.0, 2.0, 41)])
    borders = np.array([(x, y) for x in (0.5 - 5e-4, 0.5 + 5e-4, 0.8 - 5e-4, 0.8 + 5e-4) for y in (-0.5, 0.0, 0.21)])
    rough = ahead(*slope, rough=True)
    for points, lowest, highest in ((places, 0.001, 0.004), (borders, 0.0, 1e-4)):
        bumps = heights(build_model(rough, 2), points) - [integrated(*slope, *place) for place in points]
        assert lowest <= float(np.sqrt(np.mean(bumps**2))) <= highest
    one, same, other = (build_model(rough, seed).hfield_data.tobytes() for seed in (1, 1, 2))
    assert one == same != other


def test_starts_level_whatever_comes() -> None:
    np.testing.assert_array_equal(start_pose(ahead(30.0, 45.0, 0.2), 1.0), start_pose(load_terrain("carpet"), 1.0))


def steer(robot: Millirobot, seconds: float) -> np.ndarray:
    """Walk along y = 0; return the place, m, and the body's vertical axis, each 20 ms ``(n, 6)``."""
    rows, rates = [], [0.0, 0.0]
    for ms in range(round(seconds * 1000)):
        attitude = Rotation.from_quat(robot.quaternion)
        if ms % 100 == 0 and ms >= 300:
            turn = float(np.clip(-5.0 * robot.position[1] - 2.0 * attitude.as_euler("ZYX")[0], -2.5, 2.5))
            rates = [(5.0 - turn) * REVOLUTION, (5.0 + turn) * REVOLUTION]
        robot.step(rates)
        if ms % 20 == 0:
            rows.append(np.concatenate([robot.position, attitude.apply([0.0, 0.0, 1.0])]))
    return np.array(rows)


@pytest.mark.parametrize("rough", [False, True])
def test_it_walks_onto_a_bank_and_leans_with_it(rough: bool) -> None:
    """Level before it, rolled beyond it, and nowhere near falling in between."""
    tilts = {}
    for angle in (15.0, -15.0):
        before, beyond = [], []
        for seed in range(2):
            rows = steer(Millirobot(ahead(angle, 90.0, 0.3, rough), seed), 4.5)
            assert rows[:, 5].min() > math.cos(math.radians(60.0))
            above = rows[:, 2] - np.array([integrated(angle, 90.0, 0.3, x, y) for x, y in rows[:, :2]])
            assert 0.0 < above.min() < above.max() < 0.06
            assert rows[-1, 0] > 0.8, "it is not held at the border"
            before.append(rows[rows[:, 0] < 0.25, 3:].mean(axis=0))
            beyond.append(rows[rows[:, 0] > 0.7, 3:].mean(axis=0))
        tilts[angle] = [math.degrees(math.atan2(up[1], up[2])) for up in (sum(before), sum(beyond))]
    # It leans to one side by itself: the difference of the two slopes tells. While it walks, it leans by 11 to 12
    # degrees of 15, also on a slope that is everywhere.
    before, beyond = ((down - up) / 2.0 for down, up in zip(tilts[15.0], tilts[-15.0], strict=True))
    assert before == pytest.approx(0.0, abs=2.5)
    assert beyond == pytest.approx(11.5, abs=3.0)


@pytest.mark.parametrize(("angle", "direction"), [(15.0, 90.0), (12.0, 30.0)])
def test_it_stands_there_as_on_a_slope_that_is_everywhere(angle: float, direction: float) -> None:
    everywhere = dataclasses.replace(ahead(angle, direction, 0.3), slope_begin=None, friction=2.0)
    robots = [Millirobot(dataclasses.replace(everywhere, slope_begin=begin)) for begin in (None, 0.3)]
    place = np.array([1.0, 0.1, integrated(angle, direction, 0.3, 1.0, 0.1)])
    robots[1].data.qpos[:7] = start_pose(everywhere, 0.0)
    robots[1].data.qpos[:3] += place
    for _ in range(600):
        for robot in robots:
            robot.step([0.0, 0.0])
    np.testing.assert_allclose(robots[1].position - place, robots[0].position, atol=1e-3)
    np.testing.assert_allclose(*(robot.quaternion for robot in robots), atol=0.01)


def test_a_sled_is_pulled_onto_it() -> None:
    terrain = ahead(15.0, 0.0, 0.1)
    robot = Millirobot(terrain, 1, [parse_fault("payload:0.01@0.3")])
    rows = steer(robot, 4.0)
    sled = robot.data.body("sled").xpos
    assert rows[-1, 0] > sled[0] > 0.4
    assert 0.0 < sled[2] - integrated(15.0, 0.0, 0.1, sled[0], sled[1]) < 0.02
