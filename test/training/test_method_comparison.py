# SPDX-License-Identifier: Apache-2.0
"""Several methods on one recording: the windows of the node, errors in honest units, the same states as the nodes."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from experience.driving_samples import STEP, drive, driving_state, write_samples
from experience.replay_bags import walking_bag

from l2a_ros.cli.main import main
from l2a_ros.errors import UserError
from l2a_ros.estimation.state_estimator import StateEstimator
from l2a_ros.experience.replay_plan import make_plan
from l2a_ros.experience.replay_sources import RECORDED_STATES, SENSORS
from l2a_ros.experience.replay_topics import choose_replay_topics
from l2a_ros.experience.transitions import Episode
from l2a_ros.learning.checkpoint import load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.learning.rules import AdaptationSettings
from l2a_ros.training.comparison_report import comparison_figures, comparison_table
from l2a_ros.training.method_comparison import Comparison, Contender
from l2a_ros.training.replayed_states import run_comparison


def contender(method: str, **values: Any) -> Contender:
    checkpoint = load_checkpoint(shipped_checkpoint(method), method)
    settings = dataclasses.replace(AdaptationSettings.of(checkpoint, method), **values)
    return Contender(method, OnlineAdapter(checkpoint, method, settings))


def driven(comparison: Comparison, ticks: int, gap: int = 0) -> list[np.ndarray]:
    """Let the contenders see a drive; returns its states. A gap leaves one tick out."""
    rates, states = np.array([30.0, 40.0]), []
    for i in range(ticks):
        states.append(driving_state(0.1 * i))
        if not gap or i != gap:
            comparison.tick(50 * STEP + i * STEP, states[-1], rates, rates)
    return states


def test_errors_are_those_of_the_prediction_from_the_same_window() -> None:
    # No robot drives like this; steps as long as trained make predictions of it worse and are not taken.
    small = {"limit": 0.3}
    comparison = Comparison([contender("grbal", **small), contender("mb")], future=3)
    states = driven(comparison, 14)
    adapter = contender("grbal", **small).adapter
    episode = Episode(0.1, 128)
    rates = np.array([30.0, 40.0])
    for i in range(11):
        episode.add_state(50 * STEP + i * STEP, states[i])
        episode.add_command(50 * STEP + i * STEP, rates, 0.0)
        model = adapter.adapt(episode.window(), i).model
    made = comparison.ticks[10].methods["grbal"]
    assert made.status == model.status == "adapted"
    start = torch.tensor(states[10], dtype=torch.float32)
    action = torch.tensor(rates, dtype=torch.float32)
    for change, errors in ((model.change, made.one_adapted), ((), made.one_trained)):
        with torch.no_grad():
            predicted = adapter.predict(start, action, change).numpy()
        assert errors["position_m"] == pytest.approx(np.linalg.norm(predicted[:2] - states[11][:2]), abs=1e-5)
    with torch.no_grad():
        for _ in range(3):
            start = adapter.predict(start, action, model.change)
    assert made.far_adapted["position_m"] == pytest.approx(np.linalg.norm(start.numpy()[:2] - states[13][:2]), abs=1e-4)
    assert 0.0 <= made.far_adapted["yaw_rad"] <= math.pi


def test_what_never_adapts_has_one_error_and_no_steps() -> None:
    comparison = Comparison([contender("mb")], future=2)
    driven(comparison, 5)
    made = [tick.methods["mb"] for tick in comparison.ticks]
    assert {each.status for each in made} == {"not_adaptive"}
    assert all(each.one_trained == each.one_adapted for each in made[:4])
    assert math.isnan(made[4].one_trained["position_m"]), "what comes after the last state is not known"
    assert [math.isnan(each.far_trained["position_m"]) for each in made] == [False] * 3 + [True] * 2


def test_no_error_reaches_across_a_gap() -> None:
    comparison = Comparison([contender("mb")], future=3)
    driven(comparison, 12, gap=6)
    known = [math.isfinite(tick.methods["mb"].one_trained["position_m"]) for tick in comparison.ticks]
    assert known == [True] * 5 + [False] + [True] * 4 + [False]
    far = [math.isfinite(tick.methods["mb"].far_trained["position_m"]) for tick in comparison.ticks]
    assert far == [True] * 3 + [False] * 3 + [True] * 2 + [False] * 3


def test_models_of_different_periods_are_not_compared() -> None:
    from dataclasses import replace

    one, two = contender("mb"), contender("mb")
    two.adapter.checkpoint = replace(two.adapter.checkpoint, card=replace(two.adapter.checkpoint.card,
                                                                          control_period=0.05))
    with pytest.raises(UserError, match="different control periods"):
        Comparison([one, two], 3)


def test_the_states_are_those_that_were_recorded_in_lock_step(tmp_path: Path) -> None:
    bag = walking_bag(tmp_path / "bag", ticks=8)
    seen: dict[str, list[str]] = {}
    for source in (SENSORS, RECORDED_STATES):
        plan = make_plan(choose_replay_topics(bag, source), source, 0.1)
        comparison = Comparison([contender("grbal")], 3)
        assert run_comparison(plan, comparison, StateEstimator(0.1) if source == SENSORS else None) == 0
        seen[source] = [repr(tick.methods["grbal"].one_adapted) for tick in comparison.ticks]
    assert seen[SENSORS] == seen[RECORDED_STATES]


def test_the_command_writes_table_rows_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_samples(tmp_path / "bag", drive(16))
    out = tmp_path / "out"
    assert main(["replay", str(bag), "--from", "robot_state", "--nodes", "adaptation", "--compare", "grbal", "mb",
                 f"mb={shipped_checkpoint('mb')}", "--future", "4", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "| `grbal` | " in printed and "| `mb (millirobot_mb)` | " in printed
    found = json.loads((out / "replay.json").read_text())
    assert [each["method"] for each in found["methods"]] == ["grbal", "mb", "mb (millirobot_mb)"]
    assert found["methods"][1]["one_adapted"] == found["methods"][2]["one_adapted"]
    assert (found["future"], found["ticks"], found["from"]) == (4, 16, "robot_state")
    assert set(found["units"]) >= {"normalised", "position_m", "yaw_rad", "loss", "commands"}
    rows = list(csv.DictReader((out / "replay.csv").open()))
    assert len(rows) == 16
    mean = np.mean([float(row["grbal.one_adapted_position_m"]) for row in rows[:-1]])
    assert found["methods"][0]["one_adapted"]["position_m"] == pytest.approx(mean)
    assert (out / "replay.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("words", "message"), [
    (["--compare", "sac"], "unknown method 'sac'"), (["--compare", "mb", "mb"], "is there twice"),
    (["--compare", "mb", "--method", "mb"], "name models as METHOD=FILE"),
    (["--compare", "mb", "--clock", "lockstep"], "--clock means nothing with --compare"),
    (["--compare", "grbal=/none"], "checkpoint /none does not exist"),
    (["--compare", "mb", "--future", "0"], "future must be at least 1")])
def test_what_cannot_be_compared_is_one_line(words: list[str], message: str,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "/none", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_table_says_its_units() -> None:
    comparison = Comparison([contender("grbal"), contender("mb")], future=3)
    driven(comparison, 12)
    lines = comparison_table(comparison_figures(comparison))
    assert "3 steps, cm" in lines[0]
    assert " → " in lines[2] and " → " not in lines[3]
    assert "standard deviations of the first model's data" in lines[-1]
