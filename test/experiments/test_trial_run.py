# SPDX-License-Identifier: Apache-2.0
"""Trials of an experiment: repeatable, resumed after a kill, and never mixed with those of other settings."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from l2a_ros.cli.main import main
from l2a_ros.errors import UserError
from l2a_ros.experience.dataset import read_recordings
from l2a_ros.experiments import manager
from l2a_ros.experiments.definition import Condition, Variant, load_experiment
from l2a_ros.experiments.planning import PlanningSettings
from l2a_ros.experiments.results import load_results
from l2a_ros.experiments.trial_run import TrialJob, run_trial
from l2a_ros.learning.checkpoint import load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.training.collect import Recording, record_random_driving
from l2a_ros.training.fit import progress_file

#: Small, so that a trial takes a second.
PLANNING = PlanningSettings(candidates=24, horizon=5)


def make_job(root: Path, method: str = "grbal", seed: int = 0, faults: tuple[str, ...] = ()) -> TrialJob:
    """Return a trial of two seconds."""
    variant = Variant(method, method, shipped_checkpoint(method), PLANNING)
    return TrialJob(root, variant, Condition("c", "straight", faults=faults, duration=2.0), seed, pictures=False)


def read(folder: Path) -> str:
    """Return what a trial left, all of it."""
    return (folder / "report.json").read_text() + (folder / "trial.csv").read_text()


def test_a_trial_repeats(tmp_path: Path) -> None:
    """The same trial gives the same bytes; another seed, method or fault gives others."""
    jobs = [make_job(tmp_path / "a"), make_job(tmp_path / "b"), make_job(tmp_path / "c", seed=1),
            make_job(tmp_path / "d", method="mb"), make_job(tmp_path / "e", faults=("missing_leg:middle_left@1",))]
    first, again, *others = [read(run_trial(job)) for job in jobs]
    assert first == again
    assert len({first, *others}) == 4
    report = json.loads((jobs[0].folder / "report.json").read_text())
    # The recording holds all of it, and can be trained on.
    recordings, _ = read_recordings([jobs[0].folder / "bag"], 0.1)
    assert sum(len(each) for segments in recordings for each in segments) == 20
    assert report["steps"] == 20 and report["progress_m"] > 0.1 and report["lockstep"]
    assert report["experiment"]["variant"] == "grbal" and report["experiment"]["condition"] == "c"
    # The fault begins after a second and the half second of standing: until then nothing differs.
    healthy, broken = ((job.folder / "trial.csv").read_text().splitlines() for job in (jobs[0], jobs[4]))
    same = [one == other for one, other in zip(healthy, broken, strict=True)]
    assert all(same[:5]) and not all(same)


def test_a_trial_that_loses_its_state_ends(tmp_path: Path) -> None:
    """Without motion capture there is soon no state; the trial ends and says so, and what was walked is kept."""
    job = make_job(tmp_path, faults=("mocap_dropout:100@1",))
    job = replace(job, condition=replace(job.condition, duration=20.0))
    report = json.loads((run_trial(job) / "report.json").read_text())
    assert not report["completed"] and report["ended"] == "the state was lost"
    assert 3 < report["steps"] < 30


def test_other_settings_are_not_mixed(tmp_path: Path) -> None:
    """A finished trial counts only for the settings and the model it was run with, and stays where it is."""
    job = make_job(tmp_path)
    run_trial(job)
    assert manager.missing_jobs([job, make_job(tmp_path, seed=5)]) == [make_job(tmp_path, seed=5)]
    with pytest.raises(UserError, match="other settings"):
        manager.missing_jobs([replace(job, condition=replace(job.condition, duration=3.0))])
    (job.folder / "report.json").write_text("{")
    with pytest.raises(UserError, match="remove it"):
        manager.missing_jobs([job])
    assert job.folder.exists()


def write_experiment(folder: Path) -> Path:
    """Write an experiment of six short trials."""
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump({
        "seeds": 3, "duration": 2.0, "methods": ["grbal", "mb"],
        "planning": {"candidates": 24, "horizon": 5}, "conditions": [{"name": "plain", "path": "straight"}]}))
    return file


def test_killed_and_gone_on_with(tmp_path: Path) -> None:
    """Killed with trials under way, the run goes on later: none is lost, none is run again, nothing half is left."""
    file, out = write_experiment(tmp_path), tmp_path / "out"
    command = [sys.executable, "-m", "l2a_ros.cli", "experiment", "run", str(file), "--out", str(out), "--no-pictures"]
    process = subprocess.Popen([*command, "--workers", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finished: list[Path] = []
    while len(finished) < 2:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
        finished = sorted(out.glob("trials/*/*/[0-9]*/report.json"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = sorted(out.glob("trials/*/*/[0-9]*/report.json"))
    before = {report: (report.stat().st_mtime_ns, report.stat().st_ino) for report in finished}
    assert main([str(word) for word in command[3:]]) == 0
    jobs = manager.plan_jobs(load_experiment(file), out)
    assert all((job.folder / "report.json").is_file() for job in jobs) and len(jobs) == 6
    assert {report: (report.stat().st_mtime_ns, report.stat().st_ino) for report in finished} == before
    assert not list(out.glob("trials/*/*/.*"))
    assert manager.missing_jobs(jobs) == []
    assert len((out / "summary.csv").read_text().splitlines()) == 7 and (out / "report.html").is_file()
    # A trial does not depend on what ran beside it, nor on a kill before it.
    alone = replace(jobs[-1], root=tmp_path / "alone", pictures=False)
    assert read(run_trial(alone)) == read(jobs[-1].folder)
    runs = json.loads((out / "run.json").read_text())["runs"]
    assert runs[-1]["trials"] == 6 - len(finished)


def test_fewer_seeds_than_the_file_has_are_a_whole_experiment(tmp_path: Path) -> None:
    file, out = write_experiment(tmp_path), tmp_path / "out"
    command = ["experiment", "run", str(file), "--out", str(out), "--no-pictures", "--workers", "1"]
    assert main([*command, "--seeds", "1"]) == 0
    results = load_results(out)
    assert (results.planned, results.seeds, results.missing) == (2, (0,), ())
    assert main([*command, "--seeds", "2"]) == 0
    assert (load_results(out).planned, load_results(out).missing) == (4, ())
    (out / "run.json").write_text("{")
    assert main(command) == 2, "said before any trial is run"
    (out / "run.json").unlink()
    assert len(load_results(out).missing) == 2


def test_a_training_that_was_killed_is_finished_first(tmp_path: Path) -> None:
    """It leaves the model of its best epoch so far, which must not pass for the one that was asked for."""
    for seed in range(2):
        (tmp_path / "bags").mkdir(exist_ok=True)
        record_random_driving(Recording(tmp_path / "bags" / str(seed), "carpet", seed, 60, 0.1))
    model = tmp_path / "model.safetensors"
    words = ["meta-train", "--bags", str(tmp_path / "bags"), "--method", "mb", "--out", str(model), "--hidden", "8",
             "--past", "4", "--future", "4", "--epochs", "400", "--patience", "1000", "--threads", "1"]
    process = subprocess.Popen([sys.executable, "-m", "l2a_ros.cli", *words], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    while not (model.exists() and progress_file(model).exists()):
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert load_checkpoint(model).card.training["epochs_run"] < 400
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump({
        "duration": 1.0, "variants": [{"method": "mb", "checkpoint": str(model)}],
        "prepare": [{"makes": str(model), "command": shlex.join(words)}],
        "planning": {"candidates": 24, "horizon": 5}, "conditions": [{"name": "plain", "path": "straight"}]}))
    assert main(["experiment", "run", str(file), "--out", str(tmp_path / "out"), "--no-pictures"]) == 0
    assert not progress_file(model).exists()
    card = load_checkpoint(model).card
    assert card.training["epochs_run"] == 400
    assert card.command == f"l2a {shlex.join(words)}"


def test_two_runs_do_not_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run in the folder of one under way is refused in one line."""
    out = tmp_path / "out"
    out.mkdir()
    with manager.only_one(out):
        assert main(["experiment", "run", str(write_experiment(tmp_path)), "--out", str(out)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_says_what_it_would_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--list`` names everything and runs nothing; unknown files and folders are refused."""
    assert main(["experiment", "run", str(write_experiment(tmp_path)), "--out", str(tmp_path / "out"), "--list"]) == 0
    assert "0 of 6 trials" in capsys.readouterr().out and not (tmp_path / "out").exists()
    assert main(["experiment", "run", "nosuch"]) == 2
    assert "terrains" in capsys.readouterr().err
    assert main(["experiment", "report", str(tmp_path)]) == 2
