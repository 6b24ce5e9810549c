# SPDX-License-Identifier: Apache-2.0
"""The dynamics network (ReLU multilayer perceptron) with weights that differ from task to task by low-rank factors.

A gradient step on a window of M samples changes every weight matrix by a matrix of rank M at most: the outer product of
what went into the layer and what came back to it. Keeping those two factors instead of the changed matrix makes the
step, its second derivative and its message small, and exact.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layer:
    """One affine layer: weight ``(out, in)``, bias ``(out,)``."""

    weight: Tensor
    bias: Tensor


Weights = list[Layer]


@dataclass(frozen=True)
class Factors:
    """Change of one layer as factors of rank R: ``weight += backward^T forward``, ``bias += sum_R backward``.

    Args:
        forward: what entered the layer, ``(..., R, in)``.
        backward: scaled gradient at the layer's output, ``(..., R, out)``.
    """

    forward: Tensor
    backward: Tensor


#: The change of one layer: factors where it has a low rank, else the whole difference.
LayerChange = Factors | Layer
Change = Sequence[LayerChange]
#: Step sizes of the inner step: one for all layers, one per layer ``(layers,)``, or one per unit of every layer, a
#: vector with those of all layers in a row. In a sequence each layer has a number or a vector of its own.
Rates = float | Tensor | Sequence[float | Tensor]


def initial_weights(sizes: Sequence[int], generator: torch.Generator) -> Weights:
    """Draw weights for layer sizes (input, hidden…, output): Xavier uniform, zero bias."""
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        bound = math.sqrt(6.0 / (fan_in + fan_out))
        weight = (torch.rand(fan_out, fan_in, generator=generator) * 2.0 - 1.0) * bound
        layers.append(Layer(weight, torch.zeros(fan_out)))
    return layers


def _affine(layer: Layer, change: LayerChange | None, inputs: Tensor) -> Tensor:
    if isinstance(change, Layer):
        return torch.nn.functional.linear(inputs, layer.weight + change.weight, layer.bias + change.bias)
    output = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
    if change is None:
        return output
    # (x f^T) b is x (b^T f)^T without forming the matrix; adding one to x f^T adds the bias change.
    return output + torch.matmul(torch.matmul(inputs, change.forward.mT) + 1.0, change.backward)


def forward(weights: Weights, inputs: Tensor, change: Change | None = None) -> Tensor:
    """Evaluate the network: inputs ``(..., n, in)`` to outputs ``(..., n, out)``, with changed weights if given."""
    hidden = inputs
    for i, layer in enumerate(weights):
        hidden = _affine(layer, None if change is None else change[i], hidden)
        if i < len(weights) - 1:
            hidden = torch.relu(hidden)
    return hidden


def gradient_factors(weights: Weights, inputs: Tensor, targets: Tensor,
                     change: Sequence[Factors] | None = None) -> tuple[list[Factors], Tensor]:
    """Return the gradient of the mean squared error over a window as factors, and the error before any step.

    Written out instead of left to autograd so that it can itself be differentiated cheaply.

    Args:
        weights: the network.
        inputs: windows ``(..., M, in)``, normalised.
        targets: ``(..., M, out)``, normalised.
        change: the weights' change so far.

    Returns:
        Factors of the gradient per layer, and the mean squared error ``(...,)``.
    """
    entered, hidden = [], inputs
    for i, layer in enumerate(weights):
        entered.append(hidden)
        hidden = _affine(layer, None if change is None else change[i], hidden)
        if i < len(weights) - 1:
            hidden = torch.relu(hidden)
    residual = hidden - targets
    loss = residual.square().mean(dim=(-2, -1))
    arriving = residual * (2.0 / (targets.shape[-2] * targets.shape[-1]))
    gradients: list[Factors] = []
    for i in range(len(weights) - 1, -1, -1):
        gradients.append(Factors(entered[i], arriving))
        if i > 0:
            leaving = torch.matmul(arriving, weights[i].weight)
            if change is not None:
                leaving = leaving + torch.matmul(torch.matmul(arriving, change[i].backward.mT), change[i].forward)
            arriving = leaving * (entered[i] > 0)
    gradients.reverse()
    return gradients, loss


def layer_rates(rates: Rates, outputs: Sequence[int]) -> list[float | Tensor]:
    """Return the step sizes of each layer: a number, or a vector with one for each of its units.

    Args:
        rates: as they may be given.
        outputs: units of each layer.

    Raises:
        ValueError: if there are neither one nor as many as layers or as units.
    """
    if isinstance(rates, float | int) or (isinstance(rates, Tensor) and rates.ndim == 0):
        return [rates] * len(outputs)
    if isinstance(rates, Tensor) and len(rates) == sum(outputs) != len(outputs):
        return list(rates.split(list(outputs)))
    if len(rates) != len(outputs):
        raise ValueError(f"{len(rates)} step sizes for {len(outputs)} layers of {list(outputs)} units")
    return list(rates)


def inner_steps(weights: Weights, inputs: Tensor, targets: Tensor, rates: Rates,
                steps: int = 1, first_order: bool = False) -> tuple[list[Factors], Tensor]:
    """Take gradient steps on a window (the adaptation of GrBAL, paper section 4).

    Args:
        weights: where the steps start.
        inputs: windows ``(..., M, in)``, normalised.
        targets: ``(..., M, out)``, normalised.
        rates: step sizes (:data:`Rates`).
        steps: number of steps on the same window.
        first_order: for a later derivative the gradients count as constant; the step sizes do not.

    Returns:
        The change of the weights as factors of rank ``M * steps``, and the loss before the first step ``(...,)``.
    """
    of_layer = layer_rates(rates, [len(layer.bias) for layer in weights])
    change: list[Factors] | None = None
    first_loss: Tensor | None = None
    for _ in range(steps):
        gradients, loss = gradient_factors(weights, inputs, targets, change)
        first_loss = loss if first_loss is None else first_loss
        if first_order:
            gradients = [Factors(gradient.forward.detach(), gradient.backward.detach()) for gradient in gradients]
        step = [Factors(gradient.forward, -rate * gradient.backward)
                for rate, gradient in zip(of_layer, gradients, strict=True)]
        change = step if change is None else [
            Factors(torch.cat([old.forward, new.forward], dim=-2), torch.cat([old.backward, new.backward], dim=-2))
            for old, new in zip(change, step, strict=True)]
    assert change is not None and first_loss is not None
    return change, first_loss


def factors_norm(change: Sequence[Factors]) -> Tensor:
    """Return the Euclidean norm of a change over all weights and biases, ``(...,)`` for factors ``(..., R, n)``.

    The squared norm of ``b^T f`` is the sum of ``(b b^T) * (f f^T)``, and that of the bias the sum of ``(b b^T) * 1``:
    no weight-sized matrix is needed.
    """
    total = torch.stack([((part.backward @ part.backward.mT) * (part.forward @ part.forward.mT + 1.0)).sum(dim=(-2, -1))
                         for part in change]).sum(dim=0)
    # Of factors that cancel, rounding may leave less than nothing; what is not a number stays that.
    return total.clamp_min(0.0).sqrt()


def materialise(weights: Weights, change: Change | None, out: Weights | None = None) -> Weights:
    """Return plain weights with a change (factors without a leading shape) added.

    Args:
        weights: the network; returned as they are without a change.
        change: to add.
        out: to write into instead of new memory, of the same sizes.
    """
    if change is None:
        return list(weights)
    places: Sequence[Layer | None] = [None] * len(weights) if out is None else out
    return [_changed(layer, of_layer, place) for layer, of_layer, place in zip(weights, change, places, strict=True)]


def _changed(layer: Layer, change: LayerChange, out: Layer | None) -> Layer:
    weight, bias = (None, None) if out is None else (out.weight, out.bias)
    if isinstance(change, Layer):
        return Layer(torch.add(layer.weight, change.weight, out=weight), torch.add(layer.bias, change.bias, out=bias))
    return Layer(torch.addmm(layer.weight, change.backward.mT, change.forward, out=weight),
                 torch.add(layer.bias, change.backward.sum(dim=-2), out=bias))
