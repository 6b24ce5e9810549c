# SPDX-License-Identifier: Apache-2.0
"""Each adaptation rule against the same written plainly: copies of weights, autograd, torch's own recurrent cell."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import torch
from learning_samples import make_small_checkpoint, random_window
from torch import Tensor

from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.methods import method_names
from l2a_ros.learning.network import Change, Factors, Layer, forward, materialise
from l2a_ros.learning.rules import (
    AdaptationSettings,
    CarriedSteps,
    GradientSteps,
    RecurrentMemory,
    change_norm,
    is_finite,
    make_rule,
)
from l2a_ros.robot.layout import INPUT_SIZE

#: A step size of its own for each layer; one that is zero freezes its layer.
RATES = (0.03, 0.0, 0.01)


def double(checkpoint: Checkpoint) -> Checkpoint:
    """Return a model in double precision, so that only a wrong formula makes a difference."""
    weights = [Layer(layer.weight.double(), layer.bias.double()) for layer in checkpoint.weights]
    encoder = None if checkpoint.encoder is None else checkpoint.encoder.double()
    return dataclasses.replace(checkpoint, weights=weights, encoder=encoder)


def windows(checkpoint: Checkpoint, count: int, length: int = 6, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Return windows that slide by one transition over a drive."""
    drive = random_window(count + length - 1, seed)
    inputs, targets = (part.double() for part in checkpoint.normalise(drive))
    return [(inputs[i:i + length], targets[i:i + length]) for i in range(count)]


def flat(weights: Sequence[Layer]) -> list[Tensor]:
    return [tensor.clone() for layer in weights for tensor in (layer.weight, layer.bias)]


def plain_loss(tensors: Sequence[Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
    hidden = inputs
    for i in range(0, len(tensors), 2):
        hidden = hidden @ tensors[i].T + tensors[i + 1]
        hidden = hidden.clamp_min(0.0) if i + 2 < len(tensors) else hidden
    return ((hidden - targets) ** 2).mean()


def plain_steps(tensors: Sequence[Tensor], inputs: Tensor, targets: Tensor, rates: Sequence[float],
                steps: int) -> list[Tensor]:
    """Take plain gradient steps, rates by layer."""
    now = list(tensors)
    for _ in range(steps):
        now = [tensor.detach().requires_grad_() for tensor in now]
        gradients = torch.autograd.grad(plain_loss(now, inputs, targets), now)
        now = [(tensor - rates[i // 2] * gradient).detach()
               for i, (tensor, gradient) in enumerate(zip(now, gradients, strict=True))]
    return now


def assert_same(ours: Sequence[Tensor], theirs: Sequence[Tensor], tolerance: float = 1e-10) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(ours, theirs, strict=True)))


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("rates", [(0.02,) * 3, RATES], ids=["one rate", "a rate per layer"])
def test_gradient_steps_are_those_of_autograd_on_copies(steps: int, rates: tuple[float, ...]) -> None:
    checkpoint = double(make_small_checkpoint())
    trained = flat(checkpoint.weights)
    rule = GradientSteps(checkpoint, AdaptationSettings(6, rates, steps))
    for inputs, targets in windows(checkpoint, 3):
        step = rule(inputs, targets)
        expected = plain_steps(trained, inputs, targets, rates, steps)
        assert all(isinstance(part, Factors) and len(part.forward) == 6 * steps for part in step.change)
        assert_same(flat(materialise(checkpoint.weights, step.change)), expected)
        assert step.loss_before == pytest.approx(float(plain_loss(trained, inputs, targets)), rel=1e-9)
        assert step.loss_after == pytest.approx(float(plain_loss(expected, inputs, targets)), rel=1e-9)
        assert step.norm == pytest.approx(distance(expected, trained), rel=1e-7)
    assert_same(flat(checkpoint.weights), trained, 0.0)


def test_a_rate_per_layer_moves_that_layer_alone() -> None:
    checkpoint = double(make_small_checkpoint())
    inputs, targets = windows(checkpoint, 1)[0]
    for layer in range(3):
        rates = tuple(0.05 if i == layer else 0.0 for i in range(3))
        for rule in (GradientSteps, CarriedSteps):
            change = rule(checkpoint, AdaptationSettings(6, rates, 1))(inputs, targets).change
            moved = materialise(checkpoint.weights, change)
            is_same = [torch.equal(now.weight, old.weight) and torch.equal(now.bias, old.bias)
                       for now, old in zip(moved, checkpoint.weights, strict=True)]
            assert is_same == [i != layer for i in range(3)]


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("rates", [(0.02,) * 3, RATES], ids=["one rate", "a rate per layer"])
def test_carried_steps_are_plain_descent_over_sliding_windows(steps: int, rates: tuple[float, ...]) -> None:
    checkpoint = double(make_small_checkpoint("mb"))
    trained = flat(checkpoint.weights)
    rule = CarriedSteps(checkpoint, AdaptationSettings(6, rates, steps))
    for _ in range(2):
        now, changes = trained, []
        for inputs, targets in windows(checkpoint, 8):
            before = now
            now = plain_steps(now, inputs, targets, rates, steps)
            step = rule(inputs, targets)
            changes.append((step.change, now))
            assert step.loss_before == pytest.approx(float(plain_loss(before, inputs, targets)), rel=1e-9)
            assert step.loss_after == pytest.approx(float(plain_loss(now, inputs, targets)), rel=1e-9)
            assert step.norm == pytest.approx(distance(now, trained), rel=1e-9)
        # Looked at in the end: a later tick does not change what an earlier one has handed out.
        for change, expected in changes:
            assert_same(flat(materialise(checkpoint.weights, change)), expected)
        # The same once more from the trained weights.
        rule.reset()
    assert_same(flat(checkpoint.weights), trained, 0.0)


def test_first_carried_step_is_a_gradient_step() -> None:
    checkpoint = double(make_small_checkpoint("mb"))
    settings, (inputs, targets) = AdaptationSettings(6, RATES, 2), windows(checkpoint, 1)[0]
    carried = CarriedSteps(checkpoint, settings)(inputs, targets)
    fresh = GradientSteps(checkpoint, settings)(inputs, targets)
    assert_same(flat(materialise(checkpoint.weights, carried.change)),
                flat(materialise(checkpoint.weights, fresh.change)))
    assert (carried.loss_before, carried.loss_after, carried.norm) == pytest.approx(
        (fresh.loss_before, fresh.loss_after, fresh.norm), rel=1e-9)


def by_hand(checkpoint: Checkpoint, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return what the memory adds to the first layer, transition by transition with torch's cell."""
    encoder = checkpoint.encoder
    assert encoder is not None
    cell = torch.nn.GRUCell(encoder.gru.input_size, encoder.gru.hidden_size).to(inputs.dtype)
    cell.load_state_dict({name.removesuffix("_l0"): tensor for name, tensor in encoder.gru.state_dict().items()})
    memory = inputs.new_zeros(1, encoder.gru.hidden_size)
    for seen, came in zip(inputs, targets, strict=True):
        memory = cell(torch.cat([seen, came]).unsqueeze(0), memory)
    return encoder.shift.weight @ memory[0]


@torch.no_grad()
def test_recurrent_memory_is_torchs_cell_run_over_the_window() -> None:
    checkpoint = double(make_small_checkpoint("rebal"))
    rule = RecurrentMemory(checkpoint)
    asked = torch.randn(7, len(checkpoint.inputs.mean), generator=torch.Generator().manual_seed(1)).double()
    first, *others = checkpoint.weights
    for length in (1, 6, 9):
        for inputs, targets in windows(checkpoint, 2, length):
            step = rule(inputs, targets)
            shift = by_hand(checkpoint, inputs, targets)
            shifted = [Layer(first.weight, first.bias + shift), *others]
            assert_same([forward(checkpoint.weights, asked, step.change)], [forward(shifted, asked)])
            assert_same(flat(materialise(checkpoint.weights, step.change)), flat(shifted))
            assert step.loss_before == pytest.approx(float(plain_loss(flat(checkpoint.weights), inputs, targets)))
            assert step.loss_after == pytest.approx(float(plain_loss(flat(shifted), inputs, targets)))
            assert step.norm == pytest.approx(float(shift.norm()))
            numbers = sum(part.forward.numel() + part.backward.numel() for part in step.change)
            assert numbers == INPUT_SIZE + len(first.bias), "a small message"


def test_recurrent_memory_carries_nothing_on() -> None:
    checkpoint = double(make_small_checkpoint("rebal"))
    rule = RecurrentMemory(checkpoint)
    one, other = windows(checkpoint, 2)
    first = rule(*one)
    rule(*other)
    assert_same([first.change[0].backward], [rule(*one).change[0].backward], 0.0)


def test_recurrent_memory_needs_an_encoder() -> None:
    with pytest.raises(ValueError, match="no encoder"):
        RecurrentMemory(make_small_checkpoint("mb"))


def test_every_method_has_a_rule_unless_it_never_adapts() -> None:
    checkpoint = make_small_checkpoint("rebal")
    settings = AdaptationSettings.of(checkpoint)
    rules = {name: type(make_rule(name, checkpoint, settings)) for name in method_names()}
    assert rules == {"grbal": GradientSteps, "mb": type(None), "mb_de": CarriedSteps, "rebal": RecurrentMemory}


def test_settings_are_those_of_training() -> None:
    settings = AdaptationSettings.of(make_small_checkpoint(past=9, inner_rates=RATES, inner_steps=3))
    assert settings == AdaptationSettings(past=9, rates=RATES, steps=3, is_enabled=True, shortest=8)
    assert settings.needed == 8
    assert AdaptationSettings.of(make_small_checkpoint("mb", past=9), "mb_de").needed == 8
    assert AdaptationSettings.of(make_small_checkpoint("rebal", past=9)).needed == 9


@pytest.mark.parametrize("kinds", ["ff", "ll", "fl", "lf"])
def test_norm_is_that_of_all_numbers_changed(kinds: str) -> None:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weights = [Layer(draw(4, 3), draw(4)), Layer(draw(2, 4), draw(2))]
    change: Change = [Factors(draw(5, layer.weight.shape[1]), draw(5, len(layer.bias))) if kind == "f"
                      else Layer(draw(*layer.weight.shape), draw(len(layer.bias)))
                      for kind, layer in zip(kinds, weights, strict=True)]
    assert change_norm(change) == pytest.approx(distance(flat(materialise(weights, change)), flat(weights)))


def test_norm_of_what_cancels_or_is_no_number() -> None:
    half = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    assert change_norm([]) == 0.0
    assert change_norm([Factors(torch.cat([half, half]), torch.cat([half, -half]))]) == pytest.approx(0.0, abs=1e-2)
    assert math.isnan(change_norm([Layer(torch.full((2, 2), math.nan), torch.zeros(2))]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_every_number_of_a_change_is_looked_at(value: float) -> None:
    good: list[Factors | Layer] = [Factors(torch.zeros(2, 3), torch.zeros(2, 4)), Layer(torch.zeros(2, 4),
                                                                                       torch.zeros(2))]
    assert is_finite(())
    assert is_finite(good)
    for part in good:
        for tensor in vars(part).values():
            tensor.view(-1)[-1] = value
            assert not is_finite(good)
            tensor.view(-1)[-1] = 0.0


@torch.no_grad()
def test_window_order_matters_to_the_memory_alone() -> None:
    window = random_window(6)
    turned = Transitions(window.states.flip(0), window.actions.flip(0), window.next_states.flip(0))
    for method, is_same in (("grbal", True), ("rebal", False)):
        checkpoint = make_small_checkpoint(method)
        rule = make_rule(method, checkpoint, AdaptationSettings.of(checkpoint))
        assert rule is not None
        one, other = (materialise(checkpoint.weights, rule(*checkpoint.normalise(each)).change)
                      for each in (window, turned))
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(flat(one), flat(other), strict=True)) == is_same
