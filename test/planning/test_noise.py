# SPDX-License-Identifier: Apache-2.0
"""Held uniform draws and smooth noise: what they are said to be, in numbers."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from l2a_ros.planning.noise import SmoothNoise, held_uniform
from l2a_ros.planning.plan import ActionBounds


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


UNEVEN = ActionBounds(np.array([0.1, -1.0 / 3.0]), np.array([0.7, 1e3 / 3.0]))


@given(seed=st.integers(0, 2**31), horizon=st.integers(1, 12), longest=st.integers(1, 15))
def test_held_uniform_holds_within_the_bounds(seed: int, horizon: int, longest: int) -> None:
    actions = held_uniform(rng(seed), UNEVEN, 20, horizon, longest)
    assert actions.shape == (20, horizon, 2) and actions.dtype == np.float32
    assert np.all(actions >= UNEVEN.low) and np.all(actions <= UNEVEN.high)
    for sequence in actions:
        holds = [len(list(group)) for _, group in groupby(map(tuple, sequence.tolist()))]
        assert len(set(holds[:-1])) <= 1, "one length per sequence"
        assert holds[-1] <= holds[0] <= longest


class Extremes:
    """Draws the smallest and the largest numbers that there are."""

    def random(self, shape: tuple[int, int, int], dtype: type) -> np.ndarray:
        return np.resize(np.array([0.0, 1.0 - 2.0**-24], dtype=dtype), shape)


@given(low=st.floats(-100.0, 100.0), width=st.floats(1e-3, 100.0))
def test_extreme_draws_are_within_bounds_that_single_precision_lacks(low: float, width: float) -> None:
    bounds = ActionBounds(np.array([low]), np.array([low + width]))
    actions = held_uniform(Extremes(), bounds, 2, 3, 1).astype(np.float64)
    assert np.all(actions >= bounds.low) and np.all(actions <= bounds.high)
    np.testing.assert_allclose([actions.min(), actions.max()], [low, low + width], atol=1e-6 * (abs(low) + width))


@pytest.mark.parametrize("longest", [1, 2, 5])
def test_every_length_of_hold_is_as_frequent(longest: int) -> None:
    """6000 sequences: shares within 0.02, three times their standard deviation."""
    actions = held_uniform(rng(), UNEVEN, 6000, 7, longest)
    holds = [next(len(list(group)) for _, group in groupby(sequence)) for sequence in actions[:, :, 0].tolist()]
    shares = np.bincount(holds, minlength=longest + 1)[1:] / 6000
    np.testing.assert_allclose(shares, 1.0 / longest, atol=0.02)


@pytest.mark.parametrize("longest", [1, 4])
def test_every_step_of_held_uniform_is_uniform(longest: int) -> None:
    share = (held_uniform(rng(), UNEVEN, 5000, 6, longest) - UNEVEN.low) / (UNEVEN.high - UNEVEN.low)
    for t in range(6):
        for element in range(2):
            assert kstest(share[:, t, element], "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(share[:, 0, 0], share[:, 0, 1])[0, 1]) < 0.05


@pytest.mark.parametrize("smoothness", [0.0, 0.3, 0.7, 0.95])
def test_smooth_noise_has_unit_variance_and_decaying_correlation(smoothness: float) -> None:
    """40000 sequences: variances and correlations within 0.03, four times their standard deviation."""
    noise = SmoothNoise(8, smoothness).draw(rng(), 40000, 2)
    assert noise.shape == (40000, 8, 2) and noise.dtype == np.float32
    steps = np.arange(8)
    expected = smoothness ** np.abs(steps[:, np.newaxis] - steps)
    for element in range(2):
        np.testing.assert_allclose(np.cov(noise[:, :, element].T), expected, atol=0.03)
        np.testing.assert_allclose(noise[:, :, element].mean(axis=0), 0.0, atol=0.03)
        assert kstest(noise[:, 7, element], norm.cdf).pvalue > 1e-3
    across = noise[:, :, 0].T @ noise[:, :, 1] / 40000
    np.testing.assert_allclose(across, 0.0, atol=0.03)


class Impulses:
    """Draws that are 1 in one place and else 0, so that the noise shows what each draw does."""

    def standard_normal(self, shape: tuple[int, int, int], dtype: type) -> np.ndarray:
        return np.eye(shape[2], dtype=dtype)[:, np.newaxis]


@given(horizon=st.integers(1, 12), smoothness=st.floats(0.0, 0.99))
def test_smooth_noise_is_a_linear_map_with_that_covariance(horizon: int, smoothness: float) -> None:
    mixing = SmoothNoise(horizon, smoothness).draw(Impulses(), horizon, 1)[:, :, 0]
    steps = np.arange(horizon)
    lag = np.abs(steps[:, np.newaxis] - steps)
    np.testing.assert_allclose(mixing.T @ mixing, smoothness**lag, atol=1e-5)
    assert np.all(np.tril(mixing, -1) == 0.0), "no step depends on what comes later"
