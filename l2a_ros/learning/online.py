# SPDX-License-Identifier: Apache-2.0
"""Adaptation while the robot walks: from the last M transitions to the model of this tick."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.adapted_model import AdaptationStatus, AdaptedModel
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.methods import find_method
from l2a_ros.learning.network import Factors, forward, inner_steps
from l2a_ros.robot.frames import model_input, state_change


@dataclass(frozen=True)
class Adaptation:
    """One adaptation with its figures.

    Args:
        model: what goes to the planner.
        loss_before: mean squared error of the trained weights on the window (normalised units), NaN without a window.
        loss_after: the same after the step, NaN without a step.
        step_norm: Euclidean norm of the change of all weights, 0 without a step.
    """

    model: AdaptedModel
    loss_before: float
    loss_after: float
    step_norm: float


def _norm(change: list[Factors]) -> float:
    # |b^T f|^2 = sum of (b b^T) * (f f^T): no weight-sized matrix is needed.
    total = 0.0
    for factors in change:
        outer = (factors.backward @ factors.backward.mT) * (factors.forward @ factors.forward.mT)
        total += float(outer.sum()) + float(factors.backward.sum(dim=0).square().sum())
    return math.sqrt(max(total, 0.0))


class OnlineAdapter:
    """Makes an adapted model for every tick; parameters start from the trained weights each time.

    Args:
        checkpoint: the trained model; its method decides what happens.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._adapts = find_method(checkpoint.card.method).adapts
        self._version = 0

    @property
    def window_length(self) -> int:
        """Transitions needed before it adapts (M)."""
        return self.checkpoint.card.past if self._adapts else 0

    def adapt(self, window: Transitions | None, stamp: int) -> Adaptation:
        """Adapt to a window for the tick with this stamp (ns); falls back to the trained weights with a status."""
        status = AdaptationStatus.NOT_ADAPTIVE
        change: list[Factors] = []
        before = after = float("nan")
        card = self.checkpoint.card
        if self._adapts:
            if window is None or len(window) < card.past:
                status = AdaptationStatus.SHORT_WINDOW
            else:
                status, change, before, after = self._step(window)
        self._version += 1
        model = AdaptedModel(stamp, self._version, self.checkpoint.id, card.method, status, change)
        return Adaptation(model, before, after, _norm(change))

    @torch.no_grad()
    def _step(self, window: Transitions) -> tuple[AdaptationStatus, list[Factors], float, float]:
        checkpoint, card = self.checkpoint, self.checkpoint.card
        recent = window.last(card.past)
        inputs = checkpoint.inputs.normalise(model_input(recent.states, recent.actions))
        targets = checkpoint.outputs.normalise(state_change(recent.states, recent.next_states))
        change, loss = inner_steps(checkpoint.weights, inputs, targets, card.inner_rate, card.inner_steps)
        before = float(loss)
        after = float((forward(checkpoint.weights, inputs, change) - targets).square().mean())
        finite = all(bool(torch.isfinite(f.backward).all() and torch.isfinite(f.forward).all()) for f in change)
        if not finite or not torch.isfinite(torch.tensor([before, after])).all():
            return AdaptationStatus.NOT_FINITE, [], before, after
        if after > before:
            return AdaptationStatus.LOSS_INCREASE, [], before, after
        return AdaptationStatus.ADAPTED, change, before, after
