# SPDX-License-Identifier: Apache-2.0
"""How a window of transitions changes the model, one rule per method; all in normalised units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.methods import find_method
from l2a_ros.learning.network import (
    Change,
    Factors,
    Layer,
    Rates,
    Weights,
    factors_norm,
    forward,
    gradient_factors,
    inner_steps,
)
from l2a_ros.learning.window_step import WindowStep


@dataclass(frozen=True)
class AdaptationSettings:
    """What may be set of an adaptation, also while the robot walks.

    Args:
        past: M, transitions adapted on.
        rates: step size of each layer.
        steps: gradient steps per tick.
        limit: longest step, as the norm of the change; a longer one is shortened to it. 0 for none.
        is_enabled: false keeps the trained weights.
        shortest: transitions from which on it adapts while the window is still shorter than M; 0 waits for M.
    """

    past: int
    rates: tuple[float, ...]
    steps: int
    limit: float = 0.0
    is_enabled: bool = True
    shortest: int = 0

    @property
    def needed(self) -> int:
        """Transitions from which on it adapts."""
        return min(self.shortest or self.past, self.past)

    @staticmethod
    def of(checkpoint: Checkpoint, method: str | None = None) -> AdaptationSettings:
        """Return what a model was trained with, for a method that it can adapt by (the one it was trained by)."""
        card = checkpoint.card
        return AdaptationSettings(card.past, card.inner_rates, card.inner_steps, card.step_limit,
                                  shortest=find_method(method or card.method).shortest)


@dataclass(frozen=True)
class Step:
    """One adaptation.

    Args:
        change: of the trained weights.
        loss_before: mean squared error on the window of the weights that the step started from.
        loss_after: the same of the adapted model.
        norm: Euclidean norm of the change.
        is_limited: whether the step would have been longer than the limit.
    """

    change: Change
    loss_before: float
    loss_after: float
    norm: float
    is_limited: bool = False


class Rule(Protocol):
    """Changes a model by a window of inputs ``(M, in)`` and targets ``(M, out)``."""

    def __call__(self, inputs: Tensor, targets: Tensor) -> Step:
        """Adapt to a window."""

    def reset(self) -> None:
        """Forget every window before."""


def change_norm(change: Change) -> float:
    """Return the Euclidean norm of a change over all weights and biases."""
    total = 0.0
    for part in change:
        if isinstance(part, Layer):
            total += float(part.weight.square().sum()) + float(part.bias.square().sum())
        else:
            total += float(factors_norm([part])) ** 2
    return math.sqrt(total)


def _loss(weights: Weights, inputs: Tensor, targets: Tensor, change: Change | None = None) -> float:
    return float((forward(weights, inputs, change) - targets).square().mean())


class GradientSteps:
    """GrBAL: gradient steps on the window, from the trained weights every time."""

    def __init__(self, checkpoint: Checkpoint, settings: AdaptationSettings) -> None:
        rates: Rates = settings.rates
        if checkpoint.sensitivity:
            rates = [rate * units for rate, units in zip(settings.rates, checkpoint.sensitivity, strict=True)]
        self._weights, self._limit = checkpoint.weights, settings.limit or math.inf
        self._rates, self._settings = rates, settings
        self._step = WindowStep(checkpoint.weights, rates, settings.past, settings.steps)

    def reset(self) -> None:
        """Nothing is kept."""

    def __call__(self, inputs: Tensor, targets: Tensor) -> Step:
        """Adapt to a window."""
        change: Sequence[Factors]
        if len(inputs) == self._settings.past:
            change, before, after, norm = self._step(inputs, targets)
        else:
            # The window is still filling up.
            change, loss = inner_steps(self._weights, inputs, targets, self._rates, self._settings.steps)
            before, after, norm = float(loss), _loss(self._weights, inputs, targets, change), change_norm(change)
        if not norm > self._limit or not math.isfinite(norm):
            return Step(change, before, after, norm)
        # Where training has not been, gradients can be of any length. The direction is the window's, the length is one
        # that was seen to help.
        share = self._limit / norm
        shorter = [Factors(part.forward, part.backward * share) for part in change]
        return Step(shorter, before, _loss(self._weights, inputs, targets, shorter), self._limit, is_limited=True)


class CarriedSteps:
    """Dynamic evaluation: as :class:`GradientSteps`, but every tick goes on from the weights of the tick before."""

    def __init__(self, checkpoint: Checkpoint, settings: AdaptationSettings) -> None:
        self._trained, self._settings = checkpoint.weights, settings
        self.reset()

    def reset(self) -> None:
        """Go back to the trained weights."""
        self._weights = [Layer(layer.weight.clone(), layer.bias.clone()) for layer in self._trained]

    def __call__(self, inputs: Tensor, targets: Tensor) -> Step:
        """Adapt to a window."""
        before = math.nan
        for step in range(self._settings.steps):
            gradients, loss = gradient_factors(self._weights, inputs, targets)
            before = float(loss) if step == 0 else before
            for layer, rate, gradient in zip(self._weights, self._settings.rates, gradients, strict=True):
                layer.weight.addmm_(gradient.backward.mT, gradient.forward, alpha=-rate)
                layer.bias.sub_(gradient.backward.sum(dim=0), alpha=rate)
        # Many steps have no low rank.
        change = [Layer(now.weight - trained.weight, now.bias - trained.bias)
                  for now, trained in zip(self._weights, self._trained, strict=True)]
        return Step(change, before, _loss(self._weights, inputs, targets), change_norm(change))


class RecurrentMemory:
    """ReBAL: the encoder reads the window from an empty memory."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        if checkpoint.encoder is None:
            raise ValueError("the checkpoint has no encoder")
        self._weights, self._encoder = checkpoint.weights, checkpoint.encoder

    def reset(self) -> None:
        """Nothing is kept."""

    def __call__(self, inputs: Tensor, targets: Tensor) -> Step:
        """Adapt to a window."""
        change = self._encoder.change(self._weights, inputs, targets)
        return Step(change, _loss(self._weights, inputs, targets), _loss(self._weights, inputs, targets, change),
                    change_norm(change))


def make_rule(method: str, checkpoint: Checkpoint, settings: AdaptationSettings) -> Rule | None:
    """Return the rule of a method; None for one that never adapts."""
    if method == "grbal":
        return GradientSteps(checkpoint, settings)
    if method == "mb_de":
        return CarriedSteps(checkpoint, settings)
    return RecurrentMemory(checkpoint) if method == "rebal" else None


def is_finite(change: Change) -> bool:
    """Tell whether every number of a change is finite."""
    parts = [tensor for part in change for tensor in (
        (part.weight, part.bias) if isinstance(part, Layer) else (part.forward, part.backward))]
    return all(bool(torch.isfinite(tensor).all()) for tensor in parts)
