# SPDX-License-Identifier: Apache-2.0
"""Tracks of trials and of recordings as paths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_writer import BagWriter, message_type
from l2a_ros.planning.line_path import LinePath
from l2a_ros.robot.layout import STATE
from l2a_ros.trials.log import TrialLog, TrialSettings
from l2a_ros.trials.paths import load_path, load_shape
from l2a_ros.trials.recorded_track import load_track, way_points
from l2a_ros.trials.report import csv_text

TENTH = 100_000_000
STATES, POSES = "sensor_msgs/msg/JointState", "geometry_msgs/msg/PoseStamped"
YAW = 0.4
#: A quarter turn to the left from (1, 2), which a robot that looks along YAW begins.
ARC = np.array([[1.0 + math.sin(a + YAW) - math.sin(YAW), 2.0 - math.cos(a + YAW) + math.cos(YAW)]
                for a in np.linspace(0.0, math.pi / 2, 41)])


def state(x: float, y: float, yaw: float = YAW) -> np.ndarray:
    return STATE.vector(dict.fromkeys(STATE.names, 0.0) | {
        "position_x": x, "position_y": y, "yaw_cos": math.cos(yaw), "yaw_sin": math.sin(yaw)})


def write_csv(file: Path, track: np.ndarray) -> Path:
    log = TrialLog(LinePath(np.array([[0.0, 0.0], [50.0, 0.0]])), TrialSettings("straight", "mb", "cem"))
    for i, (x, y) in enumerate(track):
        log.add_state(i * TENTH, state(x, y))
    file.write_text(csv_text(log.rows()))
    return file


def header(stamp: int) -> object:
    time = message_type("builtin_interfaces/msg/Time")(sec=stamp // 10**9, nanosec=stamp % 10**9)
    return message_type("std_msgs/msg/Header")(stamp=time, frame_id="map")


def pose(stamp: int, x: float, y: float) -> object:
    turn = message_type("geometry_msgs/msg/Quaternion")(x=0.0, y=0.0, z=math.sin(YAW / 2), w=math.cos(YAW / 2))
    place = message_type("geometry_msgs/msg/Point")(x=x, y=y, z=0.03)
    return message_type(POSES)(header=header(stamp), pose=message_type("geometry_msgs/msg/Pose")(
        position=place, orientation=turn))


def robot_state(stamp: int, x: float, y: float, names: Sequence[str] = STATE.names) -> object:
    return message_type(STATES)(header=header(stamp), name=list(names), position=state(x, y)[:len(names)],
                                velocity=np.empty(0), effort=np.empty(0))


def write_recording(folder: Path, topics: dict[str, np.ndarray], cut: int = STATE.size) -> Path:
    with BagWriter(folder) as bag:
        for topic, track in topics.items():
            is_state = topic.endswith("robot_state")
            bag.add_topic(topic, STATES if is_state else POSES)
            for i, (x, y) in enumerate(track):
                message = robot_state(i * TENTH, x, y, STATE.names[:cut]) if is_state else pose(i * TENTH, x, y)
                bag.write_message(topic, i * TENTH, message)
    return folder


def from_arc(points: np.ndarray) -> np.ndarray:
    """Distances from the arc, m."""
    middle = np.array([1.0 - math.sin(YAW), 2.0 + math.cos(YAW)])
    return np.abs(np.hypot(*(points - middle).T) - 1.0)


def test_track_of_a_trial_begins_at_the_robot_or_stays_in_the_room(tmp_path: Path) -> None:
    write_csv(tmp_path / "trial.csv", ARC)
    file = tmp_path / "again.yaml"
    file.write_text("{track: trial.csv, frame: map, spacing: 0.1}")
    in_room = load_shape(file)
    assert in_room.is_in_room
    np.testing.assert_allclose(in_room.points[[0, -1]], ARC[[0, -1]], atol=1e-6)
    assert np.all(from_arc(in_room.points) < 0.005)
    np.testing.assert_allclose(LinePath(in_room.points).segment_lengths, 0.1, atol=0.01)
    file.write_text(f"track: {tmp_path}")
    points = load_path(file)
    np.testing.assert_allclose(points[[0, -1]], [[0.0, 0.0], [1.0, 1.0]], atol=1e-6,
                               err_msg="seen from where the robot looked")


def test_track_of_a_recording(tmp_path: Path) -> None:
    bag = write_recording(tmp_path / "bag", {"/robot_state": ARC, "/mocap/pose": ARC + 5.0})
    track, yaw = load_track(bag)
    np.testing.assert_allclose(track, ARC)
    assert yaw == pytest.approx(YAW)
    np.testing.assert_allclose(load_track(bag, "/mocap/pose")[0], ARC + 5.0)
    carried = write_recording(tmp_path / "carried", {"/mocap/pose": ARC})
    track, yaw = load_track(carried)
    np.testing.assert_allclose(track, ARC)
    assert yaw == pytest.approx(YAW)
    with pytest.raises(UserError, match="nothing on /robot_state, not a robot_state or poses"):
        load_track(carried, "/robot_state")
    with pytest.raises(UserError, match=r"holds 2 recordings; name one"):
        load_track(tmp_path)
    two = write_recording(tmp_path / "two", {"/a/robot_state": ARC, "/b/robot_state": ARC})
    with pytest.raises(UserError, match="several robots; name one with 'topic': /a/robot_state, /b/robot_state"):
        load_track(two)
    with pytest.raises(UserError, match="nothing on robot_state or mocap/pose"):
        load_track(write_recording(tmp_path / "none", {"/other/pose": ARC}))


HEADER = "position_x,position_y,yaw_cos,yaw_sin\n"


@pytest.mark.parametrize("text", ["", "position_x,position_y\n1,2\n", f"{HEADER}a,b,c,d\n", f"{HEADER}1,2,1,0\n,,,\n"])
def test_table_without_a_track_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "trial.csv"
    file.write_text(text)
    with pytest.raises(UserError, match="holds no track|is no trial.csv") as caught:
        load_track(file)
    assert "\n" not in str(caught.value)


def test_track_of_a_robot_that_stood_is_no_path() -> None:
    with pytest.raises(UserError, match="too short for way-points 0.2 m apart"):
        way_points(np.array([[0.0, 0.0], [0.001, 0.0], [0.0, 0.001], [0.3, 0.0]]))


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.5), st.floats(0.3, 2.0), st.integers(0, 30))
@settings(max_examples=40)
def test_noise_and_standing_do_not_bend_the_path(seed: int, spacing: float, radius: float, standing: int) -> None:
    spacing = min(spacing, 0.6 * radius)
    rng = np.random.default_rng(seed)
    angles = np.concatenate([np.zeros(standing), np.linspace(0.0, 4.0, 400), np.full(standing, 4.0)])
    clean = radius * np.stack([np.sin(angles), 1.0 - np.cos(angles)], axis=1)
    noisy = clean + rng.normal(0.0, 0.003, clean.shape)
    points = way_points(noisy, spacing)
    np.testing.assert_allclose(points[[0, -1]], noisy[[0, -1]], atol=1e-9)
    off = np.abs(np.hypot(*(points - [0.0, radius]).T) - radius)
    # A chord of the smoothing window is inside the arc by its sagitta at most.
    assert off.max() < 0.01 + spacing**2 / (2.0 * radius)
    np.testing.assert_allclose(LinePath(points).segment_lengths, spacing, rtol=0.35)
    turns = np.abs(np.diff(np.unwrap(np.arctan2(*np.diff(points, axis=0).T[::-1]))))
    assert turns.max() < spacing / radius + 0.35, "no kinks"
