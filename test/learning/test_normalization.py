# SPDX-License-Identifier: Apache-2.0
"""Zero mean, unit spread, and back."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.learning.normalization import SMALLEST_SPREAD, Normalization


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 50), st.integers(1, 8), st.floats(-100, 100), st.floats(0.01, 100))
def test_round_trip(seed: int, samples: int, size: int, offset: float, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(samples, size, generator=generator, dtype=torch.float64) * spread + offset
    normalization = Normalization.fit(values)
    torch.testing.assert_close(normalization.restore(normalization.normalise(values)), values)
    torch.testing.assert_close(normalization.normalise(normalization.restore(values)), values)


def test_fitted_data_has_zero_mean_and_unit_spread() -> None:
    values = torch.randn(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = values * torch.tensor([0.01, 1.0, 50.0]) + torch.tensor([5.0, 0.0, -3.0])
    normalised = Normalization.fit(values).normalise(values)
    torch.testing.assert_close(normalised.mean(dim=0), torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0.0)
    torch.testing.assert_close(normalised.std(dim=0, correction=0), torch.ones(3, dtype=torch.float64))


def test_constant_elements_are_not_blown_up() -> None:
    values = torch.zeros(10, 3)
    values[:, 0] = 4.0
    values[:, 1] = torch.linspace(0.0, SMALLEST_SPREAD, 10)
    values[:, 2] = torch.linspace(-1.0, 1.0, 10)
    normalization = Normalization.fit(values)
    assert normalization.std[:2].tolist() == [1.0, 1.0]
    assert 0.0 < float(normalization.std[2]) < 1.0
    assert torch.isfinite(normalization.normalise(values)).all()
    assert normalization.normalise(values)[:, 0].abs().max() == 0.0
    torch.testing.assert_close(normalization.restore(normalization.normalise(values)), values)


def test_one_sample_is_enough() -> None:
    normalization = Normalization.fit(torch.tensor([[3.0, -2.0]]))
    assert normalization.std.tolist() == [1.0, 1.0]
    assert normalization.normalise(torch.tensor([[3.0, -1.0]])).tolist() == [[0.0, 1.0]]
