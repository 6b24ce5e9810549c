# SPDX-License-Identifier: Apache-2.0
"""What reads the windows of ReBAL."""

from __future__ import annotations

import pytest
import torch
from learning_samples import random_encoder, random_weights

from l2a_ros.learning.network import forward
from l2a_ros.learning.recurrent import Encoder

INPUTS, TARGETS, MEMORY, FIRST = 4, 3, 5, 6


def encoder() -> Encoder:
    return random_encoder(INPUTS + TARGETS, MEMORY, FIRST, seed=1)


def some(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_made_from_its_tensors_it_is_the_same() -> None:
    one = encoder()
    other = Encoder.from_tensors({name: tensor.clone() for name, tensor in one.state_dict().items()})
    inputs, targets = some(7, INPUTS), some(7, TARGETS, seed=1)
    assert torch.equal(one(inputs, targets), other(inputs, targets))
    assert (other.gru.input_size, other.gru.hidden_size, other.shift.out_features) == (INPUTS + TARGETS, MEMORY, FIRST)


@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3)])
def test_windows_are_read_each_on_its_own(leading: tuple[int, ...]) -> None:
    inputs, targets = some(*leading, 7, INPUTS), some(*leading, 7, TARGETS, seed=1)
    together = encoder()(inputs, targets)
    assert together.shape == (*leading, FIRST)
    alone = torch.stack([encoder()(one, two) for one, two in zip(
        inputs.reshape(-1, 7, INPUTS), targets.reshape(-1, 7, TARGETS), strict=True)])
    torch.testing.assert_close(together.reshape(-1, FIRST), alone)


def test_change_is_a_shift_of_the_first_layer() -> None:
    weights = random_weights([INPUTS, FIRST, TARGETS], 2, torch.float32)
    inputs, targets, asked = some(2, 7, INPUTS), some(2, 7, TARGETS, seed=1), some(2, 9, INPUTS, seed=3)
    change = encoder().change(weights, inputs, targets)
    assert [tuple(part.forward.shape) for part in change] == [(2, 1, INPUTS), (2, 0, FIRST)]
    hidden = asked @ weights[0].weight.T + weights[0].bias + encoder()(inputs, targets).unsqueeze(1)
    expected = hidden.clamp_min(0.0) @ weights[1].weight.T + weights[1].bias
    torch.testing.assert_close(forward(weights, asked, change), expected)


def test_empty_memory_changes_nothing() -> None:
    assert not torch.any(encoder().shift(torch.zeros(MEMORY)))
