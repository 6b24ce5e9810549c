# SPDX-License-Identifier: Apache-2.0
"""ReBAL's memory: a gated recurrent unit reads the last M transitions, and its state is part of the dynamics model.

The state enters the network beside its input, so that for the rest of the network a window is nothing but a shift of
the first layer's bias. With an empty memory the shift is zero: that is the unadapted model. Source: paper, section 4
(the recurrent weights are ReBAL's update rule, the hidden state belongs to the adapted parameters); the kind of cell
and its size are not published.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from l2a_ros.learning.network import Factors, Weights


class Encoder(torch.nn.Module):
    """Reads windows.

    Args:
        read: numbers per transition: network inputs and outputs together.
        size: units of memory.
        first: units of the network's first layer.
    """

    def __init__(self, read: int, size: int, first: int) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(read, size, batch_first=True)
        self.shift = torch.nn.Linear(size, first, bias=False)

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> Encoder:
        """Make an encoder from its state; its sizes are those of the tensors."""
        first, size = tensors["shift.weight"].shape
        encoder = Encoder(tensors["gru.weight_ih_l0"].shape[1], size, first)
        encoder.load_state_dict(dict(tensors))
        return encoder

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Read windows of normalised inputs ``(..., M, in)`` and targets ``(..., M, out)``; return ``(..., first)``."""
        read = torch.cat([inputs, targets], dim=-1)
        _, memory = self.gru(read.reshape(-1, *read.shape[-2:]))
        shift: Tensor = self.shift(memory[0])
        return shift.reshape(*read.shape[:-2], -1)

    def change(self, weights: Weights, inputs: Tensor, targets: Tensor) -> list[Factors]:
        """Return what the windows make of the weights: rank 1 in the first layer (bias alone), 0 in the others."""
        shift = self(inputs, targets).unsqueeze(-2)
        leading = shift.shape[:-2]
        first = weights[0].weight
        return [Factors(shift.new_zeros(*leading, 1, first.shape[1]), shift), *(
            Factors(shift.new_zeros(*leading, 0, layer.weight.shape[1]), shift.new_zeros(*leading, 0, len(layer.bias)))
            for layer in weights[1:])]
