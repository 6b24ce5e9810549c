# SPDX-License-Identifier: Apache-2.0
"""What adaptation hands to the planner each tick, and its bytes on the wire (safetensors)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.learning.network import Factors, Layer, LayerChange

_KEY = "adapted_model"


class AdaptationStatus(StrEnum):
    """Why the model is what it is. Everything but ADAPTED means: the trained weights, unchanged."""

    ADAPTED = "adapted"
    NOT_ADAPTIVE = "not_adaptive"
    DISABLED = "disabled"
    SHORT_WINDOW = "short_window"
    NOT_FINITE = "not_finite"
    LOSS_INCREASE = "loss_increase"


@dataclass(frozen=True)
class AdaptedModel:
    """The change from the trained weights for one tick.

    Args:
        stamp: stamp of the state it was made for, ns.
        version: counts up with every model of one adaptation process.
        checkpoint_id: the trained weights it belongs to.
        method: name of the method.
        status: whether and why (not) adapted.
        change: per layer factors, forward ``(R, in)`` and backward ``(R, out)``, or, where the change has no low rank
            (``mb_de``), the difference itself; empty for no change.
    """

    stamp: int
    version: int
    checkpoint_id: str
    method: str
    status: AdaptationStatus
    change: Sequence[LayerChange] = ()

    @property
    def is_finite(self) -> bool:
        """Whether all numbers of the change are finite."""
        parts = [tensor for part in self.change for tensor in (
            (part.weight, part.bias) if isinstance(part, Layer) else (part.forward, part.backward))]
        return all(bool(torch.isfinite(tensor).all()) for tensor in parts)

    def to_bytes(self) -> bytes:
        """Return the wire form."""
        tensors: dict[str, Tensor] = {}
        for i, part in enumerate(self.change):
            named = ({"weight": part.weight, "bias": part.bias} if isinstance(part, Layer)
                     else {"forward": part.forward, "backward": part.backward})
            tensors |= {f"layer{i}.{name}": _whole(tensor) for name, tensor in named.items()}
        card = {"stamp": self.stamp, "version": self.version, "checkpoint_id": self.checkpoint_id,
                "method": self.method, "status": self.status.value}
        return bytes(save(tensors, metadata={_KEY: json.dumps(card)}))

    @staticmethod
    def from_bytes(data: bytes) -> AdaptedModel:
        """Read the wire form.

        Raises:
            UserError: if the bytes are no adapted model.
        """
        try:
            header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
            card = json.loads(header["__metadata__"][_KEY])
            change = _change(load(data))
            return AdaptedModel(stamp=int(card["stamp"]), version=int(card["version"]),
                                checkpoint_id=str(card["checkpoint_id"]), method=str(card["method"]),
                                status=AdaptationStatus(card["status"]), change=change)
        except (SafetensorError, LookupError, ValueError, TypeError, ArithmeticError, RuntimeError) as error:
            raise UserError(f"not an adapted model: {str(error).splitlines()[0] if str(error) else 'empty'}") from None


def _whole(tensor: Tensor) -> Tensor:
    """Return a tensor as one piece of memory of its own: safetensors refuses two that are parts of a third."""
    tensor = tensor.contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _change(tensors: dict[str, Tensor]) -> list[LayerChange]:
    """Return the change held by named tensors; raises KeyError or ValueError if they hold anything else."""
    change = [_layer_change(tensors, i) for i in range((len(tensors) + 1) // 2)]
    sizes = [_sizes(part) for part in change]
    if any(one[1] != following[0] for one, following in itertools.pairwise(sizes)):
        raise ValueError("the changes of neighbouring layers have different sizes")
    return change


def _layer_change(tensors: dict[str, Tensor], layer: int) -> LayerChange:
    if f"layer{layer}.weight" in tensors:
        weight, bias = _tensor(tensors, f"layer{layer}.weight", 2), _tensor(tensors, f"layer{layer}.bias", 1)
        if len(weight) != len(bias):
            raise ValueError("weight and bias of one layer have different sizes")
        return Layer(weight, bias)
    forward, backward = _tensor(tensors, f"layer{layer}.forward", 2), _tensor(tensors, f"layer{layer}.backward", 2)
    if len(forward) != len(backward):
        raise ValueError("two factors of one layer have different ranks")
    return Factors(forward, backward)


def _tensor(tensors: dict[str, Tensor], name: str, dimensions: int) -> Tensor:
    tensor = tensors[name]
    if tensor.dtype != torch.float32 or tensor.ndim != dimensions:
        raise ValueError(f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)}")
    return tensor


def _sizes(part: LayerChange) -> tuple[int, int]:
    """Return how many numbers enter and leave the layer."""
    if isinstance(part, Layer):
        return part.weight.shape[1], part.weight.shape[0]
    return part.forward.shape[1], part.backward.shape[1]
