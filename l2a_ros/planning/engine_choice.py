# SPDX-License-Identifier: Apache-2.0
"""Which backend computes the rollouts: the fastest one here that agrees with single precision, by measurement."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.planning.native_rollout import Kernel, NativeRollout, native_kernels
from l2a_ros.planning.plan import Cost
from l2a_ros.planning.rollout import Backend, RolloutEngine
from l2a_ros.planning.sampling import FINALISTS
from l2a_ros.planning.torch_rollout import TorchRollout
from l2a_ros.robot.frames import frame_tables
from l2a_ros.robot.layout import STATE

AUTO = "auto"
SINGLE = "float32"
#: The best sequence found by way of bfloat16 may be worse than that of single precision by this share.
AGREEMENT = 0.01
#: Every backend is timed so often, after the probes have warmed it up.
_REPEATS = 8


@dataclass(frozen=True)
class EngineSettings:
    """What may compute.

    Args:
        engine: ``native`` (compiled), ``torch``, or ``auto`` for either.
        device: ``cpu``, ``cuda``, or ``auto`` for either.
        precision: of the hidden layers: ``float32``, ``bfloat16``, or ``auto`` for either.
        threads: of the processor; 0 for as many as this process may use.
    """

    engine: str = AUTO
    device: str = AUTO
    precision: str = AUTO
    threads: int = 0

    @property
    def thread_count(self) -> int:
        """How many threads that is."""
        return self.threads or usable_cores()


def usable_cores() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Probe:
    """A planning problem to compare backends on.

    Args:
        state: ``(24,)``.
        actions: ``(n, h, 2)`` float32.
        cost: of the trajectories.
    """

    state: np.ndarray
    actions: np.ndarray
    cost: Cost


@dataclass(frozen=True)
class Option:
    """A backend that this machine has.

    Args:
        name: such as ``native avx512_bf16``.
        precision: of its hidden layers.
        make: builds it.
    """

    name: str
    precision: str
    make: Callable[[], Backend]


@dataclass(frozen=True)
class Choice:
    """The backend to use.

    Args:
        name: of the option.
        precision: of its hidden layers.
        backend: to compute with.
        exact: in single precision, to decide between what it finds best; None if it is itself.
        seconds: of one probe; NaN if not measured.
        refused: options that were not taken because they disagree with single precision, with why.
    """

    name: str
    precision: str
    backend: Backend
    exact: Backend | None
    seconds: float
    refused: tuple[str, ...] = ()


def options(checkpoint: Checkpoint, settings: EngineSettings) -> list[Option]:
    """Return the backends that the settings allow and this machine has, those in single precision first.

    Raises:
        UserError: if there is none, with what is missing.
    """
    if settings.device == "cuda" and settings.engine == "native":
        raise UserError("engine 'native' computes on the processor; use device 'cpu', or engine 'torch'")
    found: list[Option] = []
    has_cuda = torch.cuda.is_available()
    if settings.device == "cuda" and not has_cuda:
        raise UserError("device 'cuda' needs a graphics processor that PyTorch can use; there is none, so use 'cpu'")
    if settings.device != "cuda" and settings.engine != "torch":
        found += _native(checkpoint, settings.thread_count)
        if settings.engine == "native" and not found:
            raise UserError("engine 'native' needs the compiled rollout, which this installation lacks; install a C "
                            "compiler and install l2a_ros again, or use engine 'torch'")
    if settings.engine != "native":
        devices = ["cpu"] * (settings.device != "cuda") + ["cuda"] * (settings.device != "cpu" and has_cuda)
        found += [_torch(checkpoint, device, dtype, settings.thread_count) for device in devices
                  for dtype in (torch.float32, torch.bfloat16) if dtype is torch.float32 or _has_bfloat16(device)]
    found = [option for option in found if settings.precision in (AUTO, option.precision)]
    if not found:
        raise UserError(f"this machine has no {settings.engine} rollout in {settings.precision} on {settings.device}; "
                        "use precision 'float32', or 'auto'")
    return sorted(found, key=lambda option: option.precision != SINGLE)


def _native(checkpoint: Checkpoint, threads: int) -> list[Option]:
    kernels = native_kernels()
    single = [kernel for kernel in kernels if kernel is not Kernel.AVX512_BF16][-1:]
    half = [kernel for kernel in kernels if kernel is Kernel.AVX512_BF16]

    def make(kernel: Kernel) -> Callable[[], Backend]:
        return lambda: NativeRollout(kernel, _sizes(checkpoint), frame_tables(checkpoint.frame), STATE.size, threads)

    return [Option(f"native {kernel.name.lower()}", "bfloat16" if kernel in half else "float32", make(kernel))
            for kernel in (*single, *half)]


def _sizes(checkpoint: Checkpoint) -> list[int]:
    weights = checkpoint.weights
    return [weights[0].weight.shape[1], *(layer.weight.shape[0] for layer in weights)]


def _torch(checkpoint: Checkpoint, device: str, dtype: torch.dtype, threads: int) -> Option:
    precision = str(dtype).removeprefix("torch.")
    return Option(f"torch {device} {precision}", precision,
                  lambda: TorchRollout(checkpoint.frame, device, dtype, threads))


def _has_bfloat16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return bool(supported is not None and supported())


def choose(checkpoint: Checkpoint, settings: EngineSettings, probes: Sequence[Probe],
           clock: Callable[[], float] | None) -> Choice:
    """Choose a backend.

    One in bfloat16 has one in single precision beside it, which decides between the sequences that it finds best. It is
    taken only if on every probe what comes out costs at most ``AGREEMENT`` more than what is best in single precision.

    Args:
        checkpoint: the model.
        settings: what may compute.
        probes: problems to compare and time them on.
        clock: seconds; None to take the first that agrees unmeasured, which is the same one every time.

    Raises:
        UserError: if there is none.
    """
    reference = RolloutEngine(checkpoint)
    costs = [probe.cost(reference.rollout(probe.state, probe.actions), probe.actions) for probe in probes]
    agreeing: list[tuple[Option, Backend]] = []
    refused: list[str] = []
    for option in options(checkpoint, settings):
        try:
            backend = option.make()
            finalists = 1 if option.precision == SINGLE else FINALISTS
            gaps = [disagreement(RolloutEngine(checkpoint, backend), probe, truth, finalists)
                    for probe, truth in zip(probes, costs, strict=True)]
        except RuntimeError as error:
            refused.append(f"{option.name} does not run: {str(error).splitlines()[0]}")
            continue
        if all(gap <= AGREEMENT for gap in gaps):
            agreeing.append((option, backend))
        else:
            refused.append(f"{option.name} is off by {100.0 * max(gaps):.1f} %")
    if not agreeing:
        raise UserError(f"no rollout agrees with single precision: {'; '.join(refused)}; use precision 'float32'")
    engines = [RolloutEngine(checkpoint, backend) for _, backend in agreeing]
    seconds = [float("nan")] * len(engines) if clock is None or not probes else _timed(engines, probes[0], clock)
    best = 0 if clock is None or not probes else int(np.argmin(seconds))
    option, backend = agreeing[best]
    exact = None if option.precision == SINGLE else _exact(checkpoint, settings)
    return Choice(option.name, option.precision, backend, exact, seconds[best], tuple(refused))


def _exact(checkpoint: Checkpoint, settings: EngineSettings) -> Backend:
    """Return the best backend in single precision on the processor: it predicts a few sequences alone."""
    single = EngineSettings(device="cpu", precision=SINGLE, threads=settings.threads,
                            engine="torch" if settings.engine == "torch" else AUTO)
    return options(checkpoint, single)[0].make()


def disagreement(engine: RolloutEngine, probe: Probe, truth: np.ndarray, finalists: int = FINALISTS) -> float:
    """Return how much more the best of the engine's finalists costs than the best sequence, as a share of its cost.

    Args:
        engine: to judge.
        probe: the problem.
        truth: cost of every sequence in single precision, ``(n,)``.
        finalists: sequences that the engine finds best and an exact one decides between; 1 where none does.
    """
    costs = probe.cost(engine.rollout(probe.state, probe.actions), probe.actions)
    finite = np.isfinite(truth)
    if not finite.any():
        return 0.0
    order = np.argsort(np.where(np.isfinite(costs), costs, np.inf), kind="stable")
    chosen = order[np.isfinite(costs[order])][:finalists]
    if not len(chosen):
        return float("inf")
    best = float(truth[finite].min())
    # Costs pass through zero, where a share of them means nothing.
    scale = max(abs(best), float(truth[finite].std()), 1e-9)
    return float((np.where(finite, truth, np.inf)[chosen].min() - best) / scale)


def _timed(engines: Sequence[RolloutEngine], probe: Probe, clock: Callable[[], float]) -> list[float]:
    """Return the shortest of some durations of each engine: what else the machine does only makes one longer.

    They take turns, so that a busy moment does not hit one of them alone.
    """
    durations = np.full((_REPEATS, len(engines)), np.inf)
    for round_ in range(_REPEATS):
        for i, engine in enumerate(engines):
            begin = clock()
            engine.rollout(probe.state, probe.actions)
            durations[round_, i] = clock() - begin
    shortest: list[float] = durations.min(axis=0).tolist()
    return shortest
