# SPDX-License-Identifier: Apache-2.0
"""Runs what is not there yet of an experiment: several trials at once, killed at any moment, gone on with later."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import l2a_ros
from l2a_ros.errors import UserError
from l2a_ros.experiments.definition import Experiment
from l2a_ros.experiments.results import DEFINITION, RUN
from l2a_ros.experiments.trial_run import TrialJob, run_trial
from l2a_ros.learning.checkpoint import load_checkpoint
from l2a_ros.trials.report import REPORT, write_file
from l2a_ros.worker_pool import run_jobs


def plan_jobs(experiment: Experiment, out: Path) -> list[TrialJob]:
    """Return every trial of an experiment, seed by seed: whatever is finished first compares all variants."""
    return [TrialJob(out, variant, condition, seed) for seed in experiment.seeds for condition in experiment.conditions
            for variant in experiment.variants]


def missing_jobs(jobs: list[TrialJob]) -> list[TrialJob]:
    """Return the trials that are not finished.

    Raises:
        UserError: for a trial that was run with other settings or another model; nothing is thrown away.
    """
    identities = {variant.checkpoint: load_checkpoint(variant.checkpoint, None).id
                  for variant in {job.variant.name: job.variant for job in jobs}.values()}
    missing = []
    for job in jobs:
        if not job.folder.exists():
            missing.append(job)
        elif _fingerprint(job.folder) != job.fingerprint(identities[job.variant.checkpoint]):
            raise UserError(f"{job.folder} is of a trial with other settings or another model; name another folder "
                            "with --out, or remove that one")
    return missing


def _fingerprint(folder: Path) -> str:
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        return str(report["experiment"]["fingerprint"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{folder} holds no report of a trial ({error}); remove it and run again") from None


def save_definition(experiment: Experiment, out: Path) -> None:
    """Keep the experiment's file beside its trials.

    Raises:
        UserError: if the folder cannot be written.
    """
    write_file(out / DEFINITION, experiment.text.encode())


def remove_unfinished(out: Path) -> None:
    """Remove what a killed run left of trials under way."""
    for leftover in out.glob("trials/*/*/.*.unfinished"):
        shutil.rmtree(leftover, ignore_errors=True)


def run_trials(jobs: list[TrialJob], workers: int) -> Iterator[Path]:
    """Run trials, several at once; yields each finished folder. A trial does not depend on the number of workers."""
    for job in jobs:
        job.folder.parent.mkdir(parents=True, exist_ok=True)
    yield from run_jobs(jobs, run_trial, workers)


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Keep another run away from the same folder; a killed one leaves no lock behind.

    Raises:
        UserError: if one is under way.
    """
    with (out / ".lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"another run works in {out}; wait for it, or name another folder with --out") from None
        yield


class RunNote:
    """What the report says about the runs themselves: ``run.json``.

    Args:
        out: folder of the experiment.
        experiment: what is run.
        started: when, ISO 8601.
        workers: trials at once.
    """

    def __init__(self, out: Path, experiment: Experiment, started: str, workers: int) -> None:
        self._file = out / RUN
        self._entry = {"started": started, "workers": workers}
        self._seeds = list(experiment.seeds)
        self._checkpoints = {each.name: {"file": each.checkpoint.name, "id": load_checkpoint(each.checkpoint).id,
                                         "command": load_checkpoint(each.checkpoint).card.command}
                             for each in experiment.variants}
        # A run that is killed has said which trials were asked for.
        self._write(self._runs())

    def add(self, seconds: float, trials: int) -> None:
        """Add one run: how long it took, s, and how many trials it was to do."""
        self._write([*self._runs(), {**self._entry, "seconds": round(seconds, 1), "trials": trials}])

    def _runs(self) -> list[dict[str, Any]]:
        if not self._file.is_file():
            return []
        try:
            runs: list[dict[str, Any]] = json.loads(self._file.read_text(encoding="utf-8"))["runs"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{self._file} cannot be read; remove it (the trials are kept) and run again") from None
        return runs

    def _write(self, runs: list[dict[str, Any]]) -> None:
        content = {"started": (runs or [self._entry])[0]["started"],
                   "seconds": round(sum(run["seconds"] for run in runs), 1) if runs else None,
                   "workers": self._entry["workers"],
                   "version": l2a_ros.__version__, "seeds": self._seeds, "checkpoints": self._checkpoints, "runs": runs}
        write_file(self._file, (json.dumps(content, indent=2) + "\n").encode())
