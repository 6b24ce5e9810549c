# SPDX-License-Identifier: Apache-2.0
"""Samples as arrays: what says nothing is left out, whatever the order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from l2a_ros.estimation.calibration.tracks import Stillness, blocks, imu_track, left_out_spread, pose_track
from l2a_ros.robot.samples import ImuSample, PoseSample

UP = (0.0, 0.0, 0.0, 1.0)


def pose(seconds: float, x: float = 0.0, quaternion: Sequence[float] = UP) -> PoseSample:
    return PoseSample(round(seconds * 1e9), np.array([x, 0.0, 0.0]), np.array(quaternion))


def test_poses_that_are_none() -> None:
    track = pose_track([
        pose(3.0, 3.0), pose(1.0, 1.0), pose(1.0, 7.0), pose(2.0, 2.0, (0.0, 0.0, 0.0, 0.0)),
        pose(2.1, 2.1, (0.0, 0.0, 0.0, 0.9)), pose(2.2, math.nan), pose(2.3, 2.3, (math.inf, 0.0, 0.0, 1.0)),
        # Seen no more: the last one again and again.
        pose(3.1, 3.0), pose(3.2, 3.0), pose(3.3, 3.3, (0.0, 0.0, 0.0, -1.001))], origin=10**9)
    np.testing.assert_allclose(track.seconds, [0.0, 2.0, 2.3])
    np.testing.assert_allclose(track.positions[:, 0], [1.0, 3.0, 3.3])
    np.testing.assert_allclose(track.attitudes.magnitude(), 0.0, atol=1e-12)


def test_readings_that_are_none() -> None:
    def reading(seconds: float, value: float) -> ImuSample:
        return ImuSample(round(seconds * 1e9), np.full(3, value), np.full(3, -value))

    track = imu_track([reading(2.0, 2.0), reading(1.0, 1.0), reading(1.5, math.nan), reading(2.0, 9.0)])
    np.testing.assert_allclose(track.seconds, [1.0, 2.0])
    np.testing.assert_allclose(track.rates[:, 0], [1.0, 2.0])
    np.testing.assert_allclose(track.forces[:, 2], [-1.0, -2.0])
    assert len(imu_track([])) == len(pose_track([])) == 0


@pytest.mark.parametrize(("rate", "length"), [(100.0, 51), (10.0, 8), (1.0, 8)])
def test_blocks_have_time_and_samples(rate: float, length: int) -> None:
    parts = blocks(np.arange(0.0, 40.0, 1.0 / rate), 0.5)
    # The last digit of a time may lie on either side.
    assert {each.stop - each.start for each in parts} <= {length, length + (rate > 50.0)}
    assert parts[0].start == 0 and all(a.stop == b.start for a, b in itertools.pairwise(parts))


def test_stillness_is_that_of_most() -> None:
    values = np.random.default_rng(0).normal(0.0, 1.0, (4000, 2)) * [1.0, 3.0]
    values[::50] = 1e6
    still = Stillness.of(values, [slice(0, 2000), slice(2000, 4000)])
    np.testing.assert_allclose(still.spreads, [[1.0, 3.0]] * 2, rtol=0.1)
    assert still.worst_spread()[1] == 1
    values[2000:, 0] += 2.0
    assert Stillness.of(values, [slice(0, 2000), slice(2000, 4000)]).widest() == (0, pytest.approx(2.0, abs=0.2))


def test_the_jackknife_of_a_mean() -> None:
    rng = np.random.default_rng(1)
    spreads = [left_out_spread(lambda used, x=x: np.array([x[used].mean()]), 400)[0]
               for x in rng.normal(0.0, 2.0, (60, 400))]
    assert np.mean(spreads) == pytest.approx(2.0 / math.sqrt(400), rel=0.15)
