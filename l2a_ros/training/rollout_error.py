# SPDX-License-Identifier: Apache-2.0
"""The error of a rollout, to train on: predictions are fed back to the model, as the planner does.

A model that is trained on single steps sees only states that were measured. In a rollout it sees its own predictions
from the second step on, and small errors that agree add up to the bias that drives a robot off its line.
"""

from __future__ import annotations

import torch
from torch import Tensor

from l2a_ros.learning.network import Change, Weights, forward
from l2a_ros.learning.normalization import Normalization
from l2a_ros.robot.frames import apply_change, frame_tables, model_input
from l2a_ros.robot.layout import STATE, Frame


class RolloutError:
    """Predicts stretches of windows open loop and compares them with what was driven.

    Args:
        steps: length of a stretch, at least 1.
        inputs: normalisation of what the network sees.
        outputs: of what it predicts.
        frame: where it sees the state.
    """

    def __init__(self, steps: int, inputs: Normalization, outputs: Normalization, frame: Frame) -> None:
        self._steps, self._inputs, self._outputs, self._frame = steps, inputs, outputs, frame
        self._seen = list(frame_tables(frame).seen)

    def __call__(self, weights: Weights, inputs: Tensor, targets: Tensor, change: Change | None = None) -> Tensor:
        """Return the mean squared error of all stretches that fit into the windows one after the other.

        It is that of the state, in standard deviations of its change per step; that after j steps counts 1/j, which is
        how the error of a model that is wrong at random would grow.

        Args:
            weights: of the network.
            inputs: transitions in a row, normalised, ``(b, n, in)`` with n at least as many as the steps.
            targets: ``(b, n, out)``.
            change: of the weights, of each window.
        """
        seen, driven = self._inputs.restore(inputs), self._outputs.restore(targets)
        starts = torch.arange(0, inputs.shape[1] - self._steps + 1, self._steps)
        truth = predicted = self._states(seen[:, starts])
        total = inputs.new_zeros(())
        for step in range(self._steps):
            truth = apply_change(truth, driven[:, starts + step], self._frame)
            network = self._inputs.normalise(
                model_input(predicted, seen[:, starts + step, len(self._seen):], self._frame))
            predicted = apply_change(predicted, self._outputs.restore(forward(weights, network, change)), self._frame)
            total = total + ((predicted - truth) / self._outputs.std).square().mean() / (step + 1)
        return total / self._steps

    def _states(self, inputs: Tensor) -> Tensor:
        """Return states ``(..., 24)`` that look to the network like these inputs; where they stand does not matter."""
        states = inputs.new_zeros(*inputs.shape[:-1], STATE.size)
        states[..., STATE.index("yaw_cos")] = 1.0
        states[..., self._seen] = inputs[..., :len(self._seen)]
        return states
