# SPDX-License-Identifier: Apache-2.0
"""Experience from the simulator, recorded to bags with the topics that the nodes publish."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_writer import BagWriter, message_type
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.robot.limits import STAND
from l2a_ros.simulation.battery import Battery
from l2a_ros.simulation.faults import parse_fault, parse_faults
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain, terrain_label
from l2a_ros.training.random_driving import RandomDriver
from l2a_ros.worker_pool import run_jobs

ROBOT_STATE, MOTOR_COMMANDS = "/robot_state", "/motor_commands"
_JOINT_STATE = "sensor_msgs/msg/JointState"
_SECOND = 1_000_000_000
#: Driving starts with a cell between these charges, so that the model knows tired batteries too, V.
CHARGE = (3.6, 4.15)
#: Seeds of recordings are numbered by these, so that none repeats between conditions and between collections.
_PER_CONDITION, _PER_SEED = 10_000, 1_000_000
#: Stream of the draws of faults.
_FAULTS = 4


@dataclass(frozen=True)
class Recording:
    """One run in the simulator.

    Args:
        folder: bag to make.
        terrain: name of the floor.
        seed: of the start, the noise and the driving.
        ticks: control periods to drive.
        control_period: s.
        faults: what breaks, ``NAME[:ARGUMENTS][@ONSET_S]`` each.
    """

    folder: Path
    terrain: str
    seed: int
    ticks: int
    control_period: float
    faults: tuple[str, ...] = ()


#: Gives the crank rates ``(2,)`` rad/s that answer a state ``(24,)`` with a stamp (ns).
Driver = Callable[[int, np.ndarray], np.ndarray]
#: Makes one recording; a function that another process can import.
Record = Callable[[Recording], Path]
#: Makes the recordings that do not exist yet and yields each finished folder.
Collector = Callable[[Sequence[Recording], Record], Iterator[Path]]


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
    """Drive at random and record states and commands; see :func:`record_driving`."""
    driver = RandomDriver(recording.seed)
    return record_driving(recording, lambda stamp, state: driver())


def record_driving(recording: Recording, driver: Driver, heading: float = 0.0) -> Path:
    """Drive and record states and commands; the bag appears whole or not at all.

    The world waits for every command, so a command takes effect at the stamp of the state it answers, and the log time
    says so. While there is no state (a fault, a fall on a slope) the robot stands and nothing is recorded.

    Args:
        recording: what to make.
        driver: asked for the command of each tick, in order.
        heading: yaw at the start, rad.

    Raises:
        UserError: if there is no state at all.
    """
    unfinished = recording.folder.with_name(f".{recording.folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    charge = np.random.default_rng([recording.seed, 3]).uniform(*CHARGE)
    robot = InProcessRobot(load_terrain(recording.terrain), recording.seed, parse_faults(recording.faults),
                           recording.control_period, heading, Battery(full_voltage=float(charge)))
    with BagWriter(unfinished) as bag:
        bag.add_topic(ROBOT_STATE, _JOINT_STATE)
        bag.add_topic(MOTOR_COMMANDS, _JOINT_STATE)
        estimate = robot.settle()
        for tick in range(recording.ticks + 1):
            rates = STAND
            if estimate.state is not None:
                rates = driver(estimate.stamp, estimate.state) if tick < recording.ticks else STAND
                bag.write_message(ROBOT_STATE, estimate.stamp, joint_state(STATE.names, estimate.stamp, estimate.state))
                bag.write_message(MOTOR_COMMANDS, estimate.stamp,
                                  joint_state(ACTION.names, estimate.stamp, velocity=rates))
            estimate = robot.tick(rates)
    if not bag.count:
        shutil.rmtree(unfinished)
        where = f"with {' and '.join(recording.faults)}" if recording.faults else f"on {recording.terrain}"
        raise UserError(f"{where} the robot never knows its state; nothing to record")
    unfinished.rename(recording.folder)
    return recording.folder


def condition_label(terrain: str, faults: Sequence[str]) -> str:
    """Return a condition as part of a file name: ``carpet+missing_leg_front_right``."""
    return "+".join([terrain_label(terrain), *(re.sub(r"[^\w.@-]+", "_", fault.strip()) for fault in faults)])


def plan_recordings(out: Path, terrains: Sequence[str], minutes: float, run_seconds: float, control_period: float,
                    seed: int, faults: Sequence[tuple[str, ...]] = (), every_fault: bool = False) -> list[Recording]:
    """List the recordings for so many minutes of driving on each terrain; seeds never repeat between them.

    Args:
        out: folder for them.
        terrains: names of floors.
        minutes: of driving on each terrain, or in each condition if ``every_fault``.
        run_seconds: length of one recording, s.
        control_period: s.
        seed: of everything.
        faults: what may break, each entry one fault or several at once; an empty entry is none.
        every_fault: drive so many minutes with each entry, instead of drawing for every recording one of them or none.

    Raises:
        UserError: for an unknown terrain or fault, the same condition twice, or times that make no run.
    """
    ticks = round(run_seconds / control_period)
    runs = round(minutes * 60.0 / run_seconds)
    if ticks < 1 or runs < 1:
        raise UserError(f"{minutes:g} min in runs of {run_seconds:g} s make no run; ask for more minutes")
    menu = list(dict.fromkeys([tuple(entry) for entry in faults])) if every_fault else (
        list(dict.fromkeys([(), *(tuple(entry) for entry in faults)])))
    for text in {text for entry in menu for text in entry}:
        parse_fault(text)
    conditions = [(terrain, [entry]) for terrain in terrains for entry in menu] if every_fault else (
        [(terrain, menu) for terrain in terrains])
    if runs > _PER_CONDITION or len(conditions) * _PER_CONDITION > _PER_SEED:
        raise UserError(f"at most {_PER_CONDITION} recordings in each of {_PER_SEED // _PER_CONDITION} conditions, "
                        f"not {runs} in {len(conditions)}; collect into several folders with other seeds")
    recordings = []
    for i, (terrain, choice) in enumerate(conditions):
        load_terrain(terrain)
        for run in range(runs):
            number = seed * _PER_SEED + i * _PER_CONDITION + run
            drawn = choice[int(np.random.default_rng([number, _FAULTS]).integers(len(choice)))]
            recordings.append(Recording(out / f"{condition_label(terrain, drawn)}_{run:04d}", terrain, number, ticks,
                                        control_period, drawn))
    if len({recording.folder for recording in recordings}) < len(recordings):
        raise UserError("the same terrain is asked for twice, or two of one name; ask for more minutes instead")
    return recordings


def missing_recordings(recordings: Sequence[Recording]) -> list[Recording]:
    """Return those that do not exist yet; makes the folder for them."""
    missing = [recording for recording in recordings if not recording.folder.exists()]
    for folder in {recording.folder.parent for recording in missing}:
        folder.mkdir(parents=True, exist_ok=True)
    return missing


def collect(recordings: Sequence[Recording], workers: int, record: Record = record_random_driving) -> Iterator[Path]:
    """Make the recordings that do not exist yet, several at once; yields each finished folder.

    A recording depends on what it is alone, never on the number of workers.
    """
    missing = missing_recordings(recordings)
    yield from run_jobs(missing, record, workers)
