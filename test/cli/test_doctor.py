# SPDX-License-Identifier: Apache-2.0
"""`l2a doctor` as a command: what it looks at, and its exit status."""

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bringup.firmware_stub import FirmwareStub
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from nodes.support import Peer, environment
from rclpy.qos import QoSProfile

from l2a_ros.nodes.messages import to_stamp

LINE = ["port", "rights", "use", "latency timer", "firmware", "telemetry", "battery", "inertial unit"]
CHECKS = [*LINE, "ROS 2", "mocap rate", "mocap age", "mocap axes",
          "clock", "CPU governor", "real-time rights", "checkpoint", "plan budget"]
#: What this machine and its load decide.
ITS_OWN = ("telemetry", "clock", "CPU governor", "real-time rights", "plan budget", "mocap rate", "mocap age")


def doctor(folder: Path, *arguments: str) -> tuple[int, dict[str, dict[str, str]], str]:
    """Run it; return its status, the findings by check, and what it said."""
    report = folder / "report.json"
    result = subprocess.run([sys.executable, "-m", "l2a_ros.cli", "doctor", "--json", str(report), *arguments],
                            cwd=folder, text=True, capture_output=True, check=False, env=environment(), timeout=120)
    if not report.exists():
        return result.returncode, {}, result.stdout + result.stderr
    content = json.loads(report.read_text())
    findings = {row["check"]: row for row in content["checks"]}
    assert content["ok"] is (result.returncode == 0)
    assert [line[6:22].strip() for line in result.stdout.splitlines()] == list(findings)
    return result.returncode, findings, result.stdout + result.stderr


@contextmanager
def motion_capture(topic: str, kind: Any = PoseStamped) -> Iterator[None]:
    """Publish a robot on its feet, 100 times a second, reliably."""
    ended = threading.Event()
    with Peer() as peer:
        publisher = peer.node.create_publisher(kind, topic, QoSProfile(depth=10))

        def speak() -> None:
            while not ended.wait(0.01):
                message = kind()
                pose = message.pose if kind is PoseStamped else message.pose.pose
                message.header.stamp = to_stamp(time.time_ns())
                pose.position.z, pose.orientation.w, pose.orientation.z = 0.05, math.cos(0.2), math.sin(0.2)
                publisher.publish(message)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def test_a_robot_that_is_ready(tmp_path: Path) -> None:
    with FirmwareStub() as robot, motion_capture("/vrpn_mocap/robot/pose", Odometry):
        _, findings, said = doctor(tmp_path, "--port", robot.port, "--mocap_topic", "/vrpn_mocap/robot/pose",
                                   "--mocap_type", "odometry")
    assert list(findings) == CHECKS
    assert {name: row["level"] for name, row in findings.items() if name not in ITS_OWN} == dict.fromkeys(
        [name for name in CHECKS if name not in ITS_OWN], "ok"), said
    assert " Hz, longest gap " in findings["mocap rate"]["text"], said
    assert findings["mocap age"]["level"] != "skipped"


def test_nothing_is_there(tmp_path: Path) -> None:
    status, findings, said = doctor(tmp_path, "--port", "/dev/none")
    assert status == 1
    assert list(findings) == CHECKS
    assert findings["port"]["level"] == "fail"
    assert "port /dev/none does not exist" in said
    assert [findings[name]["level"] for name in LINE[1:]] == ["skipped"] * 7
    assert findings["mocap rate"]["level"] == "fail"
    assert "no message on /mocap/pose" in findings["mocap rate"]["text"]
    assert list(tmp_path.iterdir()) == [tmp_path / "report.json"], "it leaves nothing behind"


@pytest.mark.parametrize(("arguments", "words"), [
    (["--mocap_topic", "/other"], "give mocap_topic; there are /vrpn_mocap/robot/pose"),
    (["--mocap_topic", "/vrpn_mocap/robot/pose", "--mocap_type", "odometry"],
     "it has geometry_msgs/msg/PoseStamped; give mocap_type")])
def test_motion_capture_that_is_elsewhere(tmp_path: Path, arguments: list[str], words: str) -> None:
    with motion_capture("/vrpn_mocap/robot/pose"):
        _, findings, _ = doctor(tmp_path, "--port", "/dev/none", *arguments)
    assert words in findings["mocap rate"]["advice"]


def test_a_model_that_will_not_do_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"no tensors here, but long enough for a header")
    status, findings, _ = doctor(tmp_path, "--port", "/dev/none", "--checkpoint", "model.safetensors")
    assert status == 1
    assert findings["checkpoint"]["level"] == "fail"
    assert "plan budget" not in findings


def test_an_emulated_robot(tmp_path: Path) -> None:
    _, findings, said = doctor(tmp_path, "--emulate", "--mocap_topic", "/cameras/robot/pose")
    assert list(findings) == CHECKS
    assert {name: row["level"] for name, row in findings.items() if name not in ITS_OWN} == dict.fromkeys(
        [name for name in CHECKS if name not in ITS_OWN], "ok"), said
    assert "emulated" in findings["firmware"]["text"]
    assert list(tmp_path.iterdir()) == [tmp_path / "report.json"]


def test_bad_words_are_the_users_error(tmp_path: Path) -> None:
    status, findings, said = doctor(tmp_path, "--profile", "octoroach")
    assert (status, findings) == (2, {})
    assert said.startswith("l2a: error: unknown profile 'octoroach'; known: ")
