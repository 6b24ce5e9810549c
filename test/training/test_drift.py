# SPDX-License-Identifier: Apache-2.0
"""Drifts of the targets, and what training with them teaches a model to do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthetic import recordings

from l2a_ros.errors import UserError
from l2a_ros.training.drift import draw_drifts
from l2a_ros.training.fit import Trainer
from l2a_ros.training.settings import TrainingSettings


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**40))
def test_one_constant_per_window_which_repeats(windows: int, size: int, seed: int) -> None:
    drifts, again = (draw_drifts(windows, size, 0.7, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert drifts.shape == (windows, 1, size)
    assert torch.equal(drifts, again)
    assert torch.equal(draw_drifts(windows, size, 0.0, torch.Generator().manual_seed(seed)), torch.zeros_like(drifts))


def test_its_size() -> None:
    drifts = draw_drifts(4000, 50, 2.0, torch.Generator().manual_seed(1))
    scales = drifts.std(dim=(1, 2))
    assert abs(float(drifts.mean())) < 0.02
    assert 0.0 < float(scales.min()) < 0.02
    assert 1.9 < float(scales.max()) < 2.8
    assert float(scales.mean()) == pytest.approx(1.0, abs=0.05)


def drifted_loss(trained: Trainer, drift: float) -> float:
    """Return what adaptation leaves of the held-out error, as a share, if one element of all targets is off."""
    windows, length = trained._data.validation, trained.settings.window
    inputs, targets = windows.gather(torch.arange(0, len(windows.starts), 5), length)
    targets = targets.clone()
    targets[:, :, 1] += drift
    before, after = trained.objective.judge(inputs, targets)
    return float(after.mean() / before.mean())


def test_a_model_trained_with_drifts_takes_off_what_it_has_never_met() -> None:
    """All recordings are of one robot: without drifts there is nothing that adapting would be for."""
    left = {}
    for drift in (0.0, 1.0):
        trained = Trainer(recordings(12, spread=0.0), TrainingSettings(
            hidden_sizes=(24,), past=8, future=8, meta_batch=16, inner_rate=0.3, rate_learning_rate=0.1,
            learning_rate=5e-3, epochs=40, patience=100, drift=drift), 0.1)
        while not trained.finished:
            trained.train_epoch()
        left[drift] = drifted_loss(trained, 1.5)
    assert left[1.0] < 0.25
    assert left[1.0] < 0.6 * left[0.0]


def test_same_seed_is_the_same_training_and_the_limit_is_of_drifted_steps() -> None:
    def trained(drift: float) -> Trainer:
        one = Trainer(recordings(6), TrainingSettings(hidden_sizes=(12,), past=6, future=6, epochs=2, drift=drift), 0.1)
        one.train_epoch()
        return one

    one, again, without = trained(1.0), trained(1.0), trained(0.0)
    assert one.history == again.history
    assert one.history != without.history
    assert one.checkpoint().card.step_limit > without.checkpoint().card.step_limit


def test_mb_has_no_use_for_it() -> None:
    with pytest.raises(UserError, match="mb does not adapt"):
        TrainingSettings(method="mb", drift=0.5)
    with pytest.raises(UserError, match="drift must be a finite number"):
        TrainingSettings(drift=-1.0)
