# SPDX-License-Identifier: Apache-2.0
"""Made-up drives that the tests of recordings share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

from l2a_ros.experience.bag_writer import serialize, typestore
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.training.collect import joint_state

JOINT_STATE = "sensor_msgs/msg/JointState"
STEP = 100_000_000
START = 50 * STEP


@dataclass(frozen=True, eq=False)
class Sample:
    """One message: a state (24 numbers) or a command (2)."""

    topic: str
    stamp: int
    log_time: int
    values: np.ndarray

    def late(self, delay: int) -> Sample:
        """Return the same message, logged later by so many ns."""
        return replace(self, log_time=self.log_time + delay)


def driving_state(t: float, speed: float = 0.4, left: float = 30.0, right: float = 40.0, yaw_rate: float = 0.7,
                  ) -> np.ndarray:
    """A robot on a straight line that turns its body and legs at constant rates, t in s; shape (24,)."""
    angles = {"roll": 0.1 * np.sin(t), "pitch": -0.2, "yaw": yaw_rate * t, "left_leg": left * t, "right_leg": right * t}
    values = dict.fromkeys(STATE.names, 0.0) | {
        "position_x": speed * t, "velocity_x": speed, "angular_velocity_z": yaw_rate, "left_leg_velocity": left,
        "right_leg_velocity": right, "left_back_emf": 2.0, "right_back_emf": 2.5, "battery_voltage": 4.0 - 0.01 * t}
    for name, angle in angles.items():
        values[f"{name}_cos"], values[f"{name}_sin"] = float(np.cos(angle)), float(np.sin(angle))
    return STATE.vector(values)


def drive(ticks: int, delay: int = 0) -> list[Sample]:
    """States and the commands that answer them, once per 0.1 s; commands are logged ``delay`` ns after their stamp."""
    samples = []
    for i in range(ticks):
        stamp = START + i * STEP
        samples.append(Sample("/robot_state", stamp, stamp, driving_state(0.1 * i)))
        samples.append(Sample("/motor_commands", stamp, stamp + delay, np.array([20.0 + i, 50.0 - 0.5 * i])))
    return samples


def message_of(sample: Sample) -> object:
    """The ROS message of a sample."""
    if sample.topic.endswith("robot_state"):
        return joint_state(STATE.names, sample.stamp, sample.values)
    return joint_state(ACTION.names, sample.stamp, velocity=sample.values)


def write_samples(path: Path, samples: Sequence[Sample], storage: StoragePlugin = StoragePlugin.MCAP,
                  compression: CompressionMode = CompressionMode.NONE) -> Path:
    """Write a bag with the library's own writer."""
    writer = Writer(path, version=9, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer as bag:
        topics = {topic: bag.add_connection(topic, JOINT_STATE, typestore=typestore())
                  for topic in dict.fromkeys(sample.topic for sample in samples)}
        for sample in samples:
            bag.write(topics[sample.topic], sample.log_time, serialize(JOINT_STATE, message_of(sample)))
    return path
