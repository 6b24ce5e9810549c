# SPDX-License-Identifier: Apache-2.0
"""The trial node as a real process over DDS, with a kinematic stand-in playing the rest of the graph."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import SetBool, Trigger

from l2a_ros.nodes import interfaces
from l2a_ros.nodes.messages import (
    motor_commands,
    named_values,
    named_vector,
    path_points,
)
from l2a_ros.planning.line_path import LinePath
from l2a_ros.robot.layout import STATE

ROOT = Path(__file__).resolve().parents[2]
PERIOD = 0.1


class StandIn:
    """The sim, the estimator, the adaptation and the controller in one thread: a unicycle that follows the path.

    Simulated time moves ``PERIOD`` per tick; ``rate`` ticks per wall-clock second when not in lock-step.
    """

    def __init__(self, domain: int, lockstep: bool, rate: float = 1 / PERIOD, stop_at: int | None = None,
                 refuse_arming: bool = False) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.lockstep, self.stop_at, self.refuse_arming = lockstep, stop_at, refuse_arming
        self.period = PERIOD if lockstep else 1 / rate
        self.sim, self.estimator, self.adaptation, self.mpc = (
            rclpy.create_node(name, context=self.context)
            for name in ("mujoco_sim", "state_estimator", "adaptation", "mpc"))
        self.nodes = [self.sim, self.estimator, self.adaptation, self.mpc]
        self.stamp = 0 if lockstep else time.time_ns()
        self.x, self.y, self.yaw = 0.3, -0.2, 0.7
        self.ticks = self.steps_called = self.arms = self.disarms = self.safety_stops = 0
        self.armed, self.paused = False, lockstep
        self.path: LinePath | None = None
        self.paths: list[np.ndarray] = []
        self.segment = np.array([0])
        self.trial_metrics: list[dict[str, float]] = []
        self.state = self._offer(self.estimator, interfaces.ROBOT_STATE)
        self.command = self._offer(self.mpc, interfaces.MOTOR_COMMANDS)
        self.model = self._offer(self.adaptation, interfaces.ADAPTED_MODEL)
        self.metrics = self._offer(self.adaptation, interfaces.ADAPTATION_METRICS)
        self.diagnostics = self._offer(self.sim, interfaces.DIAGNOSTICS)
        self._listen(self.adaptation, interfaces.ROBOT_STATE, lambda _: None)
        self._listen(self.adaptation, interfaces.MOTOR_COMMANDS, lambda _: None)
        self._listen(self.mpc, interfaces.ROBOT_STATE, lambda _: None)
        self._listen(self.mpc, interfaces.ADAPTED_MODEL, lambda _: None)
        self._listen(self.mpc, interfaces.REFERENCE_PATH, self._on_path)
        self._listen(self.sim, interfaces.MOTOR_COMMANDS, lambda _: None)
        self._listen(self.sim, interfaces.TRIAL_METRICS, lambda m: self.trial_metrics.append(named_values(m)))
        self.sim.create_service(Trigger, interfaces.ARM, self._on_arm)
        self.sim.create_service(Trigger, interfaces.DISARM, self._on_disarm)
        self.start = self.sim.create_client(Trigger, interfaces.TRIAL_START)
        self.stop = self.sim.create_client(Trigger, interfaces.TRIAL_STOP)
        if lockstep:
            self.sim.create_service(Trigger, interfaces.SIM_STEP, self._on_step)
            self.sim.create_service(SetBool, interfaces.SIM_PAUSE, self._on_pause)
        self.sim.create_timer(0.005 if lockstep else self.period, self._on_timer)
        self.sim.create_timer(0.2, self._diagnose)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _offer(self, node: Any, topic: interfaces.Topic) -> Any:
        return node.create_publisher(topic.type, topic.name, topic.profile(self.lockstep))

    def _listen(self, node: Any, topic: interfaces.Topic, callback: Any) -> None:
        node.create_subscription(topic.type, topic.name, callback, topic.profile(self.lockstep))

    def _spin(self) -> None:
        executor = SingleThreadedExecutor(context=self.context)
        for node in self.nodes:
            executor.add_node(node)
        while not self._ended.is_set():
            executor.spin_once(timeout_sec=0.02)
        executor.shutdown()

    def _on_path(self, message: Any) -> None:
        points = path_points(message)
        self.paths.append(points)
        self.path, self.segment = (LinePath(points), np.array([0])) if len(points) else (None, self.segment)

    def _on_arm(self, _: Any, response: Any) -> Any:
        self.arms += 1
        self.armed = response.success = not self.refuse_arming
        response.message = "" if response.success else "the emergency stop holds"
        return response

    def _on_disarm(self, _: Any, response: Any) -> Any:
        self.disarms += 1
        self.armed, response.success = False, True
        return response

    def _on_step(self, _: Any, response: Any) -> Any:
        self.steps_called += 1
        self._tick()
        response.success = True
        return response

    def _on_pause(self, request: Any, response: Any) -> Any:
        self.paused, response.success = request.data, True
        return response

    def _on_timer(self) -> None:
        if not self.paused:
            self._tick()

    def _tick(self) -> None:
        self.stamp = self.stamp + round(self.period * 1e9) if self.lockstep else time.time_ns()
        self.ticks += 1
        values = dict.fromkeys(STATE.names, 0.0) | {
            "position_x": self.x, "position_y": self.y, "yaw_cos": math.cos(self.yaw), "yaw_sin": math.sin(self.yaw)}
        turn = forward = 0.0
        if self.path is not None and self.armed:
            seen = self.path.project(np.array([[self.x, self.y]]), self.segment)
            self.segment = seen.segment
            error = math.remainder(float(seen.heading[0]) - self.yaw, 2 * math.pi)
            turn, forward = 4.0 * error - 8.0 * float(seen.lateral_error[0]), 0.5
        rates = np.array([30.0 - 3 * turn, 30.0 + 3 * turn]) * (forward > 0)
        state = named_vector(STATE.names, list(values.values()), self.stamp)
        self.state.publish(state)
        self.metrics.publish(named_vector(["loss_before", "loss_after"], [0.2, 0.1], self.stamp))
        self.command.publish(motor_commands(rates, self.stamp))
        if self.ticks % 3 == 0:  # the sim repeats a tick that is not answered: everybody repeats the same answer
            self.state.publish(state)
            self.command.publish(motor_commands(rates, self.stamp))
        self.x += forward * math.cos(self.yaw) * self.period
        self.y += forward * math.sin(self.yaw) * self.period
        self.yaw += turn * self.period
        if self.stop_at is not None and self.ticks == self.stop_at:
            self.safety_stops, self.armed = self.safety_stops + 1, False
            self._diagnose()

    def _diagnose(self) -> None:
        state = "stopped" if self.safety_stops else "armed" if self.armed else "disarmed"
        status = DiagnosticStatus(name="mujoco_sim: motor gate", message="the emergency stop was pressed", values=[
            KeyValue(key="safety_stops", value=str(self.safety_stops)), KeyValue(key="state", value=state)])
        self.diagnostics.publish(DiagnosticArray(status=[status]))

    def close(self) -> None:
        """End the thread, then the nodes."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join(5.0)
        for node in self.nodes:
            node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def stand_in(ros_isolation: int) -> Iterator[Any]:
    """Return a maker of stand-ins that are closed at the end of the test."""
    made: list[StandIn] = []

    def make(**options: Any) -> StandIn:
        made.append(StandIn(ros_isolation, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def start_trial(out: Path, lockstep: bool, **parameters: Any) -> subprocess.Popen[str]:
    values = {"out": out, "lockstep": str(lockstep).lower(), "wait_timeout": 15.0, **parameters}
    arguments = [text for name, value in values.items() for text in ("-p", f"{name}:={value}")]
    return subprocess.Popen([sys.executable, "-m", "l2a_ros.nodes.trial", "--ros-args", *arguments], cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONPATH": str(ROOT)})


def finish(process: subprocess.Popen[str], seconds: float = 40.0) -> tuple[int, str, str]:
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        pytest.fail(f"the trial did not end\n{output}\n{errors}")
    return process.returncode, output, errors


def until(condition: Any, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_lockstep_trial_is_completed_and_repeats_byte_for_byte(stand_in: Any, tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        world = stand_in(lockstep=True)
        code, output, errors = finish(start_trial(tmp_path / name, True, path="left", seed=3,
                                                  **{"cost.lateral.weight": 20.0}))
        assert code == 0, errors
        assert "completed         yes" in output
        assert str(tmp_path / name / "report.json") in output
        assert world.steps_called == 5
        assert (world.arms, world.disarms) == (1, 1)
        assert not world.armed
        assert world.paused, "the world stands still after the trial"
        until(lambda world=world: len(world.paths) == 2)
        assert len(world.paths[-1]) == 0, "an empty path tells the controller to stand"
        np.testing.assert_allclose(world.paths[0][0], [0.3, -0.2], err_msg="the path starts at the robot")
        np.testing.assert_allclose(world.paths[0][1], [0.3 + math.cos(0.7), -0.2 + math.sin(0.7)])
        folder = tmp_path / name
        assert sorted(file.name for file in folder.iterdir()) == ["report.json", "trial.csv", "trial.png"]
        assert (folder / "trial.png").read_bytes().startswith(b"\x89PNG")
        contents.append(((folder / "trial.csv").read_bytes(), (folder / "report.json").read_bytes()))
        world.close()
    assert contents[0] == contents[1]
    report = json.loads(contents[0][1])
    assert report["completed"]
    assert report["ended"] == "end of path"
    assert report["seed"] == 3
    assert report["cost_weights"] == {"lateral": 20.0, "progress": 10.0, "heading": 5.0}
    assert report["loop"]["period_s"]["p50"] is None
    assert report["mean_lateral_error_m"] < 0.05
    rows = list(csv.DictReader(contents[0][0].decode().splitlines()))
    assert len(rows) == report["steps"] + 1
    assert rows[0]["stamp_ns"] == "600000000", "the first row follows the five settling steps"
    assert [int(row["stamp_ns"]) for row in rows] == [(6 + i) * 100_000_000 for i in range(len(rows))]
    assert all(row["command_left_leg"] for row in rows), "every row, the last included, has its command"


def test_trial_in_real_time_ends_when_the_time_is_up(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=False, rate=20.0)
    code, output, errors = finish(start_trial(tmp_path, False, duration=2.5, control_period=0.05))
    assert code == 0, errors
    report = json.loads((tmp_path / "report.json").read_text())
    assert not report["completed"]
    assert report["ended"] == "time is up"
    assert report["duration_s"] == pytest.approx(2.5, abs=0.1)
    assert report["progress_m"] == pytest.approx(1.2, abs=0.15)
    assert report["loop"]["period_s"]["p50"] == pytest.approx(0.05, rel=0.3)
    assert report["loop"]["state_to_command_s"]["p50"] is not None
    assert report["safety_stops"] == 0
    assert " of 2.00 m" in output, "a progress line"
    assert len(world.trial_metrics) >= report["steps"] - 3
    assert set(world.trial_metrics[-1]) == {"lateral_error_m", "progress_m", "cost", "elapsed_s"}


def test_missing_node_is_named(tmp_path: Path) -> None:
    code, _, errors = finish(start_trial(tmp_path, False, wait_timeout=0.5))
    assert code == 1
    assert errors.strip().splitlines() == [
        "trial: error: node state_estimator does not publish /robot_state (waited 0.5 s)"]
    assert not (tmp_path / "report.json").exists()


def test_refused_arming_ends_the_trial(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=True, refuse_arming=True)
    code, _, errors = finish(start_trial(tmp_path, True))
    assert code == 1
    assert "arm was refused: the emergency stop holds" in errors
    until(lambda: len(world.paths) == 2)
    assert world.steps_called == 5


def test_safety_stop_ends_the_trial_with_a_report(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=False, rate=20.0, stop_at=10**9)
    process = start_trial(tmp_path, False, control_period=0.05)
    until(lambda: len(world.trial_metrics) > 10)
    world.stop_at = world.ticks + 2
    code, _, errors = finish(process)
    assert code == 1
    assert errors.strip().splitlines() == ["trial: error: the robot was stopped: the emergency stop was pressed"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["safety_stops"] == 1
    assert report["steps"] > 5
    assert not report["completed"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_robot_and_writes_what_there_is(stand_in: Any, tmp_path: Path, sent: signal.Signals) -> None:
    world = stand_in(lockstep=False, rate=20.0)
    process = start_trial(tmp_path, False, control_period=0.05)
    until(lambda: len(world.trial_metrics) > 10)
    assert world.armed
    process.send_signal(sent)
    code, _, errors = finish(process, 10.0)
    assert (code, errors) == (0, "")
    assert world.disarms == 1
    assert not world.armed
    until(lambda: len(world.paths) == 2)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ended"] == "interrupted"
    assert report["steps"] > 5


def test_states_that_stop_coming_end_the_trial(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=False, rate=20.0)
    process = start_trial(tmp_path, False, control_period=0.05, state_timeout=0.5)
    until(lambda: len(world.trial_metrics) > 5)
    world.paused = True
    code, _, errors = finish(process)
    assert code == 1
    assert "no robot_state for 0.5 s" in errors
    assert (tmp_path / "report.json").exists()
    assert world.disarms == 1


def test_start_and_stop_services(stand_in: Any, tmp_path: Path) -> None:
    world = stand_in(lockstep=False, rate=20.0)
    process = start_trial(tmp_path, False, control_period=0.05, autostart="false")
    until(world.start.service_is_ready)
    time.sleep(0.5)
    assert world.arms == 0
    started = world.start.call_async(Trigger.Request())
    until(started.done)
    assert started.result().success
    until(lambda: len(world.trial_metrics) > 5)
    again = world.start.call_async(Trigger.Request())
    until(again.done)
    assert not again.result().success
    world.stop.call_async(Trigger.Request())
    code, _, errors = finish(process)
    assert code == 0, errors
    assert json.loads((tmp_path / "report.json").read_text())["ended"] == "stopped by request"
    assert world.disarms == 1


@pytest.mark.parametrize(("name", "value", "message"), [
    ("path", "nowhere", "unknown path 'nowhere'; known: circle, drawn, figure8, left, right, straight, u_turn, zigzag"),
    ("duration", "-1.0", "parameter duration is out of range"),
    ("duration", "soon", "parameter duration must be of type float"),
])
def test_bad_parameter_is_one_line(tmp_path: Path, name: str, value: str, message: str) -> None:
    code, _, errors = finish(start_trial(tmp_path, False, **{name: value}))
    assert code == 2
    assert len(errors.strip().splitlines()) == 1
    assert errors.startswith("trial: error: ")
    assert message in errors


def test_folder_that_cannot_be_written_is_refused_before_anything_moves(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, errors = finish(start_trial(tmp_path / "file" / "out", False))
    assert code == 2
    assert len(errors.strip().splitlines()) == 1
    assert "cannot write" in errors
