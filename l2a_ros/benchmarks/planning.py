# SPDX-License-Identifier: Apache-2.0
"""How fast a tick adapts and plans, beside other planners on the same network, samples and horizon in the same run.

Everything that is compared takes turns, so that whatever else the machine does meets all of them; figures are medians.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear, relu

from l2a_ros.benchmarks.peers import PeerMissing
from l2a_ros.benchmarks.planning_peers import PEERS, Planner, PlanningProblem
from l2a_ros.benchmarks.table import Row, at_most
from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.adapted_model import AdaptationStatus
from l2a_ros.learning.checkpoint import Checkpoint, make_checkpoint
from l2a_ros.learning.checkpoint_file import ModelCard, layer_sizes
from l2a_ros.learning.network import Weights, initial_weights
from l2a_ros.learning.normalization import Normalization
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.learning.threads import torch_threads
from l2a_ros.planning.costs import PathCost, make_terms
from l2a_ros.planning.engine_choice import Choice, EngineSettings, choose, usable_cores
from l2a_ros.planning.line_follower import leg_rate_bounds
from l2a_ros.planning.line_path import LinePath
from l2a_ros.planning.planners import make_planner
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.planning.start_up import engine_probes, typical_state
from l2a_ros.robot.frames import apply_change, model_input, planar_pose, state_change
from l2a_ros.robot.layout import STATE, Frame
from l2a_ros.robot.limits import LegRateLimits

Clock = Callable[[], float]

HIDDEN = (512, 512, 512)
PAST = 16
#: Candidates and steps, with how many times as fast as pytorch-mppi a tick should be.
SIZES = (((500, 10), 2.5), ((1000, 20), 2.5), ((2000, 5), 2.5), ((2500, 30), 4.0))
#: The same for mbrl's cross-entropy method with as many iterations, each of as many candidates.
CEM_SIZE, CEM_ITERATIONS, CEM_TARGET = (500, 10), 5, 3.0
PEAK_SHARE, TAIL, BUSY = 75.0, 2.0, 2.5
#: Ours is measured so many times a turn, since its tail is looked at too.
_OURS_PER_TURN = 4
_FEWEST_TURNS, _BUSY_TICKS = 3, 120
_WEIGHTS = {"lateral": 50.0, "heading": 5.0, "forward_speed": 10.0}
_SPEED = 0.3
_PERIOD = 0.1


def make_model() -> Checkpoint:
    """Return a network of the benchmark's size, drawn, not trained, that sees the state as published."""
    generator = torch.Generator().manual_seed(0)
    states = _states(400, generator)
    actions = torch.rand(400, 2, generator=generator) * 40.0 + 13.0
    following = apply_change(states, torch.randn(400, STATE.size, generator=generator) * 0.02, Frame.MAP)
    card = ModelCard(method="grbal", hidden_sizes=HIDDEN, past=PAST, future=PAST, control_period=_PERIOD, inner_steps=1,
                     inner_rates=(0.01,) * (len(HIDDEN) + 1), frame=Frame.MAP)
    return make_checkpoint(card, initial_weights(layer_sizes(HIDDEN, Frame.MAP), generator),
                           Normalization.fit(model_input(states, actions, Frame.MAP)),
                           Normalization.fit(state_change(states, following, Frame.MAP)))


def _states(count: int, generator: torch.Generator) -> Tensor:
    return apply_change(torch.randn(count, STATE.size, generator=generator) * 0.5,
                        torch.randn(count, STATE.size, generator=generator))


def make_window(checkpoint: Checkpoint) -> Transitions:
    """Return transitions to adapt to: what the model predicts, and some noise, so that a step does good."""
    generator = torch.Generator().manual_seed(1)
    states = _states(PAST, generator)
    actions = torch.rand(PAST, 2, generator=generator) * 40.0 + 13.0
    noise = torch.randn(PAST, STATE.size, generator=generator) * 0.01
    return Transitions(states, actions, apply_change(checkpoint.predict(states, actions), noise, Frame.MAP))


class _Folded:
    """Takes the weights that a rollout would use."""

    def set_weights(self, weights: Weights) -> None:
        self.weights = weights

    def rollout(self, state: np.ndarray, actions: np.ndarray, out: np.ndarray) -> None:
        raise NotImplementedError


class Peer:
    """A tick with a planner of another library: our adaptation, its planning with plain PyTorch.

    Args:
        checkpoint: the network.
        make: makes the planner.
        size: candidates and steps.

    Raises:
        PeerMissing: the library cannot be imported.
    """

    def __init__(self, checkpoint: Checkpoint, make: Callable[[PlanningProblem], Planner],
                 size: tuple[int, int]) -> None:
        self._adapter, self._window = OnlineAdapter(checkpoint), make_window(checkpoint)
        self._folded = _Folded()
        self._engine = RolloutEngine(checkpoint, self._folded)
        limits = LegRateLimits()
        self._planner = make(PlanningProblem(self._dynamics, _peer_cost, torch.full((2,), limits.minimum),
                                             torch.full((2,), limits.maximum), STATE.size, *size))
        self._state = torch.from_numpy(typical_state(checkpoint).astype(np.float32))

    def _dynamics(self, states: Tensor, actions: Tensor) -> Tensor:
        *hidden, last = self._folded.weights
        signal = model_input(states, actions, Frame.MAP)
        for layer in hidden:
            signal = relu(linear(signal, layer.weight, layer.bias))
        return apply_change(states, linear(signal, last.weight, last.bias), Frame.MAP)

    def __call__(self) -> None:
        """Adapt and plan once."""
        self._engine.set_change(self._adapter.adapt(self._window, 0).model.change)
        self._planner.plan(self._state)


_VELOCITY, _YAW = STATE.indices(["velocity_x", "velocity_y"]), STATE.indices(["yaw_cos", "yaw_sin"])


def _peer_cost(states: Tensor, actions: Tensor) -> Tensor:
    position, yaw = planar_pose(states)
    forward = (states[:, _VELOCITY] * states[:, _YAW]).sum(dim=1)
    return (_WEIGHTS["lateral"] * position[:, 1].abs() + _WEIGHTS["heading"] * yaw.abs()
            + _WEIGHTS["forward_speed"] * (forward - _SPEED).abs())


class Ours:
    """A tick of ours: adapts and plans; the same cost.

    Args:
        checkpoint: the network.
        choice: what predicts.
        planner: name.
        settings: of the planner.
    """

    def __init__(self, checkpoint: Checkpoint, choice: Choice, planner: str, **settings: object) -> None:
        self._adapter, self._window = OnlineAdapter(checkpoint), make_window(checkpoint)
        self._engine = RolloutEngine(checkpoint, choice.backend, choice.exact)
        self._planner = make_planner(planner, {"bounds": leg_rate_bounds(LegRateLimits()), "period": _PERIOD,
                                               **settings})
        terms = make_terms({**{name: {"weight": weight} for name, weight in _WEIGHTS.items()},
                            "forward_speed": {"weight": _WEIGHTS["forward_speed"], "target": _SPEED},
                            "progress": {"weight": 0.0}})
        self._cost = PathCost(LinePath(np.array([[-100.0, 0.0], [100.0, 0.0]])), terms)
        self._state = typical_state(checkpoint)
        self._now = 0
        status = self._adapter.adapt(self._window, 0).model.status
        if status is not AdaptationStatus.ADAPTED:
            raise RuntimeError(f"the benchmark's model does not adapt: {status}")

    def __call__(self) -> None:
        """Adapt and plan once."""
        self._now += round(_PERIOD * 1e9)
        self._engine.set_change(self._adapter.adapt(self._window, self._now).model.change)
        cost = self._cost.at(self._cost.start(np.zeros(2)), np.full(2, 20.0))
        self._planner.plan(self._state, self._engine, cost, self._now)


class Peak:
    """A large matrix product in the precision that is used, by PyTorch: what the machine can do at best.

    Args:
        precision: ``float32`` or ``bfloat16``.
    """

    #: Multiplications and additions of one call.
    operations = 2 * 2048 * 512 * 512

    def __init__(self, precision: str) -> None:
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._rows, self._weight = torch.randn(2048, 512).to(dtype), torch.randn(512, 512).to(dtype)
        self._product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)

    def __call__(self) -> None:
        """Multiply."""
        with torch.inference_mode():
            if self._product is not None:
                self._product(self._rows, self._weight, None, "none", [], "")
            else:
                linear(self._rows, self._weight)


def operations(checkpoint: Checkpoint, candidates: int, horizon: int) -> int:
    """Return the multiplications and additions of predicting that many steps."""
    return 2 * candidates * horizon * sum(layer.weight.numel() for layer in checkpoint.weights)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many processes busy meanwhile."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _measured(case: Callable[[], None], clock: Clock, times: int, threads: int) -> list[float]:
    """Return durations, after one that is not measured: the one before has used the caches."""
    taken = []
    with torch_threads(threads):
        for _ in range(times + 1):
            begin = clock()
            case()
            taken.append(clock() - begin)
    return taken[1:]


def _size_rows(name: str, ours: Callable[[], None], peer: Callable[[], None] | None, peer_name: str, peak: Peak,
               amount: int, target: float, seconds: float, clock: Clock) -> list[Row]:
    threads = usable_cores()
    mine: list[float] = []
    theirs: list[float] = []
    peaks: list[float] = []
    end = clock() + seconds
    while len(peaks) < _FEWEST_TURNS or clock() < end:
        mine += _measured(ours, clock, _OURS_PER_TURN, 1)
        peaks += _measured(peak, clock, 2, threads)
        if peer is not None:
            theirs += _measured(peer, clock, 1, threads)
    median = statistics.median(mine)
    share = 100.0 * (amount / median) / (peak.operations / statistics.median(peaks))
    tail = float(np.percentile(mine, 99)) / median
    if peer is None:
        rows = [Row(name, median, "s", f"{peer_name} (missing)", None, None, target, None)]
    else:
        other = statistics.median(theirs)
        rows = [Row(name, median, "s", peer_name, other, other / median, target, other / median >= target)]
    return [*rows, Row(f"{name}: share of the matrix product's peak", share, "%", target=PEAK_SHARE,
                       met=share >= PEAK_SHARE), at_most(f"{name}: p99 over median", tail, "1", TAIL)]


def planning_rows(clock: Clock, seconds: float, say: Callable[[str], None] = print,
                  sizes: Sequence[tuple[tuple[int, int], float]] = SIZES) -> tuple[list[Row], list[str]]:
    """Measure ticks that adapt and plan.

    Args:
        clock: seconds.
        seconds: for measuring, in all.
        say: told what goes on.
        sizes: candidates and steps, with the target beside pytorch-mppi.

    Returns:
        The rows, and a line about each peer that is missing and about what predicts.
    """
    checkpoint = make_model()
    limits, terms = leg_rate_bounds(LegRateLimits()), make_terms({})
    choice = choose(checkpoint, EngineSettings(), engine_probes(checkpoint, terms, limits, 500, 10), clock)
    notes = [f"{choice.name} predicts, {usable_cores()} threads", *choice.refused]
    say(notes[0])
    peak = Peak(choice.precision)
    share = seconds / (len(sizes) + 2)
    rows: list[Row] = []
    for (candidates, horizon), target in sizes:
        say(f"{candidates} candidates of {horizon} steps")
        ours = Ours(checkpoint, choice, "mppi", candidates=candidates, horizon=horizon, iterations=1)
        peer = _peer(checkpoint, "pytorch-mppi", (candidates, horizon), notes)
        rows += _size_rows(f"adapt and plan, {candidates} x {horizon}", ours, peer, "pytorch-mppi", peak,
                           operations(checkpoint, candidates, horizon), target, share, clock)
    candidates, horizon = CEM_SIZE
    say(f"cem, {CEM_ITERATIONS} iterations of {candidates} candidates of {horizon} steps")
    total = CEM_ITERATIONS * candidates
    ours = Ours(checkpoint, choice, "cem", candidates=total, horizon=horizon, iterations=CEM_ITERATIONS)
    rows += _size_rows(f"adapt and plan, cem, {CEM_ITERATIONS} x {candidates} x {horizon}", ours,
                       _peer(checkpoint, "mbrl CEM", CEM_SIZE, notes), "mbrl CEM", peak,
                       operations(checkpoint, total, horizon), CEM_TARGET, share, clock)
    say("the same beside busy processes")
    rows.append(_busy_row(checkpoint, choice, clock))
    return rows, notes


def _peer(checkpoint: Checkpoint, name: str, size: tuple[int, int], notes: list[str]) -> Peer | None:
    try:
        return Peer(checkpoint, PEERS[name], size)
    except PeerMissing as error:
        if str(error) not in notes:
            notes.append(str(error))
        return None


def _busy_row(checkpoint: Checkpoint, choice: Choice, clock: Clock) -> Row:
    candidates, horizon = SIZES[0][0]
    ours = Ours(checkpoint, choice, "mppi", candidates=candidates, horizon=horizon, iterations=1)
    idle = statistics.median(_measured(ours, clock, _BUSY_TICKS, 1))
    with busy_processes(usable_cores()):
        busy = statistics.median(_measured(ours, clock, _BUSY_TICKS, 1))
    return at_most(f"adapt and plan, {candidates} x {horizon}: beside {usable_cores()} busy processes over idle",
                   busy / idle, "1", BUSY)
