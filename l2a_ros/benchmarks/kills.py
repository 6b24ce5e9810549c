# SPDX-License-Identifier: Apache-2.0
"""The figures of ``l2a bench kills``: how long the legs go on when a process of the stack is killed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2a_ros.benchmarks.leg_stops import AT_REST, time_to_rest, time_to_stop
from l2a_ros.benchmarks.table import Row, at_most

#: The processes that are killed, by turns.
VICTIMS = ("serial_driver", "mpc", "adaptation", "state_estimator", "recorder")
TARGET = 0.5
_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Kill:
    """One kill.

    Args:
        victim: name of the node.
        stop: from the kill until the legs were stopped, s; infinite if they were not.
        rest: until they were at rest for good, s.
        said: whether the rest of the stack named the process that was killed.
    """

    victim: str
    stop: float
    rest: float
    said: bool


def read_truth(file: Path) -> np.ndarray:
    """Return what the emulated robot did so far, shape ``(n, 5)``; a line that is being written is left out."""
    lines = file.read_text(encoding="utf-8").split("\n")[1:-1]
    return np.array([[float(cell) for cell in line.split(",")] for line in lines]).reshape(-1, 5)


def moving_for(truth: np.ndarray) -> float:
    """Return for how long the legs have been turning without a pause, s."""
    if not len(truth):
        return 0.0
    rests = np.flatnonzero(np.abs(truth[:, 1:3]).max(axis=1) <= AT_REST)
    begin = rests[-1] + 1 if len(rests) else 0
    return float(truth[-1, 0] - truth[begin, 0]) / _SECOND if begin < len(truth) else 0.0


def judge_kill(victim: str, truth: np.ndarray, moment: int, said: bool) -> Kill:
    """Judge a kill at a moment (ns) by what the emulated robot did, shape ``(n, 5)``, until well after it."""
    later = truth[truth[:, 0] >= moment]
    lag = float(later[0, 0] - moment) / _SECOND if len(later) else 0.0
    return Kill(victim, lag + time_to_stop(later), lag + time_to_rest(later), said)


def kill_rows(kills: Sequence[Kill]) -> list[Row]:
    """Judge the kills."""
    rows = []
    for victim in dict.fromkeys(kill.victim for kill in kills):
        stops = [kill.stop for kill in kills if kill.victim == victim]
        rows.append(at_most(f"{victim}: legs stopped, longest of {len(stops)}", max(stops), "s", TARGET))
        rests = [kill.rest for kill in kills if kill.victim == victim]
        rows.append(Row(f"{victim}: legs at rest, median", float(np.median(rests)), "s"))
    late = sum(kill.stop > TARGET for kill in kills)
    silent = sum(not kill.said for kill in kills)
    return [*rows, Row("kills", float(len(kills)), "1"), at_most("legs stopped too late", float(late), "1", 0.0),
            at_most("the rest did not say why", float(silent), "1", 0.0)]
