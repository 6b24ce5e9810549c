# SPDX-License-Identifier: Apache-2.0
"""A robot that stands, or is slid along a ruler: the tracked body's axes on it; or what was wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from estimation.calibration.hand_motion import pose_samples, stamp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from l2a_ros.estimation.calibration.standing import Standing, measure_standing
from l2a_ros.estimation.calibration.tracks import pose_track
from l2a_ros.robot.samples import PoseSample

BODY = Rotation.from_euler("xyz", [5, -3, 100], degrees=True)


def slid(heading: float, way: float = 0.3, body: Rotation = BODY, seed: int = 0, turn: float = 0.0,
         rise: float = 0.0, waits: Sequence[float] = (2.0, 2.0), takes: float = 1.5,
         shakes: float = 1.0) -> list[PoseSample]:
    """Return poses of a robot that waits, is slid forward, and waits; the hand shakes and lifts it on the way."""
    end = waits[0] + takes
    times = np.arange(0.0, end + waits[1], 0.01)
    part = np.clip((times - waits[0]) / takes, 0.0, 1.0)
    hand = shakes * np.sin(math.pi * part)
    steps = np.column_stack([way * part, 0.0 * part, rise * part + 0.01 * hand])
    heading_now = Rotation.from_euler("z", heading)
    turned = Rotation.from_rotvec(np.outer(part, [0.0, 0.0, turn]))
    shaken = Rotation.from_rotvec(np.outer(hand, [0.1, -0.1, 0.2])) * turned
    return pose_samples(times, [0.5, -1.0, 0.06] + heading_now.apply(steps), heading_now * shaken * body,
                        np.random.default_rng(seed))


def measured(poses: Sequence[PoseSample], heading: float | None = None) -> Standing:
    return measure_standing(pose_track(poses, stamp(0.0)), heading)


def error(found: Standing, body: Rotation = BODY) -> float:
    return math.degrees((Rotation.from_matrix(found.rotation) * body.inv()).magnitude())


@settings(max_examples=15)
@given(st.integers(0, 1000), st.floats(-math.pi, math.pi), st.floats(0.2, 1.0))
def test_slid_along_a_line(seed: int, heading: float, way: float) -> None:
    body = Rotation.random(rng=seed)
    found = measured(slid(heading, way, body, seed))
    assert found.is_good, found.problem
    assert found.way == pytest.approx(way, abs=0.001)
    assert error(found, body) < 0.2
    assert math.degrees(found.spread.max()) < 0.2
    assert math.cos(found.heading - heading) == pytest.approx(1.0, abs=1e-5)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.floats(-math.pi, math.pi))
def test_a_heading_that_is_known(seed: int, heading: float) -> None:
    body, times = Rotation.random(rng=seed), np.arange(0.0, 2.0, 0.01)
    attitude = Rotation.from_euler("z", heading) * body
    poses = pose_samples(times, np.ones(3), Rotation.from_quat(np.tile(attitude.as_quat(), (len(times), 1))),
                         np.random.default_rng(seed))
    found = measured(poses, heading)
    assert found.is_good, found.problem
    assert error(found, body) < 0.05
    assert measured(poses).problem == ("it must stand still for a second, be slid forward, and stand still for a "
                                       "second; it stood still once")


def test_outliers_do_not_matter() -> None:
    poses = slid(0.4)
    for i in range(30, len(poses), 40):
        poses[i] = PoseSample(poses[i].stamp, np.array([3.0, 2.0, 0.9]), np.array([1.0, 0.0, 0.0, 0.0]))
    found = measured(poses)
    assert found.is_good, found.problem
    assert error(found) < 0.2


def test_creeping_is_no_rest() -> None:
    found = measured(slid(0.3, way=0.2, takes=20.0, shakes=0.0))
    assert found.is_good and found.way == pytest.approx(0.2, abs=0.002), found


@pytest.mark.parametrize(("poses", "says"), [
    (slid(0.3, way=0.1), "it was slid by 10.0 cm; 15 cm and more"),
    (slid(0.3, turn=0.1), "it turned by 5."),
    (slid(0.3, rise=0.05), "it went up by 9.5 deg on the way"),
    (slid(0.3, rise=-0.05), "it went down by 9.5 deg on the way"),
    (slid(0.3, waits=(0.2, 2.0)), "it stood still once"),
    (slid(0.3, waits=(0.2, 0.2)), "it stood still never"),
    (slid(0.3)[:30], "only 30 poses"), ([], "only 0 poses")])
def test_refusals_of_the_line(poses: list[PoseSample], says: str) -> None:
    found = measured(poses)
    assert says in found.problem and np.isnan(found.rotation).all()


def test_it_must_stand_for_a_known_heading() -> None:
    assert "moved along" in measured(slid(0.0), 0.0).problem
