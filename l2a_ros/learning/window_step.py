# SPDX-License-Identifier: Apache-2.0
"""The gradient steps on a window while the robot walks: :func:`l2a_ros.learning.network.inner_steps`, made to be quick.

Nothing here is kept for a derivative, and no matrix of the size of a weight is formed: not for the change, and not for
its norm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from l2a_ros.learning.network import Factors, Rates, Weights, layer_rates
from l2a_ros.learning.products import PackedProduct


class WindowStep:
    """Takes gradient steps on windows of M transitions, always from the same weights.

    Args:
        weights: where the steps start; read once, a later change of them is not seen.
        rates: step sizes (:data:`~l2a_ros.learning.network.Rates`).
        past: M.
        steps: number of steps on the same window, at least 1.

    Raises:
        ValueError: if the rates do not fit the layers, or there is no step.
    """

    def __init__(self, weights: Weights, rates: Rates, past: int, steps: int = 1) -> None:
        if steps < 1:
            raise ValueError(f"{steps} inner steps; it takes at least 1")
        flat = [(layer.weight.detach().clone(), layer.bias.detach().clone()) for layer in weights]
        self._up = [PackedProduct(weight, bias, past) for weight, bias in flat]
        self._down = [PackedProduct(weight.t(), None, past) for weight, _ in flat]
        of_layer = layer_rates(rates, [len(bias) for _, bias in flat])
        self._rates = [-rate.detach().to(bias) if isinstance(rate, Tensor) and rate.ndim else -float(rate)
                       for rate, (_, bias) in zip(of_layer, flat, strict=True)]
        self._steps = steps
        first, last = flat[0][0], flat[-1][0]
        self._input_shape, self._target_shape = (past, first.shape[1]), (past, last.shape[0])
        self._one = torch.ones(1, dtype=first.dtype, device=first.device)

    @torch.no_grad()
    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[list[Factors], float, float, float]:
        """Step on one window.

        Args:
            inputs: ``(M, in)``, normalised.
            targets: ``(M, out)``, normalised.

        Returns:
            The change as factors of rank ``M * steps``; the mean squared error on the window before and after it; the
            Euclidean norm of the change of all weights and biases. The backward factors are new with each call and the
            first layer's forward factors are the inputs: nobody overwrites them.

        Raises:
            ValueError: if the window has another shape.
        """
        if inputs.shape != self._input_shape or targets.shape != self._target_shape:
            raise ValueError(f"a window of {tuple(inputs.shape)} and {tuple(targets.shape)}, "
                             f"expected {self._input_shape} and {self._target_shape}")
        change: list[Factors] = []
        entered, residual = self._evaluate(inputs, targets, change)
        before = _mean_square(residual)
        for _ in range(self._steps):
            step = self._descend(entered, residual, change)
            change = [_joined(*pair) for pair in zip(change, step, strict=True)] if change else step
            entered, residual = self._evaluate(inputs, targets, change)
        return change, before, _mean_square(residual), self._norm(change)

    def _evaluate(self, inputs: Tensor, targets: Tensor, change: list[Factors]) -> tuple[list[Tensor], Tensor]:
        """Return what entered each layer, and the residual."""
        entered, hidden, last = [], inputs, len(self._up) - 1
        for i, product in enumerate(self._up):
            entered.append(hidden)
            output = product(hidden, relu=i < last and not change)
            if change:
                factors = change[i]
                output.addmm_(torch.addmm(self._one, hidden, factors.forward.t()), factors.backward)
                if i < last:
                    output.relu_()
            hidden = output
        return entered, hidden.sub_(targets)

    def _descend(self, entered: list[Tensor], residual: Tensor, change: list[Factors]) -> list[Factors]:
        """Return one step's factors."""
        arriving = residual * (2.0 / residual.numel())
        step = []
        for i in range(len(self._down) - 1, -1, -1):
            step.append(Factors(entered[i], arriving * self._rates[i]))
            if i > 0:
                leaving = self._down[i](arriving)
                if change:
                    leaving.addmm_(torch.mm(arriving, change[i].backward.t()), change[i].forward)
                arriving = torch.ops.aten.threshold_backward.default(leaving, entered[i], 0)
        step.reverse()
        return step

    def _norm(self, change: list[Factors]) -> float:
        # |b^T f|^2 is the sum of (b b^T) * (f f^T), and that of the bias the sum of (b b^T) * 1.
        total = 0.0
        for factors in change:
            overlap = torch.addmm(self._one, factors.forward, factors.forward.t())
            total += float(torch.dot(overlap.view(-1), torch.mm(factors.backward, factors.backward.t()).view(-1)))
        # Of factors that cancel, rounding may leave less than nothing; what is not a number stays that.
        return 0.0 if total < 0.0 else math.sqrt(total)


def _joined(old: Factors, new: Factors) -> Factors:
    return Factors(torch.cat([old.forward, new.forward]), torch.cat([old.backward, new.backward]))


def _mean_square(residual: Tensor) -> float:
    flat = residual.view(-1)
    return float(torch.dot(flat, flat)) / len(flat)
