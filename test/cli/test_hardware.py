# SPDX-License-Identifier: Apache-2.0
"""`l2a hardware` with the real nodes: what it refuses, and whole trials against the emulated firmware."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import serial
from nodes.support import Peer, environment, until
from rclpy.qos import QoSProfile
from std_srvs.srv import Trigger

from l2a_ros.experience.streams import read_streams
from l2a_ros.nodes import interfaces as names


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "l2a_ros.cli", "hardware", *arguments], cwd=folder, text=True,
                            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, *arguments)
    output, errors = process.communicate(timeout=200)
    return process.returncode, output, errors


@pytest.fixture
def pty() -> Iterator[str]:
    master, slave = os.openpty()
    try:
        yield os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


def refused(folder: Path, words: str, *arguments: str) -> None:
    status, output, errors = run(folder, *arguments)
    assert (status, output) == (2, ""), errors
    assert errors.startswith("l2a: error: ")
    assert words in errors
    assert errors.count("\n") == 1
    assert list(folder.iterdir()) == [], "nothing starts"


@pytest.mark.parametrize(("arguments", "words"), [
    (["--port", "/dev/none"], "port /dev/none does not exist; plug in the radio, or name another port (there "),
    (["--port", "/dev/none", "--emulate"], "port means nothing with emulate"),
    (["--port", "/dev/null", "--fault", "payload:0.1"], "fault means nothing to a real robot; add emulate"),
    (["--port", "/dev/null", "--profile", "octoroach"], "unknown profile 'octoroach'; known: "),
    (["--emulate", "--terrain", "lava"], "unknown terrain 'lava'"),
    (["--emulate", "--fault", "unplug"], "unplug:SECONDS"),
    (["--port", ".."], "is not a serial port"),
])
def test_bad_input_is_one_line_and_nothing_starts(tmp_path: Path, arguments: list[str], words: str) -> None:
    refused(tmp_path, words, *arguments)


def test_a_port_in_use_is_refused(tmp_path: Path, pty: str) -> None:
    with serial.Serial(pty, exclusive=True):
        refused(tmp_path, f"port {pty} is in use by ", "--port", pty)


def test_a_port_at_which_nobody_answers(tmp_path: Path, pty: str) -> None:
    config = tmp_path / "hurried.yaml"
    config.write_text("/**/serial_driver:\n  ros__parameters: {identify_timeout: 0.5}\n")
    status, _, errors = run(tmp_path, "--port", pty, "--config", str(config), "--out", str(tmp_path / "out"))
    assert status == 2, errors
    assert errors.startswith("serial_driver: error: nobody at address 0x0001 answers")
    assert errors.count("\n") == 1


def test_a_trial_with_the_emulated_robot(tmp_path: Path) -> None:
    """Over a renamed topic, with faults of robot and wire, recorded; the bag trains."""
    out = tmp_path / "out"
    status, output, errors = run(
        tmp_path, "--emulate", "--duration", "4", "--out", str(out), "--record", "--mocap_topic", "/cameras/robot/pose",
        "--terrain", "turf", "--fault", "motor_gain:left,0.9@1", "--fault", "wire_drop:0.02")
    assert (status, errors) == (0, ""), output
    report = json.loads((out / "report.json").read_text())
    assert report["steps"] >= 25
    assert report["safety_stops"] == 0
    assert report["progress_m"] > 0.2
    assert (report["terrain"], report["faults"]) == ("turf", ["motor_gain:left,0.9@1", "wire_drop:0.02"])
    assert not (out / "velociroach").is_symlink(), "its end of the line is gone with it"
    [stream], _ = read_streams(out / "bag")
    assert len(stream.states) >= 25
    assert len(stream.commands) >= 25


def test_the_documented_first_run(tmp_path: Path) -> None:
    """Slow legs, started by hand once everything says that it is ready, stopped by an emergency stop of any kind."""
    config = tmp_path / "slow.yaml"
    config.write_text("/**:\n  ros__parameters: {fastest_leg_rate: 3.0}\n"
                      "/**/trial:\n  ros__parameters: {autostart: false}\n")
    process = start(tmp_path, "--emulate", "--config", str(config), "--duration", "60", "--out", str(tmp_path / "out"))
    with Peer() as peer:
        peer.listen(names.MOTOR_COMMANDS)
        for status, text in (("link", "good"), ("stop", "verified"), ("robot", "ready")):
            until(lambda status=status, text=text: peer.status(f"serial_driver: {status}").message.startswith(text),
                  f"{status} is not '{text}'")
        peer.says("state_estimator: state", "ok")
        peer.call(Trigger, "trial/start", Trigger.Request())
        peer.says("serial_driver: motor gate", "armed")
        peer.says("mpc: planner", "following")
        until(lambda: any(max(message.velocity) > 1.0 for message in list(peer.of(names.MOTOR_COMMANDS))))
        # As `ros2 topic pub` does it: reliable, not latched.
        estop = peer.node.create_publisher(names.ESTOP.type, names.ESTOP.name, QoSProfile(depth=10))
        until(estop.get_subscription_count)
        until(lambda: (estop.publish(names.ESTOP.type(data=True)), process.poll() is not None)[1])
        assert max(max(message.velocity) for message in peer.of(names.MOTOR_COMMANDS)) < 3.01 * 2.0 * math.pi
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "(the robot was stopped: estop topic)" in output
    assert errors == "trial: error: the robot was stopped: estop topic\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_trial_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "--emulate", "--out", str(tmp_path / "out"))
    assert process.stdout is not None
    for line in process.stdout:
        if " m   lateral" in line:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 6
    process.send_signal(number)
    process.communicate(timeout=30)
    psutil.wait_procs(children, timeout=5)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
