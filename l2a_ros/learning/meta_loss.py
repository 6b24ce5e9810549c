# SPDX-License-Identifier: Apache-2.0
"""The meta-objective of GrBAL: adapt on the past of a window, judge on its future, differentiate through both."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from l2a_ros.learning.network import Factors, Rates, Weights, forward, inner_steps


@dataclass(frozen=True)
class MetaWindows:
    """A batch of b windows, normalised: M past transitions to adapt on, K future ones to judge on.

    Args:
        past_inputs: ``(b, M, in)``.
        past_targets: ``(b, M, out)``.
        future_inputs: ``(b, K, in)``.
        future_targets: ``(b, K, out)``.
    """

    past_inputs: Tensor
    past_targets: Tensor
    future_inputs: Tensor
    future_targets: Tensor


def meta_loss(weights: Weights, rates: Rates, windows: MetaWindows, steps: int = 1,
              first_order: bool = False) -> Tensor:
    """Return the mean squared error of the adapted models on their futures (paper, algorithm 1).

    Args:
        weights: the trained weights; gradients reach them through the inner steps too.
        rates: step size, one for all layers or one per layer; a tensor that requires a gradient gets one.
        windows: the batch.
        steps: inner steps.
        first_order: leave out the second derivative: the change of the weights counts as constant, its step size
            does not.

    Returns:
        A scalar.
    """
    change, _ = inner_steps(weights, windows.past_inputs, windows.past_targets, rates, steps)
    if first_order:
        change = [Factors(factors.forward.detach(), factors.backward) for factors in change]
    return (forward(weights, windows.future_inputs, change) - windows.future_targets).square().mean()
