# SPDX-License-Identifier: Apache-2.0
"""The launch file of a replay under the real `ros2 launch`; it needs an installation that has it."""

import json
from pathlib import Path

import pytest
from experience.replay_bags import walking_bag
from launch_runs import run

from l2a_ros.bringup.words import REPLAY, arguments_of

FILE = "replay.launch.py"


def test_every_argument_is_described(tmp_path: Path) -> None:
    status, output = run(FILE, tmp_path, "--show-args")
    assert status == 0
    for argument in arguments_of(REPLAY):
        assert f"'{argument.name}':" in output
        assert argument.help(REPLAY) in output
        assert f"(default: '{argument.default}')" in output


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "name the recording to replay"), (["bag:=/none"], "the recording /none does not exist"),
    (["bag:=/none", "nodes:=mpc"], "without the estimator there are no states")])
def test_bad_input_is_said_and_nothing_starts(tmp_path: Path, arguments: list[str], words: str) -> None:
    status, output = run(FILE, tmp_path, *arguments)
    assert status == 1
    assert words in output
    assert "Traceback" not in output
    assert "process started" not in output


def test_a_replay_ends_well(tmp_path: Path) -> None:
    bag = walking_bag(tmp_path / "bag", ticks=10)
    status, output = run(FILE, tmp_path, f"bag:={bag}", "clock:=lockstep", f"out:={tmp_path}/out")
    assert status == 0, output
    report = json.loads((tmp_path / "out" / "replay.json").read_text())
    assert report["states_identical"] == report["states"] > 8
    assert sum(report["adaptation"]["statuses"].values()) == report["states"]
    assert report["commands"]["ticks"] > 5
