# SPDX-License-Identifier: Apache-2.0
"""Ray: the same recordings, and the same training within rounding, as without it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from synthetic import recordings

from l2a_ros.cli.main import main
from l2a_ros.errors import UserError
from l2a_ros.training.collect import Recording, collect, record_random_driving
from l2a_ros.training.fit import Trainer
from l2a_ros.training.ray_collect import collect_with_ray, ray_session
from l2a_ros.training.ray_fit import Task, train_with_ray
from l2a_ros.training.settings import TrainingSettings

#: A batch of 15 windows: two workers have shares of different sizes.
TINY = TrainingSettings(method="grbal", hidden_sizes=(24,), past=8, future=4, inner_rate=0.1, meta_batch=15,
                        learning_rate=5e-3, epochs=4, held_out=0.25, recurrent_size=8, seed=1)
DATA, ADDED = recordings(8), recordings(3, seed=9)


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    record_random_driving(Recording(tmp_path / "carpet_0000", "carpet", 0, 30, 0.1))
    for command in (["collect", "--out", str(tmp_path / "bags"), "--ray", "local"],
                    ["meta-train", "--bags", str(tmp_path / "carpet_0000"), "--out", str(tmp_path / "m.safetensors"),
                     "--ray", "local"]):
        assert main(command) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("l2a: error: Ray is not installed; install it with pip install 'l2a_ros[ray]'")


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    pytest.importorskip("ray")
    with ray_session("local", 2):
        yield


def test_recordings_are_the_same(session: None, tmp_path: Path) -> None:
    made = []
    for place, collector in ((tmp_path / "one", lambda plan: collect(plan, 1)),
                             (tmp_path / "ray", lambda plan: collect_with_ray(plan, record_random_driving))):
        plan = [Recording(place / f"carpet_{i}", "carpet", i, 5, 0.1) for i in range(3)]
        assert set(collector(plan)) == {recording.folder for recording in plan}
        assert list(collector(plan)) == [], "kept"
        made.append([{file.name: file.read_bytes() for file in recording.folder.iterdir()} for recording in plan])
    assert made[0] == made[1]


def test_what_a_recording_refuses_is_refused_in_one_line(session: None, tmp_path: Path) -> None:
    plan = [Recording(tmp_path / "never", "carpet", 0, 3, 0.1, ("mocap_dropout:100",))]
    with pytest.raises(UserError, match="^with mocap_dropout:100 the robot never knows its state") as caught:
        list(collect_with_ray(plan, record_random_driving))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", ["grbal", "rebal", "mb"])
def test_two_workers_train_as_one(session: None, tmp_path: Path, method: str) -> None:
    """The same loss curve and the same weights, from added data and with progress taken up from one process."""
    settings = dataclasses.replace(TINY, method=method, meta_batch=16 if method == "rebal" else 15)
    alone = Trainer(DATA, settings, 0.1, later=[ADDED])
    saved = tmp_path / "progress"
    alone.train_epoch()
    alone.save_progress(saved)
    while not alone.finished:
        alone.train_epoch()

    together = Trainer(DATA, settings, 0.1, later=[ADDED])
    epochs = list(train_with_ray(Task(DATA, settings, 0.1, [ADDED]), together, saved, 2))
    assert [epoch.epoch for epoch in epochs] == [2, 3, 4]
    assert together.finished
    assert together.history == [alone.history[0], *epochs]
    for one, other in zip(alone.history, together.history, strict=True):
        assert other.training == pytest.approx(one.training, rel=1e-5)
        assert other.before == pytest.approx(one.before, rel=1e-5)
        assert other.after == pytest.approx(one.after, rel=1e-5)
    for one, other in zip(alone.objective.parameters(), together.objective.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
    # And back: what Ray saved goes on in one process.
    resumed = Trainer(DATA, settings, 0.1, later=[ADDED])
    resumed.load_progress(saved)
    assert resumed.checkpoint().id == together.checkpoint().id
    assert list(train_with_ray(Task(DATA, settings, 0.1, [ADDED]), together, saved, 2)) == [], "nothing left to do"


def test_what_cannot_be_shared(session: None, tmp_path: Path) -> None:
    settings = dataclasses.replace(TINY, meta_batch=1)
    with pytest.raises(UserError, match="2 workers cannot share a meta-batch of 1 windows"):
        next(train_with_ray(Task(DATA, settings, 0.1), Trainer(DATA, settings, 0.1), tmp_path / "progress", 2))
