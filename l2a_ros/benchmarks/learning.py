# SPDX-License-Identifier: Apache-2.0
"""How fast the dynamics model learns and adapts, beside other libraries in the same run.

Everything that is compared takes turns, so that whatever else the machine does meets all of them; figures are medians.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear, mse_loss

from l2a_ros.benchmarks.learning_peers import PEERS, Contestant, ours
from l2a_ros.benchmarks.peers import PeerMissing
from l2a_ros.benchmarks.table import Row, at_most
from l2a_ros.learning.meta_loss import MetaWindows, meta_loss
from l2a_ros.learning.network import Layer, Weights, forward, initial_weights, inner_steps
from l2a_ros.learning.threads import torch_threads
from l2a_ros.learning.window_step import WindowStep

Clock = Callable[[], float]

#: The second-order outer step should be this many times as fast as a peer's.
TARGETS = {"higher": 6.0, "learn2learn": 5.0, "torch.func": 4.5}
#: And give the same gradient, relative to the largest entry of each tensor.
AGREEMENT = 1e-5
#: One online step should be this many times as fast as the same by autograd.
ONLINE_TARGET = 3.0
#: Half precision may cost this part of the validation loss.
HALF_COST = 0.02
#: Gradients are compared at one of so many batches.
_DRAWS = 40
_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Problem:
    """What is learned.

    Args:
        sizes: of the layers, input to output.
        batch: windows per outer step.
        past: M.
        future: K.
        rate: inner step size.
        outer_steps: of the comparison of precisions.
        threads: for training; the online step has one, as the robot's has.
    """

    sizes: tuple[int, ...] = (24, 512, 512, 512, 24)
    batch: int = 32
    past: int = 16
    future: int = 16
    rate: float = 0.1
    outer_steps: int = 300
    threads: int = 2

    def weights(self) -> Weights:
        """Return the weights that everybody starts from."""
        return initial_weights(self.sizes, torch.Generator().manual_seed(0))

    def windows(self, seed: int, batch: int | None = None) -> MetaWindows:
        """Draw windows, each of a task of its own: a sine of a mix of the inputs, scaled and moved."""
        fixed, generator = torch.Generator().manual_seed(1), torch.Generator().manual_seed(seed + 2)
        n_in, n_out, count = self.sizes[0], self.sizes[-1], batch or self.batch
        mix = torch.randn(n_in, n_out, generator=fixed) / math.sqrt(n_in)
        inputs = torch.randn(count, self.past + self.future, n_in, generator=generator)
        scale, shift = (torch.randn(count, 1, n_out, generator=generator) * 0.5 + mean for mean in (1.0, 0.0))
        targets = torch.sin(2.0 * inputs @ mix) * scale + shift
        return MetaWindows(inputs[:, :self.past].contiguous(), targets[:, :self.past].contiguous(),
                           inputs[:, self.past:].contiguous(), targets[:, self.past:].contiguous())


def _take_turns(cases: Mapping[str, Callable[[], object]], seconds: float, clock: Clock) -> dict[str, float]:
    """Return the median time of each case, s; each turn once unmeasured, since the one before has used the caches."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    end = clock() + seconds
    while min(map(len, times.values())) < 3 or clock() < end:
        for name, case in cases.items():
            case()
            begin = clock()
            case()
            times[name].append(clock() - begin)
    return {name: statistics.median(taken) for name, taken in times.items()}


def find_peers(problem: Problem) -> tuple[dict[str, Contestant | None], list[str]]:
    """Return each peer ready to start, or None where it is not on this machine, and a line about each of those."""
    peers: dict[str, Contestant | None] = {}
    missing = []
    for name, make in PEERS.items():
        try:
            peers[name] = make(problem.weights(), problem.rate)
        except PeerMissing as error:
            peers[name] = None
            missing.append(str(error))
    return peers, missing


def _distance_from_kinks(weights: Weights, windows: MetaWindows, rate: float) -> float:
    """Return how near to zero any hidden unit is, by double precision."""
    double = [Layer(layer.weight.double(), layer.bias.double()) for layer in weights]
    past, targets, future = (part.double() for part in
                             (windows.past_inputs, windows.past_targets, windows.future_inputs))
    change, _ = inner_steps(double, past, targets, rate)
    units = [forward(double[:i], inputs, None if part is None else part[:i])
             for i in range(1, len(double)) for inputs, part in ((past, None), (future, change))]
    return min((float(layer.abs().min()) for layer in units), default=math.inf)


def _comparable_windows(problem: Problem) -> MetaWindows:
    """Return the batch whose hidden units keep away from zero best.

    At zero a rectifier, and with it the gradient, jumps, and of a million units some lie nearer to it than single
    precision can tell: there two right gradients differ.
    """
    weights = problem.weights()
    best = max(range(_DRAWS), key=lambda seed: _distance_from_kinks(weights, problem.windows(seed), problem.rate))
    return problem.windows(best)


def agreement_rows(problem: Problem, peers: Mapping[str, Contestant | None]) -> list[Row]:
    """Compare the gradients of one batch: largest difference, relative to the largest entry of its tensor."""
    windows = _comparable_windows(problem)
    mine = ours(problem.weights(), problem.rate).gradient(windows)
    rows = []
    for name, peer in peers.items():
        if peer is not None:
            difference = max(float((one - other).abs().max() / other.abs().max())
                             for one, other in zip(mine, peer.gradient(windows), strict=True))
            rows.append(at_most(f"difference from the gradient of {name}", difference, "relative", AGREEMENT))
    return rows


def _outer_step(contestant: Contestant, windows: MetaWindows) -> Callable[[], None]:
    optimizer = torch.optim.Adam(contestant.parameters, lr=1e-5, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        contestant.backward(windows)
        optimizer.step()

    return step


def training_rows(problem: Problem, peers: Mapping[str, Contestant | None], seconds: float, clock: Clock) -> list[Row]:
    """Measure second-order outer steps: loss, gradient, and the step of Adam."""
    with torch_threads(problem.threads):
        windows = problem.windows(0)
        contestants = {"single": ours(problem.weights(), problem.rate),
                       "half": ours(problem.weights(), problem.rate, torch.bfloat16)}
        contestants |= {name: peer for name, peer in peers.items() if peer is not None}
        taken = _take_turns({name: _outer_step(one, windows) for name, one in contestants.items()}, seconds, clock)
    transitions = problem.batch * (problem.past + problem.future)
    case = f"outer step of {problem.batch} windows, {problem.threads} threads, "
    single, half = taken["single"], taken["half"]
    rows = [_faster(f"{case}float32", single, name, taken.get(name), TARGETS[name]) for name in peers]
    rows.append(_faster(f"{case}bfloat16", half, "float32 of l2a_ros", single, 1.0))
    rows += [Row(f"training, {name}", transitions / time, "transitions/s")
             for name, time in (("float32", single), ("bfloat16", half))]
    rows += [Row(f"training, {name}", transitions / taken[name], "transitions/s") for name in peers if name in taken]
    return rows


def _faster(case: str, mine: float, peer: str, theirs: float | None, target: float) -> Row:
    if theirs is None:
        return Row(case, 1e3 * mine, "ms", peer=peer, target=target)
    return Row(case, 1e3 * mine, "ms", peer, 1e3 * theirs, theirs / mine, target, theirs / mine >= target)


def precision_row(problem: Problem) -> Row:
    """Train with both precisions from the same weights on the same windows, and compare on others."""
    losses = {}
    unseen = problem.windows(10**6, 4 * problem.batch)
    with torch_threads(problem.threads):
        for dtype in (None, torch.bfloat16):
            contestant = ours(problem.weights(), problem.rate, dtype)
            optimizer = torch.optim.Adam(contestant.parameters, lr=_LEARNING_RATE, fused=True)
            for step in range(problem.outer_steps):
                optimizer.zero_grad(set_to_none=True)
                contestant.backward(problem.windows(1000 + step))
                optimizer.step()
            with torch.no_grad():
                losses[dtype] = float(meta_loss(contestant.weights, problem.rate, unseen))
    mine, theirs = losses[torch.bfloat16], losses[None]
    return Row(f"validation loss after {problem.outer_steps} outer steps, bfloat16", mine, "normalised",
               "float32 of l2a_ros", theirs, theirs / mine, 1.0 - HALF_COST, theirs / mine >= 1.0 - HALF_COST)


def _autograd_step(weights: Weights, rate: float, inputs: Tensor,
                   targets: Tensor) -> Callable[[], tuple[list[Tensor], float, float, float]]:
    flat = [tensor.clone().requires_grad_() for layer in weights for tensor in (layer.weight, layer.bias)]

    def predict(own: list[Tensor]) -> Tensor:
        hidden = inputs
        for i in range(0, len(own), 2):
            hidden = linear(hidden, own[i], own[i + 1])
            hidden = torch.relu(hidden) if i + 2 < len(own) else hidden
        return hidden

    def step() -> tuple[list[Tensor], float, float, float]:
        loss = mse_loss(predict(flat), targets)
        gradients = torch.autograd.grad(loss, flat)
        with torch.no_grad():
            adapted = [tensor.sub(gradient, alpha=rate) for tensor, gradient in zip(flat, gradients, strict=True)]
            after = mse_loss(predict(adapted), targets)
            norm = rate * torch.nn.utils.get_total_norm(gradients)
        return adapted, float(loss.detach()), float(after), float(norm)

    return step


def online_row(problem: Problem, seconds: float, clock: Clock) -> Row:
    """Measure one online step with the losses before and after it and its norm, on one thread, beside autograd's."""
    windows, weights = problem.windows(0, 1), problem.weights()
    inputs, targets = windows.past_inputs[0], windows.past_targets[0]
    step = WindowStep(weights, problem.rate, problem.past)
    with torch_threads(1):
        taken = _take_turns({"ours": lambda: step(inputs, targets),
                             "autograd": _autograd_step(weights, problem.rate, inputs, targets)}, seconds, clock)
    return _faster(f"online step on {problem.past} transitions, 1 thread", taken["ours"], "autograd",
                   taken["autograd"], ONLINE_TARGET)


def learning_rows(clock: Clock, seconds: float = 30.0, problem: Problem = Problem()) -> tuple[list[Row], list[str]]:
    """Measure everything.

    Args:
        clock: gives the time, s.
        seconds: measuring in all; the rest (compared gradients, trained precisions) takes what it takes.
        problem: what is learned.

    Returns:
        The rows, and a line about each peer that is not on this machine.
    """
    peers, missing = find_peers(problem)
    # First, in a process that has not trained, as the robot's has not: large temporary tensors cost a page fault for
    # every page until training has left a heap to take them from, and then autograd's step takes half the time.
    rows = [online_row(problem, 0.2 * seconds, clock)]
    rows += agreement_rows(problem, peers)
    rows += training_rows(problem, peers, 0.8 * seconds, clock)
    rows.append(precision_row(problem))
    return rows, missing
