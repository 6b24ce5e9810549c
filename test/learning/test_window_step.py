# SPDX-License-Identifier: Apache-2.0
"""The quick step of the robot is the plain one."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_samples import random_weights
from torch import Tensor

from l2a_ros.learning.network import Factors, Weights, forward, initial_weights, inner_steps, materialise
from l2a_ros.learning.products import PackedProduct, affine, outer_sum, times
from l2a_ros.learning.window_step import WindowStep


def draw(seed: int, *shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def norm_of(weights: Weights, change: list[Factors]) -> float:
    """The norm of the change from weight-sized matrices."""
    moved = zip(materialise(weights, change), weights, strict=True)
    return math.sqrt(sum(float((new.weight - old.weight).square().sum() + (new.bias - old.bias).square().sum())
                         for new, old in moved))


def assert_near(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= tolerance * float(theirs.abs().max())


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 9), max_size=3), st.integers(1, 7), st.integers(1, 3))
def test_it_is_the_plain_step(seed: int, hidden: list[int], past: int, steps: int) -> None:
    weights = random_weights([5, *hidden, 4], seed)
    rates = [0.05 + 0.03 * i for i in range(len(weights))]
    x, y = draw(seed, (past, 5), (past, 4))
    expected, before = inner_steps(weights, x, y, rates, steps)
    change, our_before, after, norm = WindowStep(weights, rates, past, steps)(x, y)
    for ours, theirs in zip(change, expected, strict=True):
        torch.testing.assert_close(ours.forward, theirs.forward)
        torch.testing.assert_close(ours.backward, theirs.backward)
    assert our_before == pytest.approx(float(before))
    assert after == pytest.approx(float((forward(weights, x, expected) - y).square().mean()))
    assert norm == pytest.approx(norm_of(weights, expected), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("steps", [1, 3])
def test_at_the_size_of_the_robot(steps: int) -> None:
    """Single precision through other kernels: a few roundings of 6e-8 in each of eight products."""
    weights = initial_weights([24, 512, 512, 512, 24], torch.Generator().manual_seed(1))
    x, y = draw(1, (16, 24), (16, 24), dtype=torch.float32)
    expected, before = inner_steps(weights, x, y, 0.1, steps)
    change, our_before, after, norm = WindowStep(weights, 0.1, 16, steps)(x, y)
    for ours, theirs in zip(change, expected, strict=True):
        assert_near(ours.forward, theirs.forward, 1e-5)
        assert_near(ours.backward, theirs.backward, 1e-5)
    assert our_before == pytest.approx(float(before), rel=1e-5)
    assert after == pytest.approx(float((forward(weights, x, expected) - y).square().mean()), rel=1e-5)
    assert norm == pytest.approx(norm_of(weights, expected), rel=1e-4)


def test_the_same_window_gives_the_same_bits_and_leaves_older_results_alone() -> None:
    weights = initial_weights([24, 200, 200, 24], torch.Generator().manual_seed(1))
    x, y, other_x, other_y = draw(2, *[(16, 24)] * 4, dtype=torch.float32)
    step = WindowStep(weights, 0.1, 16, 2)
    before = [tensor.clone() for tensor in (x, y, *(layer.weight for layer in weights))]
    first, *figures = step(x, y)
    kept = [(part.forward.clone(), part.backward.clone()) for part in first]
    step(other_x, other_y)
    again, *figures_again = step(x, y)
    assert figures == figures_again
    for (forward_kept, backward_kept), old, new in zip(kept, first, again, strict=True):
        assert torch.equal(old.forward, forward_kept) and torch.equal(old.backward, backward_kept)
        assert torch.equal(new.forward, forward_kept) and torch.equal(new.backward, backward_kept)
    after = (x, y, *(layer.weight for layer in weights))
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))


@pytest.mark.parametrize("hidden", [6, 512])
def test_what_is_not_a_number_is_not_hidden(hidden: int) -> None:
    weights = random_weights([5, hidden, hidden, 4], 0, torch.float32)
    x, y = draw(0, (16, 5), (16, 4), dtype=torch.float32)
    x[2, 1] = math.nan
    _, before, after, norm = WindowStep(weights, 0.1, 16)(x, y)
    assert all(math.isnan(figure) for figure in (before, after, norm))


def test_what_does_not_fit_is_refused() -> None:
    weights = random_weights([5, 6, 4], 0)
    with pytest.raises(ValueError, match="3 step sizes for 2 layers"):
        WindowStep(weights, [0.1] * 3, 6)
    with pytest.raises(ValueError, match="at least 1"):
        WindowStep(weights, 0.1, 6, 0)
    with pytest.raises(ValueError, match=r"\(5, 5\) and \(5, 4\), expected \(6, 5\) and \(6, 4\)"):
        WindowStep(weights, 0.1, 6)(*draw(0, (5, 5), (5, 4)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("rows", "n_in", "n_out"), [(3, 4, 5), (16, 300, 310), (512, 64, 70)])
def test_products(rows: int, n_in: int, n_out: int, dtype: torch.dtype) -> None:
    """Whatever library they come from; 1e-5 of the largest entry is a hundred roundings of single precision."""
    x, weight, bias, more = draw(3, (rows, n_in), (n_out, n_in), (n_out,), (rows, n_out), dtype=dtype)
    plain = x.double() @ weight.double().T
    with_bias = plain + bias.double()
    results = [
        (affine(x, weight), plain), (affine(x, weight, bias), with_bias),
        (affine(x, weight, bias, relu=True), with_bias.relu()),
        (affine(x, weight, bias, add=more.clone()), with_bias + more.double()),
        (times(more, weight), more.double() @ weight.double()),
        (outer_sum(None, more, x), more.double().T @ x.double()),
        (outer_sum(weight.clone(), more, x), weight.double() + more.double().T @ x.double()),
        (PackedProduct(weight, bias, rows)(x, relu=True), with_bias.relu()),
        (PackedProduct(weight.t(), None, rows)(more), more.double() @ weight.double())]
    for ours, exact in results:
        assert ours.dtype == dtype
        assert_near(ours.double(), exact, 1e-5)
