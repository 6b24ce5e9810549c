# SPDX-License-Identifier: Apache-2.0
"""The ground in the simulated world: its shape, and a robot that walks on it.

One walk is chaotic, so claims about walking compare sums over several starts, and bounds are wide.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cache

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from l2a_ros.robot.limits import REVOLUTION
from l2a_ros.simulation.ground import TILE, bumps
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.terrain import REACH, Steps, Terrain, load_terrain, terrain_names
from l2a_ros.simulation.world import build_model, build_spec, start_pose

SMOOTH = dataclasses.replace(load_terrain("carpet"), roughness=0.0)
GRAVEL = load_terrain("gravel")
#: Every shipped terrain, and some that are asked for.
GROUNDS = [*terrain_names(), "slope:25,120", "slope:-15", "gravel:10,-90", "stairs_down:5,30", "carpet_to_turf:8",
           "slope:12,-90,0.1"]


def attitude(terrain: Terrain) -> Rotation:
    w, x, y, z = terrain.attitude
    return Rotation.from_quat([x, y, z, w])


def along(terrain: Terrain, position: np.ndarray) -> np.ndarray:
    """Return a place seen from the ground's own frame: along x, along y, above the untilted ground, m."""
    place: np.ndarray = attitude(terrain).inv().apply(position)
    return place


def height(model: mujoco.MjModel, x: float, y: float) -> float:
    """Return the height of the ground at a place in ``map``, m, by a ray from above."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    seen = np.array([0, 0, 0, 0, 0, 0], dtype=np.uint8)
    # The ground is in group 0, which the robot's visible parts share: they are put out of the way.
    data.geom_xpos[model.geom_bodyid > 0] += 100.0
    seen[0] = 1
    hit = np.zeros(1, dtype=np.int32)
    distance = mujoco.mj_ray(model, data, np.array([x, y, 5.0]), np.array([0.0, 0.0, -1.0]), seen, 1, -1, hit)
    assert distance > 0.0
    return 5.0 - distance


@cache
def walked(text: str, seed: int = 0, seconds: float = 2.5) -> np.ndarray:
    """Walk straight ahead after standing for a moment; return positions each 20 ms ``(n, 3)``, m."""
    robot = Millirobot(load_terrain(text), seed)
    places = []
    for ms in range(int((0.3 + seconds) * 1000)):
        robot.step([5.0 * REVOLUTION * (ms >= 300)] * 2)
        if ms >= 300 and ms % 20 == 0:
            places.append(robot.position)
    assert np.isfinite(robot.data.qpos).all()
    assert np.isfinite(robot.data.qvel).all()
    return np.array(places)


# Every terrain -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", GROUNDS)
def test_starts_on_the_ground(text: str) -> None:
    terrain = load_terrain(text)
    for seed in range(3):
        robot = Millirobot(terrain, seed, heading=1.0)
        assert all(contact.dist > -0.0005 for contact in robot.data.contact), "nothing begins inside the ground"
        up = Rotation.from_quat(robot.quaternion).apply([0.0, 0.0, 1.0])
        np.testing.assert_allclose(up, attitude(terrain).apply([0.0, 0.0, 1.0]), atol=1e-9)
        start = along(terrain, robot.position)
        for _ in range(200):
            robot.step([0.0, 0.0])
        rest = along(terrain, robot.position)
        assert 0.005 < rest[2] < start[2] + 0.003, "it has come down on its feet"
        assert start[2] - rest[2] < 0.012, "and not from high"
        assert np.linalg.norm(rest[:2] - start[:2]) < 0.06
    ahead = Rotation.from_quat(np.roll(start_pose(terrain, 1.0)[3:], -1)).apply([1.0, 0.0, 0.0])
    assert math.atan2(ahead[1], ahead[0]) == pytest.approx(1.0, abs=0.12)


@pytest.mark.parametrize("text", GROUNDS)
def test_walks_and_never_falls_through(text: str) -> None:
    terrain = load_terrain(text)
    places = np.array([along(terrain, place) for place in walked(text)])
    levels = [(terrain.level(x - 0.07), terrain.level(x + 0.07)) for x in places[:, 0]]
    above = places[:, 2] - np.array([min(ends) for ends in levels])
    assert above.min() > 0.003, "the middle of the body stays above the ground"
    assert (places[:, 2] - np.array([max(ends) for ends in levels])).max() < 0.06, "and near it"
    assert np.linalg.norm(np.diff(places[::10, :2], axis=0), axis=1).sum() > 0.15


# Slopes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [0, 90, 200])
def test_slope_goes_down_in_its_direction(direction: float) -> None:
    model = build_model(load_terrain(f"carpet:20,{direction}"))
    turn = math.radians(direction)
    ahead, aside = (0.5 * math.cos(turn), 0.5 * math.sin(turn)), (-0.5 * math.sin(turn), 0.5 * math.cos(turn))
    flat = height(model, 0.0, 0.0)
    assert height(model, *ahead) - flat == pytest.approx(-0.5 * math.tan(math.radians(20.0)), abs=0.01)
    assert height(model, *aside) - flat == pytest.approx(0.0, abs=0.01)


def test_downhill_is_faster_than_uphill() -> None:
    gained = {text: sum(walked(text, seed)[-1][0] - walked(text, seed)[0][0] for seed in range(3))
              for text in ("carpet:20", "carpet:0", "carpet:-20")}
    assert gained["carpet:20"] > gained["carpet:0"] > gained["carpet:-20"]
    drift = {text: sum(walked(text, seed)[-1][1] - walked(text, seed)[0][1] for seed in range(3))
             for text in ("carpet:20,90", "carpet:20,-90")}
    assert drift["carpet:20,90"] > drift["carpet:20,-90"] + 0.3


# Steps and zones -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stairs_down", "stairs_up"])
def test_shape_of_stairs(name: str) -> None:
    terrain = dataclasses.replace(load_terrain(name), roughness=0.0)
    steps = terrain.steps
    assert steps is not None
    model = build_model(terrain)
    for i in range(steps.count + 1):
        x = steps.start + (i - 0.5) * steps.run
        for y in (-2.0, 0.0, 2.0):
            assert height(model, x, y) == pytest.approx(i * steps.rise, abs=1e-6)
    assert height(model, 9.0, 0.0) == pytest.approx(steps.count * steps.rise, abs=1e-6)
    assert height(model, -9.0, 0.0) == pytest.approx(0.0, abs=1e-6)


def test_descends_by_the_height_of_the_steps() -> None:
    terrain = dataclasses.replace(SMOOTH, steps=Steps(-0.02, 0.1, 3, 0.12))
    ends = []
    for seed in range(5):
        robot = Millirobot(terrain, seed)
        for ms in range(4000):
            robot.step([5.0 * REVOLUTION * (300 <= ms < 3500)] * 2)
            if ms == 299:
                start = robot.position
        if robot.position[0] > 0.4:
            ends.append(robot.position[2] - start[2])
    assert ends, "at least one of five walks ahead and down all the steps"
    # A robot stops with its feet anywhere, so its body is a centimetre higher or lower.
    assert np.median(ends) == pytest.approx(-0.06, abs=0.012)


def test_zones_have_their_own_ground() -> None:
    shipped = load_terrain("carpet_to_turf")
    terrain = dataclasses.replace(shipped, zones=tuple(
        dataclasses.replace(zone, surface=dataclasses.replace(zone.surface, friction=0.3 + 0.1 * i))
        for i, zone in enumerate(shipped.zones)), friction=0.9)
    robot = Millirobot(terrain)
    borders = [-1.0, *(zone.begin for zone in terrain.zones), 3.0]
    grounds = [terrain, *(zone.surface for zone in terrain.zones)]
    for begin, end, ground in zip(borders, borders[1:], grounds, strict=False):
        robot.reset()
        robot.data.qpos[0] = (begin + end) / 2.0
        for _ in range(300):
            robot.step([0.0, 0.0])
        contacts = robot.data.contact[:robot.data.ncon]
        assert contacts
        assert {float(contact.friction[0]) for contact in contacts} == {ground.friction}
        assert {float(contact.solref[0]) for contact in contacts} == {ground.contact_time}


def test_zones_meet_at_the_same_height() -> None:
    model = build_model(dataclasses.replace(load_terrain("carpet_to_turf"), roughness=0.003))
    for border in (0.6, 1.2):
        for y in (0.0, 0.31):
            assert height(model, border - 1e-3, y) == pytest.approx(0.0, abs=2e-4)
            assert height(model, border + 1e-3, y) == pytest.approx(0.0, abs=2e-4)


# Bumps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rms", "length"), [(0.001, 0.03), (0.004, 0.06), (0.002, 0.25)])
def test_bumps_are_as_rough_as_told(rms: float, length: float) -> None:
    surface = dataclasses.replace(SMOOTH, roughness=rms, roughness_length=length)
    drawn = bumps(surface, (TILE, TILE), np.random.default_rng(1))
    inside = drawn[:-1, :-1]
    assert inside.mean() == pytest.approx(0.0, abs=1e-12)
    assert inside.std() == pytest.approx(rms)
    step = TILE / inside.shape[1]
    for axis in (0, 1):
        shift = round(length / step)
        correlation = float((inside * np.roll(inside, shift, axis)).mean() / rms**2)
        assert correlation == pytest.approx(math.exp(-(shift * step / length) ** 2), abs=0.1)
    np.testing.assert_array_equal(drawn[0], drawn[-1])
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, -1])


def test_seed_decides_the_bumps() -> None:
    fields = [build_model(GRAVEL, seed).hfield_data.tobytes() for seed in (1, 1, 2, 0)]
    assert fields[0] == fields[1]
    assert len(set(fields)) == 3
    assert build_model(SMOOTH, 1).nhfield == 0
    assert build_spec(GRAVEL, 2).compile().hfield_data.tobytes() == fields[2]
    zones = load_terrain("carpet_to_turf")
    rough = dataclasses.replace(zones, roughness=0.002)
    assert build_model(rough, 1).nhfield == build_model(zones, 1).nhfield + (zones.roughness == 0.0)


@pytest.mark.parametrize("text", GROUNDS)
def test_same_seed_same_walk(text: str) -> None:
    one, again, other = (walked.__wrapped__(text, seed, 0.4) for seed in (1, 1, 2))
    assert one.tobytes() == again.tobytes() != other.tobytes()


def test_height_field_in_the_world() -> None:
    """The field is where it should be: level at the start, continuous from tile to tile, rough elsewhere."""
    model = build_model(GRAVEL, 3)
    for x, y in ((0.0, 0.0), (0.05, 0.04), (-0.06, 0.0)):
        assert height(model, x, y) == pytest.approx(0.0, abs=1e-5)
    for edge in (TILE / 2.0, -TILE / 2.0):
        for y in (0.3, TILE / 2.0 + 0.7):
            assert height(model, edge - 1e-3, y) == pytest.approx(height(model, edge + 1e-3, y), abs=5e-4)
            assert height(model, y, edge - 1e-3) == pytest.approx(height(model, y, edge + 1e-3), abs=5e-4)
    heights = [height(model, x, y) for x in np.arange(0.2, 1.4, 0.1) for y in np.arange(0.2, 1.4, 0.1)]
    assert np.std(heights) == pytest.approx(GRAVEL.roughness, rel=0.3)
    assert abs(np.mean(heights)) < GRAVEL.roughness / 2.0


def test_lies_on_its_back_and_sides_on_rough_ground() -> None:
    """The hull touches rough ground with balls instead of its box."""
    for turn in (math.pi, math.pi / 2.0, -math.pi / 2.0):
        robot = Millirobot(GRAVEL, 1)
        robot.data.qpos[:3] = [0.5, 0.5, 0.06]
        robot.data.qpos[3:7] = [math.cos(turn / 2.0), math.sin(turn / 2.0), 0.0, 0.0]
        for _ in range(700):
            robot.step([0.0, 0.0])
            assert robot.position[2] > 0.004
        assert np.abs(robot.data.qvel[:6]).max() < 0.5
        assert robot.position[2] < 0.05


def test_rough_ground_does_not_hold_the_robot() -> None:
    """On soft slippery bumps the belly often touches, and must not be caught: that would jam the legs."""
    terrain = dataclasses.replace(SMOOTH, friction=0.4, contact_time=0.016, contact_damping=1.0, roughness=0.002)
    for seed in range(4):
        robot = Millirobot(terrain, seed)
        start = robot.crank_angles.copy()
        for _ in range(2500):
            robot.step([5.0 * REVOLUTION] * 2)
        assert ((robot.crank_angles - start) / REVOLUTION).min() > 0.9 * 12.5
        assert np.linalg.norm(robot.position[:2]) > 0.2


@pytest.mark.parametrize("text", ["gravel", "stairs_down", "carpet_to_turf", "gravel:20,30"])
def test_beyond_the_ground_is_a_floor(text: str) -> None:
    """A robot that walks off the edge, or far from it, is still on something."""
    terrain = load_terrain(text)
    for x, y in ((REACH - 0.02, 0.0), (0.3, -REACH + 0.02), (30.0, 5.0)):
        robot = Millirobot(terrain, 1)
        robot.data.qpos[:3] += attitude(terrain).apply([x, y, terrain.level(x)])
        for _ in range(1000):
            robot.step([6.0 * REVOLUTION] * 2)
        assert np.isfinite(robot.data.qpos).all()
        place = along(terrain, robot.position)
        lowest = 0.0 if terrain.steps is None else min(0.0, terrain.steps.count * terrain.steps.rise)
        assert place[2] > lowest - 0.01


def test_thrown_onto_rough_ground() -> None:
    """Hard landings in any attitude stay finite and above the ground."""
    rng = np.random.default_rng(5)
    robot = Millirobot(dataclasses.replace(GRAVEL, roughness=0.006), 1)
    for _ in range(8):
        robot.reset()
        robot.data.qpos[:3] = [*rng.uniform(-3.0, 3.0, 2), 0.25]
        robot.data.qpos[3:7] = Rotation.random(rng=rng).as_quat()
        robot.data.qvel[:6] = rng.uniform(-3.0, 3.0, 6)
        for _ in range(600):
            robot.step(rng.uniform(12.0, 56.0, 2))
        assert np.isfinite(robot.data.qpos).all()
        assert -0.005 < robot.position[2] < 0.2
