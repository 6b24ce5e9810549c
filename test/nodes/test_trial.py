# SPDX-License-Identifier: Apache-2.0
"""The trial node as a real process over DDS, with a kinematic stand-in playing the rest of the graph."""

from __future__ import annotations

import csv
import json
import math
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodes.trial_stand_in import finish, stand_ins, start_trial, until
from std_srvs.srv import Trigger


@pytest.fixture
def stand_in(ros_isolation: int) -> Iterator[Any]:
    """Return a maker of stand-ins that are closed at the end of the test."""
    with stand_ins(ros_isolation) as make:
        yield make


def test_lockstep_trial_is_completed_and_repeats_byte_for_byte(stand_in: Any, tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        world = stand_in(lockstep=True)
        code, output, errors = finish(start_trial(tmp_path / name, True, path="left", seed=3,
                                                  **{"cost.lateral.weight": 20.0}))
        assert code == 0, errors
        assert "completed         yes" in output
        assert str(tmp_path / name / "report.json") in output
        assert world.steps_called == 5
        assert (world.arms, world.disarms) == (1, 1)
        assert not world.armed
        assert world.paused, "the world stands still after the trial"
        until(lambda world=world: len(world.paths) == 2)
        assert len(world.paths[-1]) == 0, "an empty path tells the controller to stand"
        np.testing.assert_allclose(world.paths[0][0], [0.3, -0.2], err_msg="the path starts at the robot")
        np.testing.assert_allclose(world.paths[0][1], [0.3 + math.cos(0.7), -0.2 + math.sin(0.7)])
        folder = tmp_path / name
        assert sorted(file.name for file in folder.iterdir()) == ["report.json", "trial.csv", "trial.png"]
        assert (folder / "trial.png").read_bytes().startswith(b"\x89PNG")
        contents.append(((folder / "trial.csv").read_bytes(), (folder / "report.json").read_bytes()))
        world.close()
    assert contents[0] == contents[1]
    report = json.loads(contents[0][1])
    assert report["completed"]
    assert report["ended"] == "end of path"
    assert report["seed"] == 3
    assert report["cost_weights"] == {"lateral": 20.0, "progress": 10.0, "heading": 5.0}
    assert report["loop"]["period_s"]["p50"] is None
    assert report["mean_lateral_error_m"] < 0.05
    rows = list(csv.DictReader(contents[0][0].decode().splitlines()))
    assert len(rows) == report["steps"] + 1
    assert rows[0]["stamp_ns"] == "600000000", "the first row follows the five settling steps"
    assert [int(row["stamp_ns"]) for row in rows] == [(6 + i) * 100_000_000 for i in range(len(rows))]
    assert all(row["command_left_leg"] for row in rows), "every row, the last included, has its command"


def test_trial_in_real_time_ends_when_the_time_is_up(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=False, rate=20.0)
    code, output, errors = finish(start_trial(tmp_path, False, duration=2.5, control_period=0.05))
    assert code == 0, errors
    report = json.loads((tmp_path / "report.json").read_text())
    assert not report["completed"]
    assert report["ended"] == "time is up"
    assert report["duration_s"] == pytest.approx(2.5, abs=0.1)
    assert report["progress_m"] == pytest.approx(1.2, abs=0.15)
    assert report["loop"]["period_s"]["p50"] == pytest.approx(0.05, rel=0.3)
    assert report["loop"]["state_to_command_s"]["p50"] is not None
    assert report["safety_stops"] == 0
    assert " of 2.00 m" in output, "a progress line"
    assert len(world.trial_metrics) >= report["steps"] - 3
    assert set(world.trial_metrics[-1]) == {"lateral_error_m", "progress_m", "cost", "elapsed_s"}


def test_missing_node_is_named(tmp_path: Path) -> None:
    code, _, errors = finish(start_trial(tmp_path, False, wait_timeout=0.5))
    assert code == 1
    assert errors.strip().splitlines() == [
        "trial: error: node state_estimator does not publish /robot_state (waited 0.5 s)"]
    assert not (tmp_path / "report.json").exists()


def test_refused_arming_ends_the_trial(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=True, refuse_arming=True)
    code, _, errors = finish(start_trial(tmp_path, True))
    assert code == 1
    assert "arm was refused: the emergency stop holds" in errors
    until(lambda: len(world.paths) == 2)
    assert world.steps_called == 5


def test_safety_stop_ends_the_trial_with_a_report(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=False, rate=20.0, stop_at=10**9)
    process = start_trial(tmp_path, False, control_period=0.05)
    until(lambda: len(world.trial_metrics) > 10)
    world.stop_at = world.ticks + 2
    code, _, errors = finish(process)
    assert code == 1
    assert errors.strip().splitlines() == ["trial: error: the robot was stopped: the emergency stop was pressed"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["safety_stops"] == 1
    assert report["steps"] > 5
    assert not report["completed"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_robot_and_writes_what_there_is(stand_in: Any, tmp_path: Path, sent: signal.Signals) -> None:
    world = stand_in(lockstep=False, rate=20.0)
    process = start_trial(tmp_path, False, control_period=0.05)
    until(lambda: len(world.trial_metrics) > 10)
    assert world.armed
    process.send_signal(sent)
    code, _, errors = finish(process, 10.0)
    assert (code, errors) == (0, "")
    assert world.disarms == 1
    assert not world.armed
    until(lambda: len(world.paths) == 2)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ended"] == "interrupted"
    assert report["steps"] > 5


def test_states_that_stop_coming_end_the_trial(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=False, rate=20.0)
    process = start_trial(tmp_path, False, control_period=0.05, state_timeout=0.5)
    until(lambda: len(world.trial_metrics) > 5)
    world.paused = True
    code, _, errors = finish(process)
    assert code == 1
    assert "no robot_state for 0.5 s" in errors
    assert (tmp_path / "report.json").exists()
    assert world.disarms == 1


def test_start_and_stop_services(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=False, rate=20.0)
    process = start_trial(tmp_path, False, control_period=0.05, autostart="false")
    until(world.start.service_is_ready)
    time.sleep(0.5)
    assert world.arms == 0
    started = world.start.call_async(Trigger.Request())
    until(started.done)
    assert started.result().success
    until(lambda: len(world.trial_metrics) > 5)
    again = world.start.call_async(Trigger.Request())
    until(again.done)
    assert not again.result().success
    world.stop.call_async(Trigger.Request())
    code, _, errors = finish(process)
    assert code == 0, errors
    assert json.loads((tmp_path / "report.json").read_text())["ended"] == "stopped by request"
    assert world.disarms == 1


@pytest.mark.parametrize(("name", "value", "message"), [
    ("path", "nowhere", "unknown path 'nowhere'; known: circle, drawn, figure8, left, right, straight, u_turn, zigzag"),
    ("duration", "-1.0", "parameter duration is out of range"),
    ("duration", "soon", "parameter duration must be of type float"),
])
def test_bad_parameter_is_one_line(tmp_path: Path, name: str, value: str, message: str) -> None:
    code, _, errors = finish(start_trial(tmp_path, False, **{name: value}))
    assert code == 2
    assert len(errors.strip().splitlines()) == 1
    assert errors.startswith("trial: error: ")
    assert message in errors


def test_folder_that_cannot_be_written_is_refused_before_anything_moves(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, errors = finish(start_trial(tmp_path / "file" / "out", False))
    assert code == 2
    assert len(errors.strip().splitlines()) == 1
    assert "cannot write" in errors
