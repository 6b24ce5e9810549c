# SPDX-License-Identifier: Apache-2.0
"""``l2a experiment``: a matrix of trials from one file, in lock-step, several at once; goes on where it was stopped."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from l2a_ros.robot.share import share_file, shared_names

if TYPE_CHECKING:
    from l2a_ros.experiments.definition import Experiment
    from l2a_ros.experiments.trial_run import TrialJob

_FOLDER, _SUFFIX = "config/experiments", ".yaml"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("experiment", help="run a matrix of trials and report", description=__doc__)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    run_parser = actions.add_parser("run", help="run what is not finished yet, then write the report")
    run_parser.add_argument("file", metavar="FILE", help="experiment (YAML), or the name of a shipped one: "
                                                         f"{', '.join(shared_names(_FOLDER, _SUFFIX))}")
    run_parser.add_argument("--out", type=Path, help="folder (default: runs/<name of the file>)")
    run_parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="trials at once (default: cores)")
    run_parser.add_argument("--seeds", type=int, help="so many seeds instead of the file's")
    run_parser.add_argument("--no-pictures", action="store_true", help="draw no picture of each trial")
    run_parser.add_argument("--list", action="store_true", help="only say what is to be run")
    run_parser.set_defaults(run=run)
    report = actions.add_parser("report", help="write the report of what is finished so far")
    report.add_argument("out", type=Path, metavar="FOLDER", help="folder of the experiment")
    report.set_defaults(run=write_report_of)


def run(args: argparse.Namespace) -> int:
    """Prepare, run and report; return 1 if a claim of the experiment does not hold."""
    from dataclasses import replace

    from l2a_ros.errors import UserError
    from l2a_ros.experiments import manager
    from l2a_ros.experiments.definition import load_experiment
    from l2a_ros.trials.report import check_folder

    if args.workers < 1 or (args.seeds is not None and args.seeds < 1):
        raise UserError("--workers and --seeds must be at least 1")
    file = find_experiment(args.file)
    experiment = load_experiment(file)
    if args.seeds is not None:
        experiment = replace(experiment, seeds=tuple(range(args.seeds)))
    out = (args.out or Path("runs") / file.stem).absolute()
    jobs = [replace(job, pictures=not args.no_pictures) for job in manager.plan_jobs(experiment, out)]
    if args.list:
        _list(experiment, jobs)
        return 0
    check_folder(out)
    with manager.only_one(out):
        begun = time.monotonic()
        manager.remove_unfinished(out)
        _prepare(experiment)
        missing = manager.missing_jobs(jobs)
        manager.save_definition(experiment, out)
        note = manager.RunNote(out, experiment, datetime.now(UTC).isoformat(timespec="seconds"), args.workers)
        try:
            _run_jobs(jobs, missing, args.workers)
        finally:
            note.add(time.monotonic() - begun, len(missing))
        return _report(out)


def find_experiment(text: str) -> Path:
    """Return the file of an experiment: a shipped one by name, or a path.

    Raises:
        UserError: if there is none.
    """
    from l2a_ros.errors import UserError

    known = shared_names(_FOLDER, _SUFFIX)
    if text in known:
        return share_file(*_FOLDER.split("/"), text + _SUFFIX)
    if not Path(text).is_file():
        raise UserError(f"experiment '{text}' is no file, and none of the shipped ones: {', '.join(known)}")
    return Path(text)


def _list(experiment: Experiment, jobs: Sequence[TrialJob]) -> None:
    print(f"{experiment.title}: {len(experiment.variants)} variants x {len(experiment.conditions)} conditions x "
          f"{len(experiment.seeds)} seeds, {sum(job.folder.exists() for job in jobs)} of {len(jobs)} trials finished")
    for each in experiment.preparations:
        print(f"  {'there' if each.makes.exists() else 'to make'}: {each.makes}  (l2a {' '.join(each.command)})")
    for variant in experiment.variants:
        print(f"  variant {variant.name}: {variant.method}, {variant.planning.planner}, {variant.checkpoint}")
    for condition in experiment.conditions:
        faults = "".join(f", {fault}" for fault in condition.faults)
        print(f"  condition {condition.name}: {condition.path} on {condition.terrain}{faults}")


def _prepare(experiment: Experiment) -> None:
    from l2a_ros.cli.main import main
    from l2a_ros.errors import UserError
    from l2a_ros.training.fit import progress_file

    for each in experiment.preparations:
        # Collections and trainings go on where they were stopped: a folder may be there with a part of its bags, a
        # model of some epochs beside its progress.
        if each.makes.is_file() and not progress_file(each.makes).exists():
            continue
        print(f"l2a {' '.join(each.command)}", flush=True)
        if main(each.command) or not each.makes.exists():
            raise UserError(f"'l2a {' '.join(each.command)}' did not make {each.makes}")


def _run_jobs(jobs: Sequence[TrialJob], missing: Sequence[TrialJob], workers: int) -> None:
    from tqdm import tqdm

    from l2a_ros.experiments.manager import run_trials

    with tqdm(total=len(jobs), initial=len(jobs) - len(missing), unit="trial", desc="experiment",
              smoothing=0.1) as progress:
        for _ in run_trials(list(missing), workers):
            progress.update()


def write_report_of(args: argparse.Namespace) -> int:
    """Write the report of what is finished."""
    from l2a_ros.errors import UserError

    if not (args.out / "trials").is_dir():
        raise UserError(f"{args.out} holds no trials of an experiment")
    return _report(args.out.absolute())


def _report(out: Path) -> int:
    """Write the report; return 1 if a claim does not hold or cannot be judged yet."""
    from l2a_ros.experiments.report_page import write_report
    from l2a_ros.experiments.results import load_results
    from l2a_ros.experiments.verdicts import tally

    print(write_report(out))
    verdicts = load_results(out).verdicts
    if verdicts:
        print(tally(verdicts))
    return int(not all(verdict.holds for verdict in verdicts))
