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
from l2a_ros.learning.network import Factors

_KEY = "adapted_model"


class AdaptationStatus(StrEnum):
    """Why the model is what it is. Everything but ADAPTED means: the trained weights, unchanged."""

    ADAPTED = "adapted"
    NOT_ADAPTIVE = "not_adaptive"
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
        change: factors per layer, forward ``(R, in)`` and backward ``(R, out)``; empty for no change.
    """

    stamp: int
    version: int
    checkpoint_id: str
    method: str
    status: AdaptationStatus
    change: Sequence[Factors] = ()

    def to_bytes(self) -> bytes:
        """Return the wire form."""
        tensors: dict[str, Tensor] = {}
        for i, factors in enumerate(self.change):
            tensors[f"layer{i}.forward"] = factors.forward.contiguous()
            tensors[f"layer{i}.backward"] = factors.backward.contiguous()
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
            change = _factors(load(data))
            return AdaptedModel(stamp=int(card["stamp"]), version=int(card["version"]),
                                checkpoint_id=str(card["checkpoint_id"]), method=str(card["method"]),
                                status=AdaptationStatus(card["status"]), change=change)
        except (SafetensorError, LookupError, ValueError, TypeError, ArithmeticError, RuntimeError) as error:
            raise UserError(f"not an adapted model: {str(error).splitlines()[0] if str(error) else 'empty'}") from None


def _factors(tensors: dict[str, Tensor]) -> list[Factors]:
    """Return the factors held by named tensors; raises KeyError or ValueError if they hold anything else."""
    layers = (len(tensors) + 1) // 2
    change = [Factors(tensors[f"layer{i}.forward"], tensors[f"layer{i}.backward"]) for i in range(layers)]
    for tensor in tensors.values():
        if tensor.dtype != torch.float32 or tensor.ndim != 2:
            raise ValueError(f"a factor is {tensor.dtype} of shape {tuple(tensor.shape)}")
    if any(len(factors.forward) != len(factors.backward) for factors in change):
        raise ValueError("two factors of one layer have different ranks")
    if any(one.backward.shape[1] != following.forward.shape[1] for one, following in itertools.pairwise(change)):
        raise ValueError("the factors of neighbouring layers have different sizes")
    return change
