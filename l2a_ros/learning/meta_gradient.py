# SPDX-License-Identifier: Apache-2.0
"""Gradient steps on a batch of windows and the way back through them, written out by hand in low-rank form.

No task ever has a copy of the weights: each has the factors of its change (:mod:`l2a_ros.learning.network`), and what
all tasks share is one matrix product over the rows of all of them. Rows are flat, ``(b * n, units)``, for the shared
products and seen as ``(b, n, units)`` for each task's own.

With h what enters a layer, d the scaled gradient of the window's loss at its output, and H, B the factors of the change
so far, an inner step computes upwards ``z = h W^T + c + (h H^T + 1) B`` and downwards
``d_below = (d W + (d B^T) H) * (h > 0)``; it appends h to H and ``-rate d`` to B. The way back differentiates both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from l2a_ros.learning.products import affine, outer_sum, times


def _mask(arriving: Tensor, hidden: Tensor) -> Tensor:
    """Return what passes back through the rectifier that made ``hidden``: one pass instead of compare and multiply."""
    return torch.ops.aten.threshold_backward(arriving, hidden, 0)  # type: ignore[no-any-return]


def _sum(product: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    return product.sum(dim, dtype=torch.promote_types(product.dtype, torch.float32))


@dataclass
class Evaluation:
    """The network on the rows of all windows, and the window's own gradient if it was an inner step.

    Args:
        output: the prediction, ``(b * n, out)``.
        hidden: what entered each layer, ``(b * n, in)``.
        overlap: ``h H^T + 1`` of each layer, ``(b, n, R)``; empty without a change.
        arriving: d of each layer, ``(b * n, out)``.
        returning: ``d B^T`` of each layer but the first, ``(b, n, R)``; empty without a change.
    """

    output: Tensor
    hidden: list[Tensor]
    overlap: list[Tensor]
    arriving: list[Tensor] = field(default_factory=list)
    returning: list[Tensor] = field(default_factory=list)


class Adaptation:
    """Adapts to the windows and evaluates, and keeps what the way back needs.

    Args:
        weight: ``(out, in)`` of each layer.
        bias: ``(out,)`` of each layer.
        rates: step sizes of each layer, a scalar or one per unit ``(out,)``.
        batch: number of windows b.
    """

    def __init__(self, weight: Sequence[Tensor], bias: Sequence[Tensor], rates: Sequence[Tensor],
                 batch: int) -> None:
        self.weight, self.bias, self.rates = weight, bias, rates
        self.batch = batch
        self.steps: list[Evaluation] = []
        #: Factors of the change so far, ``(b, R, in)`` and ``(b, R, out)`` of each layer; R grows by M with each step.
        self.forward: list[Tensor] = []
        self.backward: list[Tensor] = []
        self._one = torch.ones(1, dtype=weight[0].dtype, device=weight[0].device)

    def windows(self, rows: Tensor) -> Tensor:
        """Return flat rows as ``(b, n, units)``."""
        return rows.view(self.batch, -1, rows.shape[-1])

    def evaluate(self, inputs: Tensor) -> Evaluation:
        """Evaluate the network as changed so far on rows ``(b * n, in)``."""
        result, hidden, last = Evaluation(inputs, [], []), inputs, len(self.weight) - 1
        for i, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            result.hidden.append(hidden)
            output = affine(hidden, weight, bias, relu=i < last and not self.forward)
            if self.forward:
                overlap = torch.baddbmm(self._one, self.windows(hidden), self.forward[i].mT)
                result.overlap.append(overlap)
                self.windows(output).baddbmm_(overlap, self.backward[i])
                output = output.relu_() if i < last else output
            hidden = output
        result.output = hidden
        return result

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        """Take one gradient step on the mean squared error of each window: ``(b * M, in)``, ``(b * M, out)``."""
        step = self.evaluate(inputs)
        arriving = ((step.output - targets) * self.gradient_scale(targets)).to(inputs.dtype)
        for i in range(len(self.weight) - 1, -1, -1):
            step.arriving.insert(0, arriving)
            if i > 0:
                leaving = times(arriving, self.weight[i])
                if self.forward:
                    step.returning.insert(0, torch.bmm(self.windows(arriving), self.backward[i].mT))
                    self.windows(leaving).baddbmm_(step.returning[0], self.forward[i])
                arriving = _mask(leaving, step.hidden[i])
        self.steps.append(step)
        entered = [self.windows(hidden) for hidden in step.hidden]
        moved = [self.windows((part * -rate).to(part.dtype))
                 for part, rate in zip(step.arriving, self.rates, strict=True)]
        if self.forward:
            entered = [torch.cat(pair, dim=1) for pair in zip(self.forward, entered, strict=True)]
            moved = [torch.cat(pair, dim=1) for pair in zip(self.backward, moved, strict=True)]
        self.forward, self.backward = entered, moved

    def gradient_scale(self, targets: Tensor) -> float:
        """Return the factor from a residual to the gradient of its window's mean squared error."""
        return 2.0 * self.batch / targets.numel()


class WayBack:
    """Gradients of weights, biases and rates of a loss on rows predicted by adapted models.

    Args:
        adaptation: what was done; it is left as it is.
        first_order: the inner gradients count as constant, their step sizes do not.
    """

    def __init__(self, adaptation: Adaptation, first_order: bool) -> None:
        self._adaptation, self._first_order = adaptation, first_order
        layers = len(adaptation.weight)
        self._weight: list[Tensor | None] = [None] * layers
        self._bias: list[Tensor | None] = [None] * layers
        #: Gradients of the factors of the change. The first layer's forward factors are data and have none.
        self._forward: list[Tensor | None] = [None] * layers
        self._backward: list[Tensor] = []

    def gradients(self, future: Evaluation, arriving: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Go back from the gradient at the predictions of the future rows.

        Args:
            future: the evaluation after the last step.
            arriving: ``(b * K, out)``.

        Returns:
            Gradients like the weights, like the biases, and of the rates of all layers in a row; in single precision at
            least.
        """
        steps, layers = self._adaptation.steps, range(len(self._weight))
        self._through_evaluation(future, arriving, None)
        of_rates: list[list[Tensor]] = [[] for _ in layers]
        rank = self._adaptation.forward[0].shape[1] // len(steps)
        for number in range(len(steps) - 1, -1, -1):
            step, before, own = steps[number], number * rank, slice(number * rank, (number + 1) * rank)
            for i in layers:
                moved = self._backward[i][:, own] * self._adaptation.windows(step.arriving[i])
                of_rates[i].append(-_sum(moved, (0, 1) if self._adaptation.rates[i].ndim else None))
            if not self._first_order:
                arriving = self._through_descent(step, before, own)
                self._through_evaluation(step, arriving, own)
        weight, bias = ([part for part in parts if part is not None] for parts in (self._weight, self._bias))
        return weight, bias, torch.cat([torch.stack(terms).sum(0).reshape(-1) for terms in of_rates])

    def _through_evaluation(self, evaluation: Evaluation, arriving: Tensor, own: slice | None) -> None:
        """Go down through the layers; ``own`` are the rows of the factors that are this evaluation's hidden units."""
        adaptation, windows = self._adaptation, self._adaptation.windows
        for i in range(len(adaptation.weight) - 1, -1, -1):
            hidden = evaluation.hidden[i]
            self._weight[i] = outer_sum(self._weight[i], arriving, hidden)
            total, bias = self._bias[i], _sum(arriving, 0)
            self._bias[i] = bias if total is None else total.add_(bias)
            leaving = times(arriving, adaptation.weight[i]) if i > 0 else None
            if evaluation.overlap:
                self._through_change(evaluation, i, arriving, leaving, own is None)
            if leaving is not None:
                of_forward = self._forward[i]
                if own is not None and of_forward is not None:
                    windows(leaving).add_(of_forward[:, own])
                arriving = _mask(leaving, hidden)

    def _through_change(self, evaluation: Evaluation, i: int, arriving: Tensor, leaving: Tensor | None,
                        is_future: bool) -> None:
        """Go back through ``(h H^T + 1) B`` of a layer, and add to what leaves it."""
        adaptation = self._adaptation
        arrived, hidden = adaptation.windows(arriving), adaptation.windows(evaluation.hidden[i])
        overlap = evaluation.overlap[i]
        rank = overlap.shape[-1]
        if is_future:
            self._backward.insert(0, torch.bmm(overlap.mT, arrived))
        else:
            self._backward[i][:, :rank].baddbmm_(overlap.mT, arrived)
        if leaving is None:
            return
        of_overlap = torch.bmm(arrived, adaptation.backward[i][:, :rank].mT)
        adaptation.windows(leaving).baddbmm_(of_overlap, adaptation.forward[i][:, :rank])
        if is_future and not self._first_order:
            self._forward[i] = torch.bmm(of_overlap.mT, hidden)
        elif not is_future:
            self._of_forward(i)[:, :rank].baddbmm_(of_overlap.mT, hidden)

    def _of_forward(self, i: int) -> Tensor:
        gradient = self._forward[i]
        assert gradient is not None
        return gradient

    def _through_descent(self, step: Evaluation, rank: int, own: slice) -> Tensor:
        """Go up through the inner gradient, and return the gradient at the step's predictions ``(b * M, out)``."""
        adaptation, windows = self._adaptation, self._adaptation.windows
        below: Tensor | None = None
        for i, arriving in enumerate(step.arriving):
            gradient = (self._backward[i][:, own] * -adaptation.rates[i]).to(arriving.dtype).reshape(arriving.shape)
            if below is not None:
                left = _mask(below, step.hidden[i])
                gradient = affine(left, adaptation.weight[i], add=gradient)
                self._weight[i] = outer_sum(self._weight[i], arriving, left)
                if rank:
                    leaving, returning = windows(left), step.returning[i - 1]
                    of_returning = torch.bmm(leaving, adaptation.forward[i][:, :rank].mT)
                    windows(gradient).baddbmm_(of_returning, adaptation.backward[i][:, :rank])
                    self._backward[i][:, :rank].baddbmm_(of_returning.mT, windows(arriving))
                    self._of_forward(i)[:, :rank].baddbmm_(returning.mT, leaving)
            below = gradient
        assert below is not None
        return below * adaptation.gradient_scale(step.arriving[-1])
