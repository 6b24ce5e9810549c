# SPDX-License-Identifier: Apache-2.0
"""From recordings to transitions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import DamagedRecordingError, find_bags
from l2a_ros.experience.bag_recovery import is_storage
from l2a_ros.experience.data_report import DataReport
from l2a_ros.experience.resample import CommandsInForce, Pace, Run, pace_of, resample, usual_interval
from l2a_ros.experience.streams import Stream, read_streams
from l2a_ros.experience.transitions import Episode, Transitions

__all__ = ["DataReport", "RecordedDriving", "condition_of", "read_drivings", "read_recordings",
           "recording_transitions"]

_SECOND = 1_000_000_000
#: Commands answer states if at least this part of what can match by stamp does; else a stamp matches by chance.
_ANSWERING = 0.1
#: No command takes longer to its effect: its stamp and its log time are from different clocks, s.
_LONGEST_DELAY = 10.0


@dataclass(frozen=True)
class RecordedDriving:
    """What one recording gave: the bag and its segments of contiguous transitions."""

    bag: Path
    segments: list[Transitions]

    @property
    def condition(self) -> str:
        """Under which condition it was driven."""
        return condition_of(self.bag)


def condition_of(bag: Path) -> str:
    """Return the condition that a recording is named after: its folder's name without the number of the run.

    ``runs/carpet_0001`` and its file ``carpet_0001_0.mcap`` are ``carpet``; a name without a number stays.
    """
    bag = bag.absolute()
    # A storage file has a number of its own, of the split.
    name = bag.parent.name if is_storage(bag) else bag.name
    return re.sub(r"(?<=.)_\d+$", "", name)


def recording_transitions(bag: Path, control_period: float, report: DataReport) -> list[Transitions]:
    """Read one recording into segments of contiguous transitions and add its figures to the report.

    States are ordered by stamp whatever their order in the file. If they come faster than the control period they are
    resampled. A command answers the state with its stamp, its delay is its log time minus its stamp; if commands have
    stamps of their own, or states were resampled, a command is in force from its log time on.

    Raises:
        UserError: if the recording cannot be read or has another layout.
    """
    streams, warnings = read_streams(bag)
    finished: list[Transitions] = []
    report.recordings += 1
    report.warnings += warnings
    is_resampled = False
    for stream in streams:
        where = str(bag) if stream.name == "/" else f"{bag} ({stream.name})"
        _check(stream, where, control_period, report)
        is_resampled |= _add_segments(stream, control_period, report, finished)
    if not streams:
        report.warnings.append(f"{bag}: neither robot_state nor motor_commands")
    report.resampled += is_resampled
    report.segments += len(finished)
    report.transitions += sum(map(len, finished))
    return finished


def _check(stream: Stream, where: str, control_period: float, report: DataReport) -> None:
    """Add a stream's figures to the report, and what is unusual about it."""
    report.states += len(stream.stamps)
    report.repeated += stream.repeated
    report.conflicting += stream.conflicting
    report.late += stream.late
    report.warnings += [f"{where}: {text}" for text in stream.warnings]
    if not len(stream.stamps):
        report.warnings.append(f"{where}: no robot_state")
    elif not stream.commands:
        report.warnings.append(f"{where}: no motor_commands")
    if pace_of(stream.stamps, round(control_period * _SECOND)) is Pace.SLOWER:
        usual = usual_interval(stream.stamps) / _SECOND
        report.warnings.append(f"{where}: robot_state comes every {usual:.3g} s, slower than the control period of "
                               f"{control_period:g} s; give --control-period {usual:.2g} for such recordings")
    delays = [log_time - stamp for stamp, (log_time, _) in stream.commands.items()]
    if delays and abs(np.median(delays)) > _LONGEST_DELAY * _SECOND:
        report.warnings.append(f"{where}: stamps and log times of motor_commands are from different clocks; record "
                               "simulated time with --use-sim-time")


def _add_segments(stream: Stream, control_period: float, report: DataReport, finished: list[Transitions]) -> bool:
    """Add a stream's segments to the finished ones; tell whether it was resampled."""
    period = round(control_period * _SECOND)
    runs = [Run(stream.stamps, stream.states)]
    is_resampled = pace_of(stream.stamps, period) is Pace.FASTER
    if is_resampled:
        runs, breaks = resample(stream.stamps, stream.states, period)
        for each in breaks:
            report.add_cut(each.reason, 1, each.periods)
    in_force = None
    if is_resampled or not _answers(stream):
        moments = np.array([log_time for log_time, _ in stream.commands.values()], dtype=np.int64)
        rates = np.array([values for _, values in stream.commands.values()], dtype=np.float64).reshape(-1, 2)
        in_force = CommandsInForce(moments, rates, period)
    for run in runs:
        # Nothing reaches from one run to the next, so each has an episode of its own.
        episode = Episode(control_period, capacity=None, finished=finished)
        stamps = [int(stamp) for stamp in run.stamps]
        for i, stamp in enumerate(stamps):
            episode.add_state(stamp, run.states[i])
            if in_force is None:
                command = stream.commands.get(stamp)
                if command is not None:
                    log_time, values = command
                    episode.add_command(stamp, values, max(0.0, (log_time - stamp) / _SECOND))
            elif i + 1 < len(stamps):
                average = in_force.average(stamp, stamps[i + 1])
                if average is not None:
                    episode.add_command(stamp, average, 0.0)
        finished += [episode.window()] if len(episode) else []
        for reason, count in episode.stretches.items():
            report.add_cut(reason, count, episode.lost[reason])
    return is_resampled


def _answers(stream: Stream) -> bool:
    """Tell whether commands have the stamps of the states that they answer."""
    matching = sum(int(stamp) in stream.commands for stamp in stream.stamps)
    return matching >= max(1.0, _ANSWERING * min(len(stream.stamps), len(stream.commands)))


def read_drivings(paths: Sequence[Path], control_period: float,
                  on_recording: Callable[[int, int], None] = lambda done, total: None,
                  ) -> tuple[list[RecordedDriving], DataReport]:
    """Read bags and folders of bags.

    Args:
        paths: as for :func:`~l2a_ros.experience.bag_reader.find_bags`.
        control_period: s.
        on_recording: called after each recording with how many are done and how many there are.

    Returns:
        The recordings that gave transitions, and the report on all of them.

    Raises:
        UserError: if nothing usable is found, or a recording has another layout.
    """
    bags = find_bags(paths)
    report = DataReport()
    drivings = []
    for i, bag in enumerate(bags):
        try:
            segments = recording_transitions(bag, control_period, report)
        except DamagedRecordingError as error:
            # One that is lost is no reason to lose the others.
            report.recordings += 1
            report.warnings.append(str(error))
            segments = []
        if segments:
            drivings.append(RecordedDriving(bag, segments))
        on_recording(i + 1, len(bags))
    if not drivings:
        cause = f" ({report.warnings[0]})" if report.warnings else ""
        raise UserError(f"no transitions in {', '.join(map(str, paths))}: recordings need robot_state and "
                        f"motor_commands at the control period of {control_period:g} s or faster{cause}")
    return drivings, report


def read_recordings(paths: Sequence[Path], control_period: float,
                    on_recording: Callable[[int, int], None] = lambda done, total: None,
                    ) -> tuple[list[list[Transitions]], DataReport]:
    """Read bags and folders of bags as :func:`read_drivings` does.

    Returns:
        Per recording that gave any its segments of transitions, and the report.

    Raises:
        UserError: if nothing usable is found, or a recording has another layout.
    """
    drivings, report = read_drivings(paths, control_period, on_recording)
    return [driving.segments for driving in drivings], report
