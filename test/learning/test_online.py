# SPDX-License-Identifier: Apache-2.0
"""Adaptation tick by tick: from the trained weights each time, and back to them whenever anything is wrong."""

from __future__ import annotations

import math

import pytest
import torch
from learning_samples import make_small_checkpoint, random_window

from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.adapted_model import AdaptationStatus
from l2a_ros.learning.network import Factors, forward, materialise
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.robot.frames import model_input, state_change
from l2a_ros.robot.layout import STATE


def same(one: list[Factors], other: list[Factors]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.forward, b.forward) and torch.equal(a.backward, b.backward)
        for a, b in zip(one, other, strict=True))


def test_adapted() -> None:
    checkpoint = make_small_checkpoint(inner_steps=2)
    adapter, window = OnlineAdapter(checkpoint), random_window(6)
    assert adapter.window_length == 6
    adaptation = adapter.adapt(window, 77)
    model = adaptation.model
    assert model.status is AdaptationStatus.ADAPTED
    assert (model.stamp, model.checkpoint_id, model.method) == (77, checkpoint.id, "grbal")
    assert [factors.forward.shape[0] for factors in model.change] == [12, 12, 12]

    # The same, with everything written out.
    inputs = (model_input(window.states, window.actions) - checkpoint.inputs.mean) / checkpoint.inputs.std
    targets = (state_change(window.states, window.next_states) - checkpoint.outputs.mean) / checkpoint.outputs.std
    flat = [tensor.clone().requires_grad_() for layer in checkpoint.weights for tensor in (layer.weight, layer.bias)]

    def loss() -> torch.Tensor:
        hidden = inputs
        for i in range(0, len(flat), 2):
            hidden = hidden @ flat[i].T + flat[i + 1]
            hidden = hidden.clamp_min(0.0) if i + 2 < len(flat) else hidden
        return ((hidden - targets) ** 2).mean()

    before = loss().item()
    for _ in range(2):
        gradients = torch.autograd.grad(loss(), flat)
        flat = [(t - 0.02 * g).detach().requires_grad_() for t, g in zip(flat, gradients, strict=True)]
    ours = [t for layer in materialise(checkpoint.weights, model.change) for t in (layer.weight, layer.bias)]
    for one, other in zip(ours, flat, strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=1e-4, atol=1e-5)
    assert adaptation.loss_before == pytest.approx(before, rel=1e-4)
    assert adaptation.loss_after == pytest.approx(loss().item(), rel=1e-3)
    assert adaptation.loss_after < adaptation.loss_before
    start = [t for layer in checkpoint.weights for t in (layer.weight, layer.bias)]
    norm = math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(ours, start, strict=True)))
    assert adaptation.step_norm == pytest.approx(norm, rel=1e-3)


def test_every_tick_starts_from_the_trained_weights() -> None:
    adapter, window = OnlineAdapter(make_small_checkpoint()), random_window(6)
    trained = [layer.weight.clone() for layer in adapter.checkpoint.weights]
    first = adapter.adapt(window, 1).model
    adapter.adapt(random_window(6, seed=5), 2)
    second = adapter.adapt(window, 3).model
    assert first.status is second.status is AdaptationStatus.ADAPTED
    assert same(list(first.change), list(second.change))
    assert all(torch.equal(a, layer.weight) for a, layer in zip(trained, adapter.checkpoint.weights, strict=True))


def test_only_the_last_m_transitions_count() -> None:
    adapter, old, new = OnlineAdapter(make_small_checkpoint()), random_window(5, 1), random_window(6, 2)
    both = Transitions(torch.cat([old.states, new.states]), torch.cat([old.actions, new.actions]),
                       torch.cat([old.next_states, new.next_states]))
    change = list(adapter.adapt(both, 1).model.change)
    assert change
    assert same(change, list(adapter.adapt(new, 2).model.change))


def test_versions_count_up_whatever_happens() -> None:
    adapter = OnlineAdapter(make_small_checkpoint())
    windows = [None, random_window(3), random_window(6), None, random_window(9)]
    assert [adapter.adapt(window, i).model.version for i, window in enumerate(windows)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("count", [None, 0, 1, 5])
def test_short_window(count: int | None) -> None:
    adaptation = OnlineAdapter(make_small_checkpoint()).adapt(None if count is None else random_window(count), 1)
    assert adaptation.model.status is AdaptationStatus.SHORT_WINDOW
    assert not adaptation.model.change
    assert math.isnan(adaptation.loss_before)
    assert math.isnan(adaptation.loss_after)
    assert adaptation.step_norm == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e38])
@pytest.mark.parametrize("part", ["states", "actions", "next_states"])
def test_not_finite(value: float, part: str) -> None:
    window = random_window(6)
    tensor = getattr(window, part)
    tensor[2, STATE.index("velocity_z") if part != "actions" else 1] = value
    adaptation = OnlineAdapter(make_small_checkpoint()).adapt(window, 1)
    assert adaptation.model.status is AdaptationStatus.NOT_FINITE
    assert not adaptation.model.change
    assert adaptation.step_norm == 0.0


def test_rate_that_is_beyond_all_numbers_is_not_finite() -> None:
    adaptation = OnlineAdapter(make_small_checkpoint(inner_rate=1e38, inner_steps=3)).adapt(random_window(6), 1)
    assert adaptation.model.status is AdaptationStatus.NOT_FINITE
    assert not adaptation.model.change


def test_step_that_makes_it_worse_is_not_taken() -> None:
    adaptation = OnlineAdapter(make_small_checkpoint(inner_rate=1e3)).adapt(random_window(6), 1)
    assert adaptation.model.status is AdaptationStatus.LOSS_INCREASE
    assert not adaptation.model.change
    assert adaptation.loss_after > adaptation.loss_before
    assert adaptation.step_norm == 0.0


def test_recovers_after_a_bad_window() -> None:
    adapter, good, bad = OnlineAdapter(make_small_checkpoint()), random_window(6), random_window(6)
    expected = adapter.adapt(good, 1).model.change
    assert expected
    bad.states[0, 0], bad.next_states[0, 4] = 0.0, math.nan
    assert adapter.adapt(bad, 2).model.status is AdaptationStatus.NOT_FINITE
    assert same(list(adapter.adapt(good, 3).model.change), list(expected))


@pytest.mark.parametrize("count", [None, 0, 6, 50])
def test_mb_never_adapts(count: int | None) -> None:
    adapter = OnlineAdapter(make_small_checkpoint("mb"))
    assert adapter.window_length == 0
    adaptation = adapter.adapt(None if count is None else random_window(count), 1)
    assert adaptation.model.status is AdaptationStatus.NOT_ADAPTIVE
    assert adaptation.model.method == "mb"
    assert not adaptation.model.change


def test_where_the_map_lies_does_not_matter() -> None:
    """A window seen from another corner of the room gives the same model."""
    checkpoint, window = make_small_checkpoint(), random_window(6)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])

    def moved(states: torch.Tensor) -> torch.Tensor:
        result = states.clone()
        for pair in (["position_x", "position_y"], ["velocity_x", "velocity_y"], ["yaw_cos", "yaw_sin"]):
            result[:, STATE.indices(pair)] = states[:, STATE.indices(pair)] @ turn.T
        result[:, STATE.index("position_x")] += 3.0
        return result

    here = OnlineAdapter(checkpoint).adapt(window, 1).model
    there = OnlineAdapter(checkpoint).adapt(
        Transitions(moved(window.states), window.actions, moved(window.next_states)), 1).model
    inputs = torch.randn(5, 22, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(forward(checkpoint.weights, inputs, here.change),
                               forward(checkpoint.weights, inputs, there.change), rtol=1e-3, atol=1e-4)
