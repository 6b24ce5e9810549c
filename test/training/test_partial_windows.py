# SPDX-License-Identifier: Apache-2.0
"""Training for the beginning of a trial, when the window is only partly filled."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
import torch
from synthetic import recordings

from l2a_ros.errors import UserError
from l2a_ros.learning.meta_loss import MetaWindows, composed_meta_loss
from l2a_ros.learning.network import forward
from l2a_ros.robot.layout import OUTPUT_SIZE, Frame, input_size
from l2a_ros.training.fit import Trainer
from l2a_ros.training.objective import Objective
from l2a_ros.training.settings import TrainingSettings

TINY = TrainingSettings(hidden_sizes=(20, 12), past=10, future=4, inner_rate=0.1, meta_batch=16, epochs=2)


@pytest.mark.parametrize("past", [8, 9])
def test_a_shorter_window_is_adapted_on_what_it_holds(past: int) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(8, past + 4, input_size(Frame(TINY.frame)), generator=generator)
    y = torch.randn(8, past + 4, OUTPUT_SIZE, generator=generator)
    objective = Objective(TINY)
    parts = MetaWindows(x[:, :past], y[:, :past], x[:, past:], y[:, past:])
    expected = composed_meta_loss(objective.weights, objective.rates, parts)
    assert float(objective(x, y).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_without_a_window_the_weights_are_judged_as_they_are() -> None:
    x, y = torch.randn(8, 4, input_size(Frame(TINY.frame))), torch.randn(8, 4, OUTPUT_SIZE)
    objective = Objective(TINY)
    loss = objective(x, y)
    expected = (forward(objective.weights, x) - y).square().mean()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    # Every parameter has a gradient, as training with several workers needs it; that of the step sizes is none.
    rates, *weights = torch.autograd.grad(loss, list(objective.parameters()))
    assert all(float(gradient.abs().max()) > 0.0 for gradient in weights)
    assert float(rates.abs().max()) == 0.0


def test_how_many_transitions_a_batch_is_adapted_on() -> None:
    trainer = Trainer(recordings(4), dataclasses.replace(TINY, partial_windows=0.5), 0.1)
    generator = torch.Generator().manual_seed(5)
    drawn = Counter(trainer._past(generator) for _ in range(4000))
    # Grbal begins with eight: of 0 to 9 that are drawn for one half, 0 to 7 are none.
    assert set(drawn) == {0, 8, 9, 10}
    assert drawn[10] / 4000 == pytest.approx(0.5, abs=0.03)
    assert drawn[0] / 4000 == pytest.approx(0.4, abs=0.03)
    assert drawn[8] / 4000 == pytest.approx(0.05, abs=0.015)


def test_the_weights_stay_good_without_a_window() -> None:
    """Drifts make them careless: every window takes off what they do. Judged without one, too, they are not."""
    before = {}
    for share in (0.0, 0.5):
        trainer = Trainer(recordings(12, spread=0.0), TrainingSettings(
            hidden_sizes=(24,), past=8, future=8, meta_batch=16, inner_rate=0.3, rate_learning_rate=0.1,
            learning_rate=5e-3, epochs=40, patience=100, drift=2.0, partial_windows=share), 0.1)
        while not trainer.finished:
            trainer.train_epoch()
        before[share] = trainer.history[-1].before
    assert before[0.5] < 0.85 * before[0.0]


def test_what_is_refused() -> None:
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match="partial-windows must be a share between 0 and 1"):
            TrainingSettings(partial_windows=share)
    for method in ("mb", "rebal"):
        with pytest.raises(UserError, match="leave --partial-windows out"):
            TrainingSettings(method=method, partial_windows=0.5)
