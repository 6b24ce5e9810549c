# SPDX-License-Identifier: Apache-2.0
"""The rollout in PyTorch: the reference, the way where nothing was compiled, and the one for a graphics processor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from l2a_ros.learning.network import Layer, Weights
from l2a_ros.learning.products import affine
from l2a_ros.learning.threads import torch_threads
from l2a_ros.robot.frames import apply_change, model_input
from l2a_ros.robot.layout import Frame


class TorchRollout:
    """Rolls candidates out step by step.

    Args:
        frame: where the network sees the state.
        device: where it computes.
        dtype: of the hidden layers. The first layer is in single precision always: states are not normalised, and what
            matters of a voltage or a height would be rounded away.
        threads: of the processor; None for those that PyTorch has.
    """

    def __init__(self, frame: Frame, device: str = "cpu", dtype: torch.dtype = torch.float32,
                 threads: int | None = None) -> None:
        self._frame, self._device, self._dtype, self._threads = frame, torch.device(device), dtype, threads
        self._weights: Weights = []

    def set_weights(self, weights: Weights) -> None:
        """Use these weights, normalisation folded in."""
        self._weights = [Layer(layer.weight.to(self._device, torch.float32 if i == 0 else self._dtype),
                               layer.bias.to(self._device, torch.float32 if i == 0 else self._dtype))
                         for i, layer in enumerate(weights)]

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Predict next states ``(n, 24)`` from states ``(n, 24)`` and actions ``(n, 2)`` rad/s."""
        hidden = model_input(states, actions, self._frame)
        for i, layer in enumerate(self._weights):
            hidden = affine(hidden.to(layer.weight.dtype), layer.weight, layer.bias, relu=i < len(self._weights) - 1)
        return apply_change(states, hidden.float(), self._frame)

    def rollout(self, state: np.ndarray, actions: np.ndarray, out: np.ndarray) -> None:
        """Predict trajectories from one state.

        Args:
            state: ``(24,)`` float32.
            actions: ``(n, h, 2)`` float32, rad/s.
            out: states after each step, ``(n, h, 24)`` float32.
        """
        # What else PyTorch does in this process is too little for more than the threads that it was given.
        with torch_threads(self._threads or torch.get_num_threads()):
            self._rollout(state, actions, out)

    @torch.inference_mode()
    def _rollout(self, state: np.ndarray, actions: np.ndarray, out: np.ndarray) -> None:
        count, horizon = actions.shape[:2]
        states = torch.from_numpy(state).to(self._device).expand(count, -1)
        given = torch.from_numpy(actions).to(self._device)
        trajectory = torch.empty(count, horizon, len(state), device=self._device)
        for step in range(horizon):
            states = self.step(states, given[:, step])
            trajectory[:, step] = states
        torch.from_numpy(out).copy_(trajectory)
