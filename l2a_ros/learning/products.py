# SPDX-License-Identifier: Apache-2.0
"""The big matrix products of hand-written gradients, by the fastest library for them. Not differentiable by autograd.

In single precision PyTorch gives matrix products to MKL, which on processors of other makers uses half their vector
width; its oneDNN, used for half precision and convolutions, does not: the same product takes half the time there.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ONEDNN = bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, "_linear_pointwise")
#: Products of fewer multiplications are done before oneDNN has found the way to do them.
_WORTHWHILE = 2**20


def _use_onednn(rows: Tensor, matrix: Tensor) -> bool:
    return (_ONEDNN and rows.dtype == torch.float32 and rows.device.type == "cpu"
            and rows.shape[0] * matrix.numel() >= _WORTHWHILE)


def affine(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False,
           add: Tensor | None = None) -> Tensor:
    """Return ``inputs weight^T + bias + add``, rectified on request.

    Args:
        inputs: ``(n, in)``.
        weight: ``(out, in)``.
        bias: ``(out,)``.
        relu: rectify; not together with ``add``.
        add: ``(n, out)``; may be overwritten.

    Returns:
        ``(n, out)``.
    """
    if _use_onednn(inputs, weight):
        operator = torch.ops.mkldnn._linear_pointwise
        if add is not None:
            return operator.binary(inputs, add, weight, bias, "add")  # type: ignore[no-any-return]
        output: Tensor = operator(inputs, weight, bias, "none", [], "")
    else:
        output = torch.nn.functional.linear(inputs, weight, bias)
        if add is not None:
            output += add
    # Not oneDNN's own rectifier: it makes zero of what is not a number, and so hides it.
    return output.relu_() if relu else output


def times(rows: Tensor, matrix: Tensor) -> Tensor:
    """Return ``rows matrix``: ``(n, out)`` and ``(out, in)`` to ``(n, in)``."""
    return affine(rows, matrix.t()) if _use_onednn(rows, matrix) else torch.mm(rows, matrix)


def outer_sum(total: Tensor | None, left: Tensor, right: Tensor) -> Tensor:
    """Return ``total + left^T right`` in single precision at least: ``(n, out)`` and ``(n, in)`` to ``(out, in)``.

    The total may be overwritten.
    """
    if _use_onednn(left.t(), right):
        return affine(left.t(), right.t(), add=total)
    if left.dtype == torch.bfloat16:
        product = torch.mm(left.t(), right)
        return product.float() if total is None else total.add_(product)
    return torch.mm(left.t(), right) if total is None else total.addmm_(left.t(), right)


class PackedProduct:
    """``inputs weight^T + bias`` for weights that stay and inputs of one number of rows, as quickly as may be.

    oneDNN orders the weights once, as its kernel for this number of rows reads them; few rows then take two thirds of
    the time.

    Args:
        weight: ``(out, in)``; a transposed one will do.
        bias: ``(out,)``, or nothing.
        rows: of the inputs.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, rows: int) -> None:
        self._bias = bias
        self._transposed = weight.t()
        self._packed: Tensor | None = None
        if (_ONEDNN and hasattr(torch.ops.mkldnn, "_reorder_linear_weight") and weight.dtype == torch.float32
                and weight.device.type == "cpu" and rows * weight.numel() >= _WORTHWHILE):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
            self._product = torch.ops.mkldnn._linear_pointwise.default

    def __call__(self, inputs: Tensor, relu: bool = False) -> Tensor:
        """Return the product ``(rows, out)``, rectified on request, of inputs ``(rows, in)``."""
        if self._packed is not None:
            output: Tensor = self._product(inputs, self._packed, self._bias, "none", [], "")
        elif self._bias is None:
            output = torch.mm(inputs, self._transposed)
        else:
            output = torch.addmm(self._bias, inputs, self._transposed)
        return output.relu_() if relu else output
