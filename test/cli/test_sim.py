# SPDX-License-Identifier: Apache-2.0
"""`l2a sim` with the real nodes: how a run ends when it does not end by itself."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "l2a_ros.cli", "sim", "--out", str(folder / "out"), *arguments],
                            cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(("node", "parameter", "words"), [
    ("mpc", "horizon: -1", "mpc: error: parameter horizon"),
    ("mujoco_sim", "control_period: soon", "mujoco_sim: error: parameter control_period"),
])
def test_a_bad_parameter_value_is_one_line(tmp_path: Path, node: str, parameter: str, words: str) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text(f"/**/{node}:\n  ros__parameters: {{{parameter}}}\n")
    process = start(tmp_path, "--config", str(config))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.startswith(words)
    assert errors.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_trial_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if " m   lateral" in line:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 5
    process.send_signal(number)
    process.communicate(timeout=30)
    psutil.wait_procs(children, timeout=5)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
