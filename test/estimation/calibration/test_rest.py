# SPDX-License-Identifier: Apache-2.0
"""A robot at rest: biases within their own uncertainty, at any rate, with damaged readings; none while it moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from estimation.calibration.hand_motion import G, imu_samples, pose_samples, stamp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from l2a_ros.estimation.calibration.rest import Rest, measure_rest
from l2a_ros.estimation.calibration.tracks import imu_track, pose_track
from l2a_ros.robot.samples import ImuSample

UP = np.array([0.0, 0.0, G])
BIAS = np.radians([6.3, -6.2, -1.2])
ORIGIN = stamp(0.0)


def times(seconds: float = 5.0, rate: float = 100.0) -> np.ndarray:
    return np.arange(0.0, seconds, 1.0 / rate)


def resting(at: np.ndarray, rates: np.ndarray = BIAS, forces: np.ndarray = UP, seed: int = 0) -> list[ImuSample]:
    return imu_samples(at, rates, forces, np.random.default_rng(seed))


def measured(samples: Sequence[ImuSample]) -> Rest:
    return measure_rest(imu_track(samples, ORIGIN))


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([10.0, 50.0, 100.0, 1000.0]), st.floats(0.9, 1.1))
def test_bias_scale_and_up(seed: int, rate: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    bias, up = rng.uniform(-1.4, 1.4, 3), Rotation.random(rng=rng).apply(UP)
    found = measured(resting(times(rate=rate), bias, scale * up, seed))
    assert found.is_good, found.problem
    # Six standard errors of white noise.
    count = 5.0 * rate
    np.testing.assert_allclose(found.gyro_bias, bias, atol=6.0 * math.radians(0.12) / math.sqrt(count))
    assert found.scale == pytest.approx(1.0 / scale, abs=6.0 * 0.045 / G / math.sqrt(count))
    np.testing.assert_allclose(found.force / found.strength, up / G, atol=0.03 / math.sqrt(count) + 1e-3)
    assert found.lean == pytest.approx(math.acos(up[2] / G), abs=0.02)


def test_the_spread_is_the_error() -> None:
    found = [measured(resting(times(), seed=seed)) for seed in range(40)]
    ratios = np.array([(each.gyro_bias - BIAS) / each.gyro_spread for each in found])
    assert 0.7 < ratios.std() < 1.7, "t distribution of some pieces"


def test_damaged_readings_do_not_matter() -> None:
    samples = resting(times())
    for i in range(7, len(samples), 60):
        samples[i] = replace(samples[i], angular_velocity=np.array([30.0, -30.0, 5.0]), specific_force=-70.0 * UP)
    samples[3] = replace(samples[3], angular_velocity=np.full(3, math.nan))
    samples += samples[100:130]
    samples[20], samples[21] = samples[21], samples[20]
    found = measured(samples)
    assert found.is_good, found.problem
    np.testing.assert_allclose(found.gyro_bias, BIAS, atol=math.radians(0.05))
    assert found.strength == pytest.approx(G, abs=0.02)


def bump(at: np.ndarray, start: float, seconds: float, size: Sequence[float]) -> np.ndarray:
    inside = (at >= start) & (at < start + seconds)
    return np.where(inside, np.sin(2.0 * math.pi * 3.0 * (at - start)), 0.0)[:, None] * np.array(size)


@pytest.mark.parametrize("rate", [20.0, 100.0])
@pytest.mark.parametrize(("rates", "forces", "says"), [
    ((0.0, 0.1, 0.0), (0.0, 0.0, 0.0), "y of the gyroscope shook by"),
    ((0.0, 0.0, 0.03), (0.0, 0.0, 0.0), "z of the gyroscope shook by"),
    ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), "x of the accelerometer shook by")])
def test_a_touch_of_half_a_second_is_refused(rate: float, rates: Sequence[float], forces: Sequence[float],
                                             says: str) -> None:
    at = times(rate=rate)
    found = measured(resting(at, BIAS + bump(at, 2.0, 0.5, rates), UP + bump(at, 2.0, 0.5, forces)))
    assert says in found.problem and "after" in found.problem and not found.is_good


def test_a_slow_lean_is_refused() -> None:
    at = times()
    lean = np.radians(0.4) * at
    forces = G * np.column_stack([np.sin(lean), 0.0 * lean, np.cos(lean)])
    assert "x of the accelerometer wandered by 0.2" in measured(resting(at, forces=forces)).problem


def test_a_slowing_turn_is_refused() -> None:
    at = times()
    assert "z of the gyroscope wandered" in measured(resting(at, np.outer(0.02 * at / 5.0, [0, 0, 1]))).problem


@pytest.mark.parametrize(("moves", "says"), [(0.004, "moved along y of map by 3"), (0.0, "turned about z of map by")])
def test_motion_capture_sees_what_is_too_even_for_the_unit(moves: float, says: str) -> None:
    at = times()
    turn = Rotation.from_rotvec(np.outer(at, [0.0, 0.0, 0.0 if moves else math.radians(1.0)]))
    poses = pose_samples(at, np.outer(at / 5.0, [0.0, moves, 0.0]), turn, np.random.default_rng(0))
    still = pose_samples(at, np.zeros(3), Rotation.identity(len(at)), np.random.default_rng(0))
    readings = imu_track(resting(at), ORIGIN)
    assert measure_rest(readings, pose_track(still, ORIGIN)).is_good
    assert says in measure_rest(readings, pose_track(poses, ORIGIN)).problem


@pytest.mark.parametrize(("factor", "says"), [(1.0 / G, "shows 1.00 m/s^2"), (0.0, "REP-145"), (1.3, "12.75")])
def test_other_units_are_refused(factor: float, says: str) -> None:
    assert says in measured(resting(times(), forces=factor * UP)).problem


@pytest.mark.parametrize("samples", [[], resting(times(1.5)), resting(times(5.0, 2.0)),
                                     resting(np.array([*times(0.1, 200.0), 5.0]))])
def test_too_few_readings(samples: list[ImuSample]) -> None:
    found = measured(samples)
    assert f"only {len(samples)} readings" in found.problem and np.isnan(found.gyro_bias).all()
