# SPDX-License-Identifier: Apache-2.0
"""The same second-order meta-gradient by other libraries, each used as its own examples do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear, mse_loss

from l2a_ros.benchmarks.peers import import_peer
from l2a_ros.learning.meta_loss import MetaWindows, meta_loss
from l2a_ros.learning.network import Layer, Weights

#: How to get what is not on the machine.
_HOW = {
    "higher": "pip install 'l2a_ros[bench]'",
    "learn2learn": "release 0.2.0 does not build on Python 3.11 as it is; with Cython < 3.1, 'python setup.py "
                   "build_ext --inplace' in its source makes a folder for PYTHONPATH",
}


@dataclass(frozen=True)
class Contestant:
    """One way to the meta-gradient, with its own copy of the weights.

    Args:
        parameters: weight and bias of each layer in turn.
        backward: adds the gradient of the mean loss over the windows to the parameters' ``grad``.
    """

    parameters: list[Tensor]
    backward: Callable[[MetaWindows], None]

    @property
    def weights(self) -> Weights:
        """The parameters as layers."""
        return [Layer(*pair) for pair in zip(self.parameters[::2], self.parameters[1::2], strict=True)]

    def gradient(self, windows: MetaWindows) -> list[Tensor]:
        """Return the gradient like the parameters."""
        for parameter in self.parameters:
            parameter.grad = None
        self.backward(windows)
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]


def _copies(weights: Weights) -> list[Tensor]:
    return [tensor.detach().clone().requires_grad_() for layer in weights for tensor in (layer.weight, layer.bias)]


def _module(weights: Weights) -> torch.nn.Sequential:
    modules: list[torch.nn.Module] = []
    for layer in weights:
        affine = torch.nn.Linear(layer.weight.shape[1], layer.weight.shape[0])
        affine.weight, affine.bias = (torch.nn.Parameter(tensor.detach().clone())
                                      for tensor in (layer.weight, layer.bias))
        modules += [affine, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def _tasks(windows: MetaWindows) -> Iterable[tuple[Tensor, ...]]:
    return zip(windows.past_inputs, windows.past_targets, windows.future_inputs, windows.future_targets, strict=True)


def ours(weights: Weights, rate: float, dtype: torch.dtype | None = None) -> Contestant:
    """Return this package's way; products in ``dtype``."""
    def backward(windows: MetaWindows) -> None:
        meta_loss(contestant.weights, rate, windows, dtype=dtype).backward()

    contestant = Contestant(_copies(weights), backward)
    return contestant


def higher(weights: Weights, rate: float) -> Contestant:
    """Return ``higher``: a differentiable optimiser on a copy of the module for every task."""
    library, module = import_peer("higher", _HOW["higher"]), _module(weights)
    optimizer = torch.optim.SGD(module.parameters(), lr=rate)

    def backward(windows: MetaWindows) -> None:
        count = len(windows.past_inputs)
        for past_inputs, past_targets, future_inputs, future_targets in _tasks(windows):
            with library.innerloop_ctx(module, optimizer, copy_initial_weights=False) as (copy, steps):
                steps.step(mse_loss(copy(past_inputs), past_targets))
                (mse_loss(copy(future_inputs), future_targets) / count).backward()

    return Contestant(list(module.parameters()), backward)


def learn2learn(weights: Weights, rate: float) -> Contestant:
    """Return ``learn2learn``: its MAML wrapper, a clone for every task."""
    library, module = import_peer("learn2learn", _HOW["learn2learn"]), _module(weights)
    maml = library.algorithms.MAML(module, lr=rate)

    def backward(windows: MetaWindows) -> None:
        count = len(windows.past_inputs)
        for past_inputs, past_targets, future_inputs, future_targets in _tasks(windows):
            clone = maml.clone()
            clone.adapt(mse_loss(clone(past_inputs), past_targets))
            (mse_loss(clone(future_inputs), future_targets) / count).backward()

    return Contestant(list(module.parameters()), backward)


def torch_func(weights: Weights, rate: float) -> Contestant:
    """Return ``torch.func``: gradient steps on copies of the weights, mapped over the tasks."""
    flat = _copies(weights)

    def loss(own: list[Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        hidden = inputs
        for i in range(0, len(own), 2):
            hidden = linear(hidden, own[i], own[i + 1])
            hidden = torch.relu(hidden) if i + 2 < len(own) else hidden
        return mse_loss(hidden, targets)

    def task(own: list[Tensor], past_inputs: Tensor, past_targets: Tensor, future_inputs: Tensor,
             future_targets: Tensor) -> Tensor:
        gradients = torch.func.grad(loss)(own, past_inputs, past_targets)
        adapted = [tensor - rate * gradient for tensor, gradient in zip(own, gradients, strict=True)]
        return loss(adapted, future_inputs, future_targets)

    mapped = torch.func.vmap(task, in_dims=(None, 0, 0, 0, 0))

    def backward(windows: MetaWindows) -> None:
        mapped(flat, windows.past_inputs, windows.past_targets, windows.future_inputs,
               windows.future_targets).mean().backward()

    return Contestant(flat, backward)


#: By name, as in the table.
PEERS: dict[str, Callable[[Weights, float], Contestant]] = {
    "higher": higher, "learn2learn": learn2learn, "torch.func": torch_func}
