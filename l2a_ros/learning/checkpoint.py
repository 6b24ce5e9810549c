# SPDX-License-Identifier: Apache-2.0
"""Trained models: loaded into torch, and written."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from l2a_ros.learning.checkpoint_file import ModelCard, metadata_of, read_checkpoint_file
from l2a_ros.learning.network import Layer, Weights
from l2a_ros.learning.normalization import Normalization


@dataclass(frozen=True)
class Checkpoint:
    """A trained model.

    Args:
        card: what it is.
        weights: the network, weights ``(out, in)`` per layer.
        inputs: normalisation of the network's input.
        outputs: normalisation of the predicted change.
        id: fingerprint of all tensors; adapted models name the checkpoint they belong to by it.
    """

    card: ModelCard
    weights: Weights
    inputs: Normalization
    outputs: Normalization
    id: str


def _tensors(weights: Weights, inputs: Normalization, outputs: Normalization) -> dict[str, Tensor]:
    tensors = {"input.mean": inputs.mean, "input.std": inputs.std,
               "output.mean": outputs.mean, "output.std": outputs.std}
    for i, layer in enumerate(weights):
        tensors[f"layer{i}.weight"] = layer.weight
        tensors[f"layer{i}.bias"] = layer.bias
    return {name: tensor.detach().to(torch.float32).contiguous() for name, tensor in tensors.items()}


def _fingerprint(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()[:12]


def make_checkpoint(card: ModelCard, weights: Weights, inputs: Normalization, outputs: Normalization) -> Checkpoint:
    """Bundle a model and compute its id."""
    tensors = _tensors(weights, inputs, outputs)
    layers = [Layer(tensors[f"layer{i}.weight"], tensors[f"layer{i}.bias"]) for i in range(len(weights))]
    return Checkpoint(card, layers, Normalization(tensors["input.mean"], tensors["input.std"]),
                      Normalization(tensors["output.mean"], tensors["output.std"]), _fingerprint(tensors))


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; the file appears whole or not at all."""
    tensors = _tensors(checkpoint.weights, checkpoint.inputs, checkpoint.outputs)
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
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    layers = [Layer(tensors[f"layer{i}.weight"], tensors[f"layer{i}.bias"])
              for i in range(len(card.hidden_sizes) + 1)]
    return make_checkpoint(card, layers, Normalization(tensors["input.mean"], tensors["input.std"]),
                           Normalization(tensors["output.mean"], tensors["output.std"]))
