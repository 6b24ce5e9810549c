# SPDX-License-Identifier: Apache-2.0
"""A kinematic stand-in that plays the rest of the graph for the trial node, and the node as a process."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def stand_ins(domain: int) -> Iterator[Callable[..., StandIn]]:
    """Give a maker of stand-ins that are closed at the end."""
    made: list[StandIn] = []

    def make(**options: Any) -> StandIn:
        made.append(StandIn(domain, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def start_trial(out: Path, lockstep: bool, **parameters: Any) -> subprocess.Popen[str]:
    values = {"out": out, "lockstep": str(lockstep).lower(), "wait_timeout": 60.0, **parameters}
    arguments = [text for name, value in values.items() for text in ("-p", f"{name}:={value}")]
    return subprocess.Popen([sys.executable, "-m", "l2a_ros.nodes.trial", "--ros-args", *arguments], cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONPATH": str(ROOT)})


def finish(process: subprocess.Popen[str], seconds: float = 90.0) -> tuple[int, str, str]:
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        pytest.fail(f"the trial did not end\n{output}\n{errors}")
    return process.returncode, output, errors


def until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
