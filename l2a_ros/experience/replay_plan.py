# SPDX-License-Identifier: Apache-2.0
"""A recording made ready to be played: its ticks, its commands, and what is odd about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import BagReader
from l2a_ros.experience.playback import Event, TickPlan, ordered, part, with_ticks
from l2a_ros.experience.replay_sources import SENSORS, Section
from l2a_ros.experience.replay_topics import COMMANDS, PATH, STATES, ReplayTopics
from l2a_ros.experience.resample import Pace, pace_of, usual_interval
from l2a_ros.experience.streams import read_streams
from l2a_ros.experience.tick_commands import TickCommands

_SECOND = 1_000_000_000
#: So many repeated stamps are no accident, as a share.
_REPEATED = 0.05


@dataclass
class ReplayPlan:
    """What is played.

    Args:
        topics: of the recording.
        source: ``sensors`` or ``robot_state``.
        ticks: when the control loop ticks.
        commands: what was in force after each of them.
        states: recorded states by stamp in ns, each ``(24,)``.
        section: which part.
        warnings: one line each.
    """

    topics: ReplayTopics
    source: str
    ticks: TickPlan
    commands: TickCommands
    states: dict[int, np.ndarray]
    section: Section = field(default_factory=Section)
    warnings: list[str] = field(default_factory=list)

    def events(self) -> Iterator[Event]:
        """Yield everything in order: messages and ticks. Warnings about what cannot be read come at the end."""
        # Commands are known already, and published with the tick that they answer; so are states where they are ticks.
        names = {recorded: name for recorded, name in self.topics.names.items()
                 if name not in (COMMANDS, STATES) or name == self.ticks.source}
        reader = BagReader([self.topics.bag], tuple(names))
        events = with_ticks(ordered(reader, names, self.ticks.source), self.ticks)
        yield from part(events, self.section.start, self.section.duration, PATH)
        self.warnings += [line for line in reader.warnings if line not in self.warnings]


def make_plan(topics: ReplayTopics, source: str, control_period: float, section: Section | None = None) -> ReplayPlan:
    """Look through the states and commands of a recording and decide how it is played.

    Args:
        topics: of the recording.
        source: ``sensors`` or ``robot_state``.
        control_period: s, of the models that are to learn from it.
        section: which part is played.

    Raises:
        UserError: if the recording cannot be read, has another layout, or recorded states of another control period.
    """
    bag, period = topics.bag, round(control_period * _SECOND)
    warnings = list(topics.warnings)
    streams, unread = read_streams(bag) if STATES in topics.played or COMMANDS in topics.played else ([], [])
    warnings += unread
    stream = next((each for each in streams if each.name == topics.robot), None)
    if stream is not None and STATES not in topics.played:
        stream = replace(stream, stamps=stream.stamps[:0], states=stream.states[:0])
    stamps = np.empty(0, dtype=np.int64) if stream is None else stream.stamps
    known = {} if stream is None else stream.commands
    if stream is not None:
        warnings += [f"{bag}: {text}" for text in stream.warnings]
        if stream.conflicting > _REPEATED * max(1, len(stamps) + len(known)):
            warnings.append(f"{bag}: {stream.conflicting} messages say something else than others with the same stamp; "
                            "were two robots or two runs recorded in one?")
    if COMMANDS not in topics.played:
        known = {}
    commands = TickCommands(known, stamps, period)
    if known and not commands.has_delays:
        warnings.append(f"{bag}: stamps and log times are of different clocks; commands count from their stamps on")
    at_period = len(stamps) >= 2 and pace_of(stamps, period) is Pace.AT_PERIOD
    usual = usual_interval(stamps) / _SECOND
    if source == SENSORS:
        name = STATES if at_period else ""
        if not name and len(stamps) < 2 and len(known) >= 2:
            answers = np.array(sorted(known), dtype=np.int64)
            if pace_of(answers, period) is Pace.AT_PERIOD and commands.has_delays:
                # Each command answers the state of its stamp, which was not recorded.
                name, stamps = COMMANDS, answers
                commands = TickCommands(known, stamps, period)
        elif not name and len(stamps) >= 2:
            warnings.append(f"{bag}: robot_state comes every {usual:.3g} s, the model wants {control_period:g} s; the "
                            f"sensors are estimated anew every {control_period:g} s")
            commands = TickCommands(known, np.empty(0, dtype=np.int64), period)
        ticks = TickPlan(period, name, int(stamps[0]) if name else None)
    else:
        if len(stamps) >= 2 and not at_period:
            raise UserError(f"recording {bag} has a robot_state every {usual:.3g} s, the model wants one every "
                            f"{control_period:g} s; name a checkpoint of that period, or replay its sensors")
        ticks = TickPlan(period, STATES, int(stamps[0]) if len(stamps) else None, fills=False)
    states = {} if stream is None else dict(zip(map(int, stream.stamps), stream.states, strict=True))
    return ReplayPlan(topics, source, ticks, commands, states, section or Section(), warnings)
