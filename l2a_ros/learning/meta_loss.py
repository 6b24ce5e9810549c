# SPDX-License-Identifier: Apache-2.0
"""The meta-objective of GrBAL: adapt on the past of a window, judge on its future, differentiate through both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from l2a_ros.learning.meta_gradient import Adaptation, WayBack
from l2a_ros.learning.network import Rates, Weights, forward, inner_steps, layer_rates


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
              first_order: bool = False, dtype: torch.dtype | None = None) -> Tensor:
    """Return the mean squared error of the adapted models on their futures (paper, algorithm 1).

    Its gradient is written by hand, and can be taken once; none reaches the windows. :func:`composed_meta_loss` is the
    same without these limits, at a fraction of the speed.

    Args:
        weights: the trained weights; gradients reach them through the inner steps too.
        rates: step sizes (:data:`~l2a_ros.learning.network.Rates`); a tensor that requires a gradient gets one.
        windows: the batch.
        steps: inner steps, at least 1.
        first_order: leave out the second derivative: the inner gradients count as constant, their step size does not.
        dtype: of the network's units and matrix products, e.g. ``torch.bfloat16``; weights, errors and gradients keep
            the type of the weights.

    Returns:
        A scalar.

    Raises:
        ValueError: if the number of rates does not fit, or there is no step.
    """
    if steps < 1:
        raise ValueError(f"{steps} inner steps; it takes at least 1")
    flat = [layer.weight for layer in weights] + [layer.bias for layer in weights]
    return _MetaLoss.apply(  # type: ignore[no-any-return,no-untyped-call]
        windows, steps, first_order, dtype, _rate_vector(rates, weights), *flat)


def composed_meta_loss(weights: Weights, rates: Rates, windows: MetaWindows, steps: int = 1,
                       first_order: bool = False) -> Tensor:
    """Return what :func:`meta_loss` returns, its gradient left to autograd."""
    change, _ = inner_steps(weights, windows.past_inputs, windows.past_targets, rates, steps, first_order)
    return (forward(weights, windows.future_inputs, change) - windows.future_targets).square().mean()


def _rate_vector(rates: Rates, weights: Weights) -> Tensor:
    """Return the step sizes as one tensor, per layer or per unit."""
    if isinstance(rates, Tensor):
        return rates.expand(len(weights)) if rates.ndim == 0 else rates
    of_layer = layer_rates(rates, [len(layer.bias) for layer in weights])
    like = weights[0].weight
    if any(isinstance(rate, Tensor) and rate.ndim for rate in of_layer):
        return torch.cat([torch.as_tensor(rate, dtype=like.dtype, device=like.device).expand(len(layer.bias))
                          for rate, layer in zip(of_layer, weights, strict=True)])
    return torch.stack([torch.as_tensor(rate, dtype=like.dtype, device=like.device) for rate in of_layer])


def _rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1, tensor.shape[-1])


class _MetaLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, windows: MetaWindows, steps: int, first_order: bool, dtype: torch.dtype | None,
                rates: Tensor, *flat: Tensor) -> Tensor:
        computed = [tensor if dtype is None else tensor.to(dtype) for tensor in flat]
        kind, layers = computed[0].dtype, len(flat) // 2
        of_layer = [torch.as_tensor(rate) for rate in layer_rates(rates, [len(bias) for bias in flat[layers:]])]
        adaptation = Adaptation(computed[:layers], computed[layers:], of_layer, len(windows.past_inputs))
        past_inputs, past_targets = _rows(windows.past_inputs).to(kind), _rows(windows.past_targets)
        for _ in range(steps):
            adaptation.step(past_inputs, past_targets)
        future = adaptation.evaluate(_rows(windows.future_inputs).to(kind))
        residual = future.output - _rows(windows.future_targets)
        # Saved for autograd's check that nobody has changed them before the way back.
        ctx.save_for_backward(rates, *flat)
        ctx.adaptation, ctx.future, ctx.residual, ctx.first_order = adaptation, future, residual, first_order
        return residual.square().mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph: the result would count as constant, silently
            raise RuntimeError("the gradient of meta_loss cannot be differentiated again; use composed_meta_loss")
        rates, *flat = ctx.saved_tensors
        arriving = (ctx.residual * (gradient * (2.0 / ctx.residual.numel()))).to(ctx.future.output.dtype)
        weight, bias, of_rates = WayBack(ctx.adaptation, ctx.first_order).gradients(ctx.future, arriving)
        of_flat = (part.to(tensor.dtype) for part, tensor in zip([*weight, *bias], flat, strict=True))
        return None, None, None, None, of_rates.to(rates.dtype), *of_flat
