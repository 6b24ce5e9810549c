# SPDX-License-Identifier: Apache-2.0
"""Adaptation while the robot walks: from the last M transitions to the model of this tick."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.adapted_model import AdaptationStatus, AdaptedModel
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.methods import find_method
from l2a_ros.learning.network import Change
from l2a_ros.learning.rules import AdaptationSettings, is_finite, make_rule


@dataclass(frozen=True)
class Adaptation:
    """One adaptation with its figures.

    Args:
        model: what goes to the planner.
        loss_before: mean squared error on the window before this tick's step (normalised units), NaN without a window.
        loss_after: the same after the step, NaN without a step.
        step_norm: Euclidean norm of the change of all weights, 0 without a change.
        is_limited: whether the step was shortened to the longest one that training took for normal.
    """

    model: AdaptedModel
    loss_before: float
    loss_after: float
    step_norm: float
    is_limited: bool = False


class OnlineAdapter:
    """A trained model that adapts: makes the model of every tick, whatever the method.

    Args:
        checkpoint: the trained model.
        method: how to adapt; None for the method it was trained by.
        settings: of the adaptation; None for those it was trained with.

    Raises:
        UserError: for a method that this checkpoint was not trained for.
    """

    def __init__(self, checkpoint: Checkpoint, method: str | None = None,
                 settings: AdaptationSettings | None = None) -> None:
        self.checkpoint = checkpoint
        self.method = find_method(checkpoint.card.method if method is None else method)
        if self.method.trained_as != checkpoint.card.method:
            raise UserError(f"a checkpoint of method '{checkpoint.card.method}' cannot adapt as {self.method.name}")
        self._version = 0
        self.configure(settings or AdaptationSettings.of(checkpoint, self.method.name))

    def configure(self, settings: AdaptationSettings) -> None:
        """Adapt with other settings from the next tick on; forgets what was carried from tick to tick.

        Raises:
            UserError: for settings that do not fit the model.
        """
        self.check(settings)
        self.settings = settings
        self._rule = make_rule(self.method.name, self.checkpoint, settings)

    def check(self, settings: AdaptationSettings) -> None:
        """Refuse what :meth:`configure` refuses.

        Raises:
            UserError: for settings that do not fit the model.
        """
        layers = len(self.checkpoint.weights)
        if settings.past < 1 or settings.steps < 1:
            raise UserError("past and inner steps must be at least 1")
        if settings.shortest < 0:
            raise UserError("the shortest window cannot be less than 0 transitions")
        if len(settings.rates) != layers or not all(math.isfinite(rate) and rate >= 0.0 for rate in settings.rates):
            raise UserError(f"there must be {layers} inner rates, one per layer, each a finite number of at least 0")

    @property
    def window_length(self) -> int:
        """Transitions that it adapts on (M); how many it takes to begin is ``settings.needed``."""
        return self.settings.past if self._rule is not None else 0

    def reset(self) -> None:
        """Forget everything: a new episode begins."""
        if self._rule is not None:
            self._rule.reset()

    def predict(self, states: Tensor, actions: Tensor, change: Change = ()) -> Tensor:
        """Predict next states ``(..., 24)`` from states ``(..., 24)`` and actions ``(..., 2)`` rad/s."""
        return self.checkpoint.predict(states, actions, change)

    def adapt(self, window: Transitions | None, stamp: int) -> Adaptation:
        """Adapt to a window for the tick with this stamp (ns); falls back to the trained weights with a status."""
        status = AdaptationStatus.NOT_ADAPTIVE if self._rule is None else AdaptationStatus.DISABLED
        change: Change = ()
        before = after = math.nan
        norm, is_limited = 0.0, False
        if self._rule is not None and self.settings.is_enabled:
            status = AdaptationStatus.SHORT_WINDOW
            if window is not None and len(window) >= self.settings.needed:
                with torch.no_grad():
                    step = self._rule(*self.checkpoint.normalise(window.last(self.settings.past)))
                before, after = step.loss_before, step.loss_after
                status = AdaptationStatus.ADAPTED
                if not (math.isfinite(before) and math.isfinite(after) and math.isfinite(step.norm)
                        and is_finite(step.change)):
                    status = AdaptationStatus.NOT_FINITE
                elif after > before:
                    status = AdaptationStatus.LOSS_INCREASE
                else:
                    change, norm, is_limited = tuple(step.change), step.norm, step.is_limited
        if status is not AdaptationStatus.ADAPTED:
            self.reset()
        self._version += 1
        model = AdaptedModel(stamp, self._version, self.checkpoint.id, self.method.name, status, change)
        return Adaptation(model, before, after, norm, is_limited)
