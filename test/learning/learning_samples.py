# SPDX-License-Identifier: Apache-2.0
"""Small networks, checkpoints and windows for the tests of learning."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.checkpoint import Checkpoint, make_checkpoint
from l2a_ros.learning.checkpoint_file import ModelCard, layer_sizes
from l2a_ros.learning.network import Layer, Weights, initial_weights
from l2a_ros.learning.normalization import Normalization
from l2a_ros.learning.recurrent import Encoder
from l2a_ros.robot.frames import apply_change, model_input, state_change
from l2a_ros.robot.layout import OUTPUT_SIZE, STATE, Frame, input_size


def random_weights(sizes: list[int], seed: int, dtype: torch.dtype = torch.float64) -> Weights:
    """Draw a network whose biases are not zero either."""
    generator = torch.Generator().manual_seed(seed)
    return [Layer(layer.weight.to(dtype), (torch.randn(layer.bias.shape, generator=generator) * 0.3).to(dtype))
            for layer in initial_weights(sizes, generator)]


def random_encoder(read: int, size: int, first: int, seed: int) -> Encoder:
    """Draw what reads windows; the caller's random numbers stay what they are."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Encoder(read, size, first).requires_grad_(False)


def make_small_checkpoint(method: str = "grbal", seed: int = 0, hidden: tuple[int, ...] = (16, 12),
                          **card: Any) -> Checkpoint:
    """Make a checkpoint of the robot's sizes with a small random network; ``inner_rate`` is that of every layer."""
    data = random_window(200, seed + 1000)
    values: dict[str, Any] = {"past": 6, "future": 4, "inner_steps": 1, "control_period": 0.1,
                              "inner_rates": (card.pop("inner_rate", 0.02),) * (len(hidden) + 1),
                              "recurrent_size": 5 if method == "rebal" else 0}
    values |= card
    frame, memory = Frame(values.get("frame", Frame.HEADING)), values["recurrent_size"]
    encoder = random_encoder(input_size(frame) + OUTPUT_SIZE, memory, hidden[0], seed + 2000) if memory else None
    return make_checkpoint(
        ModelCard(method=method, hidden_sizes=hidden, sources=("random",), command="l2a meta-train",
                  training={"epoch": 3}, **values),
        random_weights(layer_sizes(hidden, frame), seed, torch.float32),
        Normalization.fit(model_input(data.states, data.actions, frame)),
        Normalization.fit(state_change(data.states, data.next_states, frame)), encoder)


def random_states(count: int, generator: torch.Generator) -> Tensor:
    """Draw states ``(count, 24)`` whose angle pairs lie on the circle."""
    return apply_change(torch.randn(count, STATE.size, generator=generator) * 0.5,
                        torch.randn(count, STATE.size, generator=generator))


def random_window(count: int, seed: int = 0) -> Transitions:
    """Draw transitions of small steps."""
    generator = torch.Generator().manual_seed(seed)
    states = random_states(count, generator)
    actions = torch.rand(count, 2, generator=generator) * 40.0 + 13.0
    changes = torch.randn(count, STATE.size, generator=generator) * 0.05
    return Transitions(states, actions, apply_change(states, changes))
