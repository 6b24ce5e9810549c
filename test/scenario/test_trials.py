# SPDX-License-Identifier: Apache-2.0
"""Whole trials: every node a process, real DDS, real physics, started as a user starts them."""

from __future__ import annotations

import fcntl
import json
import math
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from nodes.support import Peer
from rclpy.context import Context
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from scenario import Run, l2a, pictures, rows, sim
from simulation.filming import no_opengl
from std_msgs.msg import Bool

from l2a_ros.bringup.arguments import FRAMES
from l2a_ros.nodes import interfaces as names
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.robot.limits import LegRateLimits
from l2a_ros.simulation.frames import load_frames

PERIOD = 100_000_000
REPORT_KEYS = {"method", "planner", "path", "terrain", "faults", "seed", "completed", "steps", "duration_s",
               "mean_cost", "mean_lateral_error_m", "progress_m", "return", "safety_stops", "loop"}


def check_files(out: Path, report: dict[str, Any]) -> None:
    """Check what holds for the report and the rows of every trial in lock-step."""
    assert set(report) >= REPORT_KEYS
    assert set(report["loop"]) == {"period_s", "state_to_command_s", "overruns"}
    assert report["safety_stops"] == 0
    table = rows(out)
    assert len(table) == report["steps"] + 1
    assert set(table[0]) >= {*STATE.names, *(f"command_{name}" for name in ACTION.names)}
    np.testing.assert_array_equal(np.diff([row["stamp_ns"] for row in table]), PERIOD)
    for row in table:
        assert all(math.isfinite(row[name]) for name in STATE.names)
        assert 3.0 < row["battery_voltage"] < 4.3
        for angle in ("roll", "pitch", "yaw", "left_leg", "right_leg"):
            assert math.hypot(row[f"{angle}_cos"], row[f"{angle}_sin"]) == pytest.approx(1.0, abs=1e-6)
    limits = LegRateLimits()
    commands = np.array([[row[f"command_{name}"] for name in ACTION.names] for row in table])
    assert all(limits.admits(command) and command.any() for command in commands), "every state has its command"
    costs = np.array([row["cost"] for row in table[1:]])
    assert report["mean_cost"] == pytest.approx(costs.mean(), abs=1e-5)
    assert report["return"] == pytest.approx(-costs.sum(), abs=1e-4)
    lateral = np.abs([row["lateral_error_m"] for row in table[1:]])
    assert report["mean_lateral_error_m"] == pytest.approx(lateral.mean(), abs=1e-5)
    assert report["progress_m"] == pytest.approx(table[-1]["progress_m"], abs=1e-5)
    assert (out / "trial.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("path", "duration"), [("straight", 20.0), ("right", 3.0), ("figure8", 3.0)])
def test_every_path(tmp_path: Path, path: str, duration: float) -> None:
    """The path ``left`` is walked faster than real time, ``zigzag`` recorded: below."""
    report = sim(tmp_path, "--path", path, "--method", "mb", "--clock", "lockstep", "--duration", duration)
    check_files(tmp_path, report)
    assert (report["path"], report["method"]) == (path, "mb")
    assert report["progress_m"] > 0.1 * min(report["duration_s"], 10.0), "it gets on"
    assert report["max_lateral_error_m"] < 0.3
    if path == "straight":
        assert report["completed"]
        assert report["ended"] == "end of path"
        assert report["mean_lateral_error_after_1s_m"] <= 0.05
    else:
        assert report["duration_s"] == pytest.approx(duration)
        assert report["steps"] == round(duration * 10)


def test_straight_line_in_real_time(tmp_path: Path) -> None:
    report = sim(tmp_path, "--path", "straight", "--method", "grbal", "--duration", 20)
    assert report["completed"]
    assert report["safety_stops"] == 0
    assert report["mean_lateral_error_after_1s_m"] <= 0.05
    assert (report["method"], report["planner"], report["terrain"]) == ("grbal", "cem", "carpet")
    for figures in (report["loop"]["period_s"], report["loop"]["state_to_command_s"]):
        assert 0.0 < figures["p50"] <= figures["p99"] <= figures["max"]
    assert report["loop"]["overruns"] is not None


def test_faster_than_real_time(tmp_path: Path) -> None:
    report = sim(tmp_path, "--path", "left", "--method", "mb", "--duration", 3, "--clock", "2.0",
                 "--terrain", "styrofoam")
    assert report["terrain"] == "styrofoam"
    assert report["duration_s"] == pytest.approx(3.0, abs=0.3)
    assert report["progress_m"] > 0.2
    assert report["loop"]["period_s"]["p50"] == pytest.approx(0.1, rel=0.3), "simulated seconds"


def test_five_times_as_fast_as_real_time(tmp_path: Path) -> None:
    """On a machine that cannot keep up the robot stands, because its commands are too old; else it walks."""
    report = sim(tmp_path, "--path", "left", "--method", "mb", "--duration", 5, "--clock", "5.0")
    assert report["ended"] == "time is up"
    assert report["duration_s"] == pytest.approx(5.0, abs=0.5)
    assert report["safety_stops"] == 0
    table = rows(tmp_path)
    stamps = np.array([row["stamp_ns"] for row in table])
    assert np.all(stamps % PERIOD == 0) and np.all(np.diff(stamps) > 0)
    commanded = [row["command_left_leg"] > 0.0 for row in table]
    assert report["progress_m"] > 0.05 or np.mean(commanded) < 0.9, "it walks when it is told to"


def test_world_that_is_started_again_ends_the_trial(tmp_path: Path) -> None:
    with Run(tmp_path, "--method", "mb", "--duration", 60, "--path", "figure8", "--clock", "2.0") as run:
        run.wait_until_it_walks()
        with Peer() as peer:
            for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
                               Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
                assert peer.transition("mujoco_sim", transition)
            status, _, errors = run.end()
        assert status != 0
        assert "time jumped back by" in errors or "disarmed by somebody else" in errors
        assert run.left() == []
        report = json.loads((tmp_path / "report.json").read_text())
        assert not report["completed"]
        assert report["steps"] > 0


def segments() -> set[str]:
    """Return the memory that nodes share, living and dead; none where there is no shared memory file system.

    Not the files of ports: few, small, and whoever takes the port next takes them over.
    """
    return {file.name for file in Path("/dev/shm").glob("fastdds_*") if re.fullmatch("fastdds_[0-9a-f]{16}", file.name)}


def is_held(segment: str) -> bool:
    """Whether the node that made a segment of shared memory still lives: it holds a lock as long as it does."""
    try:
        with Path(f"/dev/shm/{segment}_el").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


WALK = ("--path", "zigzag", "--method", "grbal", "--clock", "lockstep", "--duration", 3, "--terrain", "turf",
        "--fault", "missing_leg:front_right@1.2")


def test_lockstep_repeats_byte_for_byte_and_its_bag_is_whole(tmp_path: Path) -> None:
    recorded, plain, other = tmp_path / "recorded", tmp_path / "plain", tmp_path / "other"
    left = []

    def run(out: Path, *more: object) -> dict[str, Any]:
        before = segments()
        made: dict[str, Any] = sim(out, *WALK, *more)
        # Others on this machine may run nodes meanwhile: theirs are alive.
        left.append({name for name in segments() - before if not is_held(name)})
        return made

    report = run(recorded, "--record")
    check_files(recorded, report)
    assert report["path"] == "zigzag"
    assert report["progress_m"] > 0.3
    assert report["faults"] == ["missing_leg:front_right@1.2"]
    run(plain)
    run(other, "--seed", 1, "--record")
    # Seen once: one segment of one run. A node ends without its middleware if that takes too long to close.
    assert sum(map(bool, left)) <= 1, "half a megabyte per node and run would fill a robot's memory within days"
    assert (recorded / "trial.csv").read_bytes() == (plain / "trial.csv").read_bytes()
    assert (recorded / "report.json").read_bytes() == (plain / "report.json").read_bytes()
    assert (recorded / "trial.csv").read_bytes() != (other / "trial.csv").read_bytes()
    check_bag(recorded / "bag", recorded)
    check_training([recorded / "bag", other / "bag"], tmp_path)


def check_bag(bag: Path, out: Path) -> None:
    """Open a bag with two libraries: every topic, the right types, the same messages, the states of the CSV."""
    wanted = {f"/{topic.name.lstrip('/')}": topic for topic in names.RECORDED}
    types = {name: f"{topic.type.__module__.split('.')[0]}/msg/{topic.type.__name__}" for name, topic in wanted.items()}
    counts: dict[str, int] = {}
    states = {}
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_KILTED)) as reader:
        assert {each.topic: each.msgtype for each in reader.connections} == types
        for connection, _, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            counts[connection.topic] = counts.get(connection.topic, 0) + 1
            if connection.topic == "/robot_state":
                stamp = message.header.stamp
                states[stamp.sec * 1_000_000_000 + stamp.nanosec] = list(message.position)
    # Nobody pressed the emergency stop, and metrics of the trial come from the trial.
    assert set(counts) == set(wanted) - {"/estop"}
    table = rows(out)
    for row in table:
        np.testing.assert_allclose(states[int(row["stamp_ns"])], [row[name] for name in STATE.names],
                                   rtol=1e-8, atol=1e-9)
    assert counts["/motor_commands"] >= len(table)
    assert counts["/adapted_model"] >= len(table)
    assert counts["/mocap/pose"] >= 10 * len(table)

    (file,) = bag.glob("*.mcap")
    seen: dict[str, int] = {}
    with file.open("rb") as stream:
        messages = make_reader(stream, decoder_factories=[DecoderFactory()]).iter_decoded_messages()
        for schema, channel, _, message in messages:
            assert (schema.name, schema.encoding) == (types[channel.topic], "ros2msg")
            assert message.__class__.__name__ == schema.name.rpartition("/")[2]
            seen[channel.topic] = seen.get(channel.topic, 0) + 1
    assert seen == counts


def check_training(bags: list[Path], folder: Path) -> None:
    """Train on bags of trials, and use what came out."""
    checkpoint = folder / "own.safetensors"
    done = l2a("meta-train", "--bags", *bags, "--method", "grbal", "--out", checkpoint, "--epochs", 1, "--past", 3,
               "--future", 3, "--hidden", 16, "--meta-batch", 4, "--threads", 1)
    assert done.returncode == 0, done.stderr
    report = sim(folder / "own", "--path", "straight", "--method", "grbal", "--clock", "lockstep", "--duration", 1,
                 "--checkpoint", checkpoint)
    assert report["checkpoint"] == "own.safetensors"


def test_estop_ends_the_trial(tmp_path: Path) -> None:
    with Run(tmp_path, "--method", "mb", "--duration", 20, "--path", "figure8") as run:
        run.wait_until_it_walks()
        context = Context()
        rclpy.init(context=context)
        try:
            node = rclpy.create_node("button", context=context)
            node.create_publisher(names.ESTOP.type, names.ESTOP.name, names.ESTOP.qos).publish(Bool(data=True))
            status, _, errors = run.end()
        finally:
            rclpy.shutdown(context=context)
        assert status != 0
        assert "the robot was stopped: estop" in errors
        assert run.left() == []
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["safety_stops"] == 1
        assert not report["completed"]


@pytest.mark.parametrize("victim", ["mujoco_sim", "trial"])
def test_killed_node_ends_the_run_and_is_named(tmp_path: Path, victim: str) -> None:
    """The other nodes are killed beside the emulated robot, in ``test_soak.py``."""
    with Run(tmp_path, "--method", "mb", "--duration", 60, "--path", "figure8") as run:
        run.wait_until_it_walks()
        assert set(run.nodes) == {"mujoco_sim", "state_estimator", "adaptation", "mpc", "trial"}
        run.nodes[victim].kill()
        status, _, errors = run.end()
        assert status == 128 + signal.SIGKILL
        assert f"{victim} was killed by SIGKILL" in errors
        assert run.left() == []


def test_interrupted_run_leaves_its_files_and_no_process(tmp_path: Path) -> None:
    filmed = [] if no_opengl() else ["--video"]
    with Run(tmp_path, "--method", "mb", "--duration", 60, "--path", "figure8", "--record", *filmed) as run:
        run.wait_until_it_walks()
        run.process.send_signal(signal.SIGINT)
        status, output, errors = run.end()
        assert status == 130, errors
        assert run.left() == []
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["ended"] == "interrupted"
        assert report["steps"] > 0
        with AnyReader([tmp_path / "bag"]) as reader:
            assert "/robot_state" in reader.topics
        if filmed:
            assert re.search(r"film +.*trial\.mp4", output)
            assert pictures(tmp_path / "trial.mp4") == len(load_frames(tmp_path / FRAMES)) > 5
