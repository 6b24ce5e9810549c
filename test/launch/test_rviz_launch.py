# SPDX-License-Identifier: Apache-2.0
"""The launch file of RViz under the real `ros2 launch`; stand-ins for what is not ours tell how they were started."""

import json
import os
import stat
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from launch_runs import FOLDER, run, start

from l2a_ros.robot.description import robot_urdf

FILE = "rviz.launch.py"
#: Writes its arguments, with the parameter files among them, and ends at a signal; rviz2 ends when it is closed.
STAND_IN = """#!{python} -S
import json, os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
files = [sys.argv[i + 1] for i, each in enumerate(sys.argv) if each == "--params-file"]
told = {{"arguments": sys.argv[1:], "files": [open(file).read() for file in files]}}
with open({told!r} + ".part", "w") as file:
    json.dump(told, file)
os.rename({told!r} + ".part", {told!r})
end = time.monotonic() + 60.0
while not os.path.exists({closed!r}) and time.monotonic() < end:
    time.sleep(0.02)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install stand-ins for RViz and robot_state_publisher; the folder in which they say how they were started."""
    prefix = tmp_path / "prefix"
    (prefix / "share" / "ament_index" / "resource_index" / "packages").mkdir(parents=True)
    for package in ("rviz2", "robot_state_publisher"):
        (prefix / "share" / "ament_index" / "resource_index" / "packages" / package).touch()
        program = prefix / "lib" / package / package
        program.parent.mkdir(parents=True)
        program.write_text(STAND_IN.format(python=sys.executable, told=str(tmp_path / f"{package}.json"),
                                           closed=str(tmp_path / f"{package}.closed")))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    before = os.environ.get("AMENT_PREFIX_PATH", sys.prefix)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{prefix}{os.pathsep}{before}")
    return tmp_path


def told(folder: Path, package: str) -> tuple[list[str], dict[str, object]]:
    """Return the arguments of a stand-in and its parameters."""
    content = json.loads((folder / f"{package}.json").read_text())
    parameters: dict[str, object] = {}
    for file in content["files"]:
        for node in yaml.safe_load(file).values():
            parameters |= node["ros__parameters"]
    return content["arguments"], parameters


def started(folder: Path, *arguments: str) -> str:
    """Launch it, close RViz once all are up, and return what was said."""
    process = start(FILE, folder, *arguments)
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if all((folder / f"{package}.json").exists() for package in ("rviz2", "robot_state_publisher")):
            (folder / "rviz2.closed").touch()
    assert process.wait(60.0) == 0, said
    return said


def test_what_is_missing_is_said_and_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", sys.prefix)
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    status, output = run(FILE, tmp_path)
    assert status == 1
    assert ("rviz2 and robot_state_publisher cannot be found; install with: sudo apt install ros-jazzy-rviz2 "
            "ros-jazzy-robot-state-publisher") in output
    assert "Traceback" not in output
    assert "process started" not in output


@pytest.mark.parametrize(("argument", "words"), [
    ("use_sim_time:=yes", "use_sim_time"), ("config:=none.yaml", "none.yaml does not exist"),
    ("rviz_config:=none.rviz", "rviz_config none.rviz does not exist")])
def test_bad_input_is_said_and_nothing_starts(installed: Path, argument: str, words: str) -> None:
    status, output = run(FILE, installed, argument)
    assert status == 1
    assert words in output
    assert "Traceback" not in output
    assert "process started" not in output


@pytest.mark.parametrize("simulated", [False, True])
def test_rviz_and_the_robots_frames_are_started_and_end_with_it(installed: Path, simulated: bool) -> None:
    output = started(installed, *(["use_sim_time:=true"] if simulated else []))
    assert "process has died" not in output, "views runs until RViz is closed"
    assert "views" in output
    arguments, parameters = told(installed, "rviz2")
    assert arguments[:2] == ["-d", str(FOLDER.parent / "config" / "l2a.rviz")]
    assert parameters == {"use_sim_time": simulated}
    _, parameters = told(installed, "robot_state_publisher")
    assert parameters["use_sim_time"] is simulated
    assert parameters["publish_frequency"] == 50.0
    described = ElementTree.canonicalize(str(parameters["robot_description"]))
    assert described == ElementTree.canonicalize(robot_urdf())
