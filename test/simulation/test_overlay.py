# SPDX-License-Identifier: Apache-2.0
"""Lines on the ground: all of them, where they belong, and never more than a scene can hold."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from functools import cache

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.simulation import overlay
from l2a_ros.simulation.overlay import Ground, Lines, Trace, draw_lines, thinned
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.simulation.world import build_model


@cache
def world(terrain: str = "carpet") -> mujoco.MjModel:
    return build_model(load_terrain(terrain))


def line(count: int, y: float = 0.0) -> np.ndarray:
    return np.stack([0.02 * np.arange(count), np.full(count, y), np.zeros(count)], axis=1)


def drawn(scene: mujoco.MjvScene) -> Counter[tuple[float, ...]]:
    return Counter(tuple(np.round(scene.geoms[i].rgba, 3).tolist()) for i in range(scene.ngeom))


def colour(rgba: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(np.round(np.array(rgba, np.float32), 3).tolist())


def test_every_line_has_its_colour() -> None:
    scene = mujoco.MjvScene(world(), 100)
    draw_lines(scene, Lines(line(11), line(21, 0.1), line(6, 0.2)))
    assert drawn(scene) == {colour(overlay.REFERENCE_COLOUR): 10, colour(overlay.TRACK_COLOUR): 20,
                            colour(overlay.PLAN_COLOUR): 5 + 1}
    assert len({overlay.REFERENCE_COLOUR, overlay.TRACK_COLOUR, overlay.PLAN_COLOUR}) == 3


def test_ribbons_reach_from_point_to_point() -> None:
    scene = mujoco.MjvScene(world(), 10)
    draw_lines(scene, Lines(reference=np.array([[0.0, 0.0, 0.0], [0.3, 0.4, 0.0], [0.3, 0.8, 0.1]])))
    first, second = scene.geoms[0], scene.geoms[1]
    np.testing.assert_allclose(first.pos[:2], [0.15, 0.2], atol=1e-6)
    np.testing.assert_allclose(first.mat[:, 0], [0.6, 0.8, 0.0], atol=1e-6)
    assert first.size[0] == pytest.approx(0.25, abs=overlay.REFERENCE_WIDTH)
    np.testing.assert_allclose(second.mat[:, 0], np.array([0.0, 0.4, 0.1]) / math.hypot(0.4, 0.1), atol=1e-6)
    for geom in (first, second):
        np.testing.assert_allclose(geom.mat @ geom.mat.T, np.eye(3), atol=1e-6)
        assert 0.0 < geom.pos[2] < 0.06


def test_nothing_is_nothing() -> None:
    scene = mujoco.MjvScene(world(), 10)
    draw_lines(scene, Lines())
    draw_lines(scene, Lines(reference=line(1), track=np.zeros((5, 3))))
    assert scene.ngeom == 0, "a point has no length"


@given(room=st.integers(0, 40), taken=st.integers(0, 10), lengths=st.tuples(*[st.integers(0, 200)] * 3))
def test_scene_never_overflows(room: int, taken: int, lengths: tuple[int, int, int]) -> None:
    scene = mujoco.MjvScene(world(), max(room + taken, 1))
    scene.ngeom = min(taken, scene.maxgeom)
    before = scene.ngeom
    draw_lines(scene, Lines(*(line(count, 0.1 * i) for i, count in enumerate(lengths))))
    assert before <= scene.ngeom <= scene.maxgeom
    if scene.maxgeom - before >= sum(lengths):
        assert scene.ngeom - before == sum(max(count - 1, 0) for count in lengths) + (lengths[2] > 0)


@given(count=st.integers(0, 500), most=st.integers(0, 100))
def test_thinning_keeps_both_ends(count: int, most: int) -> None:
    points = line(count)
    kept = thinned(points, most)
    assert len(kept) <= most
    if count <= most and most >= 2:
        assert len(kept) == count
    if count >= 2 and most >= 2:
        np.testing.assert_array_equal(kept[[0, -1]], points[[0, -1]])
        assert np.all(np.diff(kept[:, 0]) > 0.0)
        assert len(kept) > most / 2 - 2 or len(kept) == count, "no more is left out than necessary"


def test_growing_line_does_not_tremble() -> None:
    points = line(300)
    for count in range(101, 300):
        before, after = thinned(points[:count - 1], 50), thinned(points[:count], 50)
        stayed = {tuple(point) for point in after[:-1]} - {tuple(point) for point in before}
        assert not stayed or stayed == {tuple(before[-1])} or len(after) <= len(before)


@pytest.mark.parametrize(("terrain", "height"), [
    ("carpet", lambda x: 0.0 * x), ("slope:20", lambda x: -math.tan(math.radians(20.0)) * x)])
def test_lines_lie_on_the_ground(terrain: str, height: object) -> None:
    assert callable(height)
    smooth = build_model(replace(load_terrain(terrain), roughness=0.0))
    points = Ground(smooth).along(np.array([[-0.5, 0.0], [0.5, 0.3]]))
    np.testing.assert_allclose(points[[0, -1], :2], [[-0.5, 0.0], [0.5, 0.3]])
    np.testing.assert_allclose(points[:, 2], height(points[:, 0]), atol=1e-6)
    assert np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1).max() <= overlay.LONGEST_RIBBON + 1e-9


@pytest.mark.parametrize("terrain", ["gravel", "stairs_down"])
def test_lines_follow_uneven_ground(terrain: str) -> None:
    points = Ground(world(terrain)).along(np.array([[0.0, 0.0], [1.5, 0.0]]))
    assert np.ptp(points[:, 2]) > 0.003
    assert points[0, 2] == pytest.approx(0.0, abs=1e-6), "the robot itself is not in the way"


def test_track_begins_anew_and_stays_short() -> None:
    trace = Trace(world(), longest=16)
    trace.begin(np.array([[0.0, 0.0], [1.0, 0.0]]))
    for i in range(400):
        trace.follow(np.array([0.005 * i, 0.0, 0.02]))
    lines = trace.lines(np.array([2.0, 0.0, 0.02]), None)
    assert 8 <= len(lines.track) <= 17
    np.testing.assert_allclose(lines.track[[0, -1], 0], [0.0, 2.0])
    assert len(lines.plan) == 0
    trace.cut()
    assert len(trace.lines(np.zeros(3), np.array([[0.1, 0.0]])).track) == 1
    trace.enter(world("slope:20"))
    again = trace.lines(np.zeros(3), None)
    assert again.reference[-1, 2] < -0.3, "the reference lies on the new ground"
