# SPDX-License-Identifier: Apache-2.0
"""Aggregation: the loop, what it refuses, and that a run that is killed ends as one that is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from synthetic import recordings

from l2a_ros.cli.main import main
from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import read_bag
from l2a_ros.learning.checkpoint import Checkpoint, load_checkpoint
from l2a_ros.training.aggregate import HISTORY, MODEL, RUN, Batch, Trained, aggregate, fingerprint
from l2a_ros.training.collect import Recording, record_random_driving
from l2a_ros.training.fit import Trainer
from l2a_ros.training.settings import TrainingSettings

TINY = TrainingSettings(method="mb", hidden_sizes=(8,), past=8, future=4, meta_batch=16, epochs=2, held_out=0.25)


class Stand:
    """Trains tiny models and drives a toy; remembers what it was asked."""

    def __init__(self) -> None:
        self.trained: list[tuple[int, list[int], str | None]] = []
        self.gathered: list[tuple[int, bytes]] = []

    def train(self, iteration: int, later: Sequence[Batch], start: Checkpoint | None, saved: Path) -> Trained:
        self.trained.append((iteration, [len(batch) for batch in later], start and start.id))
        trainer = Trainer(recordings(4), TINY, 0.1, later=later, start=start)
        while not trainer.finished:
            trainer.train_epoch()
            trainer.save_progress(saved)
        return Trained(trainer.checkpoint(), trainer.history)

    def gather(self, iteration: int, model: bytes, place: Path) -> Batch:
        self.gathered.append((iteration, model))
        return recordings(3, seed=iteration)


def test_every_iteration_trains_on_all_so_far_from_the_model_before(tmp_path: Path) -> None:
    stand = Stand()
    results = aggregate(tmp_path, 2, {"a": 1}, stand.train, stand.gather)
    ids = [result.checkpoint.id for result in results]
    assert stand.trained == [(0, [], None), (1, [3], ids[0]), (2, [3, 3], ids[1])]
    models = [(tmp_path / f"iteration_{i:02d}" / MODEL) for i in range(3)]
    assert stand.gathered == [(1, models[0].read_bytes()), (2, models[1].read_bytes())]
    assert [load_checkpoint(model).id for model in models] == ids
    card = results[-1].checkpoint.card.training
    assert card["iterations"] == 2
    transitions = [card[f"iteration_{i:02d}_transitions"] for i in range(3)]
    assert transitions == sorted(set(transitions))
    assert card["iteration_01_held_out_loss_after"] == results[1].checkpoint.card.training["held_out_loss_after"]
    assert [len(result.history) for result in results] == [2, 2, 2]
    assert not list(tmp_path.rglob("*.progress"))

    # Finished: nothing is done again. More iterations: only those.
    again = Stand()
    assert [result.checkpoint.id for result in aggregate(tmp_path, 2, {"a": 1}, again.train, again.gather)] == ids
    assert again.trained == []
    longer = aggregate(tmp_path, 3, {"a": 1}, again.train, again.gather)
    assert [trained[0] for trained in again.trained] == [3]
    assert longer[-1].checkpoint.card.training["iteration_00_transitions"] == transitions[0]


@pytest.mark.parametrize("lost", [[MODEL], [MODEL, HISTORY]])
def test_half_finished_iteration_is_made_again(tmp_path: Path, lost: list[str]) -> None:
    stand = Stand()
    ids = [result.checkpoint.id for result in aggregate(tmp_path, 2, {}, stand.train, stand.gather)]
    for name in lost:
        (tmp_path / "iteration_02" / name).unlink()
    again = Stand()
    assert [result.checkpoint.id for result in aggregate(tmp_path, 2, {}, again.train, again.gather)] == ids
    assert [trained[0] for trained in again.trained] == [2]


def test_what_is_refused(tmp_path: Path) -> None:
    stand = Stand()
    with pytest.raises(UserError, match="at least 0"):
        aggregate(tmp_path, -1, {}, stand.train, stand.gather)
    aggregate(tmp_path, 0, {"seed": 1, "past": 4}, stand.train, stand.gather)
    with pytest.raises(UserError, match="other seed; delete") as caught:
        aggregate(tmp_path, 0, {"seed": 2, "past": 4}, stand.train, stand.gather)
    assert "\n" not in str(caught.value)
    (tmp_path / "iteration_00" / HISTORY).write_text("[{]")
    with pytest.raises(UserError, match="is damaged; delete"):
        aggregate(tmp_path, 0, {"seed": 1, "past": 4}, stand.train, stand.gather)
    (tmp_path / RUN).write_text("")
    with pytest.raises(UserError, match="is damaged; delete"):
        aggregate(tmp_path, 0, {"seed": 1, "past": 4}, stand.train, stand.gather)


def test_fingerprint_is_of_the_numbers() -> None:
    assert fingerprint(recordings(3)) == fingerprint(recordings(3))
    assert len({fingerprint(recordings(3)), fingerprint(recordings(4)), fingerprint(recordings(3, seed=1)),
                fingerprint(recordings(3)[::-1])}) == 4


# The command ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bags")
    for i in range(3):
        record_random_driving(Recording(folder / f"carpet_{i:04d}", "carpet", i, 25, 0.1))
    return folder


def command(bags: Path, out: Path, *more: str) -> list[str]:
    return ["meta-train", "--bags", str(bags), "--out", str(out), "--hidden", "8", "--past", "4", "--future", "4",
            "--epochs", "4", "--meta-batch", "4", "--aggregate", "1", "--rollouts", "2", "--run-seconds", "1",
            "--terrain", "carpet", "--fault", "missing_leg:front_right", "--workers", "1", "--threads", "1", *more]


@pytest.fixture(scope="module")
def straight(bags: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the id of an uninterrupted run's checkpoint."""
    out = tmp_path_factory.mktemp("straight") / "model.safetensors"
    assert main(command(bags, out)) == 0
    checkpoint = load_checkpoint(out)
    assert checkpoint.card.training["iterations"] == 1
    assert checkpoint.card.sources == (bags.name, "on-policy 1")
    assert out.with_suffix(".png").stat().st_size > 1000
    return checkpoint.id


def _bags_in(rollouts: Path) -> int:
    return len(list(rollouts.glob("iteration_01/carpet*/metadata.yaml")))


#: When the process is killed, from the folder of rollouts.
MOMENTS = {
    "at the first progress": lambda rollouts: (rollouts / "iteration_00" / "training.progress").exists(),
    "when the first model is there": lambda rollouts: (rollouts / "iteration_00" / MODEL).exists(),
    "while a recording is made": lambda rollouts: bool(list(rollouts.glob("iteration_01/.carpet*"))),
    "after a recording": lambda rollouts: _bags_in(rollouts) >= 1,
    "while it trains on": lambda rollouts: (rollouts / "iteration_01" / "training.progress").exists(),
    "at the end": lambda rollouts: (rollouts / "iteration_01" / MODEL).exists(),
}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_runs_end_as_one_that_was_not(bags: Path, straight: str, tmp_path: Path, how: signal.Signals) -> None:
    """One run, ended at every moment in turn, and taken up again each time."""
    out = tmp_path / "model.safetensors"
    rollouts = tmp_path / "model.safetensors.rollouts"
    ended = 0
    for happened in MOMENTS.values():
        if happened(rollouts):
            continue
        with subprocess.Popen([sys.executable, "-m", "l2a_ros.cli", *command(bags, out)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, start_new_session=True, text=True) as process:
            while process.poll() is None and not happened(rollouts):
                time.sleep(0.0005)
            # At Ctrl-C the whole group gets the signal.
            os.killpg(process.pid, how) if how == signal.SIGINT and process.poll() is None else process.send_signal(how)
            process.wait(60)
            said = process.stderr.read() if process.stderr is not None else ""
        ended += process.returncode in (-how, 130)
        assert process.returncode in (-how, 130, 0), said
        assert "Traceback" not in said
        _check_whole(tmp_path)
    assert ended >= 3
    assert main(command(bags, out)) == 0
    assert load_checkpoint(out).id == straight
    assert not list(tmp_path.rglob("*.progress"))


def _check_whole(place: Path) -> None:
    """Whatever is there under its own name is whole."""
    for model in place.rglob("*.safetensors"):
        if model.is_file() and not model.name.startswith("."):
            load_checkpoint(model)
    for file in place.rglob("*.json"):
        json.loads(file.read_text())
    for bag in place.glob("*.rollouts/iteration_01/carpet*"):
        assert len(list(read_bag(bag, ["/robot_state"]))) == 11


def test_bad_input_is_one_line(bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.safetensors"
    for more in (["--rollouts", "0"], ["--aggregate", "-1"], ["--workers", "0"], ["--terrain", "lava"],
                 ["--fault", "rust"], ["--exploration", "1.5"], ["--iteration-epochs", "0"], ["--run-seconds", "0.01"],
                 ["--start", str(tmp_path / "nothing.safetensors")]):
        assert main(command(bags, out, *more)) == 2
        error = capsys.readouterr().err
        assert error.startswith("l2a: error: ")
        assert error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing was begun"


def test_a_run_with_other_settings_is_refused(bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.safetensors"
    assert main(command(bags, out, "--aggregate", "0")) == 0
    assert not (tmp_path / "model.safetensors.rollouts").exists()
    assert main(command(bags, out)) == 0
    capsys.readouterr()
    assert main(command(bags, out, "--rollouts", "3")) == 2
    assert "other rollouts; delete" in capsys.readouterr().err
    assert main(command(bags, out, "--seed", "3")) == 2
    assert "other settings; delete" in capsys.readouterr().err


def test_later_iterations_may_have_fewer_epochs(bags: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    assert main(command(bags, out, "--iteration-epochs", "1")) == 0
    training = load_checkpoint(out).card.training
    assert (training["iteration_00_epochs_run"], training["iteration_01_epochs_run"]) == (4, 1)
