# SPDX-License-Identifier: Apache-2.0
"""Adaptation tick by tick: from the trained weights each time, and back to them whenever anything is wrong."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from learning_samples import make_small_checkpoint, random_window

from l2a_ros.errors import UserError
from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.adapted_model import AdaptationStatus
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.network import Change, Factors, forward, inner_steps, materialise
from l2a_ros.learning.online import Adaptation, OnlineAdapter
from l2a_ros.learning.rules import AdaptationSettings
from l2a_ros.robot.frames import model_input, state_change
from l2a_ros.robot.layout import INPUT_SIZE, STATE, Frame

ADAPTIVE = ["grbal", "mb_de", "rebal"]


def same(one: Change, other: Change) -> bool:
    """Tell whether two changes are the same to the last bit."""
    return len(one) == len(other) and all(
        type(a) is type(b) and all(torch.equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))
        for a, b in zip(one, other, strict=True))


def make_adapter(method: str, **card: object) -> OnlineAdapter:
    """Return an adapter by its method's name, whatever its checkpoint is trained as."""
    return OnlineAdapter(make_small_checkpoint("mb" if method == "mb_de" else method, **card), method)


def trained_settings(checkpoint: Checkpoint, **values: object) -> AdaptationSettings:
    return dataclasses.replace(AdaptationSettings.of(checkpoint), **values)


def damaged() -> Transitions:
    window = random_window(6)
    window.next_states[0, 4] = math.nan
    return window


def test_adapted() -> None:
    checkpoint = make_small_checkpoint(inner_steps=2)
    adapter, window = OnlineAdapter(checkpoint), random_window(6)
    assert adapter.window_length == 6
    adaptation = adapter.adapt(window, 77)
    model = adaptation.model
    assert model.status is AdaptationStatus.ADAPTED
    assert (model.stamp, model.checkpoint_id, model.method) == (77, checkpoint.id, "grbal")
    assert all(isinstance(factors, Factors) and len(factors.forward) == 12 for factors in model.change)

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
    assert same(first.change, second.change)
    assert all(torch.equal(a, layer.weight) for a, layer in zip(trained, adapter.checkpoint.weights, strict=True))


def test_only_the_last_m_transitions_count() -> None:
    adapter, old, new = OnlineAdapter(make_small_checkpoint()), random_window(5, 1), random_window(6, 2)
    both = Transitions(torch.cat([old.states, new.states]), torch.cat([old.actions, new.actions]),
                       torch.cat([old.next_states, new.next_states]))
    change = adapter.adapt(both, 1).model.change
    assert change
    assert same(change, adapter.adapt(new, 2).model.change)


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
    assert same(adapter.adapt(good, 3).model.change, expected)


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
    inputs = torch.randn(5, INPUT_SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(forward(checkpoint.weights, inputs, here.change),
                               forward(checkpoint.weights, inputs, there.change), rtol=1e-3, atol=1e-4)


# The methods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ADAPTIVE)
def test_every_method_answers_every_tick(method: str) -> None:
    adapter = make_adapter(method)
    assert adapter.window_length == 6
    for window, status in ((None, AdaptationStatus.SHORT_WINDOW), (random_window(5), AdaptationStatus.SHORT_WINDOW),
                           (random_window(6), None), (damaged(), AdaptationStatus.NOT_FINITE)):
        adaptation = adapter.adapt(window, 7)
        model = adaptation.model
        assert (model.stamp, model.method, model.checkpoint_id) == (7, method, adapter.checkpoint.id)
        # Whether a random memory helps is chance; whether it is used then is not.
        expected = status or (AdaptationStatus.ADAPTED if adaptation.loss_after <= adaptation.loss_before
                              else AdaptationStatus.LOSS_INCREASE)
        assert model.status is expected
        assert bool(model.change) == (expected is AdaptationStatus.ADAPTED) == (adaptation.step_norm > 0.0)


def test_memory_that_helps_is_used_and_no_other() -> None:
    adapter = make_adapter("rebal")
    statuses = [adapter.adapt(random_window(6, seed), seed).model.status for seed in range(40)]
    assert set(statuses) == {AdaptationStatus.ADAPTED, AdaptationStatus.LOSS_INCREASE}


@pytest.mark.parametrize(("trained_as", "method"), [
    ("grbal", "mb"), ("grbal", "mb_de"), ("grbal", "rebal"), ("mb", "grbal"), ("mb", "rebal"), ("rebal", "grbal"),
    ("rebal", "mb_de")])
def test_checkpoint_of_another_method_is_refused(trained_as: str, method: str) -> None:
    with pytest.raises(UserError, match=f"of method '{trained_as}' cannot adapt as {method}"):
        OnlineAdapter(make_small_checkpoint(trained_as), method)


def test_method_is_that_of_the_checkpoint_unless_told() -> None:
    for method in ("grbal", "mb", "rebal"):
        assert OnlineAdapter(make_small_checkpoint(method)).method.name == method
    with pytest.raises(UserError, match="unknown method 'sac'"):
        OnlineAdapter(make_small_checkpoint(), "sac")


def test_in_the_frame_of_the_map() -> None:
    adapter, window = make_adapter("grbal", frame="map"), random_window(6)
    checkpoint = adapter.checkpoint
    inputs, targets = checkpoint.normalise(window)
    assert inputs.shape == (6, 24)
    torch.testing.assert_close(targets, checkpoint.outputs.normalise(window.next_states - window.states))
    adaptation = adapter.adapt(window, 1)
    assert adaptation.model.status is AdaptationStatus.ADAPTED
    assert adaptation.loss_before == pytest.approx(
        float((forward(checkpoint.weights, inputs) - targets).square().mean()), rel=1e-5)
    predicted = adapter.predict(window.states, window.actions, adaptation.model.change)
    changed = materialise(checkpoint.weights, adaptation.model.change)
    expected = window.states + checkpoint.outputs.restore(
        forward(changed, checkpoint.inputs.normalise(model_input(window.states, window.actions, Frame.MAP))))
    plane = STATE.indices(["position_x", "velocity_y", "angular_velocity_z", "battery_voltage"])
    torch.testing.assert_close(predicted[:, plane], expected[:, plane], rtol=1e-4, atol=1e-4)


# Dynamic evaluation --------------------------------------------------------------------------------------------------


def run(adapter: OnlineAdapter, *windows: Transitions | None) -> list[Adaptation]:
    return [adapter.adapt(window, i) for i, window in enumerate(windows)]


def test_dynamic_evaluation_carries_on() -> None:
    window = random_window(6)
    first, second, third = run(make_adapter("mb_de"), window, window, window)
    assert first.model.status is second.model.status is third.model.status is AdaptationStatus.ADAPTED
    assert second.loss_before == pytest.approx(first.loss_after, rel=1e-4)
    assert third.loss_before == pytest.approx(second.loss_after, rel=1e-4)
    assert first.step_norm < second.step_norm < third.step_norm


@pytest.mark.parametrize("fault", [None, random_window(5), damaged()], ids=["no window", "short window", "NaN"])
def test_dynamic_evaluation_starts_anew_after_a_fault(fault: Transitions | None) -> None:
    good = [random_window(6, seed) for seed in range(3)]
    fresh = run(make_adapter("mb_de"), *good)
    *_, fallen, again, after, last = run(make_adapter("mb_de"), good[2], good[1], fault, *good)
    assert not fallen.model.change
    for one, other in zip((again, after, last), fresh, strict=True):
        assert one.model.status is AdaptationStatus.ADAPTED
        assert same(one.model.change, other.model.change)


def test_dynamic_evaluation_starts_anew_when_it_gets_worse() -> None:
    adapter, window = make_adapter("mb_de"), random_window(6)
    first = adapter.adapt(window, 1)
    adapter.configure(trained_settings(adapter.checkpoint, rates=(1e3,) * 3))
    assert adapter.adapt(window, 2).model.status is AdaptationStatus.LOSS_INCREASE
    # A second try with the same rates starts from the trained weights too: nothing of the bad step is left.
    assert adapter.adapt(window, 3).loss_before == first.loss_before


def test_dynamic_evaluation_starts_anew_at_a_reset_and_with_other_settings() -> None:
    adapter, windows = make_adapter("mb_de"), [random_window(6, seed) for seed in range(3)]
    fresh = run(adapter, *windows)
    for forget in (adapter.reset, lambda: adapter.configure(adapter.settings)):
        forget()
        for one, other in zip(run(adapter, *windows), fresh, strict=True):
            assert same(one.model.change, other.model.change)
    assert not same(adapter.adapt(windows[0], 9).model.change, fresh[0].model.change), "without one it carries on"


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ADAPTIVE)
def test_switched_off(method: str) -> None:
    adapter, window = make_adapter(method), random_window(6)
    adapter.configure(trained_settings(adapter.checkpoint, is_enabled=False))
    adaptation = adapter.adapt(window, 1)
    assert adaptation.model.status is AdaptationStatus.DISABLED
    assert not adaptation.model.change
    assert math.isnan(adaptation.loss_before)
    adapter.configure(trained_settings(adapter.checkpoint))
    again = adapter.adapt(window, 2)
    assert again.model.version == adaptation.model.version + 1
    assert same(again.model.change, make_adapter(method).adapt(window, 1).model.change)


def test_switched_off_what_never_adapts() -> None:
    adapter = make_adapter("mb")
    adapter.configure(trained_settings(adapter.checkpoint, is_enabled=False))
    assert adapter.adapt(random_window(6), 1).model.status is AdaptationStatus.NOT_ADAPTIVE


def test_settings_take_effect_at_the_next_tick() -> None:
    window = random_window(9)
    adapter = make_adapter("grbal")
    adapter.adapt(window, 1)
    for values in ({"past": 9}, {"past": 3}, {"steps": 4}, {"rates": (0.01, 0.002, 0.03)}):
        settings = trained_settings(adapter.checkpoint, **values)
        adapter.configure(settings)
        assert (adapter.settings, adapter.window_length) == (settings, settings.past)
        names = {"steps": "inner_steps", "rates": "inner_rates"}
        expected = make_adapter("grbal", **{names.get(name, name): value for name, value in values.items()})
        assert same(adapter.adapt(window, 2).model.change, expected.adapt(window, 1).model.change)
    adapter.configure(trained_settings(adapter.checkpoint, past=10, shortest=0))
    assert adapter.adapt(window, 3).model.status is AdaptationStatus.SHORT_WINDOW


@pytest.mark.parametrize("values", [
    {"past": 0}, {"past": -1}, {"steps": 0}, {"rates": ()}, {"rates": (0.1, 0.1)}, {"rates": (0.1,) * 4},
    {"rates": (0.1, -0.1, 0.1)}, {"rates": (0.1, math.nan, 0.1)}, {"rates": (math.inf, 0.1, 0.1)}], ids=str)
@pytest.mark.parametrize("method", ["mb", *ADAPTIVE])
def test_settings_that_make_no_sense(method: str, values: dict[str, object]) -> None:
    adapter = make_adapter(method)
    before, settings = adapter.settings, trained_settings(adapter.checkpoint, **values)
    for take in (adapter.check, adapter.configure):
        with pytest.raises(UserError, match=r"must be at least 1|3 inner rates"):
            take(settings)
    with pytest.raises(UserError):
        OnlineAdapter(adapter.checkpoint, method, settings)
    assert adapter.settings == before
    adapter.check(before)


def test_checking_takes_nothing() -> None:
    adapter, windows = make_adapter("mb_de"), [random_window(6, seed) for seed in range(2)]
    expected = run(make_adapter("mb_de"), *windows)
    adapter.adapt(windows[0], 1)
    adapter.check(trained_settings(adapter.checkpoint, past=3))
    assert same(adapter.adapt(windows[1], 2).model.change, expected[1].model.change)


def test_grbal_begins_before_its_window_is_full() -> None:
    """From eight transitions on it steps on what there is; the step is that of the shorter window."""
    adapter = OnlineAdapter(make_small_checkpoint(past=12))
    assert adapter.window_length == 12
    assert adapter.adapt(random_window(7), 1).model.status is AdaptationStatus.SHORT_WINDOW
    for count in (8, 11, 12, 20):
        window = random_window(count)
        adaptation = adapter.adapt(window, 2)
        assert adaptation.model.status is AdaptationStatus.ADAPTED
        change, loss = inner_steps(adapter.checkpoint.weights, *adapter.checkpoint.normalise(window.last(12)), 0.02)
        assert adaptation.loss_before == pytest.approx(float(loss), rel=1e-4)
        for ours, theirs in zip(adaptation.model.change, change, strict=True):
            assert isinstance(ours, Factors)
            torch.testing.assert_close(ours.backward, theirs.backward, rtol=1e-4, atol=1e-6)


def test_dynamic_evaluation_begins_as_early() -> None:
    """Compared methods differ in how they step, not in when they begin."""
    adapter = OnlineAdapter(make_small_checkpoint("mb", past=12), "mb_de")
    assert adapter.adapt(random_window(7), 1).model.status is AdaptationStatus.SHORT_WINDOW
    first, second = (adapter.adapt(random_window(count), count).model for count in (8, 9))
    assert first.status is second.status is AdaptationStatus.ADAPTED
    alone = OnlineAdapter(make_small_checkpoint("mb", past=12), "mb_de").adapt(random_window(9), 9).model
    assert not same(second.change, alone.change)


def test_rebal_waits_for_a_whole_window() -> None:
    adapter = OnlineAdapter(make_small_checkpoint("rebal", past=12))
    assert adapter.adapt(random_window(11), 1).model.status is AdaptationStatus.SHORT_WINDOW
    assert adapter.adapt(random_window(12), 2).model.status is not AdaptationStatus.SHORT_WINDOW


@pytest.mark.parametrize("count", [9, 12])
def test_a_step_is_no_longer_than_its_limit(count: int) -> None:
    """Direction of the window's step, length of the limit; a step within the limit is left alone."""
    checkpoint, window = make_small_checkpoint(past=12), random_window(count)
    free = OnlineAdapter(checkpoint).adapt(window, 1)
    assert not free.is_limited
    for share in (0.25, 2.0):
        limit = share * free.step_norm
        adapter = OnlineAdapter(checkpoint, settings=dataclasses.replace(
            AdaptationSettings.of(checkpoint), limit=limit))
        limited = adapter.adapt(window, 1)
        scale = min(share, 1.0)
        assert limited.is_limited is (share < 1.0)
        assert limited.step_norm == pytest.approx(scale * free.step_norm, rel=1e-4)
        for ours, theirs in zip(limited.model.change, free.model.change, strict=True):
            assert isinstance(ours, Factors) and isinstance(theirs, Factors)
            torch.testing.assert_close(ours.backward, scale * theirs.backward, rtol=1e-4, atol=1e-7)
        x, y = checkpoint.normalise(window)
        after = float((forward(checkpoint.weights, x, limited.model.change) - y).square().mean())
        assert limited.loss_after == pytest.approx(after, rel=1e-4)
