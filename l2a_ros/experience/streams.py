# SPDX-License-Identifier: Apache-2.0
"""The states and commands of each robot in a recording, in order and each once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import BagMessage, read_bag
from l2a_ros.robot.layout import ACTION, STATE, Layout

STATES, COMMANDS = "robot_state", "motor_commands"
NAMED_VECTOR = "sensor_msgs/msg/JointState"
#: This part of the messages of a topic, but at least one, may have a wrong layout: damaged bytes look like that. More
#: of them are another robot.
DAMAGED = 0.01


class _Topic:
    """The messages of a topic by their stamps; of several with one stamp the first that was logged counts."""

    def __init__(self, layout: Layout, field_name: str) -> None:
        self._layout = layout
        self._field = field_name
        self._bytes = layout.size * 8
        #: By stamp in ns: log time in ns, the numbers.
        self.messages: dict[int, tuple[int, np.ndarray]] = {}
        self.repeated = self.conflicting = self.late = 0
        self._wrong: list[UserError] = []
        self._newest = 0

    def add(self, message: BagMessage) -> None:
        try:
            values = self._values(message)
        except UserError as error:
            self._wrong.append(error)
            return
        # A stamp of zero is no time: a plain publisher of commands leaves it out.
        stamp = message.stamp or message.log_time
        self.late += stamp < self._newest
        self._newest = max(self._newest, stamp)
        known = self.messages.get(stamp)
        if known is not None:
            self.repeated += 1
            self.conflicting += known[1].tobytes() != values.tobytes()
        if known is None or message.log_time < known[0]:
            self.messages[stamp] = (message.log_time, values)

    def _values(self, message: BagMessage) -> np.ndarray:
        source = f"recording {message.bag}"
        if message.type != NAMED_VECTOR:
            raise UserError(f"{source} has {message.type} on {message.topic}, expected {NAMED_VECTOR}")
        self._layout.check_names(message.message.name, source)
        values = np.array(getattr(message.message, self._field), dtype=np.float64)
        if values.shape != (self._layout.size,):
            raise UserError(f"{source} has a message on {message.topic} with {values.size} numbers in "
                            f"'{self._field}', expected {self._layout.size}")
        return values

    def close(self) -> str | None:
        """Return a line about messages of a wrong layout, if they are few.

        Raises:
            UserError: if they are not.
        """
        if not self._wrong:
            return None
        right = len(self.messages) + self.repeated
        if not right or len(self._wrong) > max(1, DAMAGED * right):
            raise self._wrong[0]
        return f"{len(self._wrong)} damaged messages left out: {self._wrong[0]}"


@dataclass
class Stream:
    """What one robot did in one recording.

    Args:
        name: of the robot: its namespace with a slash at the end.
        stamps: of the states, ns, ascending, int64 ``(n,)``.
        states: ``(n, 24)``.
        commands: by stamp in ns: when the command took effect (its log time, ns) and the crank rates ``(2,)`` rad/s.
        repeated: messages with a stamp seen before.
        conflicting: those of them that say something else than the first.
        late: messages that were logged after a newer one.
        warnings: what could not be used.
    """

    name: str
    stamps: np.ndarray
    states: np.ndarray
    commands: dict[int, tuple[int, np.ndarray]]
    repeated: int = 0
    conflicting: int = 0
    late: int = 0
    warnings: list[str] = field(default_factory=list)


def read_streams(bag: Path) -> tuple[list[Stream], list[str]]:
    """Read a recording; returns the streams of its robots, by name, and what could not be read.

    Raises:
        UserError: if the recording cannot be read or has another layout.
    """
    # Topics that nobody asks for are not even decoded.
    reader = read_bag(bag, (STATES, COMMANDS))
    robots: dict[str, dict[str, _Topic]] = {}
    for message in reader:
        if message.stamp is None and message.type == NAMED_VECTOR:
            continue
        name, _, kind = message.topic.rpartition("/")
        robot = robots.get(name)
        if robot is None:
            robot = robots[name] = {STATES: _Topic(STATE, "position"), COMMANDS: _Topic(ACTION, "velocity")}
        robot[kind].add(message)
    return [_stream(f"{name}/", topics) for name, topics in sorted(robots.items())], reader.warnings


def _stream(name: str, topics: dict[str, _Topic]) -> Stream:
    states, commands = topics[STATES].messages, topics[COMMANDS].messages
    stamps = sorted(states)
    warnings = [line for line in (topic.close() for topic in topics.values()) if line is not None]
    rows = [states[stamp][1] for stamp in stamps]
    return Stream(
        name, np.array(stamps, dtype=np.int64), np.array(rows, dtype=np.float64).reshape(-1, STATE.size), commands,
        repeated=sum(topic.repeated for topic in topics.values()),
        conflicting=sum(topic.conflicting for topic in topics.values()),
        late=sum(topic.late for topic in topics.values()), warnings=warnings)
