# SPDX-License-Identifier: Apache-2.0
"""Training with Ray: data-parallel under Ray Train, the same steps as one process would take.

Every worker holds all data, draws the same windows from the same generator and takes its share of them; gradients are
averaged (DistributedDataParallel, gloo), so that each takes the same step. The driver writes the progress that the
first worker sends after every epoch: files are written where the command runs, and a run goes on with or without Ray.
"""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from l2a_ros.errors import UserError
from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.training.fit import EpochReport, Trainer
from l2a_ros.training.objective import Objective
from l2a_ros.training.ray_collect import import_ray
from l2a_ros.training.settings import TrainingSettings


@dataclass(frozen=True)
class Task:
    """What to train, as :class:`~l2a_ros.training.fit.Trainer` takes it."""

    recordings: Sequence[Sequence[Transitions]]
    settings: TrainingSettings
    control_period: float
    later: Sequence[Sequence[Sequence[Transitions]]] = ()
    start: Checkpoint | None = None
    progress: bytes | None = None


class DistributedWorkers:
    """The processes of the default group of ``torch.distributed``, as a trainer sees them."""

    def __init__(self) -> None:
        self.rank, self.count = torch.distributed.get_rank(), torch.distributed.get_world_size()

    def wrap(self, objective: Objective) -> Callable[[Tensor, Tensor], Tensor]:
        """Average the gradients of an objective."""
        return torch.nn.parallel.DistributedDataParallel(objective)

    def total(self, value: Tensor) -> Tensor:
        """Sum over all workers."""
        value = value.clone()
        torch.distributed.all_reduce(value)
        return value


def train_with_ray(task: Task, trainer: Trainer, saved: Path, workers: int) -> Iterator[EpochReport]:
    """Train the epochs that are missing; within a session.

    Args:
        task: what to train.
        trainer: made of the same task; has the result of an epoch when that epoch comes out.
        saved: progress file; goes on from it if it is there.
        workers: processes.

    Raises:
        UserError: if there are more workers than windows in a batch.
    """
    if workers > task.settings.meta_batch:
        raise UserError(f"{workers} workers cannot share a meta-batch of {task.settings.meta_batch} windows; "
                        "lower --workers or raise --meta-batch")
    if trainer.finished:
        return
    ray, train, train_torch = (import_ray(name) for name in ("ray", "ray.train", "ray.train.torch"))
    clerk = ray.remote(num_cpus=0)(_Clerk).remote()
    task = dataclasses.replace(task, progress=saved.read_bytes() if saved.exists() else None)
    with tempfile.TemporaryDirectory(prefix="l2a_ray_") as storage:
        run = train_torch.TorchTrainer(
            _work, train_loop_config={"task": ray.put(task), "clerk": clerk},
            scaling_config=train.ScalingConfig(num_workers=workers),
            torch_config=train_torch.TorchConfig(backend="gloo"), run_config=train.RunConfig(storage_path=storage))
        failure: list[BaseException] = []
        thread = threading.Thread(target=_fit, args=(run, ray, clerk, failure), daemon=True)
        thread.start()
        while (progress := ray.get(clerk.take.remote())) is not None:
            unfinished = saved.with_name(f".{saved.name}.unfinished")
            unfinished.write_bytes(progress)
            unfinished.replace(saved)
            trainer.load_progress(saved)
            yield trainer.history[-1]
        thread.join()
    if failure:
        raise RuntimeError(f"training with Ray failed: {failure[0]}") from failure[0]


class _Clerk:
    """Takes the progress of every epoch from the first worker to the driver."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def put(self, progress: bytes | None) -> None:
        await self._queue.put(progress)

    async def take(self) -> bytes | None:
        return await self._queue.get()


def _fit(run: Any, ray: Any, clerk: Any, failure: list[BaseException]) -> None:
    try:
        run.fit()
    except BaseException as error:  # noqa: BLE001 (the driver raises it)
        failure.append(error)
    finally:
        if ray.is_initialized():
            ray.get(clerk.put.remote(None))


def _work(config: dict[str, Any]) -> None:
    """Train as one of the workers."""
    ray = import_ray()
    task: Task = ray.get(config["task"])
    workers = DistributedWorkers()
    trainer = Trainer(task.recordings, task.settings, task.control_period, later=task.later, start=task.start,
                      workers=workers)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "progress"
        if task.progress is not None:
            file.write_bytes(task.progress)
            trainer.load_progress(file)
        while not trainer.finished:
            trainer.train_epoch()
            if workers.rank == 0:
                trainer.save_progress(file)
                ray.get(config["clerk"].put.remote(file.read_bytes()))
