# SPDX-License-Identifier: Apache-2.0
"""Many candidates through the adapted network at once."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.network import Change, Layer, Weights, materialise
from l2a_ros.planning.torch_rollout import TorchRollout


class Backend(Protocol):
    """Computes rollouts."""

    def set_weights(self, weights: Weights) -> None:
        """Use these weights, normalisation folded in."""

    def rollout(self, state: np.ndarray, actions: np.ndarray, out: np.ndarray) -> None:
        """Predict trajectories ``(n, h, 24)`` from one state ``(24,)`` and actions ``(n, h, 2)``, all float32."""


class RolloutEngine:
    """Predicts with one checkpoint; the adapted weights are set once per tick.

    Normalisation is folded into the first and last layer, so that a step of the model is the network alone.

    Args:
        checkpoint: the trained model.
        backend: what computes; None for PyTorch in single precision.
        exact: computes in single precision where the other one does not.
    """

    def __init__(self, checkpoint: Checkpoint, backend: Backend | None = None, exact: Backend | None = None) -> None:
        self.checkpoint = checkpoint
        self._backend: Backend = TorchRollout(checkpoint.frame) if backend is None else backend
        self._buffers: dict[tuple[int, ...], np.ndarray] = {}
        # Put together in the same place every tick: memory of this size is else given back and fetched anew each time.
        self._weights = [Layer(torch.empty_like(layer.weight), torch.empty_like(layer.bias))
                         for layer in checkpoint.weights]
        self._exact = None if exact is None else RolloutEngine(checkpoint, exact)
        self.set_change(())

    @property
    def exact(self) -> RolloutEngine | None:
        """The same model in single precision; None if this one is."""
        return self._exact

    def fits(self, change: Change) -> bool:
        """Tell whether a change is one of this network's: as many layers, of the same sizes (empty: none)."""
        shapes = [tuple(part.weight.shape) if isinstance(part, Layer)
                  else (part.backward.shape[-1], part.forward.shape[-1]) for part in change]
        return not shapes or shapes == [tuple(layer.weight.shape) for layer in self.checkpoint.weights]

    @torch.no_grad()
    def set_change(self, change: Change) -> None:
        """Use the trained weights with this change (empty: none).

        Raises:
            ValueError: for a change that does not fit; nothing has changed then.
        """
        if not self.fits(change):
            raise ValueError("the change does not fit the network")
        checkpoint = self.checkpoint
        weights = materialise(checkpoint.weights, change or None, self._weights)
        first, last = weights[0], weights[-1]
        scaled = first.weight / checkpoint.inputs.std
        weights[0] = Layer(scaled, first.bias - scaled @ checkpoint.inputs.mean)
        if len(weights) == 1:
            last = weights[0]
        spread = checkpoint.outputs.std
        weights[-1] = Layer(last.weight * spread.unsqueeze(1), last.bias * spread + checkpoint.outputs.mean)
        self._backend.set_weights(weights)
        if self._exact is not None:
            self._exact._backend.set_weights(weights)

    def rollout(self, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Predict trajectories from one state.

        Args:
            state: ``(24,)``.
            actions: ``(n, h, 2)``, rad/s.

        Returns:
            States after each step, ``(n, h, 24)`` float32; written over by the next call for as many.
        """
        shape = (*actions.shape[:2], len(state))
        out = self._buffers.get(shape)
        if out is None:
            out = self._buffers[shape] = np.empty(shape, dtype=np.float32)
        self._backend.rollout(np.ascontiguousarray(state, dtype=np.float32),
                             np.ascontiguousarray(actions, dtype=np.float32), out)
        return out
