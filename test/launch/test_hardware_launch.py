# SPDX-License-Identifier: Apache-2.0
"""The launch file of the robot under the real `ros2 launch`; it needs an installation that has it."""

import json
from pathlib import Path

import pytest
from launch_runs import run

from l2a_ros.bringup.words import HARDWARE, arguments_of

FILE = "hardware.launch.py"


def test_every_argument_is_described(tmp_path: Path) -> None:
    status, output = run(FILE, tmp_path, "--show-args")
    assert status == 0
    for argument in arguments_of(HARDWARE):
        assert f"'{argument.name}':" in output
        assert argument.help(HARDWARE) in output
        assert f"(default: '{argument.default}')" in output


@pytest.mark.parametrize(("arguments", "words"), [
    (["port:=/dev/none"], "port /dev/none does not exist; plug in the radio, or name another port"),
    (["port:=/dev/null", "emulate:=true"], "port means nothing with emulate"),
    (["port:=/dev/null", "fault:=payload:0.1"], "fault means nothing to a real robot"),
    (["emulate:=true", "mocap_topic:=two words"], "mocap_topic must be the name of a topic")])
def test_bad_input_is_said_and_nothing_starts(tmp_path: Path, arguments: list[str], words: str) -> None:
    status, output = run(FILE, tmp_path, *arguments)
    assert status == 1
    assert words in output
    assert "Traceback" not in output
    assert "process started" not in output


def test_a_trial_with_the_emulated_robot_ends_the_run_well(tmp_path: Path) -> None:
    status, output = run(FILE, tmp_path, "emulate:=true", "duration:=3.0", "fault:=wire_drop:0.02",
                         "mocap_topic:=/cameras/robot/pose", f"out:={tmp_path}/out")
    assert status == 0, output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["steps"] >= 15
    assert report["safety_stops"] == 0
