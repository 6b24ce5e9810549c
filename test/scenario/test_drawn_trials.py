# SPDX-License-Identifier: Apache-2.0
"""Lines drawn by hand, as RViz's tools would send them, walked by the whole graph."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PointStamped, PoseStamped, PoseWithCovarianceStamped
from nodes.support import Peer, until
from scenario import Run, rows

from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import path_points
from l2a_ros.robot.share import share_file
from l2a_ros.trials.paths import load_shape


def goal(x: float, y: float) -> PoseStamped:
    message = PoseStamped()
    message.header.frame_id = "map"
    message.pose.position.x, message.pose.position.y, message.pose.orientation.w = x, y, 1.0
    return message


def click(x: float, y: float) -> PointStamped:
    message = PointStamped()
    message.header.frame_id = "map"
    message.point.x, message.point.y = x, y
    return message


def put(x: float, y: float, yaw: float) -> PoseWithCovarianceStamped:
    message = PoseWithCovarianceStamped()
    message.header.frame_id = "map"
    pose = message.pose.pose
    pose.position.x, pose.position.y = x, y
    pose.orientation.z, pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return message


def report_of(folder: Path) -> dict[str, Any]:
    until(lambda: (folder / "path.yaml").is_file(), f"{folder.name} is written", 110.0)
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def drawn(peer: Peer) -> list[list[float]]:
    points: list[list[float]] = path_points(peer.of(names.PATH_PREVIEW)[-1]).round(2).tolist()
    return points


def test_lines_drawn_by_hand_are_followed_one_after_the_other(tmp_path: Path) -> None:
    config, out = tmp_path / "patient.yaml", tmp_path / "out"
    shipped = share_file("config", "millirobot.yaml").read_text()
    config.write_text(f"{shipped}\n/**/trial:\n  ros__parameters:\n    wait_timeout: 120.0\n")
    with (Run(out, "--path", "drawn", "--method", "mb", "--clock", "lockstep", "--duration", 20,
              "--config", config) as run, Peer() as peer):
        peer.listen(names.PATH_PREVIEW, names.REFERENCE_PATH)
        peer.offer(names.GOAL_POSE, names.CLICKED_POINT, names.INITIAL_POSE)
        until(lambda: len(peer.of(names.PATH_PREVIEW)), "it takes lines", 110.0)

        peer.publish(names.GOAL_POSE, goal(0.5, -0.2))
        report = report_of(out / "001")
        assert (report["path"], report["ended"], report["completed"]) == ("drawn", "end of path", True)
        assert report["path_length_m"] == pytest.approx(math.hypot(0.5, 0.2), abs=0.02)
        assert report["max_lateral_error_m"] < 0.15
        shape = load_shape(out / "001" / "path.yaml")
        assert shape.is_in_room
        np.testing.assert_allclose(shape.points, [[0.0, 0.0], [0.5, -0.2]], atol=0.02)
        until(lambda: len(peer.of(names.PATH_PREVIEW)) >= 3)
        assert drawn(peer) == [], "what was walked is done with"

        # The robot is put elsewhere; the line begins where it stands then.
        peer.publish(names.INITIAL_POSE, put(-1.0, 1.0, math.pi / 2))
        peer.publish(names.CLICKED_POINT, click(-1.0, 1.4))
        until(lambda: len(drawn(peer)) == 2)
        peer.publish(names.CLICKED_POINT, click(-0.8, 1.7))
        until(lambda: len(drawn(peer)) == 3)
        peer.publish(names.CLICKED_POINT, click(-0.8, 1.75))
        report = report_of(out / "002")
        assert report["completed"], report
        assert report["max_lateral_error_m"] < 0.2
        table = rows(out / "002")
        assert [table[0][f"position_{axis}"] for axis in "xy"] == pytest.approx([-1.0, 1.0], abs=0.03)
        assert sorted(file.name for file in (out / "002").iterdir()) == [
            "path.yaml", "report.json", "trial.csv", "trial.png"]

        run.process.send_signal(signal.SIGINT)
        status, _, errors = run.end()
        assert status == 130, errors
        assert "goal at x 0.50 m, y -0.20 m: a line of 0.5" in errors
        assert "the robot is put" not in errors, "that is in the log of the simulator"
