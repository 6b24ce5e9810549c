# SPDX-License-Identifier: Apache-2.0
"""From recordings to transitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import BagMessage, find_bags, read_bag
from l2a_ros.experience.transitions import Cut, Episode, Transitions
from l2a_ros.robot.layout import ACTION, STATE, Layout

_SECOND = 1_000_000_000
_NAMED_VECTOR = "sensor_msgs/msg/JointState"


@dataclass
class DataReport:
    """What became of the recordings.

    Args:
        recordings: bags read.
        states: states read.
        transitions: transitions made.
        cuts: how often an episode ended, by reason.
        repeated: states with a stamp seen before, or late.
        warnings: what could not be read.
    """

    recordings: int = 0
    states: int = 0
    transitions: int = 0
    cuts: dict[Cut, int] = field(default_factory=lambda: dict.fromkeys(Cut, 0))
    repeated: int = 0
    warnings: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the report for people."""
        cuts = ", ".join(f"{reason.value} {count}" for reason, count in self.cuts.items() if count) or "none"
        return [f"{self.recordings} recordings, {self.states} states, {self.transitions} transitions",
                f"cuts: {cuts}; repeated states: {self.repeated}", *(f"warning: {text}" for text in self.warnings)]


def _topic(message: BagMessage) -> str:
    # A namespaced robot records /name/robot_state.
    return message.topic.rsplit("/", 1)[-1]


def _values(message: BagMessage, layout: Layout, field_name: str) -> np.ndarray:
    source = f"recording {message.bag}"
    if message.type != _NAMED_VECTOR:
        raise UserError(f"{source} has {message.type} on {message.topic}, expected {_NAMED_VECTOR}")
    layout.check_names(message.message.name, source)
    values = np.array(getattr(message.message, field_name), dtype=np.float64)
    if values.shape != (layout.size,):
        raise UserError(f"{source} has a message on {message.topic} with {values.size} numbers in '{field_name}', "
                        f"expected {layout.size}")
    return values


def recording_transitions(bag: Path, control_period: float, report: DataReport) -> list[Transitions]:
    """Read one recording into segments of contiguous transitions and add its figures to the report.

    States and commands are joined by stamp whatever their order in the file; a command's delay is its log time minus
    its stamp.

    Raises:
        UserError: if the recording cannot be read or has another layout.
    """
    reader = read_bag(bag)
    states: dict[int, np.ndarray] = {}
    commands: dict[int, tuple[np.ndarray, float]] = {}
    for message in reader:
        topic = _topic(message)
        if topic not in ("robot_state", "motor_commands") or message.stamp is None:
            continue
        if topic == "robot_state":
            values = _values(message, STATE, "position")
            report.repeated += message.stamp in states
            states.setdefault(message.stamp, values)
        else:
            values = _values(message, ACTION, "velocity")
            delay = max(0.0, (message.log_time - message.stamp) / _SECOND)
            commands.setdefault(message.stamp, (values, delay))
    finished: list[Transitions] = []
    episode = Episode(control_period, capacity=None, finished=finished)
    for stamp in sorted(states):
        episode.add_state(stamp, states[stamp])
        if stamp in commands:
            episode.add_command(stamp, *commands[stamp])
    finished += [episode.window()] if len(episode) else []
    report.recordings += 1
    report.states += len(states)
    report.transitions += sum(len(segment) for segment in finished)
    report.warnings += reader.warnings
    for reason, count in episode.cuts.items():
        report.cuts[reason] += count
    return finished


def read_recordings(paths: Sequence[Path], control_period: float,
                    on_recording: Callable[[int, int], None] = lambda done, total: None,
                    ) -> tuple[list[list[Transitions]], DataReport]:
    """Read bags and folders of bags.

    Returns:
        Per recording that gave any its segments of transitions, and the report.

    Raises:
        UserError: if nothing usable is found.
    """
    bags = find_bags(paths)
    report = DataReport()
    recordings = []
    for i, bag in enumerate(bags):
        segments = recording_transitions(bag, control_period, report)
        if segments:
            recordings.append(segments)
        on_recording(i + 1, len(bags))
    if not recordings:
        raise UserError(f"no transitions in {', '.join(map(str, paths))}: recordings need robot_state and "
                        f"motor_commands at the control period of {control_period:g} s")
    return recordings, report
