# SPDX-License-Identifier: Apache-2.0
"""`l2a calibrate`: from a recording, asked step by step, and over real DDS; the file only changes at the end."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimation.calibration.hand_motion import SECOND, HandMotion, imu_samples, pose_samples, stamp
from nodes.support import Peer, environment
from scipy.spatial.transform import Rotation

from l2a_ros.cli import calibrate
from l2a_ros.cli.main import main
from l2a_ros.errors import UserError
from l2a_ros.estimation.calibration.steps import Heard, Step
from l2a_ros.experience.bag_writer import BagWriter, message_type
from l2a_ros.nodes import calibration_watch
from l2a_ros.nodes.sensor_messages import sensor_message
from l2a_ros.robot.calibration import load_calibration
from l2a_ros.robot.samples import ImuSample, PoseSample

UNIT, BODY = Rotation.from_euler("z", 90, degrees=True), Rotation.from_euler("xyz", [2, -3, 30], degrees=True)
POSITION, HELD, BIAS = (0.01, -0.02, 0.03), (0.0, 0.0, -0.015), np.array([0.02, 0.1, -0.03])
OLD = "# robot 7\nleg_signs: [-1, 1]   # wired by me\ndriver_corrects_imu: false\n"
#: Seconds in the recording: from, to.
PARTS = {"rest": (0.0, 4.6), "mocap": (5.0, 11.0), "imu": (12.0, 24.0), "pivot": (25.0, 36.0)}


def resting(shake: float = 0.0) -> Heard:
    rng, times = np.random.default_rng(0), np.arange(0.0, 4.5, 0.01)
    rates = BIAS + np.outer(np.sin(20.0 * times), [0.0, shake, 0.0])
    return Heard(pose_samples(times, np.zeros(3), Rotation.from_quat([BODY.as_quat()] * len(times)), rng),
                 imu_samples(times, rates, UNIT.inv().apply([0.0, 0.0, 9.6]), rng))


def slid() -> Heard:
    times = np.arange(0.0, 5.5, 0.01)
    places = np.outer(0.3 * np.clip((times - 2.0) / 1.5, 0.0, 1.0), [np.cos(0.7), np.sin(0.7), 0.0])
    attitude = Rotation.from_euler("z", 0.7) * BODY
    return Heard(pose_samples(times, places, Rotation.from_quat([attitude.as_quat()] * len(times)),
                              np.random.default_rng(1)))


def turned(seed: int, seconds: float) -> Heard:
    motion = HandMotion(seed)
    return Heard(motion.poses(seconds, rotation=BODY, position=POSITION, held=HELD, latency=0.012),
                 motion.readings(seconds, rotation=UNIT, bias=BIAS.tolist()))


def all_parts() -> dict[str, Heard]:
    return {"rest": resting(), "mocap": slid(), "imu": turned(2, 12.0), "pivot": turned(3, 10.0)}


def write(bag: Path, parts: dict[str, Heard]) -> Path:
    with BagWriter(bag) as writer:
        types = {PoseSample: "geometry_msgs/msg/PoseStamped", ImuSample: "sensor_msgs/msg/Imu"}
        topics = {PoseSample: "/vrpn_mocap/robot/pose", ImuSample: "/robot/imu"}
        for kind, topic in topics.items():
            writer.add_topic(topic, types[kind])
        for name, heard in parts.items():
            for sample in (*heard.poses, *heard.readings):
                moment = sample.stamp + round(PARTS[name][0] * SECOND)
                writer.write_message(topics[type(sample)], moment, recorded(replace(sample, stamp=moment)))
    return bag


def recorded(sample: PoseSample | ImuSample) -> Any:
    vector, turn = (message_type(f"geometry_msgs/msg/{name}") for name in ("Vector3", "Quaternion"))
    header = message_type("std_msgs/msg/Header")(message_type("builtin_interfaces/msg/Time")(
        sample.stamp // SECOND, sample.stamp % SECOND), "map")
    if isinstance(sample, PoseSample):
        pose = message_type("geometry_msgs/msg/Pose")(
            message_type("geometry_msgs/msg/Point")(*map(float, sample.position)), turn(*map(float, sample.quaternion)))
        return message_type("geometry_msgs/msg/PoseStamped")(header, pose)
    unknown = np.zeros(9)
    return message_type("sensor_msgs/msg/Imu")(
        header, turn(0.0, 0.0, 0.0, 1.0), unknown, vector(*map(float, sample.angular_velocity)), unknown,
        vector(*map(float, sample.specific_force)), unknown)


def angle(rows: Sequence[Sequence[float]], rotation: Rotation) -> float:
    return float(np.degrees((Rotation.from_matrix(np.array(rows)) * rotation.inv()).magnitude()))


def check(file: Path) -> None:
    """Assert that the file says the truth, and what it said before."""
    found = load_calibration(str(file))
    assert found.leg_signs == (-1, 1) and not found.driver_corrects_imu
    assert found.gyro_bias == pytest.approx(BIAS, abs=1e-3)
    assert found.acceleration_scale == pytest.approx([9.80665 / 9.6] * 3, abs=1e-3)
    assert angle(found.mocap_rotation, BODY) < 0.3 and angle(found.imu_rotation, UNIT) < 0.6
    assert found.mocap_position == pytest.approx(POSITION, abs=5e-4)
    assert "wired by me" in file.read_text()


def test_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag, file = write(tmp_path / "bag", all_parts()), tmp_path / "robot.yaml"
    file.write_text(OLD)
    steps = ["pivot", "rest", "mocap", "imu"]
    status = main(["calibrate", "--bag", str(bag), "--calibration", str(file), "--steps", ",".join(steps),
                   "--from", ",".join(str(PARTS[name][0]) for name in steps),
                   "--to", ",".join(str(PARTS[name][1]) for name in steps),
                   "--pivot_point", *map(str, HELD)])
    said = capsys.readouterr().out
    assert status == 0, said
    check(file)
    for words in ("gyroscope: off by 1.1", "deg/s (+- 0.0", "slid by 30.0 cm", "latency: poses show it 12.",
                  "gyro_bias: null -> [0.0", f"wrote {file}", f"l2a hardware --calibration {file}"):
        assert words in said
    before = file.read_text()
    assert main(["calibrate", "--bag", str(bag), "--out", str(file), "--steps", "rest,pivot", "--to", "4.6"]) == 1
    said = capsys.readouterr().out
    assert "REFUSED: it was hardly leaned" in said
    assert re.search(r"gyroscope: off by -?0\.0\d, -?0\.0\d, ", said), "what the file says is taken off already"
    assert file.read_text() != before
    check(file)


def test_a_recording_of_a_robot_that_moves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write(tmp_path / "bag", {"rest": resting(shake=0.1)})
    file = tmp_path / "robot.yaml"
    assert main(["calibrate", "--bag", str(bag), "--out", str(file), "--steps", "rest"]) == 1
    said = capsys.readouterr().out
    assert "REFUSED: it moved: y of the gyroscope shook" in said and "nothing to write" in said
    assert not file.exists()


@contextmanager
def in_hand(heard: dict[str, list[Heard | Exception]]) -> Iterator[Callable[[Step], Heard]]:
    """Stand in for the robot: what is heard in each step, one time after the other."""

    def hear(step: Step) -> Heard:
        next_one = heard[step.name].pop(0)
        if isinstance(next_one, Exception):
            raise next_one
        return next_one

    yield hear


def asked(monkeypatch: pytest.MonkeyPatch, folder: Path, heard: dict[str, list[Heard | Exception]],
          answers: list[str], *arguments: str) -> int:
    """Run it with these answers; they are all given."""

    def answer(question: str) -> str:
        given = answers.pop(0)
        if given == "Ctrl-C":
            raise KeyboardInterrupt
        if given == "nobody":
            raise EOFError
        print(f"{question}{given}")
        return given

    monkeypatch.chdir(folder)
    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(calibrate, "live", lambda *_: in_hand(heard))
    status = main(["calibrate", *arguments])
    assert not answers
    return status


def test_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "robot.yaml").write_text(OLD)
    parts = all_parts()
    heard: dict[str, list[Heard | Exception]] = {
        "rest": [resting(shake=0.1), parts["rest"]], "mocap": [parts["mocap"], parts["mocap"]],
        "imu": [parts["imu"]], "pivot": [Heard(), parts["pivot"]]}
    answers = ["", "", "", "what", "", "r", "", "", "", "", "", ""]
    assert asked(monkeypatch, tmp_path, heard, answers, "--pivot_point", *map(str, HELD)) == 0
    said = capsys.readouterr().out
    assert said.index("let go of it") < said.index("REFUSED: it moved") < said.index("mocap (2 of 4)")
    assert said.count("tracked body: turned by") == 2 and "pivot (4 of 4)" in said
    check(tmp_path / "robot.yaml")


def test_skipped_and_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(OLD)
    parts = all_parts()
    for answers, status in ((["", "", "Ctrl-C"], 130), (["", "Ctrl-C"], 130), (["", "", "nobody"], 2)):
        assert asked(monkeypatch, tmp_path, {"rest": [parts["rest"]], "mocap": []}, answers) == status
        assert file.read_text() == OLD and list(tmp_path.iterdir()) == [file]
    said = capsys.readouterr().err
    assert said.count("nothing was written") == 2 and "nobody answers; --yes asks nothing" in said
    # Skipped before and after; a sensor that falls silent does not cost what was kept.
    silent = UserError("nothing on imu/data_raw")
    heard: dict[str, list[Heard | Exception]] = {"rest": [parts["rest"]], "mocap": [], "imu": [silent],
                                                 "pivot": [parts["pivot"]]}
    assert asked(monkeypatch, tmp_path, heard, ["", "", "s", "", "s", "", "s"]) == 0
    assert "REFUSED: nothing on imu/data_raw" in capsys.readouterr().out
    found = load_calibration(str(file))
    assert found.gyro_bias == pytest.approx(BIAS, abs=1e-3) and found.mocap_position == (0, 0, 0)


@contextmanager
def sensors() -> Iterator[None]:
    """Publish a robot that stands, 100 times a second."""
    ended = threading.Event()
    rng = np.random.default_rng(0)
    with Peer() as peer:
        kinds = (ImuSample(0, np.zeros(3), np.zeros(3)), PoseSample(0, np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])))
        topics = [sensor_message(each)[0] for each in kinds]
        publishers = [peer.node.create_publisher(topic.type, name, 10)
                      for topic, name in zip(topics, ("/robot/imu", "/vrpn_mocap/robot/pose"), strict=True)]

        def speak() -> None:
            while not ended.wait(0.01):
                moment = np.array([(time.time_ns() - stamp(0.0)) / SECOND])
                samples = (imu_samples(moment, BIAS, np.array([0.0, 0.0, 9.6]), rng),
                           pose_samples(moment, np.zeros(3), Rotation.from_quat([BODY.as_quat()]), rng))
                for publisher, (sample,) in zip(publishers, samples, strict=True):
                    publisher.publish(sensor_message(sample)[1])

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def live(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "l2a_ros.cli", "calibrate", "--yes", "--wait", "0", *arguments],
                          cwd=folder, text=True, capture_output=True, check=False, env=environment(), timeout=120)


def test_live(tmp_path: Path) -> None:
    with sensors():
        result = live(tmp_path, "--steps", "rest,mocap", "--seconds", "2.3", "--heading", "0", "--imu", "/robot/imu",
                      "--mocap_topic", "/vrpn_mocap/robot/pose", "--driver_corrects_imu", "false")
    assert result.returncode == 0, result.stdout + result.stderr
    found = load_calibration(str(tmp_path / "robot.yaml"))
    assert found.gyro_bias == pytest.approx(BIAS, abs=2e-3) and angle(found.mocap_rotation, BODY) < 0.2
    assert not found.driver_corrects_imu
    assert "\033" not in result.stdout, "what is for eyes only is not for a file"


@pytest.mark.parametrize(("mocap", "kind", "sensor", "says"), [
    ("mocap/pose", "pose", "imu", "Imu on /imu/data_raw within 0.7 s; there is /robot/imu; name it with --imu"),
    ("mocap/pose", "pose", "mocap", "/mocap/pose within 0.7 s; there is /vrpn_mocap/robot/pose; name it with --mocap"),
    ("/vrpn_mocap/robot/pose", "odometry", "mocap", "it has geometry_msgs/msg/PoseStamped; give mocap_type"),
    ("mocap/pose", "transform", "mocap", "start the driver of motion capture; is the body tracked?")])
def test_what_is_not_heard(monkeypatch: pytest.MonkeyPatch, mocap: str, kind: str, sensor: str, says: str) -> None:
    monkeypatch.setattr(calibration_watch, "PATIENCE", 0.7)
    with sensors(), calibration_watch.CalibrationWatch(mocap, kind, "imu/data_raw") as watch, pytest.raises(
            UserError) as caught:
        watch.hear((sensor,), 1.0, lambda *_: None)
    assert says in str(caught.value)


@pytest.mark.parametrize(("arguments", "says"), [
    (["--steps", "rest,gyro"], "there is no step 'gyro'; known: rest, mocap, imu, pivot"),
    (["--steps", ","], "no step; known: rest,mocap,imu,pivot"),
    (["--seconds", "nan"], "seconds must be from 1 to 600"), (["--seconds", "0"], "seconds must be from 1 to 600"),
    (["--wait", "-1"], "wait must be 0 or more"), (["--heading", "inf"], "heading must be a number"),
    (["--pivot_point", "0", "0", "2"], "pivot_point must be within 1 m"),
    (["--calibration", "none.yaml"], "none.yaml cannot be read"),
    (["--out", "none/robot.yaml"], "none/robot.yaml cannot be written; name a file"), (["--out", "."], "cannot be"),
    (["--calibration", "good.yaml", "--out", "other.yaml"], "other.yaml is there already and would be lost"),
    (["--out", "bad.yaml"], "bad.yaml: unknown a"), (["--bag", "none"], "none does not exist"),
    (["--bag", "bag", "--from", "1,2", "--steps", "rest"], "--from must be one number of seconds, or one for each"),
    (["--bag", "bag", "--to", "x"], "--to must be numbers of seconds"),
    (["--bag", "bag", "--from", "3", "--to", "2"], "step rest: from 3 s to 2 s is nothing"),
    (["--bag", "bag", "--imu", "/none"], "--imu /none is not there")])
def test_bad_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                   arguments: list[str], says: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(OLD)
    Path("other.yaml").write_text(OLD)
    Path("bad.yaml").write_text("a: 1\n")
    if "bag" in arguments:
        write(Path("bag"), {"rest": Heard(resting().poses[:3], resting().readings[:3])})
    assert main(["calibrate", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1, error
    assert Path("other.yaml").read_text() == OLD
