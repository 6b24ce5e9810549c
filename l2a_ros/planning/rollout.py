# SPDX-License-Identifier: Apache-2.0
"""Many candidates through the adapted network at once."""

from __future__ import annotations

import torch
from torch import Tensor

from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.network import Change, Layer, Weights, materialise
from l2a_ros.robot.frames import apply_change, model_input


class RolloutEngine:
    """Predicts with one checkpoint; the adapted weights are set once per tick.

    Normalisation is folded into the first and last layer, so that a step of the model is the network alone.

    Args:
        checkpoint: the trained model.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._frame = checkpoint.frame
        self._folded: Weights = []
        self.set_change(())

    def fits(self, change: Change) -> bool:
        """Tell whether a change is one of this network's: as many layers, of the same sizes (empty: none)."""
        shapes = [tuple(part.weight.shape) if isinstance(part, Layer)
                  else (part.backward.shape[-1], part.forward.shape[-1]) for part in change]
        return not shapes or shapes == [tuple(layer.weight.shape) for layer in self.checkpoint.weights]

    @torch.no_grad()
    def set_change(self, change: Change) -> None:
        """Use the trained weights with this change (empty: none)."""
        checkpoint = self.checkpoint
        weights = materialise(checkpoint.weights, change or None)
        first, last = weights[0], weights[-1]
        scaled = first.weight / checkpoint.inputs.std
        weights[0] = Layer(scaled, first.bias - scaled @ checkpoint.inputs.mean)
        if len(weights) == 1:
            last = weights[0]
        spread = checkpoint.outputs.std
        weights[-1] = Layer(last.weight * spread.unsqueeze(1), last.bias * spread + checkpoint.outputs.mean)
        self._folded = weights

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Predict next states ``(n, 24)`` from states ``(n, 24)`` and actions ``(n, 2)`` rad/s."""
        hidden = model_input(states, actions, self._frame)
        for layer in self._folded[:-1]:
            hidden = torch.nn.functional.linear(hidden, layer.weight, layer.bias).relu_()
        last = self._folded[-1]
        return apply_change(states, torch.nn.functional.linear(hidden, last.weight, last.bias), self._frame)

    @torch.inference_mode()
    def rollout(self, state: Tensor, actions: Tensor) -> Tensor:
        """Predict trajectories from one state.

        Args:
            state: ``(24,)``.
            actions: ``(n, h, 2)``, rad/s.

        Returns:
            States after each step, ``(n, h, 24)``.
        """
        count, horizon, _ = actions.shape
        states = state.expand(count, -1)
        trajectory = torch.empty(count, horizon, state.shape[0])
        for step in range(horizon):
            states = self.step(states, actions[:, step])
            trajectory[:, step] = states
        return trajectory
