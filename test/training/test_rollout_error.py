# SPDX-License-Identifier: Apache-2.0
"""Training on rollouts: their error against one written out from raw states, and what it makes better."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from synthetic import recordings
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.network import Weights, forward, initial_weights
from l2a_ros.learning.normalization import Normalization
from l2a_ros.robot.frames import apply_change, heading_frame, model_input, state_change
from l2a_ros.robot.layout import OUTPUT_SIZE, Frame, input_size
from l2a_ros.training.fit import Trainer
from l2a_ros.training.rollout_error import RolloutError
from l2a_ros.training.settings import TrainingSettings

TINY = TrainingSettings(hidden_sizes=(20, 12), past=6, future=8, inner_rate=0.1, recurrent_size=7, epochs=3,
                        meta_batch=16, learning_rate=5e-3)


def normalised(run: Transitions, frame: Frame) -> tuple[Tensor, Tensor, Normalization, Normalization]:
    x, y = model_input(run.states, run.actions, frame), state_change(run.states, run.next_states, frame)
    inputs, outputs = Normalization.fit(x), Normalization.fit(y)
    return inputs.normalise(x), outputs.normalise(y), inputs, outputs


def by_hand(run: Transitions, weights: Weights, start: int, steps: int, frame: Frame, inputs: Normalization,
            outputs: Normalization) -> float:
    """Roll out from a recorded state, where it was recorded, and compare with the recorded ones."""
    state, total = run.states[start], 0.0
    for step in range(steps):
        network = inputs.normalise(model_input(state, run.actions[start + step], frame))
        state = apply_change(state, outputs.restore(forward(weights, network)), frame)
        error = state - run.next_states[start + step]
        if frame is Frame.HEADING:  # seen from where the stretch begins
            error = heading_frame(state, run.states[start]) - heading_frame(run.next_states[start + step],
                                                                           run.states[start])
        total += float((error / outputs.std).square().mean()) / (step + 1)
    return total / steps


@pytest.mark.parametrize("frame", [Frame.HEADING, Frame.MAP])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_it_is_what_a_rollout_misses(frame: Frame, steps: int) -> None:
    [run] = recordings(1)[0]
    x, y, inputs, outputs = normalised(run, frame)
    weights = initial_weights([input_size(frame), 16, OUTPUT_SIZE], torch.Generator().manual_seed(1))
    error = RolloutError(steps, inputs, outputs, frame)(weights, x[None, 20:31], y[None, 20:31])
    expected = [by_hand(run, weights, start, steps, frame, inputs, outputs)
                for start in range(20, 31 - steps + 1, steps)]
    assert float(error) == pytest.approx(sum(expected) / len(expected), rel=1e-3)


def test_what_drives_as_predicted_has_none() -> None:
    """A recording made of the predictions of a network, so that the network is right."""
    x, _, inputs, outputs = normalised(recordings(1)[0][0], Frame.HEADING)
    weights = initial_weights([input_size(Frame.HEADING), 16, OUTPUT_SIZE], torch.Generator().manual_seed(2))
    state, actions, rows = recordings(1)[0][0].states[7], inputs.restore(x)[7:15, -2:], []
    for action in actions:
        seen = inputs.normalise(model_input(state, action))
        rows.append((seen, forward(weights, seen)))
        state = apply_change(state, outputs.restore(rows[-1][1]))
    seen, change = (torch.stack(side)[None] for side in zip(*rows, strict=True))
    assert float(RolloutError(8, inputs, outputs, Frame.HEADING)(weights, seen, change)) < 1e-8
    assert float(RolloutError(8, inputs, outputs, Frame.HEADING)(weights, seen, change + 0.1)) > 1e-3


@pytest.mark.parametrize("method", ["grbal", "rebal", "mb"])
def test_half_of_the_windows_are_judged_by_rollouts(method: str) -> None:
    trainer = Trainer(recordings(6), dataclasses.replace(TINY, method=method, rollout_steps=4), 0.1)
    x, y = trainer._data.training.gather(torch.arange(9), TINY.window)
    objective = trainer.objective
    rolled = RolloutError(4, trainer.inputs, trainer.outputs, Frame.HEADING)
    assert (objective.rolled(9), objective.rolled(1)) == (4, 0)
    past = 0 if method == "mb" else 6
    change = objective._change(x[5:, :past], y[5:, :past]) if past else None
    expected = 5 * objective._single(x[:5], y[:5]) + 4 * rolled(objective.weights, x[5:, past:], y[5:, past:], change)
    assert float(objective(x, y).detach()) == pytest.approx(float(expected.detach()) / 9, rel=1e-5)
    gradients = torch.autograd.grad(objective(x, y), list(objective.parameters()))
    assert all(bool(torch.isfinite(gradient).all()) and float(gradient.abs().max()) > 0.0 for gradient in gradients)


def test_first_order_leaves_the_second_derivative_out_of_rollouts_too() -> None:
    losses, gradients = [], []
    for first_order in (False, True):
        trainer = Trainer(recordings(6), dataclasses.replace(TINY, rollout_steps=4, first_order=first_order), 0.1)
        x, y = trainer._data.training.gather(torch.arange(4), TINY.window)
        loss = trainer.objective._rollouts(x, y)
        losses.append(float(loss.detach()))
        gradients.append(torch.autograd.grad(loss, list(trainer.objective.parameters()))[1])
    assert losses[0] == losses[1]
    assert float((gradients[0] - gradients[1]).norm()) > 1e-3 * float(gradients[0].norm())


def test_windows_that_are_rolled_out_do_not_drift() -> None:
    """Recorded states do not drift, so a rollout could not be right."""
    trainer = Trainer(recordings(6), dataclasses.replace(TINY, drift=1.0, rollout_steps=4), 0.1)
    seen: list[Tensor] = []
    trainer._loss = lambda x, y: seen.append(y) or trainer.objective(x, y)  # type: ignore[func-returns-value]
    torch.manual_seed(0)
    trainer.train_epoch()
    windows = trainer._data.training
    known = {tuple(row.tolist()) for row in windows.targets}
    whole = [[tuple(row.tolist()) in known for row in window] for window in seen[0]]
    assert [all(rows) for rows in whole] == [False] * 8 + [True] * 8


@pytest.mark.parametrize("method", ["grbal", "mb"])
def test_training_makes_rollouts_better(method: str) -> None:
    """On recordings that were held out, of robots that differ; what adapts has a window to tell them apart by."""
    trainer = Trainer(recordings(24), dataclasses.replace(
        TINY, method=method, rollout_steps=8, epochs=30, patience=100, inner_rate=0.2), 0.1)
    x, y = trainer._data.validation.gather(torch.arange(0, len(trainer._data.validation.starts), 4), TINY.window)
    with torch.no_grad():
        before = float(trainer.objective._rollouts(x, y))
        while not trainer.finished:
            with torch.enable_grad():
                trainer.train_epoch()
        after = float(trainer.objective._rollouts(x, y))
    assert after < 0.5 * before


def test_what_is_refused() -> None:
    for steps in (-1, 17):
        with pytest.raises(UserError, match="rollout-steps must be 0 to 16, the transitions judged on"):
            TrainingSettings(rollout_steps=steps)
