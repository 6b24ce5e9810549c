# SPDX-License-Identifier: Apache-2.0
"""`l2a estimate`: recordings with odd names, without truth, damaged; its report and its files."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimation.motion_bags import (
    COVARIANCE,
    ODOMETRY,
    POSE,
    START,
    TRANSFORM,
    Logged,
    poses,
    readings,
    write_motion,
    write_ros1,
)
from rosbags.rosbag2 import StoragePlugin

from l2a_ros.cli.main import main
from l2a_ros.estimation import replay_picture
from l2a_ros.estimation.evo_errors import evo_is_installed

PNG = b"\x89PNG"


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than everything else."""
    monkeypatch.setattr(replay_picture, "draw", lambda *_: PNG)


def estimate(out: Path, *arguments: object) -> dict[str, Any]:
    """Run the command and return its report."""
    assert main(["estimate", "--out", str(out), *map(str, arguments)]) == 0
    content: dict[str, Any] = json.loads((out / "report.json").read_text(), parse_constant=pytest.fail)
    return content


def circle(kind: str = POSE, truth: str = ODOMETRY) -> list[Logged]:
    return [*poses("/vicon/thing", kind, noise=2e-4), *readings("/sensors/bosch"),
            *poses("/the/truth", truth, per_second=50.0, delay=200_000_000)]


def test_errors_against_a_truth_of_another_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_motion(tmp_path / "bag", circle())
    content = estimate(tmp_path / "out", "--bag", bag, "--truth", "/the/truth", "--json", tmp_path / "more" / "a.json")
    assert json.loads((tmp_path / "more" / "a.json").read_text()) == content
    [recording] = content["recordings"]
    assert {name: (each["name"], each["count"]) for name, each in recording["topics"].items()} == {
        "mocap": ("/vicon/thing", 200), "imu": ("/sensors/bosch", 400), "truth": ("/the/truth", 100)}
    assert recording["duration_s"] == pytest.approx(1.995)
    assert 90 <= recording["moments"] <= 100
    assert recording["health"]["tracking"] > 0.9
    assert sum(recording["health"].values()) == pytest.approx(1.0)
    assert recording["status"] == "tracking"
    assert recording["filter"]["poses used"] > 180
    errors = recording["errors"]
    assert content["errors"] == errors
    assert errors["live"]["position_m"]["p50"] < 2e-3
    assert errors["live"]["orientation_deg"]["p50"] < 0.5
    assert errors["live"]["velocity_m_s"]["p50"] < 0.03
    assert errors["ate_m"] == pytest.approx(errors["live"]["position_m"]["rmse"])
    assert [each["interval_s"] for each in errors["rpe"]] == [0.1, 1.0]
    assert all(each["pairs"] > 40 and each["translation_m"] < 0.01 for each in errors["rpe"])
    if evo_is_installed():
        assert recording["evo"]["ate_m"] == pytest.approx(errors["ate_m"])
        assert [each["rotation_deg"] for each in recording["evo"]["rpe"]] == [
            pytest.approx(each["rotation_deg"]) for each in errors["rpe"]]
    # Files.
    rows = list(csv.DictReader((tmp_path / "out" / "estimate.csv").open(encoding="utf-8")))
    truth = np.loadtxt(tmp_path / "out" / "truth.tum", ndmin=2)
    estimated = np.loadtxt(tmp_path / "out" / "estimate.tum", ndmin=2)
    assert len(rows) == len(truth) == recording["moments"]
    assert truth.shape[1] == estimated.shape[1] == 8
    assert truth[1, 0] - truth[0, 0] == pytest.approx(0.02, abs=1e-6)
    distances = [math.dist(*([float(row[f"{whose}{axis}_m"]) for axis in "xyz"] for whose in ("", "true_")))
                 for row in rows if row["health"] == "tracking"]
    assert np.median(distances) == pytest.approx(errors["live"]["position_m"]["p50"], rel=1e-3)
    assert all(float(row["position_x_spread"]) > 0.0 for row in rows)
    assert int(rows[0]["stamp_s"].replace(".", "")) > START
    assert (tmp_path / "out" / "estimate.png").read_bytes().startswith(PNG)
    # What people read.
    output = capsys.readouterr().out
    for words in ("/vicon/thing (PoseStamped): 200 messages", "position", "  mm", "  deg", "  m/s", "ATE",
                  "RPE over 1 s", "1 is honest", "times as fast", str(tmp_path / "out")):
        assert words in output


@pytest.mark.usefixtures("no_picture")
def test_without_truth_only_the_filter_speaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_motion(tmp_path / "bag", [*poses("/odd", TRANSFORM), *readings("/imu")], storage=StoragePlugin.SQLITE3)
    content = estimate(tmp_path / "out", "--bag", bag, "--rate", "50")
    assert content["errors"] is None
    assert content["recordings"][0]["errors"] is None
    assert 90 <= content["recordings"][0]["moments"] <= 101
    assert "mocap latency (s)" in content["recordings"][0]["filter"]
    assert not (tmp_path / "out" / "truth.tum").exists()
    output = capsys.readouterr().out
    assert "ATE" not in output
    assert re.search(r"gyro bias z \(rad/s\) +[-\d.e]+ ± [\d.e-]+\n", output)
    assert " spread (" not in output
    assert "refused" not in output


@pytest.mark.usefixtures("no_picture")
def test_motion_capture_alone(tmp_path: Path) -> None:
    # Shorter than the longest interval of relative errors.
    bag = write_motion(tmp_path / "bag", poses("/odd", COVARIANCE, duration=0.9))
    content = estimate(tmp_path / "out", "--bag", bag, "--imu", "none", "--truth", "/odd", "--mocap", "/odd")
    assert content["recordings"][0]["topics"]["imu"] is None
    assert content["errors"]["live"]["position_m"]["rmse"] < 0.01
    # A message of this type has no velocity: it is the difference of positions.
    assert content["errors"]["live"]["velocity_m_s"]["count"] > 70
    assert content["errors"]["rpe"][1]["translation_m"] is None


@pytest.mark.usefixtures("no_picture")
def test_several_recordings_are_estimated_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_motion(tmp_path / "runs" / "a" / "bag", circle())
    write_ros1(tmp_path / "runs" / "b.bag", circle(TRANSFORM))
    content = estimate(tmp_path / "out", "--bag", tmp_path / "runs", "--truth", "truth")
    first, second = content["recordings"]
    assert first["errors"]["ate_m"] == pytest.approx(second["errors"]["ate_m"])
    assert content["errors"]["live"]["position_m"]["count"] == first["moments"] + second["moments"]
    assert "all 2 recordings" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["001_bag", "002_b", "report.json"]
    assert (tmp_path / "out" / "002_b" / "estimate.tum").stat().st_size > 1000


@pytest.mark.usefixtures("no_picture")
def test_settings_reach_the_filter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_motion(tmp_path / "bag", [*poses("/pose"), *readings("/imu")])
    config = tmp_path / "config.yaml"
    config.write_text("/**:\n  ros__parameters: {use_sim_time: true, gate: 40.0}\n"
                      "/**/state_estimator:\n  ros__parameters: {highest: 0.02, gate: 50.0, control_period: 0.1}\n"
                      "/**/mpc:\n  ros__parameters: {highest: 0.3}\n")
    calibration = tmp_path / "robot.yaml"
    calibration.write_text("mocap_position: [0.0, 0.0, 0.02]\n")
    content = estimate(tmp_path / "low", "--bag", bag, "--config", config)
    # The robot is higher than that: nothing is believed, which is no failure of the command.
    assert (content["settings"]["highest"], content["settings"]["gate"]) == (0.02, 50.0)
    assert content["recordings"][0]["moments"] == 0
    output = capsys.readouterr().out
    assert "not settings of the filter, left out: control_period\n" in output
    assert "no estimate: " in output
    assert not (tmp_path / "low" / "estimate.png").exists()
    content = estimate(tmp_path / "high", "--bag", bag, "--config", config, "--set", "highest=0.6", "--calibration",
                       calibration)
    assert (content["settings"]["highest"], content["settings"]["gate"]) == (0.6, 50.0)
    heights = np.loadtxt(tmp_path / "high" / "estimate.tum")[:, 3]
    np.testing.assert_allclose(heights, 0.03, atol=2e-3)


@pytest.mark.usefixtures("no_picture")
def test_damage_and_numbers_that_are_none_give_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logged = circle()
    for i, value in enumerate((float("nan"), float("inf"), 1e300, 0.0)):
        for k in range(4):
            message = logged[20 + 40 * i + k][3]
            message.pose.orientation.w = value
            message.pose.position.x = value
        logged[200 + 30 * i][3].angular_velocity.y = value
        logged[600 + 10 * i][3].pose.pose.position.y = value
        logged[601 + 10 * i][3].pose.pose.orientation.z = value
        logged[602 + 10 * i][3].twist.twist.linear.x = value
    logged[30][3].header.stamp = type(logged[30][3].header.stamp)(sec=-5, nanosec=3)
    logged[31][3].header.stamp = type(logged[30][3].header.stamp)(sec=2**31 - 1, nanosec=2**32 - 1)
    bag = write_motion(tmp_path / "bag", logged)
    file = bag / "bag.mcap"
    file.write_bytes(file.read_bytes()[:-30_000])
    content = estimate(tmp_path / "out", "--bag", bag, "--truth", "/the/truth")
    [recording] = content["recordings"]
    assert any("damaged" in each for each in recording["warnings"])
    assert recording["bad_truths"] >= 6
    assert recording["moments"] > 30
    assert "warning: " in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "words"), [
    (["--truth", "/nowhere"], "--truth /nowhere is not there, or empty; there are /pose (PoseStamped)"),
    (["--imu", "/pose"], "--imu /pose is of type geometry_msgs/msg/PoseStamped; there are /imu (Imu)"),
    (["--align"], "--align needs --truth"),
    (["--rate", "0"], "rate must be from 0.1 to 10000 Hz"),
    (["--rate", "nan"], "rate must be from 0.1 to 10000 Hz"),
    (["--set", "gate"], "--set gate must be NAME=VALUE"),
    (["--set", "gate=wide"], "'wide' is not a number"),
    (["--set", "gates=3"], "unknown setting of the filter 'gates'"),
    (["--set", "gate=-3"], "gate must be from 1"),
    (["--set", "gate=nan"], "gate must be from 1"),
    (["--config", "/nowhere.yaml"], "config"),
    (["--calibration", "/nowhere.yaml"], "calibration /nowhere.yaml cannot be read"),
    (["--bag", "/nowhere"], "the recording /nowhere does not exist"),
    (["--out", "/dev/null/x"], "cannot be made"),
])
def test_what_will_not_do_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str],
                                      words: str) -> None:
    bag = write_motion(tmp_path / "bag", [*poses("/pose", duration=0.05), *readings("/imu", 0.05)])
    assert main(["estimate", "--bag", str(bag), "--out", str(tmp_path / "out"), *arguments]) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.count("\n") == 1


def test_an_empty_recording_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_motion(tmp_path / "bag", [])
    assert main(["estimate", "--bag", str(bag), "--out", str(tmp_path / "out")]) == 2
    (bag / "bag.mcap").write_bytes(b"")
    assert main(["estimate", "--bag", str(bag), "--out", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert "--mocap TOPIC is missing" in errors[0]
    assert "not a readable recording" in errors[1]
    assert len(errors) == 2
