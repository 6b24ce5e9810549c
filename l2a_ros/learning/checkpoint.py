# SPDX-License-Identifier: Apache-2.0
"""Trained models: loaded into torch, and written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.checkpoint_file import ModelCard, metadata_of, read_checkpoint_file
from l2a_ros.learning.network import Change, Layer, Weights, forward
from l2a_ros.learning.normalization import Normalization
from l2a_ros.learning.recurrent import Encoder
from l2a_ros.robot.frames import apply_change, model_input, state_change
from l2a_ros.robot.layout import Frame

_ENCODER = "encoder."


@dataclass(frozen=True)
class Checkpoint:
    """A trained model.

    Args:
        card: what it is.
        weights: the network, weights ``(out, in)`` per layer.
        inputs: normalisation of the network's input.
        outputs: normalisation of the predicted change.
        id: fingerprint of all tensors; adapted models name the checkpoint they belong to by it.
        encoder: what reads the windows of ``rebal``; None for the other methods.
        sensitivity: how far each unit steps, times the step size of its layer, ``(out,)`` per layer; empty where all
            units of a layer step alike.
    """

    card: ModelCard
    weights: Weights
    inputs: Normalization
    outputs: Normalization
    id: str
    encoder: Encoder | None = None
    sensitivity: tuple[Tensor, ...] = ()

    @property
    def frame(self) -> Frame:
        """Where the network sees the state."""
        return Frame(self.card.frame)

    def normalise(self, window: Transitions) -> tuple[Tensor, Tensor]:
        """Return the network's inputs ``(n, in)`` and targets ``(n, out)`` of transitions, normalised."""
        return (self.inputs.normalise(model_input(window.states, window.actions, self.frame)),
                self.outputs.normalise(state_change(window.states, window.next_states, self.frame)))

    def predict(self, states: Tensor, actions: Tensor, change: Change = ()) -> Tensor:
        """Predict next states ``(..., 24)`` from states ``(..., 24)`` and actions ``(..., 2)`` rad/s.

        This is the plain form; :class:`~l2a_ros.planning.rollout.RolloutEngine` is the fast one.
        """
        inputs = self.inputs.normalise(model_input(states, actions, self.frame))
        return apply_change(states, self.outputs.restore(forward(self.weights, inputs, change or None)), self.frame)


def _tensors(weights: Weights, inputs: Normalization, outputs: Normalization,
             encoder: Encoder | None, sensitivity: Sequence[Tensor]) -> dict[str, Tensor]:
    tensors = {"input.mean": inputs.mean, "input.std": inputs.std,
               "output.mean": outputs.mean, "output.std": outputs.std}
    for i, layer in enumerate(weights):
        tensors[f"layer{i}.weight"] = layer.weight
        tensors[f"layer{i}.bias"] = layer.bias
    tensors |= {f"layer{i}.sensitivity": units for i, units in enumerate(sensitivity)}
    if encoder is not None:
        tensors |= {_ENCODER + name: tensor for name, tensor in encoder.state_dict().items()}
    return {name: tensor.detach().to(torch.float32).contiguous() for name, tensor in tensors.items()}


def _fingerprint(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()[:12]


def make_checkpoint(card: ModelCard, weights: Weights, inputs: Normalization, outputs: Normalization,
                    encoder: Encoder | None = None, sensitivity: Sequence[Tensor] = ()) -> Checkpoint:
    """Bundle a model and compute its id."""
    return _bundle(replace(card, has_sensitivity=bool(sensitivity)),
                   _tensors(weights, inputs, outputs, encoder, sensitivity))


def _bundle(card: ModelCard, tensors: dict[str, Tensor]) -> Checkpoint:
    layers = [Layer(tensors[f"layer{i}.weight"], tensors[f"layer{i}.bias"]) for i in range(len(card.hidden_sizes) + 1)]
    parts = {name.removeprefix(_ENCODER): tensor for name, tensor in tensors.items() if name.startswith(_ENCODER)}
    encoder = Encoder.from_tensors(parts).requires_grad_(False) if parts else None
    sensitivity = tuple(tensors[f"layer{i}.sensitivity"] for i in range(len(layers) if card.has_sensitivity else 0))
    return Checkpoint(card, layers, Normalization(tensors["input.mean"], tensors["input.std"]),
                      Normalization(tensors["output.mean"], tensors["output.std"]), _fingerprint(tensors), encoder,
                      sensitivity)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; the file appears whole or not at all."""
    tensors = _tensors(checkpoint.weights, checkpoint.inputs, checkpoint.outputs, checkpoint.encoder,
                       checkpoint.sensitivity)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(save(tensors, metadata=metadata_of(checkpoint.card)))
    unfinished.replace(path)


def load_checkpoint(path: Path | str, method: str | None = None) -> Checkpoint:
    """Read a checkpoint; refuses what :func:`read_checkpoint_file` refuses.

    Raises:
        UserError: if it is missing, damaged, not finite, or does not fit the robot or the method.
    """
    card, arrays = read_checkpoint_file(path, method)
    return _bundle(card, {name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
