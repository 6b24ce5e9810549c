# SPDX-License-Identifier: Apache-2.0
"""Collecting with Ray: every recording is a task, made on whatever machine is free and written here."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from l2a_ros.errors import UserError
from l2a_ros.training.collect import Record, Recording, missing_recordings

#: Files of one bag: name and content.
Files = list[tuple[str, bytes]]
LOCAL = "local"


def import_ray(module: str = "ray") -> Any:
    """Import Ray or a part of it.

    Raises:
        UserError: naming the extra if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError("Ray is not installed; install it with pip install 'l2a_ros[ray]', "
                        "or leave out --ray") from None


@contextmanager
def ray_session(address: str, workers: int) -> Iterator[None]:
    """Use Ray while in the block.

    Args:
        address: ``local`` for this machine alone, or that of a running cluster (``HOST:PORT``, ``ray://HOST:PORT``,
            ``auto``).
        workers: processors to use on this machine, for ``local``.

    Raises:
        UserError: if Ray is not installed or the cluster does not answer.
    """
    ray = import_ray()
    where: dict[str, Any] = {"address": LOCAL, "num_cpus": max(1, workers), "include_dashboard": False}
    if address != LOCAL:
        where = {"address": address}
    try:
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        raise UserError(f"Ray does not start at '{address}' ({lines[0] if lines else type(error).__name__}); "
                        "write --ray local or the address of a running cluster") from None
    try:
        yield
    finally:
        ray.shutdown()


def collect_with_ray(recordings: Sequence[Recording], record: Record) -> Iterator[Path]:
    """Make the recordings that do not exist yet, as :func:`~l2a_ros.training.collect.collect` does; within a session.

    Machines of a cluster need this package, but no folder in common: bags travel.

    Raises:
        UserError: as the recording itself would.
    """
    ray = import_ray()
    missing = missing_recordings(recordings)
    # One copy per machine: a record may hold a model.
    shared = ray.put(record)
    task = ray.remote(_record)
    jobs = {task.remote(shared, recording): recording for recording in missing}
    try:
        while jobs:
            (done, *_), _ = ray.wait(list(jobs))
            recording = jobs.pop(done)
            try:
                files = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, UserError):
                    raise UserError(str(error.cause)) from None
                raise
            yield _write(recording.folder, files)
    finally:
        for job in jobs:
            ray.cancel(job, force=True)


def _record(record: Record, recording: Recording) -> Files:
    """Make a recording somewhere and return its files."""
    with tempfile.TemporaryDirectory() as place:
        bag = record(dataclasses.replace(recording, folder=Path(place) / recording.folder.name))
        return [(file.name, file.read_bytes()) for file in sorted(bag.iterdir())]


def _write(folder: Path, files: Files) -> Path:
    """Write a bag; it appears whole or not at all."""
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for name, content in files:
        (unfinished / name).write_bytes(content)
    unfinished.rename(folder)
    return folder
