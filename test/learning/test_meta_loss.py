# SPDX-License-Identifier: Apache-2.0
"""The hand-written second-order gradient against torch.func and autograd on explicit copies of the weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_samples import random_weights
from torch import Tensor

from l2a_ros.learning.meta_loss import MetaWindows, composed_meta_loss, meta_loss
from l2a_ros.learning.network import Layer, Weights

seeds = st.integers(0, 2**31)
hidden_sizes = st.lists(st.integers(1, 9), min_size=0, max_size=3)
counts, batches, numbers_of_steps = st.integers(1, 6), st.integers(1, 4), st.integers(1, 3)


def draw_windows(seed: int, batch: int, past: int, future: int, sizes: tuple[int, int] = (4, 3),
                 dtype: torch.dtype = torch.float64) -> MetaWindows:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, count, size) for count in (past, future) for size in sizes]
    return MetaWindows(*(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes))


def draw_rates(seed: int, layers: int, per_layer: bool, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 1)
    return (torch.rand((layers,) if per_layer else (), generator=generator, dtype=torch.float64) * 0.2 + 0.02).to(dtype)


def flatten(weights: Weights) -> list[Tensor]:
    return [tensor for layer in weights for tensor in (layer.weight, layer.bias)]


def unflatten(flat: list[Tensor]) -> Weights:
    return [Layer(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]


def plain_loss(flat: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    for i in range(0, len(flat), 2):
        x = x @ flat[i].T + flat[i + 1]
        if i + 2 < len(flat):
            x = torch.relu(x)
    return ((x - y) ** 2).mean()


def functional_loss(flat: list[Tensor], rates: Tensor, windows: MetaWindows, steps: int, first_order: bool) -> Tensor:
    """Copies of the weights for every task, by torch.func, with nothing of ours."""
    rate = [part for part in rates.expand(len(flat) // 2) for _ in range(2)]

    def task(past_x: Tensor, past_y: Tensor, future_x: Tensor, future_y: Tensor) -> Tensor:
        own = flat
        for _ in range(steps):
            gradients = torch.func.grad(plain_loss)(own, past_x, past_y)
            if first_order:
                gradients = [gradient.detach() for gradient in gradients]
            own = [tensor - r * gradient for tensor, r, gradient in zip(own, rate, gradients, strict=True)]
        return plain_loss(own, future_x, future_y)

    return torch.func.vmap(task)(windows.past_inputs, windows.past_targets,
                                 windows.future_inputs, windows.future_targets).mean()


def leaves(sizes: list[int], seed: int, per_layer: bool,
           dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    flat = [tensor.requires_grad_() for tensor in flatten(random_weights(sizes, seed, dtype))]
    return flat, draw_rates(seed, len(flat) // 2, per_layer, dtype).requires_grad_()


def errors(ours: list[Tensor], theirs: list[Tensor]) -> list[float]:
    """Largest differences, each relative to the largest entry of its tensor."""
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
    return [float((a.double() - b.double()).abs().max() / (float(b.abs().max()) or 1.0))
            for a, b in zip(ours, theirs, strict=True)]


@settings(max_examples=80)
@given(seeds, hidden_sizes, batches, counts, counts, numbers_of_steps, st.booleans(), st.booleans())
def test_numbers_of_torch_func(seed: int, hidden: list[int], batch: int, past: int, future: int, steps: int,
                               per_layer: bool, first_order: bool) -> None:
    windows = draw_windows(seed, batch, past, future)
    flat, rates = leaves([4, *hidden, 3], seed, per_layer)
    theirs = functional_loss(flat, rates, windows, steps, first_order)
    their_gradients = torch.autograd.grad(theirs, [*flat, rates])
    ours = meta_loss(unflatten(flat), rates, windows, steps, first_order)
    our_gradients = torch.autograd.grad(ours, [*flat, rates])
    assert max(errors([ours.detach(), *our_gradients], [theirs.detach(), *their_gradients])) < 1e-9


@settings(max_examples=30)
@given(seeds, hidden_sizes, numbers_of_steps, st.booleans())
def test_numbers_of_the_composition(seed: int, hidden: list[int], steps: int, first_order: bool) -> None:
    """Steps of the same form, left to autograd; a factor on the loss passes through."""
    windows = draw_windows(seed, 3, 5, 4)
    flat, rates = leaves([4, *hidden, 3], seed, True)
    theirs = composed_meta_loss(unflatten(flat), rates, windows, steps, first_order)
    ours = meta_loss(unflatten(flat), rates, windows, steps, first_order)
    assert max(errors(list(torch.autograd.grad(3.0 * ours, [*flat, rates])),
                      list(torch.autograd.grad(3.0 * theirs, [*flat, rates])))) < 1e-9


@settings(max_examples=30)
@given(seeds, hidden_sizes, batches, counts, counts, numbers_of_steps, st.booleans())
def test_a_step_size_per_unit(seed: int, hidden: list[int], batch: int, past: int, future: int, steps: int,
                              first_order: bool) -> None:
    """One step size for every unit, against explicit copies whose rows each take their own."""
    sizes = [4, *hidden, 3]
    units = sum(sizes[1:])
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(units, generator=generator, dtype=torch.float64) * 0.2 + 0.02
    windows = draw_windows(seed, batch, past, future)
    ours, theirs = ([tensor.requires_grad_() for tensor in flatten(random_weights(sizes, seed))] for _ in range(2))
    our_rates, their_rates = (drawn.clone().requires_grad_() for _ in range(2))
    loss = meta_loss(unflatten(ours), our_rates, windows, steps, first_order)
    # With as many units as layers (all of them single) the two forms are the same.
    of_layer = their_rates.split(sizes[1:])
    total = torch.zeros((), dtype=torch.float64)
    for i in range(batch):
        own: list[Tensor] = theirs
        for _ in range(steps):
            gradients = torch.autograd.grad(plain_loss(own, windows.past_inputs[i], windows.past_targets[i]), own,
                                            create_graph=True)
            if first_order:
                gradients = tuple(gradient.detach() for gradient in gradients)
            rates = [rate for of_units in of_layer for rate in (of_units.unsqueeze(1), of_units)]
            own = [tensor - rate * gradient for tensor, rate, gradient in zip(own, rates, gradients, strict=True)]
        total = total + plain_loss(own, windows.future_inputs[i], windows.future_targets[i]) / batch
    assert float(loss.detach()) == pytest.approx(float(total.detach()), rel=1e-8)
    found = torch.autograd.grad(loss, [*ours, our_rates])
    expected = torch.autograd.grad(total, [*theirs, their_rates])
    assert max(errors(list(found), list(expected))) < 1e-5


@pytest.mark.parametrize("steps", [1, 2])
def test_finite_differences(steps: int) -> None:
    windows = draw_windows(5, 2, 4, 3)
    flat, rates = leaves([4, 6, 5, 3], 5, True)
    assert torch.autograd.gradcheck(
        lambda rates, *flat: meta_loss(unflatten(list(flat)), rates, windows, steps), [rates, *flat], eps=1e-7)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("first_order", [False, True])
def test_single_precision_at_the_size_of_the_robot(steps: int, first_order: bool) -> None:
    """Against double precision. Single precision rounds at 6e-8; what goes through twelve products of some hundred
    terms has lost two digits of that (7e-6 was seen), and a unit next to zero may be on the other side of its
    rectifier."""
    windows = draw_windows(1, 32, 16, 16, (24, 24), torch.float32)
    sizes = [24, 512, 512, 512, 24]
    flat, rates = leaves(sizes, 1, True, torch.float32)
    ours = torch.autograd.grad(meta_loss(unflatten(flat), rates, windows, steps, first_order), [*flat, rates])
    precise = [tensor.detach().double().requires_grad_() for tensor in (*flat, rates)]
    double = MetaWindows(*(getattr(windows, name).double() for name in
                           ("past_inputs", "past_targets", "future_inputs", "future_targets")))
    exact = torch.autograd.grad(composed_meta_loss(unflatten(precise[:-1]), precise[-1], double, steps, first_order),
                                precise)
    assert max(errors(list(ours), list(exact))) < 5e-5


@pytest.mark.parametrize("rates", [0.1, [0.1, 0.1, 0.1], torch.tensor(0.1, dtype=torch.float64)])
def test_rates_are_given_in_any_form(rates: float | list[float] | Tensor) -> None:
    windows = draw_windows(2, 3, 4, 5)
    weights = random_weights([4, 7, 6, 3], 2)
    expected = composed_meta_loss(weights, 0.1, windows)
    torch.testing.assert_close(meta_loss(weights, rates, windows), expected)
    with torch.no_grad():
        torch.testing.assert_close(meta_loss(weights, rates, windows), expected)


def test_what_does_not_fit_is_refused() -> None:
    windows, weights = draw_windows(2, 3, 4, 5), random_weights([4, 7, 3], 2)
    with pytest.raises(ValueError, match="3 step sizes for 2 layers"):
        meta_loss(weights, [0.1, 0.1, 0.1], windows)
    with pytest.raises(ValueError, match="at least 1"):
        meta_loss(weights, 0.1, windows, 0)


def test_first_order_is_another_gradient_and_the_same_loss() -> None:
    windows = draw_windows(3, 4, 5, 5)
    flat, rates = leaves([4, 8, 3], 3, False)
    full, short = (meta_loss(unflatten(flat), rates, windows, 1, first_order) for first_order in (False, True))
    assert torch.equal(full, short)
    of_full, of_short = (torch.autograd.grad(loss, [*flat, rates]) for loss in (full, short))
    assert max(errors(list(of_full[:-1]), list(of_short[:-1]))) > 0.01
    torch.testing.assert_close(of_full[-1], of_short[-1], msg="after one step the step size has the same gradient")


def test_the_way_back_can_be_gone_twice_and_leaves_everything_alone() -> None:
    windows = draw_windows(4, 3, 4, 5)
    flat, rates = leaves([4, 7, 6, 3], 4, True)
    before = [tensor.detach().clone() for tensor in (*flat, rates)]
    loss = meta_loss(unflatten(flat), rates, windows, 2)
    first, again = (torch.autograd.grad(loss, [*flat, rates], retain_graph=True) for _ in range(2))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert all(torch.equal(one, two) for one, two in zip(before, (*flat, rates), strict=True))
    with torch.no_grad():
        flat[0].add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_second_derivatives_of_the_loss_are_refused() -> None:
    flat, rates = leaves([4, 5, 3], 4, True)
    loss = meta_loss(unflatten(flat), rates, draw_windows(4, 3, 4, 5))
    with pytest.raises(RuntimeError, match="use composed_meta_loss"):
        torch.autograd.grad(loss, rates, create_graph=True)


@pytest.mark.parametrize("hidden", [6, 512])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_what_is_not_a_number_is_not_hidden(hidden: int, dtype: torch.dtype | None) -> None:
    flat, rates = leaves([4, hidden, hidden, 3], 7, False, torch.float32)
    windows = draw_windows(7, 32, 16, 16, dtype=torch.float32)
    windows.past_inputs[0, 0, 0] = float("nan")
    loss = meta_loss(unflatten(flat), rates, windows, dtype=dtype)
    assert torch.isnan(loss)
    assert all(torch.isnan(gradient).any() for gradient in torch.autograd.grad(loss, [*flat, rates]))


def test_half_precision_is_near(seed: int = 6) -> None:
    """bfloat16 has 8 bits: a relative 4e-3 for each number, less for what sums over many."""
    windows = draw_windows(seed, 32, 16, 16, (24, 24), torch.float32)
    flat, rates = leaves([24, 128, 128, 24], seed, True, torch.float32)
    exact, near = (meta_loss(unflatten(flat), rates, windows, dtype=dtype) for dtype in (None, torch.bfloat16))
    assert near.dtype == torch.float32
    assert float(near.detach()) == pytest.approx(float(exact.detach()), rel=0.01)
    of_exact, of_near = (torch.autograd.grad(loss, [*flat, rates]) for loss in (exact, near))
    assert all(gradient.dtype == torch.float32 for gradient in of_near)
    for one, other in zip(of_near, of_exact, strict=True):
        assert float(torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0)) > 0.99
