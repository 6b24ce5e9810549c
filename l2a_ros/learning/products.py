# SPDX-License-Identifier: Apache-2.0
"""The big matrix products of hand-written gradients, by the fastest library for them. Not differentiable by autograd.

In single precision PyTorch gives matrix products to MKL, which on processors of other makers uses half their vector
width; its oneDNN, used for half precision and convolutions, does not: the same product takes half the time there.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ONEDNN = bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _use_onednn(tensor: Tensor) -> bool:
    return _ONEDNN and tensor.dtype == torch.float32 and tensor.device.type == "cpu"


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
    if _use_onednn(inputs):
        operator = torch.ops.mkldnn._linear_pointwise
        if add is not None:
            return operator.binary(inputs, add, weight, bias, "add")  # type: ignore[no-any-return]
        return operator(inputs, weight, bias, "relu" if relu else "none", [], "")  # type: ignore[no-any-return]
    output = torch.nn.functional.linear(inputs, weight, bias)
    if add is not None:
        output += add
    return output.relu_() if relu else output


def times(rows: Tensor, matrix: Tensor) -> Tensor:
    """Return ``rows matrix``: ``(n, out)`` and ``(out, in)`` to ``(n, in)``."""
    return affine(rows, matrix.t()) if _use_onednn(rows) else torch.mm(rows, matrix)


def outer_sum(total: Tensor | None, left: Tensor, right: Tensor) -> Tensor:
    """Return ``total + left^T right`` in single precision at least: ``(n, out)`` and ``(n, in)`` to ``(out, in)``.

    The total may be overwritten.
    """
    if _use_onednn(left):
        return affine(left.t(), right.t(), add=total)
    if left.dtype == torch.bfloat16:
        product = torch.mm(left.t(), right)
        return product.float() if total is None else total.add_(product)
    return torch.mm(left.t(), right) if total is None else total.addmm_(left.t(), right)
