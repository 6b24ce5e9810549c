# SPDX-License-Identifier: Apache-2.0
"""A recording of a short walk with every topic that a replay plays, as the recorder makes it in lock-step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.estimation.state_estimator import StateEstimator
from l2a_ros.experience.bag_writer import BagWriter, message_type
from l2a_ros.robot.layout import ACTION, MOTOR_JOINTS, MOTOR_TELEMETRY, STATE
from l2a_ros.robot.limits import REVOLUTION
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.training.collect import joint_state

SECOND = 1_000_000_000
JOINT_STATE = "sensor_msgs/msg/JointState"
TYPES = {"mocap/pose": "geometry_msgs/msg/PoseStamped", "imu/data_raw": "sensor_msgs/msg/Imu",
         "joint_states": JOINT_STATE, "motor_telemetry": JOINT_STATE, "battery_state": "sensor_msgs/msg/BatteryState",
         "robot_state": JOINT_STATE, "motor_commands": JOINT_STATE, "reference_path": "nav_msgs/msg/Path"}


def _header(stamp: int, frame: str = "") -> Any:
    time = message_type("builtin_interfaces/msg/Time")(sec=stamp // SECOND, nanosec=stamp % SECOND)
    return message_type("std_msgs/msg/Header")(stamp=time, frame_id=frame)


def _of(kind: str, values: np.ndarray, fields: str) -> Any:
    return message_type(f"geometry_msgs/msg/{kind}")(**{name: float(value) for name, value in
                                                       zip(fields, values, strict=True)})


def _pose(position: np.ndarray, quaternion: np.ndarray) -> Any:
    return message_type("geometry_msgs/msg/Pose")(position=_of("Point", position, "xyz"),
                                                  orientation=_of("Quaternion", quaternion, "xyzw"))


def sensor_message(sample: Sample) -> tuple[str, Any]:
    """Return topic and message of a sample."""
    none = np.zeros(9)
    if isinstance(sample, PoseSample):
        return "mocap/pose", message_type(TYPES["mocap/pose"])(
            header=_header(sample.stamp, "map"), pose=_pose(sample.position, sample.quaternion))
    if isinstance(sample, ImuSample):
        return "imu/data_raw", message_type(TYPES["imu/data_raw"])(
            header=_header(sample.stamp, "imu_link"), orientation=_of("Quaternion", np.array([0, 0, 0, 1.0]), "xyzw"),
            orientation_covariance=none, angular_velocity=_of("Vector3", sample.angular_velocity, "xyz"),
            angular_velocity_covariance=none, linear_acceleration=_of("Vector3", sample.specific_force, "xyz"),
            linear_acceleration_covariance=none)
    if isinstance(sample, CrankSample):
        return "joint_states", joint_state(MOTOR_JOINTS, sample.stamp, np.asarray(sample.angles),
                                           np.asarray(sample.rates))
    if isinstance(sample, BatterySample):
        kind, nan = message_type(TYPES["battery_state"]), float("nan")
        empty = np.zeros(0, dtype=np.float32)
        return "battery_state", kind(
            header=_header(sample.stamp), voltage=sample.voltage, temperature=nan, current=nan, charge=nan,
            capacity=nan, design_capacity=nan, percentage=nan, power_supply_status=0, power_supply_health=0,
            power_supply_technology=3, present=True, cell_voltage=empty, cell_temperature=empty, location="",
            serial_number="")
    return "motor_telemetry", joint_state(MOTOR_TELEMETRY.names, sample.stamp,
                                          np.concatenate([sample.back_emf, sample.duty]))


def _as_sent(sample: Sample) -> Sample:
    """Return a sample as its message holds it: voltage in single precision."""
    return replace(sample, voltage=float(np.float32(sample.voltage))) if isinstance(sample, BatterySample) else sample


def path_message(points: np.ndarray, stamp: int) -> Any:
    """Return a path in ``map``."""
    stamped = message_type("geometry_msgs/msg/PoseStamped")
    level = np.array([0.0, 0.0, 0.0, 1.0])
    return message_type(TYPES["reference_path"])(header=_header(stamp, "map"), poses=[
        stamped(header=_header(stamp, "map"), pose=_pose(np.array([*point, 0.0]), level)) for point in points])


def walking_bag(folder: Path, ticks: int = 25, robot: str = "/", seed: int = 0, delay: int = 0) -> Path:
    """Record a walk of so many ticks of 0.1 s after half a second of standing.

    Args:
        folder: of the bag.
        ticks: of walking.
        robot: namespace with slashes.
        seed: of the robot and its commands.
        delay: of a command's effect, as its log time says it, ns.
    """
    walker, estimator = InProcessRobot(load_terrain("carpet"), seed), StateEstimator(0.1)
    rng = np.random.default_rng(seed)
    with BagWriter(folder) as bag:
        for name, kind in TYPES.items():
            bag.add_topic(robot + name, kind)

        def write(name: str, message: Any, stamp: int) -> None:
            bag.write_message(robot + name, stamp, message)

        rates = np.zeros(2)
        for tick in range(5 + ticks):
            stamp = walker.tick(rates).stamp
            for sample in map(_as_sent, walker.samples):
                write(*sensor_message(sample), sample.stamp)
                estimator.add(sample)
            estimate = estimator.estimate(stamp)
            rates = rng.uniform(4.0, 8.0, 2) * REVOLUTION if tick >= 4 else np.zeros(2)
            if estimate.state is not None:
                write("robot_state", joint_state(STATE.names, stamp, estimate.state), stamp)
            if tick == 4:
                write("reference_path", path_message(np.array([[0.0, 0.0], [2.0, 0.0]]), stamp + 1), stamp + 1)
            if estimate.state is not None:
                write("motor_commands", joint_state(ACTION.names, stamp, velocity=rates), stamp + delay)
    return folder
