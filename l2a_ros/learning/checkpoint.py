# SPDX-License-Identifier: Apache-2.0
"""Trained models on disk: tensors in safetensors, everything else as JSON in the same file's metadata."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.learning.methods import find_method, method_names
from l2a_ros.learning.network import Layer, Weights
from l2a_ros.learning.normalization import Normalization
from l2a_ros.robot.frames import INPUT_SIZE, OUTPUT_SIZE
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.robot.share import share_file

FORMAT = 1
_KEY = "l2a_ros"


@dataclass(frozen=True)
class ModelCard:
    """What a checkpoint is and how it was made.

    Args:
        method: name of the learning method.
        state_names: the state layout it was trained on.
        action_names: the action layout.
        hidden_sizes: units per hidden layer.
        past: M, transitions adapted on.
        future: K, transitions the adapted model was judged on in training.
        inner_rate: step size on normalised data.
        inner_steps: gradient steps per adaptation.
        control_period: time between states, s.
        sources: what the data came from.
        training: figures of the training run.
        command: the command that made it.
        format: version of this file format.
    """

    method: str
    hidden_sizes: tuple[int, ...]
    past: int
    future: int
    inner_rate: float
    inner_steps: int
    control_period: float
    sources: tuple[str, ...] = ()
    training: dict[str, float] = field(default_factory=dict)
    command: str = ""
    state_names: tuple[str, ...] = STATE.names
    action_names: tuple[str, ...] = ACTION.names
    format: int = FORMAT


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
    unfinished.write_bytes(save(tensors, metadata={_KEY: json.dumps(asdict(checkpoint.card), sort_keys=True)}))
    unfinished.replace(path)


def shipped_checkpoint(method: str) -> Path:
    """Return the path of the checkpoint that comes with the package for a method."""
    return share_file("checkpoints", f"millirobot_{find_method(method).name}.safetensors")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _check_values(path: Path, card: ModelCard) -> None:
    """Refuse a card with values that nobody could compute with; dataclasses do not look at types."""
    good = {"method": isinstance(card.method, str) and card.method in method_names(),
            "hidden_sizes": all(_is_count(size) for size in card.hidden_sizes),
            "past": _is_count(card.past), "future": _is_count(card.future), "inner_steps": _is_count(card.inner_steps),
            "inner_rate": _is_number(card.inner_rate) and card.inner_rate >= 0.0,
            "control_period": _is_number(card.control_period) and card.control_period > 0.0,
            "state_names": all(isinstance(name, str) for name in card.state_names),
            "action_names": all(isinstance(name, str) for name in card.action_names)}
    for name, is_good in good.items():
        if not is_good:
            raise UserError(f"checkpoint {path} cannot be used: its {name} is {getattr(card, name)!r}; train it again")


def _card(path: Path, metadata: dict[str, str] | None) -> ModelCard:
    try:
        data = json.loads((metadata or {})[_KEY])
        for key in ("hidden_sizes", "sources", "state_names", "action_names"):
            data[key] = tuple(data[key])
        card = ModelCard(**data)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise UserError(f"{path} is a safetensors file but not a checkpoint of l2a_ros; "
                        "make one with 'l2a meta-train'") from None
    if card.format != FORMAT:
        raise UserError(f"checkpoint {path} has format {card.format}, this version reads {FORMAT}; train it again")
    _check_values(path, card)
    STATE.check_names(card.state_names, f"checkpoint {path}")
    ACTION.check_names(card.action_names, f"checkpoint {path}")
    return card


def _check_shapes(path: Path, card: ModelCard, shapes: dict[str, tuple[int, ...]]) -> None:
    sizes = [INPUT_SIZE, *card.hidden_sizes, OUTPUT_SIZE]
    expected: dict[str, tuple[int, ...]] = {"input.mean": (INPUT_SIZE,), "input.std": (INPUT_SIZE,),
                                            "output.mean": (OUTPUT_SIZE,), "output.std": (OUTPUT_SIZE,)}
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        expected[f"layer{i}.weight"], expected[f"layer{i}.bias"] = (fan_out, fan_in), (fan_out,)
    for name in sorted(expected.keys() | shapes.keys()):
        if expected.get(name) != shapes.get(name):
            raise UserError(f"checkpoint {path} does not fit the robot: tensor {name} is {shapes.get(name)}, "
                            f"expected {expected.get(name)}")


def _check_method(path: Path, card: ModelCard, method: str | None) -> None:
    if method is not None and card.method != find_method(method).name:
        raise UserError(f"checkpoint {path} was trained for method '{card.method}', not '{method}'; "
                        f"use --method {card.method} or another checkpoint")


def load_checkpoint(path: Path | str, method: str | None = None) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: the file.
        method: refuse a checkpoint of another method, if given.

    Raises:
        UserError: if it is missing, damaged, not finite, or does not fit the robot or the method.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist; train one with 'l2a meta-train' or name a shipped one")
    try:
        with safe_open(str(path), framework="pt") as file:
            card = _card(path, file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise UserError(f"checkpoint {path} is damaged or truncated ({str(error).splitlines()[0]}); "
                        "copy or train it again") from None
    _check_method(path, card, method)
    _check_shapes(path, card, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            raise UserError(f"checkpoint {path} holds {name} as {tensor.dtype}, expected torch.float32; train it again")
        if not bool(torch.isfinite(tensor).all()):
            raise UserError(f"checkpoint {path} holds numbers that are not finite in {name}; train it again")
        if name.endswith(".std") and not bool((tensor > 0.0).all()):
            raise UserError(f"checkpoint {path} holds a spread in {name} that is not above zero; train it again")
    layers = [Layer(tensors[f"layer{i}.weight"], tensors[f"layer{i}.bias"])
              for i in range(len(card.hidden_sizes) + 1)]
    return make_checkpoint(card, layers, Normalization(tensors["input.mean"], tensors["input.std"]),
                           Normalization(tensors["output.mean"], tensors["output.std"]))


def check_checkpoint(path: Path | str, method: str | None = None) -> ModelCard:
    """Check a checkpoint as :func:`load_checkpoint` does and return its card."""
    return load_checkpoint(path, method).card


def layer_sizes(hidden_sizes: Sequence[int]) -> list[int]:
    """Return all layer sizes of the robot's dynamics network, input to output."""
    return [INPUT_SIZE, *hidden_sizes, OUTPUT_SIZE]
