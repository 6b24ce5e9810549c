# SPDX-License-Identifier: Apache-2.0
"""The hand-written gradient and its low-rank form against autograd and explicit copies of the weights."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_samples import random_weights
from torch import Tensor

from l2a_ros.learning.network import (
    Factors,
    Layer,
    Weights,
    forward,
    gradient_factors,
    initial_weights,
    inner_steps,
    materialise,
)

seeds = st.integers(0, 2**31)
hidden_sizes = st.lists(st.integers(1, 9), min_size=0, max_size=3)
windows, outputs, inputs = st.integers(1, 7), st.integers(1, 5), st.integers(1, 6)


def plain_forward(flat: list[Tensor], x: Tensor) -> Tensor:
    """The network, written with nothing of ours."""
    for i in range(0, len(flat), 2):
        x = x @ flat[i].T + flat[i + 1]
        if i + 2 < len(flat):
            x = x.clamp_min(0.0)
    return x


def plain_loss(flat: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    return ((plain_forward(flat, x) - y) ** 2).mean()


def flatten(weights: Weights) -> list[Tensor]:
    return [tensor for layer in weights for tensor in (layer.weight, layer.bias)]


def plain_steps(flat: list[Tensor], x: Tensor, y: Tensor, rate: float | Tensor, steps: int) -> list[Tensor]:
    """Gradient steps on explicit copies of the weights; differentiable."""
    for _ in range(steps):
        gradients = torch.autograd.grad(plain_loss(flat, x, y), flat, create_graph=True)
        flat = [tensor - rate * gradient for tensor, gradient in zip(flat, gradients, strict=True)]
    return flat


def draw(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def assert_relative(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    """Compare against the size of the whole tensor, so that an element near zero does not decide."""
    scale = float(theirs.detach().abs().max()) or 1.0
    assert ours.shape == theirs.shape
    assert float((ours - theirs).detach().abs().max()) <= tolerance * scale


def dense(factors: Factors) -> tuple[Tensor, Tensor]:
    return factors.backward.mT @ factors.forward, factors.backward.sum(dim=-2)


@settings(max_examples=60)
@given(seeds, hidden_sizes, windows, inputs, outputs)
def test_forward_is_the_plain_network(seed: int, hidden: list[int], m: int, n_in: int, n_out: int) -> None:
    weights = random_weights([n_in, *hidden, n_out], seed)
    x, = draw(seed, (m, n_in))
    torch.testing.assert_close(forward(weights, x), plain_forward(flatten(weights), x))


@settings(max_examples=60)
@given(seeds, hidden_sizes, windows, inputs, outputs)
def test_gradient_is_that_of_autograd(seed: int, hidden: list[int], m: int, n_in: int, n_out: int) -> None:
    weights = random_weights([n_in, *hidden, n_out], seed)
    x, y = draw(seed, (m, n_in), (m, n_out))
    flat = [tensor.requires_grad_() for tensor in flatten(weights)]
    loss = plain_loss(flat, x, y)
    expected = torch.autograd.grad(loss, flat)
    gradients, ours = gradient_factors(weights, x, y)
    assert_relative(ours, loss)
    for i, factors in enumerate(gradients):
        weight, bias = dense(factors)
        assert_relative(weight, expected[2 * i])
        assert_relative(bias, expected[2 * i + 1])


@settings(max_examples=20)
@given(seeds, hidden_sizes, windows, st.integers(1, 4))
def test_batched_gradient_is_that_of_torch_func(seed: int, hidden: list[int], m: int, batch: int) -> None:
    """Every window of a batch at once, against the functional gradient mapped over the batch."""
    sizes = [4, *hidden, 3]
    weights = random_weights(sizes, seed)
    x, y = draw(seed, (batch, m, 4), (batch, m, 3))
    flat = flatten(weights)
    expected = torch.func.vmap(torch.func.grad(plain_loss), in_dims=(None, 0, 0))(flat, x, y)
    gradients, losses = gradient_factors(weights, x, y)
    assert losses.shape == (batch,)
    for i, factors in enumerate(gradients):
        weight, bias = dense(factors)
        assert_relative(weight, expected[2 * i])
        assert_relative(bias, expected[2 * i + 1])


@settings(max_examples=40)
@given(seeds, hidden_sizes, windows, st.integers(1, 4), st.floats(1e-3, 0.3))
def test_steps_are_those_on_explicit_weights(seed: int, hidden: list[int], m: int, steps: int, rate: float) -> None:
    sizes = [5, *hidden, 4]
    weights = random_weights(sizes, seed)
    x, y, elsewhere = draw(seed, (m, 5), (m, 4), (6, 5))
    flat = [tensor.clone().requires_grad_() for tensor in flatten(weights)]
    expected = plain_steps(flat, x, y, rate, steps)
    change, loss = inner_steps(weights, x, y, rate, steps)
    assert_relative(loss, plain_loss(flat, x, y))
    assert all(factors.forward.shape[-2] == m * steps for factors in change)
    for ours, theirs in zip(flatten(materialise(weights, change)), expected, strict=True):
        assert_relative(ours, theirs)
    assert_relative(forward(weights, elsewhere, change), plain_forward(expected, elsewhere))


@settings(max_examples=20)
@given(seeds, hidden_sizes, st.lists(st.integers(1, 3), min_size=1, max_size=2), st.integers(1, 3))
def test_a_batch_of_windows_is_each_window_alone(seed: int, hidden: list[int], shape: list[int], steps: int) -> None:
    weights = random_weights([4, *hidden, 3], seed)
    x, y, future = draw(seed, (*shape, 5, 4), (*shape, 5, 3), (*shape, 2, 4))
    change, loss = inner_steps(weights, x, y, 0.1, steps)
    together = forward(weights, future, change)
    assert loss.shape == tuple(shape)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in shape)).reshape(-1, len(shape)).tolist():
        at = tuple(index)
        alone, loss_alone = inner_steps(weights, x[at], y[at], 0.1, steps)
        torch.testing.assert_close(loss[at], loss_alone)
        torch.testing.assert_close(together[at], forward(weights, future[at], alone))


@settings(max_examples=25)
@given(seeds, hidden_sizes, st.integers(1, 5), st.integers(1, 5), st.integers(1, 3))
def test_meta_gradient_goes_through_the_steps(seed: int, hidden: list[int], past: int, future: int,
                                              steps: int) -> None:
    """Second order: d loss(weights after steps) / d weights and d rate, against autograd through explicit copies."""
    sizes = [4, *hidden, 3]
    x, y, x_later, y_later = draw(seed, (past, 4), (past, 3), (future, 4), (future, 3))
    ours = [tensor.requires_grad_() for tensor in flatten(random_weights(sizes, seed))]
    rate = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    weights = [Layer(ours[i], ours[i + 1]) for i in range(0, len(ours), 2)]
    change, _ = inner_steps(weights, x, y, rate, steps)
    our_loss = (forward(weights, x_later, change) - y_later).square().mean()
    our_gradients = torch.autograd.grad(our_loss, [*ours, rate])

    theirs = [tensor.requires_grad_() for tensor in flatten(random_weights(sizes, seed))]
    their_rate = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    their_loss = plain_loss(plain_steps(theirs, x, y, their_rate, steps), x_later, y_later)
    their_gradients = torch.autograd.grad(their_loss, [*theirs, their_rate])
    assert_relative(our_loss, their_loss)
    for one, other in zip(our_gradients, their_gradients, strict=True):
        assert_relative(one, other)


def test_meta_gradient_is_not_the_first_order_one() -> None:
    """The check above would be worthless if the second-order part were too small to be seen."""
    x, y, x_later, y_later = draw(0, (5, 4), (5, 3), (5, 4), (5, 3))
    weights = random_weights([4, 8, 3], 0)
    flat = [tensor.requires_grad_() for tensor in flatten(weights)]
    change, _ = inner_steps(weights, x, y, 0.1)
    full = torch.autograd.grad((forward(weights, x_later, change) - y_later).square().mean(), flat)
    cut = [Factors(factors.forward.detach(), factors.backward.detach()) for factors in change]
    first_order = torch.autograd.grad((forward(weights, x_later, cut) - y_later).square().mean(), flat)
    assert max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(full, first_order, strict=True)) > 0.01


@pytest.mark.parametrize("steps", [1, 2])
def test_first_order_steps_have_constant_gradients(steps: int) -> None:
    """The step size has its derivative, the inner gradients have none; against explicit copies with detached ones."""
    sizes = [4, 8, 6, 3]
    x, y, x_later, y_later = draw(0, (5, 4), (5, 3), (5, 4), (5, 3))
    ours = [tensor.requires_grad_() for tensor in flatten(random_weights(sizes, 0))]
    rate = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    weights = [Layer(ours[i], ours[i + 1]) for i in range(0, len(ours), 2)]
    change, _ = inner_steps(weights, x, y, rate, steps, first_order=True)
    loss = (forward(weights, x_later, change) - y_later).square().mean()
    moved = ours
    for _ in range(steps):
        gradients = torch.autograd.grad(plain_loss(moved, x, y), moved)
        moved = [tensor - rate * gradient for tensor, gradient in zip(moved, gradients, strict=True)]
    expected = torch.autograd.grad(plain_loss(moved, x_later, y_later), [*ours, rate])
    for one, other in zip(torch.autograd.grad(loss, [*ours, rate]), expected, strict=True):
        assert_relative(one, other)


def test_meta_gradient_by_finite_differences() -> None:
    x, y, x_later, y_later = draw(3, (4, 3), (4, 2), (4, 3), (4, 2))
    layers = random_weights([3, 6, 2], 3)

    def meta_loss(*flat: Tensor) -> Tensor:
        weights = [Layer(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
        change, _ = inner_steps(weights, x, y, 0.2, 2)
        return (forward(weights, x_later, change) - y_later).square().mean()

    assert torch.autograd.gradcheck(meta_loss, [tensor.requires_grad_() for tensor in flatten(layers)], eps=1e-7)


def test_step_in_single_precision_at_the_size_of_the_robot() -> None:
    weights = random_weights([22, 500, 500, 500, 24], 0, torch.float32)
    x, y = (tensor.float() for tensor in draw(0, (16, 22), (16, 24)))
    flat = [tensor.clone().requires_grad_() for tensor in flatten(weights)]
    expected = plain_steps(flat, x, y, 0.05, 1)
    change, _ = inner_steps(weights, x, y, 0.05)
    for ours, theirs, start in zip(flatten(materialise(weights, change)), expected, flatten(weights), strict=True):
        assert_relative(ours - start, theirs - start, 1e-3)
    numbers = sum(factors.forward.numel() + factors.backward.numel() for factors in change)
    assert numbers < 0.1 * sum(tensor.numel() for tensor in flat), "the point of the factors is that they are small"


@settings(max_examples=30)
@given(seeds, hidden_sizes, st.integers(1, 6))
def test_materialised_weights_predict_what_the_change_predicts(seed: int, hidden: list[int], rank: int) -> None:
    """Any factors, not only those of a gradient step."""
    sizes = [4, *hidden, 3]
    weights = random_weights(sizes, seed)
    change = [Factors(*draw(seed + i, (rank, fan_in), (rank, fan_out)))
              for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes))]
    x, = draw(seed, (9, 4))
    torch.testing.assert_close(forward(materialise(weights, change), x), forward(weights, x, change))


def test_no_change_is_the_same_weights() -> None:
    weights = random_weights([4, 5, 3], 0)
    assert materialise(weights, None) == weights
    copy = materialise(weights, None)
    copy[0] = copy[1]
    assert weights[0] is not weights[1], "the list is a copy"


def test_weights_are_left_alone() -> None:
    weights = random_weights([4, 5, 3], 0)
    before = [tensor.clone() for tensor in flatten(weights)]
    x, y = draw(0, (6, 4), (6, 3))
    change, _ = inner_steps(weights, x, y, 0.5, 3)
    materialise(weights, change)
    assert all(torch.equal(a, b) for a, b in zip(before, flatten(weights), strict=True))


def test_a_small_step_lowers_the_loss_as_the_gradient_says() -> None:
    weights = random_weights([6, 20, 4], 1)
    x, y = draw(1, (16, 6), (16, 4))
    rate = 1e-5
    change, before = inner_steps(weights, x, y, rate)
    after = (forward(weights, x, change) - y).square().mean()
    gradients, _ = gradient_factors(weights, x, y)
    squared = sum(float(part.square().sum()) for factors in gradients for part in dense(factors))
    assert float(before - after) == pytest.approx(rate * squared, rel=1e-2)


def test_initial_weights() -> None:
    sizes = [22, 50, 24]
    first, again = (initial_weights(sizes, torch.Generator().manual_seed(4)) for _ in range(2))
    other = initial_weights(sizes, torch.Generator().manual_seed(5))
    assert [tuple(layer.weight.shape) for layer in first] == [(50, 22), (24, 50)]
    for one, two, three in zip(first, again, other, strict=True):
        fan_out, fan_in = one.weight.shape
        bound = math.sqrt(6.0 / (fan_in + fan_out))
        assert float(one.weight.abs().max()) <= bound
        assert float(one.weight.std()) == pytest.approx(bound / math.sqrt(3.0), rel=0.1)
        assert not one.bias.any()
        assert torch.equal(one.weight, two.weight)
        assert not torch.equal(one.weight, three.weight)
