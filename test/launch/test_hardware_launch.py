# SPDX-License-Identifier: Apache-2.0
"""The launch file of the robot under the real `ros2 launch`; it needs an installation that has it."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from launch_runs import GONE_WITHIN, run, start

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


def test_a_driver_that_finds_nobody_ends_the_run(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        (tmp_path / "hurried.yaml").write_text("/**/serial_driver:\n  ros__parameters: {identify_timeout: 0.5}\n")
        status, output = run(FILE, tmp_path, f"port:={os.ttyname(slave)}", "config:=hurried.yaml",
                             f"out:={tmp_path}/out")
    finally:
        os.close(master)
        os.close(slave)
    assert status == 1
    assert "serial_driver: error: nobody at address 0x0001 answers" in output


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    process = start(FILE, tmp_path, "emulate:=true", f"out:={tmp_path}/out")
    assert process.stdout is not None
    for line in process.stdout:
        if " m   lateral" in line:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 6
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert time.monotonic() - asked < GONE_WITHIN
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
