# SPDX-License-Identifier: Apache-2.0
"""How a dynamics model is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from l2a_ros.errors import UserError
from l2a_ros.learning.methods import find_method, trained_methods
from l2a_ros.robot.layout import Frame


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of one training run.

    Args:
        method: ``grbal``, ``rebal`` or ``mb``.
        hidden_sizes: units per hidden layer (the robot of the paper: three of 500).
        past: M, transitions adapted on.
        future: K, transitions judged on.
        inner_rate: step size on normalised data, where it starts if it is learned; of ``mb``: for dynamic evaluation.
        learn_rates: learn the step sizes (the paper's update of psi) instead of keeping ``inner_rate``.
        rate_per: learn one per ``layer`` or one per ``unit``.
        rate_learning_rate: of the logarithm of the step sizes.
        inner_steps: gradient steps per adaptation.
        first_order: leave out the second derivative of the inner steps.
        drift: largest standard deviation of what is added to the targets of a window, past and future alike, in
            normalised units (:mod:`l2a_ros.training.drift`); 0 for nothing.
        partial_windows: share of the batches that are adapted on fewer than M transitions, as at the beginning of a
            trial: on none to M - 1, evenly, and on none at all where there are fewer than it takes to begin.
        rollout_steps: half of the windows of a batch are judged by rollouts of so many steps, predictions fed back,
            instead of by single steps (:mod:`l2a_ros.training.rollout_error`); they have no drifts, since recorded
            states do not drift. 0 for single steps alone.
        recurrent_size: units of the memory of ``rebal``.
        frame: where the network sees the state.
        meta_batch: windows per outer step of ``grbal`` and ``rebal``; ``mb`` takes as many transitions as they hold.
        learning_rate: of Adam at the start; it falls to a twentieth along a cosine.
        gradient_clip: longest gradient of an outer step; a longer one is shortened.
        weight_decay: decoupled, per unit of learning rate.
        epochs: passes over the data.
        held_out: share of the recordings kept for validation.
        patience: epochs without a better validation loss before training stops.
        precision: of the large matrix products, ``float32`` or ``bfloat16``.
        seed: of weights, split and windows.
    """

    method: str = "grbal"
    hidden_sizes: tuple[int, ...] = (500, 500, 500)
    past: int = 16
    future: int = 16
    inner_rate: float = 0.05
    learn_rates: bool = True
    rate_per: str = "unit"
    rate_learning_rate: float = 0.02
    inner_steps: int = 1
    first_order: bool = False
    drift: float = 0.0
    partial_windows: float = 0.0
    rollout_steps: int = 0
    recurrent_size: int = 64
    frame: str = Frame.HEADING
    meta_batch: int = 32
    learning_rate: float = 1e-3
    gradient_clip: float = 10.0
    weight_decay: float = 0.0
    epochs: int = 50
    held_out: float = 0.1
    patience: int = 10
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if self.method not in trained_methods():
            raise UserError(f"method must be one of {', '.join(trained_methods())}, not '{self.method}'; "
                            "mb_de adapts a model that is trained as mb")
        for name in ("past", "future", "inner_steps", "recurrent_size", "meta_batch", "epochs", "patience"):
            if getattr(self, name) < 1:
                raise UserError(f"{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}")
        if not all(size >= 1 for size in self.hidden_sizes):
            raise UserError(f"hidden layers must have at least one unit each, not {self.hidden_sizes}")
        for name in ("inner_rate", "learning_rate", "rate_learning_rate", "weight_decay", "held_out", "drift"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise UserError(f"{name.replace('_', '-')} must be a finite number of at least 0, not {value}")
        if self.learns_rates and self.inner_rate == 0.0:
            raise UserError("an inner-rate that is learned must start above 0; or keep it fixed")
        if self.drift > 0.0 and self.method == "mb":
            raise UserError("mb does not adapt: to it a drift would be noise; leave --drift out")
        if not 0.0 <= self.partial_windows <= 1.0:
            raise UserError(f"partial-windows must be a share between 0 and 1, not {self.partial_windows}")
        if self.partial_windows > 0.0 and find_method(self.method).shortest == 0:
            raise UserError(f"{self.method} never adapts on a window that is not full; leave --partial-windows out")
        if not 0 <= self.rollout_steps <= self.future:
            raise UserError(f"rollout-steps must be 0 to {self.future}, the transitions judged on (--future), "
                            f"not {self.rollout_steps}")
        if self.rate_per not in ("layer", "unit"):
            raise UserError(f"rate-per must be layer or unit, not '{self.rate_per}'")
        if self.precision not in ("float32", "bfloat16"):
            raise UserError(f"precision must be float32 or bfloat16, not '{self.precision}'")
        if self.frame not in set(Frame):
            raise UserError(f"frame must be one of {', '.join(Frame)}, not '{self.frame}'")

    @property
    def learns_rates(self) -> bool:
        """Whether there are step sizes to learn."""
        return self.learn_rates and self.method == "grbal"

    @property
    def window(self) -> int:
        """Transitions in a row that training needs: M + K."""
        return self.past + self.future
