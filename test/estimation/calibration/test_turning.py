# SPDX-License-Identifier: Apache-2.0
"""A robot turned by hand: the rotation between inertial unit and tracked body, with latency and bias; or a reason."""

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

from l2a_ros.estimation.calibration.tracks import imu_track, pose_track
from l2a_ros.estimation.calibration.turning import Turning, measure_turning
from l2a_ros.robot.samples import ImuSample, PoseSample

ORIGIN = stamp(0.0)
BODY, UNIT = Rotation.from_euler("xyz", [10, -20, 80], degrees=True), Rotation.from_euler("x", 180, degrees=True)


def measured(readings: Sequence[ImuSample], poses: Sequence[PoseSample]) -> Turning:
    return measure_turning(imu_track(readings, ORIGIN), pose_track(poses, ORIGIN))


def error(found: Turning, body: Rotation = BODY, unit: Rotation = UNIT) -> np.ndarray:
    """Return the error about the axes of the tracked body, rad."""
    vector: np.ndarray = (Rotation.from_matrix(found.rotation) * (body.inv() * unit).inv()).as_rotvec()
    return vector


@settings(max_examples=12)
@given(st.integers(0, 1000), st.sampled_from([20.0, 50.0, 100.0, 400.0]), st.floats(-0.05, 0.1))
def test_rotation_latency_and_bias(seed: int, rate: float, latency: float) -> None:
    motion, rng = HandMotion(seed), np.random.default_rng(seed)
    body, unit, bias = Rotation.random(rng=rng), Rotation.random(rng=rng), rng.uniform(-1.4, 1.4, 3)
    found = measured(motion.readings(12.0, rate, unit, bias), motion.poses(12.0, rotation=body, latency=latency))
    assert found.is_good, found.problem
    assert np.abs(error(found, body, unit)).max() < math.radians(0.5)
    assert found.latency == pytest.approx(latency, abs=0.001)
    np.testing.assert_allclose(found.bias, bias, atol=math.radians(0.6))
    assert found.ratio == pytest.approx(1.0, abs=0.03), "slow readings cut the corners"


def test_the_spread_is_the_error() -> None:
    found = []
    for seed in range(8):
        motion = HandMotion(seed)
        found.append(measured(motion.readings(10.0, 100.0, UNIT), motion.poses(10.0, rotation=BODY, latency=0.01)))
    ratios = np.array([error(each) / each.spread for each in found])
    assert 0.2 < math.sqrt(float(np.mean(ratios**2))) < 1.2, "no error far beyond what it says, and not far from it"


def test_outliers_gaps_and_another_body() -> None:
    motion = HandMotion(3)
    readings, poses = motion.readings(15.0, 100.0, UNIT), motion.poses(15.0, rotation=BODY, latency=0.02)
    for i in range(40, len(poses), 90):
        poses[i] = replace(poses[i], quaternion=Rotation.random(rng=i).as_quat())
    # Nobody is there for a while, then somebody else.
    poses[300:340] = [replace(each, position=np.zeros(3), quaternion=np.zeros(4)) for each in poses[300:340]]
    poses[500:600] = [replace(each, quaternion=np.array([0.0, 0.0, 0.0, 1.0]) + 1e-4 * i)
                      for i, each in enumerate(poses[500:600])]
    del readings[800:870]
    found = measured(readings, poses)
    assert found.is_good, found.problem
    assert np.abs(error(found)).max() < math.radians(0.6)
    assert found.latency == pytest.approx(0.02, abs=0.002)


@pytest.mark.parametrize(("sizes", "axis"), [((0.6, 0.5, 0.0), "z"), ((0.0, 0.5, 1.0), "x"), ((0.6, 0.0, 0.5), "y"),
                                             ((0.0, 0.0, 0.0), "")])
def test_an_axis_that_was_hardly_turned_about(sizes: Sequence[float], axis: str) -> None:
    # Small angles, so that an axis of the robot is one of the turn.
    motion = HandMotion(1, [0.4 * each for each in sizes])
    found = measured(motion.readings(), motion.poses())
    assert f"hardly turned about {axis}" in found.problem and np.isnan(found.rotation).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_robot_that_is_shaken(seed: int) -> None:
    """Turns about changing axes between two poses: their order counts."""
    motion = HandMotion(seed, (0.2, 0.15, 0.15), (6.0, 5.0, 4.0))
    found = measured(motion.readings(8.0, 500.0, UNIT), motion.poses(8.0, rotation=BODY))
    assert found.is_good, found.problem
    assert np.abs(error(found)).max() < math.radians(0.15)
    assert found.spread.max() < math.radians(0.1)


def test_noise_of_poses_is_no_turn_however_long() -> None:
    motion = HandMotion(1, (0.1, 0.08, 0.0))
    assert "hardly turned about z" in measured(motion.readings(120.0, 25.0), motion.poses(120.0, 25.0)).problem


def test_a_radio_that_loses_much() -> None:
    motion = HandMotion(4)
    readings = [each for i, each in enumerate(motion.readings(25.0, 100.0, UNIT)) if i % 100 < 55]
    found = measured(readings, motion.poses(25.0, rotation=BODY))
    assert found.is_good, found.problem
    assert np.abs(error(found)).max() < math.radians(0.4)


def test_refusals() -> None:
    motion = HandMotion(2)
    readings, poses = motion.readings(12.0, rotation=UNIT), motion.poses(12.0, rotation=BODY)
    in_degrees = [replace(each, angular_velocity=np.degrees(each.angular_velocity)) for each in readings]
    other = HandMotion(7).poses(12.0)
    mirrored = [replace(each, angular_velocity=each.angular_velocity * [1, 1, -1]) for each in readings]
    for case, says in (
            (measured(in_degrees, poses), "poses turn 0.017 times as fast as the gyroscope says; does the driver"),
            (measured(readings, other), "show the same motion to"),
            (measured(mirrored, poses), "show the same motion to"),
            (measured(readings[:200], poses), "turn it for 4 s and more"),
            (measured(readings[::20], poses), "is read every 0.20 s"),
            (measured([], poses), "0 readings of the inertial unit and 1200 poses"),
            (measured(readings, []), "and 0 poses")):
        assert says in case.problem, case.problem
    assert measured(readings, poses).is_good
