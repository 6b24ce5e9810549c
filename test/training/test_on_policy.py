# SPDX-License-Identifier: Apache-2.0
"""Driving with a model: it adapts, follows lines, explores a little, and depends on the seed alone."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1] / "learning"))
from learning_samples import make_small_checkpoint

from l2a_ros.cli.main import main
from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import read_bag
from l2a_ros.experience.dataset import read_recordings
from l2a_ros.learning.adapted_model import AdaptationStatus
from l2a_ros.learning.checkpoint import Checkpoint, save_checkpoint
from l2a_ros.learning.online import Adaptation, OnlineAdapter
from l2a_ros.robot.limits import LegRateLimits
from l2a_ros.training.collect import Recording, collect
from l2a_ros.training.on_policy import ASKEW, LOST, Lines, OnPolicy, OnPolicyDriver, plan_rollouts


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_checkpoint(make_small_checkpoint(), path)
    return path


def commands(bag: Path) -> np.ndarray:
    return np.array([message.message.velocity for message in read_bag(bag, ["/motor_commands"])])


def content(bag: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in bag.iterdir()}


def test_recordings_are_the_same_with_any_number_of_workers(model: Path, tmp_path: Path) -> None:
    policy = OnPolicy(model.read_bytes(), candidates=20)
    made = {}
    for workers in (1, 2):
        plan = plan_rollouts(tmp_path / str(workers), 1, 3, ["carpet", "turf"], [("missing_leg:front_right",)], 1.5,
                             0.1, 0)
        assert set(collect(plan, workers, policy)) == {recording.folder for recording in plan}
        made[workers] = [content(recording.folder) for recording in plan]
    assert made[1] == made[2]
    inline = dataclasses.replace(plan[0], folder=tmp_path / "inline" / plan[0].folder.name)
    inline.folder.parent.mkdir()
    threads = torch.get_num_threads()
    policy(inline)
    assert torch.get_num_threads() == threads
    assert content(inline.folder) == made[1][0]
    recordings, _ = read_recordings([tmp_path / "1"], 0.1)
    assert [sum(map(len, recording)) for recording in recordings] == [15, 15, 15]


def test_it_adapts_in_every_tick_and_plans_with_that(model: Path, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    adapted: list[Adaptation] = []
    plain = OnlineAdapter.adapt

    def adapt(self: OnlineAdapter, *arguments: object) -> Adaptation:
        adapted.append(plain(self, *arguments))  # type: ignore[arg-type]
        return adapted[-1]

    monkeypatch.setattr(OnlineAdapter, "adapt", adapt)
    OnPolicy(model.read_bytes(), candidates=20, exploration=0.0)(Recording(tmp_path / "a", "carpet", 1, 15, 0.1))
    statuses = [one.model.status for one in adapted]
    assert statuses[:6] == [AdaptationStatus.SHORT_WINDOW] * 6, "M = 6 transitions are needed"
    assert AdaptationStatus.SHORT_WINDOW not in statuses[6:]
    assert AdaptationStatus.ADAPTED in statuses[6:]
    # The same plans are not made by the trained weights alone.
    monkeypatch.setattr(OnlineAdapter, "adapt", lambda self, window, stamp: plain(self, None, stamp))
    OnPolicy(model.read_bytes(), candidates=20, exploration=0.0)(Recording(tmp_path / "b", "carpet", 1, 15, 0.1))
    a, b = commands(tmp_path / "a"), commands(tmp_path / "b")
    np.testing.assert_array_equal(a[:6], b[:6])
    assert not np.array_equal(a, b)


def test_exploration_is_a_share_of_the_time(model: Path, tmp_path: Path) -> None:
    def drive(share: float) -> np.ndarray:
        OnPolicy(model.read_bytes(), candidates=5, exploration=share)(
            Recording(tmp_path / f"{share}", "carpet", 3, 40, 0.1))
        return commands(tmp_path / f"{share}")[:-1]

    never, always, sometimes = drive(0.0), drive(1.0), drive(0.3)
    assert all(LegRateLimits().admits(rates) and np.any(rates) for rates in (*never, *always))
    explored = [any(np.array_equal(rates, other) for other in always) for rates in sometimes]
    assert 1 <= sum(explored) < 30
    assert not any(np.array_equal(rates, other) for rates in never for other in always)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match="exploration must be a share"):
            OnPolicy(b"", exploration=share)


def test_a_model_without_a_plan_explores(tmp_path: Path) -> None:
    """Weights that blow up in a rollout must not leave a robot that stands for ever."""
    checkpoint = make_small_checkpoint("mb")
    huge: Checkpoint = dataclasses.replace(checkpoint, weights=[
        type(layer)(layer.weight * 1e20, layer.bias) for layer in checkpoint.weights])
    save_checkpoint(huge, tmp_path / "huge.safetensors")
    assert torch.isfinite(load_file(tmp_path / "huge.safetensors")["layer0.weight"]).all()
    OnPolicy((tmp_path / "huge.safetensors").read_bytes(), exploration=0.0, candidates=5)(
        Recording(tmp_path / "run", "carpet", 0, 8, 0.1))
    assert np.all(np.any(commands(tmp_path / "run")[:-1], axis=1))


def test_methods(model: Path, tmp_path: Path) -> None:
    save_checkpoint(make_small_checkpoint("mb"), tmp_path / "mb.safetensors")
    for method in ("mb", "mb_de"):
        policy = OnPolicy((tmp_path / "mb.safetensors").read_bytes(), method, candidates=5)
        policy.check(0.1)
        policy(Recording(tmp_path / method, "carpet", 0, 12, 0.1))
    with pytest.raises(UserError, match="cannot adapt as mb_de"):
        OnPolicy(model.read_bytes(), "mb_de").check(0.1)
    with pytest.raises(UserError, match="predicts 0.1 s ahead"):
        OnPolicy(model.read_bytes()).check(0.05)


def test_lines_lie_in_front_and_follow_each_other() -> None:
    lines = Lines(0, 0.1)
    position, yaw = np.array([3.0, -2.0]), 2.0
    points = lines(position, yaw)
    assert points is not None
    np.testing.assert_allclose(points[0], position)
    assert lines(position, yaw) is None
    off = position + (LOST + 0.2) * np.array([-1.0, -1.0])
    assert lines(off, yaw) is not None, "lost: a new one"
    for _ in range(119):
        assert lines(off, yaw) is None
    points = lines(off, yaw)
    assert points is not None, "too slow: a new one"
    # Walk along it to its end.
    for begin, end in itertools.pairwise(points):
        for part in np.linspace(0.0, 1.0, 8, endpoint=False):
            assert lines(begin + part * (end - begin), yaw) is None or part > 0.5
    drawn = [shape for seed in range(40) for shape in [Lines(seed, 0.1)(np.zeros(2), 0.0)] if shape is not None]
    assert len({len(shape) for shape in drawn}) > 3, "shipped and drawn ones"
    directions = [np.arctan2(*(shape[1] - shape[0])[::-1]) for shape in drawn]
    assert np.abs(directions).max() < ASKEW + np.pi / 4.0 + 1e-6
    assert np.ptp(directions) > ASKEW


def test_a_trained_model_follows_its_lines(tmp_path: Path) -> None:
    """The shipped model, planning as on the robot, makes way along lines; random driving does not."""
    from l2a_ros.learning.checkpoint import load_checkpoint
    from l2a_ros.learning.checkpoint_file import shipped_checkpoint

    policy = OnPolicy(shipped_checkpoint("grbal").read_bytes(), exploration=0.0)
    policy(Recording(tmp_path / "run", "carpet", 0, 40, 0.1))
    [[segment]], _ = read_recordings([tmp_path / "run"], 0.1)
    way = float(torch.linalg.vector_norm((segment.next_states - segment.states)[:, :2], dim=1).sum())
    assert way > 0.8, "m in 4 s"
    driver = OnPolicyDriver(load_checkpoint(shipped_checkpoint("grbal")), policy, 0, 0.1)
    errors = []
    for i in range(len(segment)):
        driver(500_000_000 + i * 100_000_000, segment.states[i].double().numpy())
        projection = driver._lines._projection
        assert projection is not None
        errors.append(abs(float(projection.lateral_error[0])))
    assert np.mean(errors) < 0.15


def test_rollouts_are_drawn() -> None:
    faults = [("missing_leg:front_right",)]
    plans = [plan_rollouts(Path("x"), iteration, 40, ["carpet", "turf"], faults, 2.0, 0.1, 0) for iteration in (1, 2)]
    seeds = [recording.seed for plan in plans for recording in plan]
    assert len(set(seeds)) == 80
    assert {(recording.terrain, recording.faults) for recording in plans[0]} == {
        (terrain, fault) for terrain in ("carpet", "turf") for fault in ((), faults[0])}
    assert [r.terrain for r in plans[0]] != [r.terrain for r in plans[1]]
    assert plans[0][:10] == plan_rollouts(Path("x"), 1, 10, ["carpet", "turf"], faults, 2.0, 0.1, 0)
    for count, terrains, seconds, words in ((0, ["carpet"], 2.0, "rollouts must be"), (1, [], 2.0, "need a terrain"),
                                            (1, ["carpet"], 0.01, "longer than"),
                                            (1, ["lava"], 2.0, "unknown terrain")):
        with pytest.raises(UserError, match=words):
            plan_rollouts(Path("x"), 1, count, terrains, faults, seconds, 0.1, 0)


def test_command_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["collect", "--out", str(tmp_path / "bags"), "--terrain", "carpet", "--minutes", "0.05", "--run-seconds",
            "1", "--workers", "1"]
    assert main([*base, "--checkpoint", str(model), "--fault", "missing_leg:front_right", "--every-fault"]) == 0
    assert sorted(path.name for path in (tmp_path / "bags").iterdir()) == [
        f"carpet+missing_leg_front_right_{i:04d}" for i in range(3)]
    capsys.readouterr()
    for wrong in (["--checkpoint", str(tmp_path / "nothing.safetensors")], ["--method", "grbal"], ["--every-fault"],
                  ["--checkpoint", str(model), "--method", "mb"], ["--fault", "rust"],
                  ["--checkpoint", str(model), "--exploration", "2"],
                  ["--checkpoint", str(model), "--control-period", "0.05"]):
        assert main([*base, *wrong]) == 2
        error = capsys.readouterr().err
        assert error.startswith("l2a: error: ")
        assert error.count("\n") == 1
