# SPDX-License-Identifier: Apache-2.0
"""Experience from the simulator, recorded to bags with the topics that the nodes publish."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_writer import BagWriter, message_type
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.robot.limits import STAND
from l2a_ros.simulation.battery import Battery
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain, terrain_label
from l2a_ros.training.random_driving import RandomDriver

ROBOT_STATE, MOTOR_COMMANDS = "/robot_state", "/motor_commands"
_JOINT_STATE = "sensor_msgs/msg/JointState"
_SECOND = 1_000_000_000
#: Random driving starts with a cell between these charges, so that the model knows tired batteries too, V.
CHARGE = (3.6, 4.15)


@dataclass(frozen=True)
class Recording:
    """One run of random driving.

    Args:
        folder: bag to make.
        terrain: name of the floor.
        seed: of the start, the noise and the driving.
        ticks: control periods to drive.
        control_period: s.
    """

    folder: Path
    terrain: str
    seed: int
    ticks: int
    control_period: float


def joint_state(names: Sequence[str], stamp: int, position: np.ndarray | None = None,
                velocity: np.ndarray | None = None) -> object:
    """Build a sensor_msgs/JointState without ROS; stamp in ns."""
    header, time = message_type("std_msgs/msg/Header"), message_type("builtin_interfaces/msg/Time")
    empty = np.zeros(0)
    return message_type(_JOINT_STATE)(
        header=header(stamp=time(sec=stamp // _SECOND, nanosec=stamp % _SECOND), frame_id=""), name=list(names),
        position=empty if position is None else np.asarray(position, dtype=np.float64),
        velocity=empty if velocity is None else np.asarray(velocity, dtype=np.float64), effort=empty)


def record_random_driving(recording: Recording) -> Path:
    """Drive at random and record states and commands; the bag appears whole or not at all.

    The world waits for every command, so a command takes effect at the stamp of the state it answers, and the log time
    says so.
    """
    unfinished = recording.folder.with_name(f".{recording.folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    charge = np.random.default_rng([recording.seed, 3]).uniform(*CHARGE)
    robot = InProcessRobot(load_terrain(recording.terrain), seed=recording.seed,
                           control_period=recording.control_period, battery=Battery(full_voltage=float(charge)))
    driver = RandomDriver(recording.seed)
    with BagWriter(unfinished) as bag:
        bag.add_topic(ROBOT_STATE, _JOINT_STATE)
        bag.add_topic(MOTOR_COMMANDS, _JOINT_STATE)
        estimate = robot.settle()
        for tick in range(recording.ticks + 1):
            if estimate.state is None:
                raise RuntimeError(f"the simulated robot lost its state: {estimate.status}")
            rates = driver() if tick < recording.ticks else STAND
            bag.write_message(ROBOT_STATE, estimate.stamp, joint_state(STATE.names, estimate.stamp, estimate.state))
            bag.write_message(MOTOR_COMMANDS, estimate.stamp,
                              joint_state(ACTION.names, estimate.stamp, velocity=rates))
            estimate = robot.tick(rates)
    unfinished.rename(recording.folder)
    return recording.folder


def plan_recordings(out: Path, terrains: Sequence[str], minutes: float, run_seconds: float, control_period: float,
                    seed: int) -> list[Recording]:
    """List the recordings for so many minutes of driving on each terrain; seeds never repeat between them.

    Raises:
        UserError: for an unknown terrain or times that make no run.
    """
    ticks = round(run_seconds / control_period)
    runs = round(minutes * 60.0 / run_seconds)
    if ticks < 1 or runs < 1:
        raise UserError(f"{minutes:g} min in runs of {run_seconds:g} s make no run; ask for more minutes")
    recordings = []
    for i, terrain in enumerate(terrains):
        load_terrain(terrain)
        recordings += [Recording(out / f"{terrain_label(terrain)}_{run:04d}", terrain,
                                 seed * 1_000_000 + i * 10_000 + run, ticks, control_period) for run in range(runs)]
    return recordings


def collect(recordings: Sequence[Recording], workers: int) -> Iterator[Path]:
    """Make the recordings that do not exist yet, several at once; yields each finished folder."""
    missing = [recording for recording in recordings if not recording.folder.exists()]
    if not missing:
        return
    missing[0].folder.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(record_random_driving, recording) for recording in missing]
        for job in as_completed(jobs):
            yield job.result()
