# SPDX-License-Identifier: Apache-2.0
"""The figures of ``l2a bench kills``: how long the legs go on when a process of the stack is killed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2a_ros.benchmarks.soak import AT_REST
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
        stop: from the kill until both legs stood for good, s; infinite if they did not.
        said: whether the rest of the stack named the process that was killed.
    """

    victim: str
    stop: float
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


def time_to_rest(truth: np.ndarray, moment: int) -> float:
    """Return how long the legs went on after a moment (ns), s; infinite if they still turn at the end."""
    later = truth[truth[:, 0] >= moment]
    if not len(later):
        return float("inf")
    moving = np.flatnonzero(np.abs(later[:, 1:3]).max(axis=1) > AT_REST)
    if not len(moving):
        return 0.0
    last = moving[-1] + 1
    return float((later[last, 0] - moment) / _SECOND) if last < len(later) else float("inf")


def kill_rows(kills: Sequence[Kill]) -> list[Row]:
    """Judge the kills."""
    rows = []
    for victim in dict.fromkeys(kill.victim for kill in kills):
        stops = [kill.stop for kill in kills if kill.victim == victim]
        rows.append(at_most(f"{victim}: legs stand, longest of {len(stops)}", max(stops), "s", TARGET))
    late = sum(kill.stop > TARGET for kill in kills)
    silent = sum(not kill.said for kill in kills)
    return [*rows, Row("kills", float(len(kills)), "1"), at_most("legs stood too late", float(late), "1", 0.0),
            at_most("the rest did not say why", float(silent), "1", 0.0)]
