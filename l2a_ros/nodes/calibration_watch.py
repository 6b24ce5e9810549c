# SPDX-License-Identifier: Apache-2.0
"""Listens to motion capture and to the inertial unit while somebody calibrates; no node of a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from l2a_ros.errors import UserError
from l2a_ros.estimation.calibration.steps import IMU, MOCAP, Heard
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.sensor_messages import mocap_topic, sensor_sample
from l2a_ros.robot.samples import ImuSample, PoseSample

#: How long to wait for the first message of a sensor, s. Discovery takes up to a second of it.
PATIENCE = 4.0
#: How often what was heard is shown, s.
SHOW = 0.25
#: More messages than the queues hold.
_STALE = 50


class CalibrationWatch:
    """Subscribes while it is a context; what comes between two calls of :meth:`hear` is left alone.

    Args:
        mocap: topic with the poses.
        kind: their type, a key of ``MOCAP_TYPES``.
        imu: topic with the readings of the inertial unit.
    """

    def __init__(self, mocap: str, kind: str, imu: str) -> None:
        self._topics = {MOCAP: (mocap, mocap_topic(kind)), IMU: (imu, names.IMU)}
        self._context = Context()
        self._poses: list[PoseSample] = []
        self._readings: list[ImuSample] = []

    def __enter__(self) -> Self:
        self._context.init()
        self._node = Node("calibration_watch", context=self._context, use_global_arguments=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        for name, topic in self._topics.values():
            self._node.create_subscription(topic.type, name, partial(self._keep, topic), topic.qos)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._executor.shutdown()
            self._node.destroy_node()
        finally:
            self._context.try_shutdown()

    def _keep(self, topic: names.Topic, message: Any) -> None:
        sample = sensor_sample(topic, message)
        if isinstance(sample, PoseSample):
            self._poses.append(sample)
        elif isinstance(sample, ImuSample):
            self._readings.append(sample)

    def _count(self, sensor: str) -> int:
        return len(self._poses if sensor == MOCAP else self._readings)

    def hear(self, sensors: tuple[str, ...], seconds: float, show: Callable[[Heard, float], None]) -> Heard:
        """Return what was heard.

        Args:
            sensors: that have to be there.
            seconds: how long to listen, once they are.
            show: gets what was heard so far and the seconds left, a few times a second.

        Raises:
            UserError: if one of them is silent.
        """
        for _ in range(_STALE):
            self._executor.spin_once(timeout_sec=0.0)
        self._poses, self._readings = [], []
        end = time.monotonic() + PATIENCE
        while silent := [each for each in sensors if not self._count(each)]:
            if time.monotonic() > end:
                raise UserError(self._silence(silent[0]))
            self._executor.spin_once(timeout_sec=0.05)
        end = time.monotonic() + seconds
        shown = 0.0
        while (left := end - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=min(0.05, left))
            if time.monotonic() - shown > SHOW:
                shown = time.monotonic()
                show(Heard(self._poses, self._readings), left)
        return Heard(self._poses, self._readings)

    def _silence(self, sensor: str) -> str:
        name, topic = self._topics[sensor]
        kind = f"{topic.type.__module__.split('.')[0]}/msg/{topic.type.__name__}"
        resolved = self._node.resolve_topic_name(name)
        there = sorted({info.topic_type for info in self._node.get_publishers_info_by_topic(resolved)} - {kind})
        if there:
            advice = f"it has {' and '.join(there)}" + ("; give mocap_type" if sensor == MOCAP else "")
        elif others := sorted(other for other, kinds in self._node.get_topic_names_and_types()
                              if kind in kinds and other != resolved and self._node.count_publishers(other)):
            advice = f"there is {', '.join(others)}; name it with --{'mocap_topic' if sensor == MOCAP else 'imu'}"
        elif sensor == MOCAP:
            advice = "start the driver of motion capture; is the body tracked?"
        else:
            advice = "start the driver of the robot, or name its port with --port"
        return f"nothing of type {kind} on {resolved} within {PATIENCE:g} s; {advice}"
