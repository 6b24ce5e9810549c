# SPDX-License-Identifier: Apache-2.0
"""Listens to motion capture for a while, as the estimator would; no node of a run."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from l2a_ros.bringup.mocap_check import Heard, Pose
from l2a_ros.nodes.sensor_messages import mocap_topic, sensor_sample
from l2a_ros.robot.mocap import MOCAP_TYPES
from l2a_ros.robot.samples import PoseSample


def hear_mocap(topic: str, kind: str, seconds: float, patience: float = 3.0) -> Heard:
    """Return what came on a topic.

    Args:
        topic: its name.
        kind: a key of ``MOCAP_TYPES``.
        seconds: how long to listen, from the first message on.
        patience: how long to wait for the first message, s.
    """
    expected, poses = mocap_topic(kind), list[Pose]()

    def keep(message: Any) -> None:
        arrival = time.time_ns()
        sample = sensor_sample(expected, message)
        if isinstance(sample, PoseSample):
            poses.append(Pose(sample.stamp, arrival, np.asarray(sample.position), np.asarray(sample.quaternion)))

    context = Context()
    context.init()
    try:
        node = Node("mocap_watch", context=context, use_global_arguments=False)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        node.create_subscription(expected.type, topic, keep, expected.qos)
        _spin(executor, lambda: bool(poses), patience)
        _spin(executor, lambda: False, seconds if poses else 0.0)
        types = dict(node.get_topic_names_and_types())
        name = node.resolve_topic_name(topic)
        there = [info.topic_type for info in node.get_publishers_info_by_topic(name)]
        others = sorted(other for other, kinds in types.items()
                        if other != name and set(kinds) & set(MOCAP_TYPES.values()) and node.count_publishers(other))
        executor.shutdown()
        node.destroy_node()
    finally:
        context.try_shutdown()
    return Heard(name, MOCAP_TYPES[kind], seconds if poses else patience, poses, sorted(set(there)), others)


def _spin(executor: SingleThreadedExecutor, until: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not until() and (left := end - time.monotonic()) > 0.0:
        executor.spin_once(timeout_sec=min(0.05, left))
