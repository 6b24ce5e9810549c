# SPDX-License-Identifier: Apache-2.0
"""Training: it learns, it goes on where it stopped, and adaptation pays where worlds differ."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save
from synthetic import recording, recordings

from l2a_ros.errors import UserError
from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.adapted_model import AdaptationStatus
from l2a_ros.learning.checkpoint import load_checkpoint, save_checkpoint
from l2a_ros.learning.network import forward, inner_steps
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.robot.frames import model_input, state_change
from l2a_ros.training.fit import Trainer
from l2a_ros.training.settings import TrainingSettings
from l2a_ros.training.windows import split_recordings

TINY = TrainingSettings(method="grbal", hidden_sizes=(24,), past=8, future=4, inner_rate=0.1, learn_rates=False,
                        meta_batch=16, learning_rate=5e-3, epochs=6, held_out=0.25, patience=50, seed=1)
DATA = recordings(8)


def trainer(data: list[list[Transitions]] | None = None, **change: Any) -> Trainer:
    return Trainer(data or DATA, dataclasses.replace(TINY, **change), 0.1, ["bags"], "l2a meta-train --out x")


def weights_of(one: Trainer) -> list[torch.Tensor]:
    return [tensor.detach().clone() for layer in one.weights for tensor in (layer.weight, layer.bias)]


def same(one: Trainer, other: Trainer) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights_of(one), weights_of(other), strict=True))


# Learning ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["grbal", "mb"])
def test_loss_falls(method: str) -> None:
    training = trainer(method=method)
    before = training.validate()
    reports = [training.train_epoch() for _ in range(6)]
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert training.history == reports
    assert reports[-1].training < 0.7 * reports[0].training
    assert reports[-1].after < 0.7 * before[1], "on recordings that were not trained on"
    assert all(math.isfinite(value) for report in reports for value in (report.training, report.before, report.after))


def test_mb_reports_the_same_before_and_after() -> None:
    training = trainer(method="mb")
    report = training.train_epoch()
    assert report.before == report.after


def test_adaptation_pays_where_worlds_differ() -> None:
    """The point of it all: on new worlds the adapted model is clearly better than the unadapted one, and than mb."""
    settings = {"hidden_sizes": (48,), "epochs": 40, "meta_batch": 32, "held_out": 0.2, "inner_rate": 0.3}
    data = recordings(30)
    results = {}
    for method in ("grbal", "mb"):
        training = trainer(data, method=method, **settings)
        for _ in range(40):
            report = training.train_epoch()
        results[method] = report, training
    adapted, training = results["grbal"]
    assert adapted.after < 0.7 * adapted.before
    assert adapted.after < 0.8 * results["mb"][0].after

    # The same through the checkpoint and the adapter that the robot uses, on a world never seen.
    adapter = OnlineAdapter(training.checkpoint())
    before = after = 0.0
    for seed in range(5):
        run = recording(777_000 + seed)[0]
        window = Transitions(run.states[:20], run.actions[:20], run.next_states[:20])
        model = adapter.adapt(window, 1).model
        assert model.status is AdaptationStatus.ADAPTED
        checkpoint = adapter.checkpoint
        x = checkpoint.inputs.normalise(model_input(run.states[20:], run.actions[20:]))
        y = checkpoint.outputs.normalise(state_change(run.states[20:], run.next_states[20:]))
        before += float((forward(checkpoint.weights, x) - y).square().mean())
        after += float((forward(checkpoint.weights, x, model.change) - y).square().mean())
    assert after < 0.8 * before


def test_one_epoch_against_a_slow_version() -> None:
    """Same windows, plain autograd, weights copied for every window."""
    settings = dataclasses.replace(TINY, meta_batch=4, future=100, past=4, hidden_sizes=(6,), learning_rate=1e-2)
    data = recordings(3, length=110)
    training = Trainer(data, settings, 0.1)
    theirs = [tensor.double().requires_grad_() for tensor in weights_of(training)]
    assert training.steps_per_epoch == 1
    segments = split_recordings(data, settings.held_out, settings.seed, 8)[0]
    starts = [(i, at) for i, segment in enumerate(segments) for at in range(len(segment) - 104 + 1)]
    chosen = torch.randint(len(starts), (4,), generator=torch.Generator().manual_seed(settings.seed * 100003 + 1))
    total = torch.zeros((), dtype=torch.float64)
    for number in chosen.tolist():
        segment, at = segments[starts[number][0]], starts[number][1]
        rows = slice(at, at + 104)
        x = training.inputs.normalise(model_input(segment.states[rows], segment.actions[rows])).double()
        y = training.outputs.normalise(state_change(segment.states[rows], segment.next_states[rows])).double()

        def predict(flat: list[torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
            return torch.relu(inputs @ flat[0].T + flat[1]) @ flat[2].T + flat[3]

        inner = ((predict(theirs, x[:4]) - y[:4]) ** 2).mean()
        gradients = torch.autograd.grad(inner, theirs, create_graph=True)
        adapted = [tensor - settings.inner_rate * gradient for tensor, gradient in zip(theirs, gradients, strict=True)]
        total = total + ((predict(adapted, x[4:]) - y[4:]) ** 2).mean() / 4
    optimizer = torch.optim.Adam(theirs, lr=settings.learning_rate)
    total.backward()
    optimizer.step()
    report = training.train_epoch()
    assert report.training == pytest.approx(total.item(), rel=1e-4)
    for ours, other in zip(weights_of(training), theirs, strict=True):
        torch.testing.assert_close(ours.double(), other.detach(), rtol=0.0, atol=2e-4)


def test_validation_is_the_mean_over_all_windows() -> None:
    training = trainer()
    held_out = split_recordings(DATA, TINY.held_out, TINY.seed, 8)[1]
    before, after = [], []
    for segment in held_out:
        x = training.inputs.normalise(model_input(segment.states, segment.actions))
        y = training.outputs.normalise(state_change(segment.states, segment.next_states))
        for at in range(len(segment) - 12 + 1):
            past, future = slice(at, at + 8), slice(at + 8, at + 12)
            change, _ = inner_steps(training.weights, x[past], y[past], TINY.inner_rate)
            before.append(float((forward(training.weights, x[future]) - y[future]).detach().square().mean()))
            after.append(float((forward(training.weights, x[future], change) - y[future]).detach().square().mean()))
    ours = training.validate()
    assert ours[0] == pytest.approx(sum(before) / len(before), rel=1e-4)
    assert ours[1] == pytest.approx(sum(after) / len(after), rel=1e-4)


def test_windows_never_cross_segments() -> None:
    """Two segments of one recording, each just long enough for one window: no third window between them."""
    run = recording(0, 24)[0]
    parts = [Transitions(run.states[:12], run.actions[:12], run.next_states[:12]),
             Transitions(run.states[12:], run.actions[12:], run.next_states[12:])]
    short = Transitions(run.states[:11], run.actions[:11], run.next_states[:11])
    training = trainer([parts + [short], [parts[0]]], held_out=0.5, seed=0)
    counts = {len(windows.starts) for windows in (training._data.training, training._data.validation)}
    assert counts == {1, 2}


def test_normalisation_is_of_the_training_recordings_only() -> None:
    training = trainer()
    kept = split_recordings(DATA, TINY.held_out, TINY.seed, 8)[0]
    inputs = torch.cat([model_input(segment.states, segment.actions) for segment in kept])
    torch.testing.assert_close(training.inputs.mean, inputs.mean(dim=0))
    assert training.transitions == sum(map(len, kept))


# The split -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "share", "expected"), [(2, 0.1, 1), (2, 0.9, 1), (10, 0.2, 2), (10, 0.0, 1),
                                                          (10, 1.0, 9), (7, 0.5, 4)])
def test_split_is_by_recording(count: int, share: float, expected: int) -> None:
    data = [[*recording(i, 5), *recording(100 + i, 4)] for i in range(count)]
    kept, held_out = split_recordings(data, share, 3, 8)
    assert len(held_out) == 2 * expected
    assert len(kept) == 2 * (count - expected)
    sides = [{id(segment) for segment in side} for side in (kept, held_out)]
    for run in data:
        assert {id(segment) for segment in run} <= sides[0] or {id(segment) for segment in run} <= sides[1]
    assert not sides[0] & sides[1]


def test_split_depends_on_the_seed_only() -> None:
    data = recordings(12, length=5)
    picked = [[id(segment) for segment in split_recordings(data, 0.25, seed, 8)[1]] for seed in (0, 0, 1, 2, 3)]
    assert picked[0] == picked[1]
    assert len({tuple(sorted(ids)) for ids in picked}) > 1


def test_nothing_to_train_on() -> None:
    with pytest.raises(UserError, match="no recordings"):
        split_recordings([], 0.1, 0, 8)


@pytest.mark.parametrize(("share", "tail"), [(0.1, 8), (0.25, 10), (0.5, 20), (0.99, 32)])
def test_end_of_a_single_recording_is_held_out(share: float, tail: int) -> None:
    [[whole]] = recordings(1, length=40)
    kept, held_out = split_recordings([[whole]], share, 0, 8)
    assert [len(segment) for segment in (*kept, *held_out)] == [40 - tail, tail]
    for name in ("states", "actions", "next_states"):
        assert torch.equal(torch.cat([getattr(kept[0], name), getattr(held_out[0], name)]), getattr(whole, name))


def test_single_recording_too_short_for_both_sides() -> None:
    with pytest.raises(UserError, match="must hold 16 transitions in a row .* this one has 15"):
        split_recordings(recordings(1, length=15), 0.1, 0, 8)


def test_too_short_recordings() -> None:
    with pytest.raises(UserError, match="hold no 12 transitions in a row") as caught:
        trainer(recordings(4, length=11))
    assert "\n" not in str(caught.value)


# Going on ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["grbal", "mb"])
@pytest.mark.parametrize("interrupted_after", [1, 3])
def test_resumed_training_is_bit_identical(tmp_path: Path, method: str, interrupted_after: int) -> None:
    straight = trainer(method=method)
    for _ in range(5):
        straight.train_epoch()
    first = trainer(method=method)
    for _ in range(interrupted_after):
        first.train_epoch()
    first.save_progress(tmp_path / "model.progress")
    second = trainer(method=method)
    second.load_progress(tmp_path / "model.progress")
    assert second.history == first.history
    assert second.checkpoint().id == first.checkpoint().id
    for _ in range(5 - interrupted_after):
        second.train_epoch()
    assert same(second, straight)
    assert second.history == straight.history
    assert second.checkpoint().id == straight.checkpoint().id
    assert second.checkpoint().card == straight.checkpoint().card


def test_best_epoch_survives_though_it_was_not_the_last(tmp_path: Path) -> None:
    first = trainer(learning_rate=0.5, epochs=20)
    while len(first.history) < 2 or min(first.history, key=lambda report: report.after) is first.history[-1]:
        first.train_epoch()
    first.save_progress(tmp_path / "model.progress")
    second = trainer(learning_rate=0.5, epochs=20)
    second.load_progress(tmp_path / "model.progress")
    assert second.checkpoint().id == first.checkpoint().id
    assert same(second, first)


def test_same_seed_is_the_same_training_and_another_is_not() -> None:
    runs = [trainer(seed=seed) for seed in (1, 1, 2)]
    for run in runs:
        run.train_epoch()
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


@pytest.mark.parametrize("change", [
    {"inner_rate": 0.2}, {"seed": 2}, {"method": "mb"},
    {"hidden_sizes": (12,)}, {"hidden_sizes": (24, 24)}, {"past": 7}, {"epochs": 7},
    {"learning_rate": 1e-3}], ids=str)
def test_progress_of_other_settings_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    first = trainer()
    first.train_epoch()
    first.save_progress(tmp_path / "model.progress")
    other = trainer(**change)
    untouched = weights_of(other)
    with pytest.raises(UserError, match="belongs to other settings or data; delete") as caught:
        other.load_progress(tmp_path / "model.progress")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(a, b) for a, b in zip(untouched, weights_of(other), strict=True))
    assert other.history == []


@pytest.mark.parametrize("data", [recordings(9), recordings(8, seed=5)], ids=["more", "as many others"])
def test_progress_of_other_data_is_refused(tmp_path: Path, data: list[list[Transitions]]) -> None:
    first = trainer()
    first.train_epoch()
    first.save_progress(tmp_path / "model.progress")
    with pytest.raises(UserError, match="belongs to other settings or data"):
        trainer(data).load_progress(tmp_path / "model.progress")


def test_damaged_progress_is_refused(tmp_path: Path) -> None:
    first = trainer()
    first.train_epoch()
    path = tmp_path / "model.progress"
    first.save_progress(path)
    content = path.read_bytes()
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    without = {name: tensor for name, tensor in tensors.items() if name != "0.exp_avg"}
    for damaged in (b"", b"rubbish", content[:100], content[:len(content) // 2], content[:-1],
                    save({"a": torch.zeros(1)}), save(without, metadata=metadata)):
        path.write_bytes(damaged)
        fresh = trainer()
        untouched = weights_of(fresh)
        with pytest.raises(UserError, match="is damaged; delete") as caught:
            fresh.load_progress(path)
        assert "\n" not in str(caught.value)
        assert all(torch.equal(a, b) for a, b in zip(untouched, weights_of(fresh), strict=True))
    with pytest.raises(UserError, match="is damaged"):
        trainer().load_progress(tmp_path / "nothing.progress")


# What comes out ------------------------------------------------------------------------------------------------------


def test_checkpoint_is_of_the_best_epoch_and_says_how_it_was_made(tmp_path: Path) -> None:
    training = trainer(learning_rate=0.3, epochs=10)
    states, epochs = {}, []
    for _ in range(10):
        epochs.append(training.train_epoch())
        states[epochs[-1].epoch] = weights_of(training)
    best = min(epochs, key=lambda report: report.after)
    checkpoint = training.checkpoint()
    flat = [tensor for layer in checkpoint.weights for tensor in (layer.weight, layer.bias)]
    assert all(torch.equal(a, b) for a, b in zip(flat, states[best.epoch], strict=True))
    card = checkpoint.card
    assert (card.method, card.past, card.future, card.inner_rates, card.inner_steps) == ("grbal", 8, 4, (0.1, 0.1), 1)
    assert (card.control_period, card.sources, card.command) == (0.1, ("bags",), "l2a meta-train --out x")
    assert card.training["epoch"] == best.epoch
    assert card.training["held_out_loss_after"] == best.after
    assert card.training["transitions"] == training.transitions
    save_checkpoint(checkpoint, tmp_path / "model.safetensors")
    assert load_checkpoint(tmp_path / "model.safetensors", "grbal").id == checkpoint.id


def test_stops_when_nothing_gets_better() -> None:
    training = trainer(learning_rate=0.0, epochs=30, patience=3)
    while not training.finished:
        training.train_epoch()
    assert len(training.history) == 4, "the first is the best; three without progress end it"


def test_stops_after_the_epochs_asked_for() -> None:
    training = trainer(epochs=2)
    assert not training.finished
    while not training.finished:
        training.train_epoch()
    assert len(training.history) == 2


def test_every_step_is_reported() -> None:
    training, steps = trainer(), []
    training.train_epoch(lambda: steps.append(1))
    assert len(steps) == training.steps_per_epoch == math.ceil(training.transitions / (16 * 4))


def test_a_gradient_that_is_not_finite_is_left_out() -> None:
    """One broken window must not end a night of training."""
    training = trainer(method="mb")
    broken = int(training._data.training.starts[3])
    training._data.training.targets[broken] = math.inf
    report = training.train_epoch()
    assert training.skipped > 0
    assert math.isfinite(report.after)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights_of(training))


def test_divergence_is_one_line() -> None:
    training = trainer(method="mb")
    training._data.validation.targets[:] = math.nan
    with pytest.raises(UserError, match="training diverged in its first epoch"):
        training.train_epoch()


def test_long_gradients_are_shortened() -> None:
    """With a clip of almost nothing the direction stays and the length does not: Adam takes the same steps."""
    plain, clipped = trainer(method="mb"), trainer(method="mb", gradient_clip=1e-3)
    for one in (plain, clipped):
        one.train_epoch()
    assert not same(plain, clipped)
    assert clipped.history[0].training == pytest.approx(plain.history[0].training, rel=0.2)
