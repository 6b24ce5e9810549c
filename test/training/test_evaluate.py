# SPDX-License-Identifier: Apache-2.0
"""Evaluation: the same numbers as written out by hand, whatever the method; what is compared is comparable."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import recordings

from l2a_ros.cli.main import main
from l2a_ros.experience.bag_writer import BagWriter
from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.adapted_model import AdaptationStatus
from l2a_ros.learning.checkpoint import Checkpoint, save_checkpoint
from l2a_ros.learning.network import forward
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.robot.frames import model_input, state_change
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.training.collect import joint_state
from l2a_ros.training.evaluate import ConditionResult, EvaluationSettings, evaluate, interval, summarise
from l2a_ros.training.evaluation_report import as_rows, draw, ratio_to_baseline, table
from l2a_ros.training.fit import Trainer
from l2a_ros.training.settings import TrainingSettings

SETTINGS = EvaluationSettings(future=4, horizon=3, first=10, stride=3)
TINY = TrainingSettings(hidden_sizes=(16,), past=6, future=4, inner_rate=0.1, recurrent_size=8, epochs=3, patience=9,
                        meta_batch=16, learning_rate=5e-3)


def trained(method: str, seed: int = 0) -> Checkpoint:
    trainer = Trainer(recordings(6), dataclasses.replace(TINY, method=method, seed=seed), 0.1)
    for _ in range(3):
        trainer.train_epoch()
    return trainer.checkpoint()


def as_adapter(method: str) -> OnlineAdapter:
    return OnlineAdapter(trained("mb" if method == "mb_de" else method), method)


@pytest.mark.parametrize("method", ["mb", "grbal", "rebal"])
def test_errors_are_those_written_out(method: str) -> None:
    adapter, [[run]] = as_adapter(method), recordings(1, seed=9, length=40)
    checkpoint = adapter.checkpoint
    errors = list(evaluate(adapter, [[run]], SETTINGS))
    moments = list(range(10, 40 - 4 + 1, 3))
    assert len(errors) == len(moments)
    x = (model_input(run.states, run.actions) - checkpoint.inputs.mean) / checkpoint.inputs.std
    y = (state_change(run.states, run.next_states) - checkpoint.outputs.mean) / checkpoint.outputs.std
    for error, now in zip(errors, moments, strict=True):
        assert error.before == pytest.approx(
            float((forward(checkpoint.weights, x[now:now + 4]) - y[now:now + 4]).square().mean()), rel=1e-4)
        window = Transitions(run.states[now - 6:now], run.actions[now - 6:now], run.next_states[now - 6:now])
        change = OnlineAdapter(checkpoint).adapt(window, 1).model.change
        predicted = forward(checkpoint.weights, x[now:now + 4], change or None)
        assert error.after == pytest.approx(float((predicted - y[now:now + 4]).square().mean()), rel=1e-4)
        state = run.states[now]
        for step in range(3):
            state = adapter.predict(state.unsqueeze(0), run.actions[now + step].unsqueeze(0), change)[0]
        plane = STATE.indices(["position_x", "position_y"])
        drift = float((state - run.next_states[now + 2])[plane].norm())
        assert error.drift_after == pytest.approx(drift, rel=1e-3, abs=1e-5)


def test_a_method_that_carries_on_sees_every_tick() -> None:
    adapter, [[run]] = as_adapter("mb_de"), recordings(1, seed=9, length=40)
    errors = list(evaluate(adapter, [[run]], SETTINGS))
    fresh = as_adapter("mb_de")
    x, y = fresh.checkpoint.normalise(run)
    for now in range(6, 40 - 4 + 1):
        change = fresh.adapt(Transitions(run.states[:now], run.actions[:now], run.next_states[:now]), 1).model.change
        if now >= 10 and (now - 10) % 3 == 0:
            predicted = forward(fresh.checkpoint.weights, x[now:now + 4], change or None)
            expected = float((predicted - y[now:now + 4]).square().mean())
            assert errors[(now - 10) // 3].after == pytest.approx(expected, rel=1e-4)


def test_recordings_do_not_know_of_each_other() -> None:
    """Steps that are carried on are forgotten between recordings and between segments."""
    one, other = recordings(2, seed=4, length=30)
    adapter = as_adapter("mb_de")
    apart = [error for run in (one, other) for error in evaluate(adapter, [run], SETTINGS)]
    together = list(evaluate(adapter, [one, other], SETTINGS))
    segments = list(evaluate(adapter, [[*one, *other]], SETTINGS))
    assert [error.after for error in apart] == [error.after for error in together]
    assert [error.after for error in apart] == [error.after for error in segments]
    assert [error.recording for error in together] == [0] * (len(together) // 2) + [1] * (len(together) // 2)


def test_units_do_not_depend_on_the_model() -> None:
    adapter, [run] = as_adapter("mb"), recordings(1, seed=2, length=30)
    own = [error.before for error in evaluate(adapter, [run], SETTINGS)]
    doubled = [error.before for error in evaluate(adapter, [run], SETTINGS, adapter.checkpoint.outputs.std * 2.0)]
    assert [4.0 * value for value in doubled] == pytest.approx(own, rel=1e-5)


def test_short_segments_are_left_out() -> None:
    assert not list(evaluate(as_adapter("grbal"), [recordings(1, length=13)[0]], SETTINGS))
    assert len(list(evaluate(as_adapter("grbal"), [recordings(1, length=14)[0]], SETTINGS))) == 1


def test_fall_backs_are_judged_as_the_robot_would_walk() -> None:
    """A step that makes its window worse is not taken, so that its error is that of the trained weights."""
    checkpoint = trained("grbal")
    rates = (1e4,) * len(checkpoint.weights)
    adapter = OnlineAdapter(checkpoint)
    adapter.configure(dataclasses.replace(adapter.settings, rates=rates, limit=0.0))
    errors = list(evaluate(adapter, recordings(1, length=30), SETTINGS))
    assert {error.status for error in errors} <= {AdaptationStatus.LOSS_INCREASE, AdaptationStatus.NOT_FINITE}
    assert all(error.after == error.before for error in errors)
    assert summarise("here", "grbal", [errors]).adapted == 0.0


# Reports -------------------------------------------------------------------------------------------------------------


def result(method: str, after: tuple[float, ...], condition: str = "carpet") -> ConditionResult:
    return ConditionResult(condition, method, len(after), 3, 9, tuple(value * 1.25 for value in after), after,
                           after, after, 0.0 if method == "mb" else 0.75)


def test_interval_is_students() -> None:
    assert math.isnan(interval([1.0]))
    # t(0.975, 4) = 2.776, of five numbers with a standard deviation of sqrt(2.5).
    assert interval([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2.776 * math.sqrt(2.5 / 5.0), rel=1e-3)


def test_ratio_pairs_models() -> None:
    results = [result("mb", (1.0, 2.0)), result("grbal", (0.5, 1.5)), result("mb", (9.0, 9.0), "turf"),
               result("rebal", (1.0,))]
    assert ratio_to_baseline(results[1], results) == (pytest.approx(0.625), pytest.approx(interval([0.5, 0.75])))
    assert ratio_to_baseline(results[0], results) is None
    assert ratio_to_baseline(results[3], results) is None, "not as many models"


def test_table_and_json_say_the_same() -> None:
    results = [result("mb", (1.0, 2.0)), result("grbal", (0.5, 1.5))]
    lines = table(results)
    assert len(lines) == 4
    assert "| carpet | `grbal` | 2 | 1.2500" in lines[3]
    assert "| -20.0 |" in lines[3]
    assert "| 25.0 |" in lines[3]
    rows = json.loads(json.dumps(as_rows(results)))
    assert rows[1]["mean_after"] == 1.0
    assert rows[1]["ratio_to_mb"] == 0.625
    assert rows[0]["ratio_to_mb"] is None


def test_mean_is_over_recordings() -> None:
    errors = list(evaluate(as_adapter("grbal"), [recordings(1, length=50)[0], recordings(1, 3, 20)[0]], SETTINGS))
    summary = summarise("here", "grbal", [errors])
    each = [np.mean([error.after for error in errors if error.recording == number]) for number in (0, 1)]
    assert summary.after[0] == pytest.approx(np.mean(each))
    assert (summary.recordings, summary.windows) == (2, len(errors))


def test_picture_is_drawn(tmp_path: Path) -> None:
    errors = {(condition, method): list(evaluate(as_adapter(method), [recordings(1, length=40)[0]], SETTINGS))
              for condition in ("carpet", "slope") for method in ("mb", "mb_de", "grbal")}
    picture = draw(errors)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5000
    assert draw({key: found for key, found in errors.items() if key[1] == "mb"}).startswith(b"\x89PNG")


# The command ---------------------------------------------------------------------------------------------------------


def write_bag(path: Path, run: Transitions) -> None:
    kind = "sensor_msgs/msg/JointState"
    with BagWriter(path) as bag:
        bag.add_topic("/robot_state", kind)
        bag.add_topic("/motor_commands", kind)
        for i, state in enumerate([*run.states, run.next_states[-1]]):
            stamp = (i + 1) * 100_000_000
            rates = run.actions[min(i, len(run) - 1)].numpy()
            bag.write_message("/robot_state", stamp, joint_state(STATE.names, stamp, state.numpy()))
            bag.write_message("/motor_commands", stamp, joint_state(ACTION.names, stamp, velocity=rates))


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bags")
    for i, [run] in enumerate(recordings(4, seed=3, length=40)):
        write_bag(folder / f"{'carpet' if i < 2 else 'slope'}_{i:04d}", run)
    return folder


def test_command(tmp_path: Path, bags: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for method in ("mb", "grbal"):
        for seed in (0, 1):
            save_checkpoint(trained(method, seed), tmp_path / f"{method}{seed}.safetensors")
    files = [str(tmp_path / f"{method}{seed}.safetensors") for method in ("grbal", "mb") for seed in (0, 1)]
    status = main(["evaluate", "--checkpoint", *files, "--bags", str(bags), "--future", "4", "--horizon", "3",
                   "--out", str(tmp_path / "out"), "--json", str(tmp_path / "out" / "figures.json")])
    assert status == 0
    printed = capsys.readouterr().out
    for condition in ("carpet", "slope"):
        for method in ("mb", "mb_de", "grbal"):
            assert f"| {condition} | `{method}` | 2 |" in printed
    assert (tmp_path / "out" / "table.md").read_text() in printed
    assert (tmp_path / "out" / "evaluation.png").stat().st_size > 5000
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert len(figures["rows"]) == 6
    assert len(figures["checkpoints"]) == 4
    ratios = {(row["condition"], row["method"]): row["ratio_to_mb"] for row in figures["rows"]}
    assert ratios["carpet", "mb"] is None
    assert ratios["slope", "grbal"] > 0.0


@pytest.mark.parametrize(("words", "says"), [
    (["--future", "0"], "future must be at least 1"),
    (["--method", "nothing"], "unknown method 'nothing'"),
    (["--method", "mb"], "was trained for 'grbal', which is not asked for"),
    (["--future", "500"], "transitions in a row"),
    (["--inner-rate", "-1"], "inner rates"),
])
def test_bad_words_are_one_line(tmp_path: Path, bags: Path, capsys: pytest.CaptureFixture[str], words: list[str],
                                says: str) -> None:
    save_checkpoint(trained("grbal"), tmp_path / "a.safetensors")
    status = main(["evaluate", "--checkpoint", str(tmp_path / "a.safetensors"), "--bags", str(bags),
                   "--out", str(tmp_path / "out"), *words])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 2
    assert error.startswith("l2a: error: ")
    assert says in error
    assert not (tmp_path / "out").exists(), "nothing is left behind"


def test_torch_is_left_alone() -> None:
    """Judging does not train."""
    adapter = as_adapter("grbal")
    before = [layer.weight.clone() for layer in adapter.checkpoint.weights]
    list(evaluate(adapter, recordings(1, length=30), SETTINGS))
    assert all(torch.equal(a, layer.weight) for a, layer in zip(before, adapter.checkpoint.weights, strict=True))
