# SPDX-License-Identifier: Apache-2.0
"""Errors of trajectories: known ones, what must not change them, and the same by evo."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from l2a_ros.errors import UserError
from l2a_ros.estimation.evo_errors import evo_errors, evo_is_installed
from l2a_ros.estimation.trajectory_errors import (
    RigidMotion,
    Trajectory,
    absolute_errors,
    alignment,
    pairs,
    relative_errors,
    root_mean_square,
)

STEP = 10_000_000
START = 1_700_000_000 * 10**9


def walk(count: int = 120, seed: int = 0) -> Trajectory:
    """A winding way, 100 poses a second."""
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(np.cumsum(rng.normal(0.0, 0.05, (count, 3)), axis=0))
    return Trajectory(START + STEP * np.arange(count), np.cumsum(rng.normal(0.0, 0.01, (count, 3)), axis=0),
                      turns.as_quat())


def noisy(truth: Trajectory, seed: int = 1) -> Trajectory:
    rng = np.random.default_rng(seed)
    shape = truth.positions.shape
    turned = Rotation.from_quat(truth.quaternions) * Rotation.from_rotvec(rng.normal(0.0, 0.02, shape))
    return Trajectory(truth.stamps, truth.positions + rng.normal(0.0, 0.004, shape), turned.as_quat())


def motion(seed: int) -> RigidMotion:
    rng = np.random.default_rng(seed)
    return RigidMotion(Rotation.random(rng=rng), rng.normal(0.0, 3.0, 3))


def test_offsets_are_found() -> None:
    truth = walk()
    turned = Rotation.from_quat(truth.quaternions) * Rotation.from_rotvec([0.0, 0.0, 0.1])
    shifted = Trajectory(truth.stamps, truth.positions + [0.003, 0.0, -0.004], turned.as_quat())
    errors = absolute_errors(truth, shifted)
    np.testing.assert_allclose(errors.distances, 0.005, rtol=1e-9)
    np.testing.assert_allclose(errors.angles, 0.1, rtol=1e-9)
    # The opposite quaternion is the same rotation.
    opposite = Trajectory(truth.stamps, truth.positions, -truth.quaternions)
    np.testing.assert_allclose(absolute_errors(truth, opposite).angles, 0.0, atol=1e-7)


def test_constant_drift_gives_constant_relative_errors() -> None:
    truth = walk()
    seconds = (truth.stamps - START)[:, None] / 1e9
    drifting = Trajectory(truth.stamps, truth.positions + seconds * [0.03, 0.0, 0.04], truth.quaternions)
    for interval in (0.1, 0.5):
        errors = relative_errors(truth, drifting, interval)
        assert len(errors.distances) == 120 - round(100 * interval)
        np.testing.assert_allclose(errors.distances, 0.05 * interval, rtol=1e-9)
        np.testing.assert_allclose(errors.angles, 0.0, atol=1e-7)
    still = Trajectory(truth.stamps, truth.positions, np.tile([0.0, 0.0, 0.0, 1.0], (120, 1)))
    spinning = Trajectory(truth.stamps, truth.positions, Rotation.from_rotvec(seconds * [0.0, 0.2, 0.0]).as_quat())
    np.testing.assert_allclose(relative_errors(still, spinning, 0.5).angles, 0.1, rtol=1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_a_rigid_motion_of_the_world_changes_nothing_that_is_relative_or_aligned(seed: int) -> None:
    truth = walk(60, seed)
    estimate = noisy(truth, seed)
    elsewhere = truth.moved(motion(seed))
    before, after = relative_errors(truth, estimate, 0.1), relative_errors(elsewhere, estimate, 0.1)
    np.testing.assert_allclose(after.distances, before.distances, atol=1e-9)
    np.testing.assert_allclose(after.angles, before.angles, atol=1e-7)
    fitted = [absolute_errors(each.moved(alignment(each.positions, estimate.positions)), estimate)
              for each in (truth, elsewhere)]
    np.testing.assert_allclose(fitted[1].distances, fitted[0].distances, atol=1e-8)
    np.testing.assert_allclose(fitted[1].angles, fitted[0].angles, atol=1e-7)
    # Nothing is closer than the best, and the best has no systematic part left.
    unfitted = absolute_errors(truth, estimate)
    assert root_mean_square(fitted[0].distances) <= root_mean_square(unfitted.distances) + 1e-12


def test_alignment_finds_the_motion_also_of_a_flat_way_without_mirroring_it() -> None:
    for flat in (1.0, 0.0):
        points = walk().positions * [1.0, 1.0, flat]
        wanted = motion(3)
        found = alignment(points, points @ wanted.rotation.as_matrix().T + wanted.translation)
        np.testing.assert_allclose(found.rotation.as_matrix(), wanted.rotation.as_matrix(), atol=1e-9)
        np.testing.assert_allclose(found.translation, wanted.translation, atol=1e-9)
    mirrored = walk().positions
    matrix = alignment(mirrored, mirrored * [1.0, 1.0, -1.0]).rotation.as_matrix()
    assert np.linalg.det(matrix) == pytest.approx(1.0)


@pytest.mark.parametrize("points", [np.zeros((2, 3)), np.zeros((9, 3)), np.outer(np.arange(9.0), [1.0, 2.0, 3.0])])
def test_what_has_no_direction_cannot_be_aligned(points: np.ndarray) -> None:
    with pytest.raises(UserError, match="straight line"):
        alignment(points, points)


def test_pairs_are_as_far_apart_as_they_should_be() -> None:
    stamps = START + STEP * np.array([0, 1, 2, 3, 20, 21, 22])
    first, second = pairs(stamps, 0.02)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 2), (1, 3), (4, 6)]
    assert [len(each) for each in pairs(stamps, 0.1)] == [0, 0]
    assert [len(each) for each in pairs(stamps[:1], 0.1)] == [0, 0]
    # Never a pose with itself.
    assert len(pairs(stamps, 0.004)[0]) == 0


@settings(max_examples=50)
@given(steps=st.lists(st.integers(1, 40), min_size=1, max_size=60), interval=st.floats(0.001, 0.3))
def test_pairs_of_irregular_stamps_are_the_nearest(steps: list[int], interval: float) -> None:
    stamps = START + np.cumsum([0, *steps]) * 1_000_000
    tolerance = 0.5e-9 * float(np.median(np.diff(stamps)))
    found = dict(zip(*(each.tolist() for each in pairs(stamps, interval)), strict=True))
    for i, stamp in enumerate(stamps):
        away = np.abs((stamps - stamp) / 1e9 - interval)
        if i in found:
            assert found[i] > i
            assert away[found[i]] <= min(away.min() + 2e-9, tolerance + 2e-9)
        else:
            later = away[i + 1:]
            assert not len(later) or later.min() >= tolerance - 2e-9 or away.min() < later.min()


def test_nothing_has_no_error() -> None:
    nothing = walk().part(np.zeros(120, dtype=bool))
    assert math.isnan(root_mean_square(absolute_errors(nothing, nothing).distances))
    assert math.isnan(root_mean_square(relative_errors(nothing, nothing, 0.1).angles))
    assert len(nothing.moved(motion(0))) == 0


@pytest.mark.skipif(not evo_is_installed(), reason="evo is not installed")
@pytest.mark.parametrize("aligned", [False, True])
def test_evo_finds_the_same(aligned: bool) -> None:
    truth = walk(300)
    estimate = noisy(truth)
    if aligned:
        from evo.core.geometry import umeyama_alignment

        truth = truth.moved(motion(5))
        ours = alignment(truth.positions, estimate.positions)
        rotation, translation, _ = umeyama_alignment(truth.positions.T, estimate.positions.T)
        np.testing.assert_allclose(ours.rotation.as_matrix(), rotation, atol=1e-9)
        np.testing.assert_allclose(ours.translation, translation, atol=1e-9)
        truth = truth.moved(ours)
    evo = evo_errors(truth, estimate, (0.1, 1.0, 9.0, 0.001))
    assert evo is not None
    assert evo.poses == 300
    absolute = absolute_errors(truth, estimate)
    assert evo.translation == pytest.approx(root_mean_square(absolute.distances), rel=1e-9)
    assert evo.angle == pytest.approx(root_mean_square(absolute.angles), rel=1e-9)
    for interval in (0.1, 1.0):
        relative = relative_errors(truth, estimate, interval)
        translation, angle = evo.relative[interval]
        assert translation == pytest.approx(root_mean_square(relative.distances), rel=1e-9)
        assert angle == pytest.approx(root_mean_square(relative.angles), rel=1e-9)
    assert all(math.isnan(each) for each in evo.relative[9.0])
    assert 0.001 not in evo.relative
    assert evo_errors(truth.part(slice(2)), estimate.part(slice(2)), (0.1,)) is None


@pytest.mark.skipif(not evo_is_installed(), reason="evo is not installed")
def test_evo_gets_fewer_poses_of_a_long_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = walk(240)
    drift = (truth.stamps - START)[:, None] / 1e9 * [0.03, 0.0, 0.04]
    drifting = Trajectory(truth.stamps, truth.positions + drift, truth.quaternions)
    for many, poses in ((1000, 240), (130, 120), (100, 48), (40, 24), (3, 24)):
        monkeypatch.setattr("l2a_ros.estimation.evo_errors.MANY_POSES", many)
        evo = evo_errors(truth, drifting, (0.1, 1.0))
        assert evo is not None
        assert evo.poses == poses
        assert [each[0] for each in evo.relative.values()] == pytest.approx([0.005, 0.05])
    monkeypatch.setattr("l2a_ros.estimation.evo_errors.TOO_MANY_POSES", 23)
    assert evo_errors(truth, drifting, (0.1, 1.0)) is None
