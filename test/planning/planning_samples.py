# SPDX-License-Identifier: Apache-2.0
"""Small models for the tests of planning."""

from __future__ import annotations

import numpy as np
import torch

from l2a_ros.learning.adapted_model import AdaptationStatus, AdaptedModel
from l2a_ros.learning.checkpoint import Checkpoint, make_checkpoint
from l2a_ros.learning.checkpoint_file import ModelCard, layer_sizes
from l2a_ros.learning.network import Change, Factors, Layer, initial_weights
from l2a_ros.learning.normalization import Normalization
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.robot.layout import ACTION, INPUT_SIZE, INPUT_STATE_NAMES, OUTPUT_SIZE, STATE, Frame, input_size

INPUT_NAMES = (*INPUT_STATE_NAMES, *ACTION.names)


def card(hidden: tuple[int, ...], frame: Frame = Frame.HEADING) -> ModelCard:
    return ModelCard(method="grbal", hidden_sizes=hidden, past=4, future=4, inner_rates=(0.1,) * (len(hidden) + 1),
                     inner_steps=1, control_period=0.1, frame=frame)


def random_checkpoint(seed: int = 0, hidden: tuple[int, ...] = (20, 10), frame: Frame = Frame.HEADING) -> Checkpoint:
    """A random network with a normalisation that is not trivial; small changes, so that rollouts stay sane."""
    generator = torch.Generator().manual_seed(seed)
    weights = [Layer(layer.weight, torch.randn(layer.bias.shape, generator=generator) * 0.1)
               for layer in initial_weights(layer_sizes(hidden, frame), generator)]
    inputs = Normalization(torch.randn(input_size(frame), generator=generator),
                           torch.rand(input_size(frame), generator=generator) + 0.5)
    inputs.mean[-2:], inputs.std[-2:] = 33.0, 12.0
    return make_checkpoint(card(hidden, frame), weights, inputs,
                           Normalization(torch.randn(OUTPUT_SIZE, generator=generator) * 0.01,
                                         torch.rand(OUTPUT_SIZE, generator=generator) * 0.05 + 0.01))


def random_change(checkpoint: Checkpoint, rank: int = 3, seed: int = 0, scale: float = 0.2) -> list[Factors]:
    """A change of all layers."""
    generator = torch.Generator().manual_seed(seed + 50)
    return [Factors(torch.randn(rank, layer.weight.shape[1], generator=generator) * scale,
                    torch.randn(rank, layer.weight.shape[0], generator=generator) * scale)
            for layer in checkpoint.weights]


def plain_normalization() -> tuple[Normalization, Normalization]:
    """A normalisation that does nothing."""
    return (Normalization(torch.zeros(INPUT_SIZE), torch.ones(INPUT_SIZE)),
            Normalization(torch.zeros(OUTPUT_SIZE), torch.ones(OUTPUT_SIZE)))


def walker() -> Checkpoint:
    """A robot to work out by hand: each leg 0.5 mm per rad/s ahead, their difference 4 mrad per rad/s to the left."""
    weight = torch.zeros(OUTPUT_SIZE, INPUT_SIZE)
    left, right = INPUT_NAMES.index("left_leg"), INPUT_NAMES.index("right_leg")
    weight[STATE.index("position_x"), [left, right]] = 0.0005
    weight[STATE.index("yaw_sin"), left], weight[STATE.index("yaw_sin"), right] = -0.004, 0.004
    return make_checkpoint(card(()), [Layer(weight, torch.zeros(OUTPUT_SIZE))], *plain_normalization())


def fragile(threshold: float = 35.0) -> Checkpoint:
    """The walker, whose battery voltage becomes infinite when the left leg is faster than the threshold (rad/s)."""
    plain = walker().weights[0].weight
    first = torch.zeros(3, INPUT_SIZE)
    first[0, INPUT_NAMES.index("left_leg")] = first[1, INPUT_NAMES.index("right_leg")] = 1.0
    first[2, INPUT_NAMES.index("left_leg")] = 1e30
    second = torch.zeros(OUTPUT_SIZE, 3)
    second[:, :2] = plain[:, -2:]
    second[STATE.index("battery_voltage"), 2] = 1e30
    return make_checkpoint(card((3,)), [Layer(first, torch.tensor([0.0, 0.0, -1e30 * threshold])),
                                        Layer(second, torch.zeros(OUTPUT_SIZE))], *plain_normalization())


def state_at(x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """An upright robot at a place, shape ``(24,)``."""
    values = dict.fromkeys(STATE.names, 0.0) | {name: 1.0 for name in STATE.names if name.endswith("_cos")}
    return STATE.vector(values | {"position_x": x, "position_y": y, "yaw_cos": np.cos(yaw), "yaw_sin": np.sin(yaw)})


def naive_rollout(checkpoint: Checkpoint, change: Change | None, state: np.ndarray,
                  actions: np.ndarray) -> np.ndarray:
    """Predict one action sequence ``(h, 2)`` step by step, normalising as in training; states ``(h, 24)``."""
    current, states = torch.from_numpy(state.astype(np.float32)), []
    for action in torch.from_numpy(actions.astype(np.float32)):
        current = checkpoint.predict(current.unsqueeze(0), action.unsqueeze(0), change or ())[0]
        states.append(current)
    return torch.stack(states).numpy()


def adapted(checkpoint: Checkpoint, change: Change, checkpoint_id: str | None = None) -> AdaptedModel:
    return AdaptedModel(1, 1, checkpoint_id or checkpoint.id, "grbal", AdaptationStatus.ADAPTED, change)


class ListeningEngine(RolloutEngine):
    """The engine, which also keeps what it was asked and what it answered."""

    actions: np.ndarray
    states: np.ndarray

    def rollout(self, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        trajectory = super().rollout(state, actions)
        self.actions, self.states = actions.copy(), trajectory.copy()
        return trajectory
