# SPDX-License-Identifier: Apache-2.0
"""From what was heard to the fields of the file: what driver or estimator then make of the readings is the truth."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimation.calibration.hand_motion import HandMotion, imu_samples, pose_samples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from l2a_ros.errors import UserError
from l2a_ros.estimation.calibration.steps import STEPS, Heard, Options, Result, find_steps
from l2a_ros.estimation.mounting import MountedSensors
from l2a_ros.robot.calibration import Calibration
from l2a_ros.robot.calibration_file import save_calibration
from l2a_ros.robot.samples import ImuSample

G = 9.80665


def rows(rotation: Rotation) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in rotation.as_matrix())


def corrected(sample: ImuSample, calibration: Calibration) -> ImuSample:
    """Return what the calibration makes of a reading in the unit's own axes."""
    rotation = np.array(calibration.imu_rotation)
    rate = sample.angular_velocity - np.array(calibration.gyro_bias or (0.0, 0.0, 0.0))
    force = (sample.specific_force - calibration.acceleration_bias) * calibration.acceleration_scale
    return ImuSample(sample.stamp, rotation @ rate, rotation @ force)


def published(own: list[ImuSample], calibration: Calibration) -> list[ImuSample]:
    return [corrected(each, calibration) for each in own] if calibration.driver_corrects_imu else own


def taken(name: str, heard: Heard, through: Calibration, current: Calibration | None = None,
          **options: Any) -> Result:
    return STEPS[name].measure(heard, through, current or through, Options(**options))


def old(seed: int, corrects: bool, knows_bias: bool = True) -> Calibration:
    rng = np.random.default_rng(seed)
    return Calibration(
        imu_rotation=rows(Rotation.random(rng=rng)), driver_corrects_imu=corrects,
        gyro_bias=tuple(map(float, rng.uniform(-0.5, 0.5, 3))) if knows_bias else None,
        acceleration_scale=tuple(map(float, rng.uniform(0.95, 1.05, 3))),
        mocap_rotation=rows(Rotation.random(rng=rng)))


@settings(max_examples=10)
@given(st.integers(0, 1000), st.booleans())
def test_rest_goes_on_from_what_the_readings_have_been_through(seed: int, corrects: bool) -> None:
    rng = np.random.default_rng(seed)
    before, bias = old(seed, corrects), rng.uniform(-0.5, 0.5, 3)
    up = Rotation.random(rng=rng).apply([0.0, 0.0, G])
    own = imu_samples(np.arange(0.0, 4.0, 0.01), bias, up / before.acceleration_scale / 1.05, rng)
    result = taken("rest", Heard((), published(own, before)), before)
    assert not result.problem, result
    after = replace(before, **result.changes)
    turned = np.mean([corrected(each, after).angular_velocity for each in own], axis=0)
    force = np.mean([corrected(each, after).specific_force for each in own], axis=0)
    np.testing.assert_allclose(turned, 0.0, atol=5e-4)
    assert np.linalg.norm(force) == pytest.approx(G, abs=0.01)


def test_a_bias_that_the_driver_measures_itself_is_not_written() -> None:
    before = old(1, True, knows_bias=False)
    times, rng = np.arange(0.0, 4.0, 0.01), np.random.default_rng(1)
    up = [0.0, 0.0, G]
    result = taken("rest", Heard((), imu_samples(times, np.zeros(3), up, rng)), before)
    assert set(result.changes) == {"acceleration_scale"} and not any("not done so" in line for line in result.lines)
    late = taken("rest", Heard((), imu_samples(times, [0.0, 0.1, 0.0], up, rng)), before)
    assert "gyro_bias" not in late.changes and any("has not done so yet" in line for line in late.lines)
    raw = taken("rest", Heard((), imu_samples(times, [0.0, 0.1, 0.0], up, rng)),
                replace(before, driver_corrects_imu=False, imu_rotation=Calibration().imu_rotation))
    assert raw.changes["gyro_bias"] == pytest.approx((0.0, 0.1, 0.0), abs=1e-3)


@settings(max_examples=6)
@given(st.integers(0, 1000), st.booleans())
def test_imu_goes_on_from_what_the_readings_have_been_through(seed: int, corrects: bool) -> None:
    before, motion, unit = old(seed, corrects), HandMotion(seed), Rotation.random(rng=seed + 1)
    body = Rotation.from_matrix(before.mocap_rotation)
    own = motion.readings(10.0, 50.0, unit, bias=(0.1, 0.0, -0.1))
    heard = Heard(motion.poses(10.0, rotation=body, latency=0.01), published(own, before))
    result = taken("imu", heard, before)
    assert not result.problem and set(result.changes) == {"imu_rotation"}
    error = Rotation.from_matrix(result.changes["imu_rotation"]) * unit.inv()
    assert math.degrees(error.magnitude()) < 0.6
    assert any("latency: poses show it 10." in line or "it 9." in line for line in result.lines)


def test_imu_as_the_reference() -> None:
    """A unit that is right says how the tracked body sits."""
    motion, body, unit = HandMotion(3), Rotation.random(rng=5), Rotation.random(rng=6)
    before = Calibration(imu_rotation=rows(unit))
    heard = Heard(motion.poses(10.0, rotation=body), published(motion.readings(10.0, rotation=unit), before))
    result = taken("imu", heard, before, reference="imu")
    assert set(result.changes) == {"mocap_rotation"}
    assert math.degrees((Rotation.from_matrix(result.changes["mocap_rotation"]) * body.inv()).magnitude()) < 0.6


def test_mocap_and_pivot() -> None:
    body, position, held = Rotation.from_euler("z", 90, degrees=True), (0.01, -0.02, 0.03), (0.0, 0.01, -0.02)
    stood = Rotation.from_euler("z", 0.5) * body
    poses = pose_samples(np.arange(0.0, 2.0, 0.01), np.zeros(3), Rotation.from_quat([stood.as_quat()] * 200),
                         np.random.default_rng(0))
    first = taken("mocap", Heard(poses), Calibration(), heading=0.5)
    assert any("turned by 90.0 deg about" in line for line in first.lines)
    current = replace(Calibration(), **first.changes)
    # The step before counts, not the file.
    turned = HandMotion(2).poses(10.0, rotation=body, position=position, held=held)
    result = taken("pivot", Heard(turned), Calibration(), current, pivot=held)
    assert result.changes["mocap_position"] == pytest.approx(position, abs=3e-4)


def test_the_estimator_understands_the_same(tmp_path: Path) -> None:
    """With the file that is written, poses and readings of an oddly built robot are those of ``base_link``."""
    body, position, unit = Rotation.random(rng=1), (0.02, -0.01, 0.03), Rotation.random(rng=2)
    motion, bias = HandMotion(5), (0.2, -0.1, 0.05)
    start = Calibration(driver_corrects_imu=False, gyro_bias=bias, mocap_rotation=rows(body))
    heard = Heard(motion.poses(12.0, rotation=body, position=position), motion.readings(12.0, 100.0, unit, bias))
    changes = {**taken("imu", heard, start).changes, **taken("pivot", heard, start).changes}
    (tmp_path / "old.yaml").write_text("driver_corrects_imu: false\n")
    saved = save_calibration(tmp_path / "robot.yaml", str(tmp_path / "old.yaml"),
                             {"gyro_bias": bias, "mocap_rotation": rows(body), **changes})
    sensors = MountedSensors(saved.mounting)
    # In motion.poses the origin of base_link is held.
    pose = sensors.pose(motion.poses(0.01, rotation=body, position=position, noise=0.0)[0])
    np.testing.assert_allclose(pose.position, [0.3, -0.2, 0.1], atol=5e-4)
    attitude = motion.attitudes(np.zeros(1))[0]
    assert math.degrees((Rotation.from_quat(pose.quaternion) * attitude.inv()).magnitude()) < 0.01
    own = motion.readings(0.01, rotation=unit, bias=bias, noise=0.0)[0]
    reading = sensors.reading(own.angular_velocity.tolist(), own.specific_force.tolist())
    np.testing.assert_allclose(reading[:3], motion.rates(np.zeros(1))[0], atol=0.03)
    np.testing.assert_allclose(reading[3:], attitude.inv().apply([0.0, 0.0, G]), atol=0.1)


@pytest.mark.parametrize("name", STEPS)
def test_nothing_heard_is_a_problem(name: str) -> None:
    result = taken(name, Heard(), Calibration())
    assert result.problem and not result.changes and "\n" not in result.problem


@pytest.mark.parametrize("name", STEPS)
def test_what_it_says_meanwhile(name: str) -> None:
    motion = HandMotion(0)
    for heard in (Heard(), Heard(motion.poses(0.02), motion.readings(0.02)), Heard(motion.poses(3.0),
                                                                                  motion.readings(3.0))):
        assert "\n" not in STEPS[name].watch(heard, Options())
    assert {"rest": "MOVING", "mocap": "slid 0.", "imu": "turned about x 75 %, y", "pivot": "leaned 100 %"}[name] in (
        STEPS[name].watch(Heard(motion.poses(3.0), motion.readings(3.0)), Options()))
    assert all(line for line in STEPS[name].say(Options()) + STEPS[name].say(Options(heading=0.0)))


def test_a_result_beyond_the_file_is_a_problem() -> None:
    held = (0.9, 0.0, 0.0)
    far = HandMotion(1).poses(10.0, position=(1.2, 0.0, 0.0), held=held)
    assert "mocap_position must be" in taken("pivot", Heard(far), Calibration(), pivot=held).problem


def test_steps_by_name() -> None:
    assert [each.name for each in find_steps(["pivot", "rest"])] == ["rest", "pivot"], "in the order that helps"
    with pytest.raises(UserError, match="no step 'gyro'; known: rest, mocap, imu, pivot"):
        find_steps(["gyro"])
