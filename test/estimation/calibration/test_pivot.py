# SPDX-License-Identifier: Apache-2.0
"""A robot turned about a point that is held: where the point is in the tracked body; or why that cannot be told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from estimation.calibration.hand_motion import HandMotion, stamp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from l2a_ros.estimation.calibration.pivot import Pivot, measure_pivot
from l2a_ros.estimation.calibration.tracks import pose_track
from l2a_ros.robot.samples import PoseSample

BODY, POSITION, HELD = Rotation.from_euler("xyz", [3, 50, -20], degrees=True), (0.01, -0.004, 0.03), (0.0, 0.0, -0.02)
TRUE = BODY.inv().apply(np.array(HELD) - POSITION)


def measured(poses: Sequence[PoseSample]) -> Pivot:
    return measure_pivot(pose_track(poses, stamp(0.0)))


def turned(motion: HandMotion, seconds: float = 12.0) -> list[PoseSample]:
    return motion.poses(seconds, rotation=BODY, position=POSITION, held=HELD)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.tuples(*[st.floats(-0.2, 0.2)] * 3), st.tuples(*[st.floats(-0.1, 0.1)] * 3))
def test_the_point(seed: int, position: tuple[float, ...], held: tuple[float, ...]) -> None:
    body = Rotation.random(rng=seed)
    found = measured(HandMotion(seed).poses(10.0, rotation=body, position=position, held=held))
    assert found.is_good, found.problem
    np.testing.assert_allclose(found.point, body.inv().apply(np.array(held) - position), atol=3e-4)
    np.testing.assert_allclose(found.centre, [0.3, -0.2, 0.1], atol=3e-4)
    assert found.spread.max() < 2e-4


def test_the_spread_is_the_error() -> None:
    found = [measured(turned(HandMotion(seed))) for seed in range(15)]
    ratios = np.array([(each.point - TRUE) / each.spread for each in found])
    assert 0.4 < math.sqrt(float(np.mean(ratios**2))) < 2.0


def test_outliers_do_not_matter() -> None:
    poses = turned(HandMotion(1))
    for i in range(20, len(poses), 70):
        poses[i] = replace(poses[i], position=poses[i].position + [0.4, 0.1, 0.8])
    found = measured(poses)
    assert found.is_good, found.problem
    np.testing.assert_allclose(found.point, TRUE, atol=2e-4)


@pytest.mark.parametrize(("sizes", "says"), [
    ((0.0, 0.0, 1.0), "along z of the tracked body cannot be told"),
    ((0.0, 0.5, 0.0), "along y of the tracked body cannot be told"),
    ((0.05, 0.05, 1.0), "along z of the tracked body cannot be told"), ((0.0, 0.0, 0.0), "hardly leaned")])
def test_a_motion_that_does_not_tell(sizes: Sequence[float], says: str) -> None:
    found = measured(HandMotion(0, sizes).poses(12.0, position=POSITION, held=HELD))
    assert says in found.problem and np.isnan(found.point).all()


def test_a_point_that_slips() -> None:
    poses = turned(HandMotion(4))
    slips = [replace(each, position=each.position + [0.0, 0.02 * (i > 1000), 0.0]) for i, each in enumerate(poses)]
    wanders = [replace(each, position=each.position + [0.01 * math.sin(0.02 * i), 0.0, 0.0])
               for i, each in enumerate(poses)]
    assert "the point moved by" in measured(slips).problem
    assert "the point moved by" in measured(wanders).problem


def test_a_motion_that_was_over_at_once() -> None:
    leaned, upright = turned(HandMotion(5), 1.0), HandMotion(6, (0.0, 0.0, 1.0))
    at = {each.stamp: each for each in upright.poses(12.0, rotation=BODY, position=POSITION, held=HELD)}
    poses = list((at | {each.stamp: each for each in leaned}).values())
    assert not measured(poses).is_good
    assert "only 20 poses" in measured(poses[:20]).problem
