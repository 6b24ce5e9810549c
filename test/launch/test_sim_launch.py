# SPDX-License-Identifier: Apache-2.0
"""The launch file under the real `ros2 launch`; it needs an installation that has it."""

import signal
import time
from pathlib import Path

import psutil
import pytest
from launch_runs import GONE_WITHIN, run, start

from l2a_ros.bringup.words import SIM, arguments_of

FILE = "sim.launch.py"


def test_every_argument_is_described(tmp_path: Path) -> None:
    status, output = run(FILE, tmp_path, "--show-args")
    assert status == 0
    for argument in arguments_of(SIM):
        assert f"'{argument.name}':" in output
        assert argument.help(SIM) in output
        assert f"(default: '{argument.default}')" in output


@pytest.mark.parametrize(("argument", "words"), [
    ("path:=cirlce", "unknown path 'cirlce'; known: "), ("terrain:=lava", "unknown terrain 'lava'; known: "),
    ("fault:=motor_gain:right,0.6;missing_leg:sixth", "sixth"), ("duration:=0", "duration must be more than 0 s")])
def test_bad_input_is_said_and_nothing_starts(tmp_path: Path, argument: str, words: str) -> None:
    status, output = run(FILE, tmp_path, argument)
    assert status == 1
    assert words in output
    assert "Traceback" not in output
    assert "process started" not in output


def test_a_node_that_refuses_its_parameters_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("/**/mpc:\n  ros__parameters: {horizon: -1}\n")
    status, output = run(FILE, tmp_path, "config:=bad.yaml", f"out:={tmp_path}/out")
    assert status == 1
    assert "mpc: error: parameter horizon" in output


def test_a_trial_ends_the_run_well(tmp_path: Path) -> None:
    status, output = run(FILE, tmp_path, "duration:=1.0", "fault:=missing_leg:front_right@0.5 motor_gain:left,0.9",
                         f"out:={tmp_path}/out")
    assert status == 0, output
    assert (tmp_path / "out" / "report.json").is_file()


def test_a_trial_is_filmed(tmp_path: Path) -> None:
    status, output = run(FILE, tmp_path, "duration:=1.0", "clock:=lockstep", "video:=true", f"out:={tmp_path}/out")
    assert status == 0, output
    assert (tmp_path / "out" / "trial.mp4").stat().st_size > 1000


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    process = start(FILE, tmp_path, f"out:={tmp_path}/out")
    assert process.stdout is not None
    for line in process.stdout:
        if "following" in line or " m   lateral" in line:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 5
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert time.monotonic() - asked < GONE_WITHIN
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
