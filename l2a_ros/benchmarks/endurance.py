# SPDX-License-Identifier: Apache-2.0
"""Whether a running graph leaks: memory, handles and threads of every node, and the robot's clock, over minutes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from l2a_ros.benchmarks.table import Row, at_most
from l2a_ros.errors import UserError

#: What is left out at the beginning: caches, buffers and the allocator are still filling, s.
WARM_UP = 60.0
MEMORY_GROWTH = 5.0
CLOCK_DRIFT = 1.0
_MEBIBYTE = 2.0**20


def _slope(times: np.ndarray, values: np.ndarray) -> float:
    return float(np.polyfit(times, values, 1)[0])


def read_columns(file: Path) -> dict[str, np.ndarray]:
    """Return the columns of a CSV file, numbers where they are numbers.

    Raises:
        UserError: if the file is missing.
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            lines = list(csv.reader(stream))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}; was the run cut short?") from None
    columns = {}
    for name, *cells in zip(*lines, strict=True):
        try:
            columns[name] = np.array([float(cell) for cell in cells])
        except ValueError:
            columns[name] = np.array(cells)
    return columns


def endurance_rows(samples: dict[str, np.ndarray], clock: dict[str, np.ndarray],
                   warm_up: float = WARM_UP) -> list[Row]:
    """Judge the samples of a run.

    Memory growth is the slope of a line through the memory after the warm-up, over the time measured, as a part of the
    mean; handles and threads are compared between moments of the same kind (a trial connected and walking).

    Args:
        samples: columns ``elapsed_s``, ``walking``, ``node``, ``rss_bytes``, ``uss_bytes``, ``handles``, ``threads``.
        clock: columns ``elapsed_s``, ``lead_s``, ``skipped_s``: stamps of the robot minus the wall clock.
        warm_up: what is left out at the beginning, s.

    Raises:
        UserError: if the run was too short to judge.
    """
    rows: list[Row] = []
    for node in dict.fromkeys(samples["node"].tolist()):
        chosen = (samples["node"] == node) & (samples["elapsed_s"] >= warm_up) & (samples["walking"] > 0)
        times = samples["elapsed_s"][chosen]
        if len(times) < 10:
            raise UserError("too few samples after the warm-up to judge; run for longer")
        span = float(times[-1] - times[0])
        for name, column in (("resident", "rss_bytes"), ("unshared", "uss_bytes")):
            memory = samples[column][chosen] / _MEBIBYTE
            growth = 100.0 * _slope(times, memory) * span / float(memory.mean())
            rows.append(Row(f"{node}: {name} memory", float(memory.mean()), "MiB"))
            rows.append(at_most(f"{node}: growth of {name} memory", growth, "%", MEMORY_GROWTH))
        for name in ("handles", "threads"):
            counts = samples[name][chosen]
            # The median of both ends: a middleware opens and closes some while others come and go.
            third = max(1, len(counts) // 3)
            change = float(np.median(counts[-third:]) - np.median(counts[:third]))
            rows.append(Row(f"{node}: {name}", float(np.median(counts)), "1"))
            rows.append(at_most(f"{node}: more {name} at the end", change, "1", 0.0))
    chosen = clock["elapsed_s"] >= warm_up
    times, lead = clock["elapsed_s"][chosen], clock["lead_s"][chosen]
    if len(times) < 10:
        raise UserError("too few stamps of the robot after the warm-up to judge; run for longer")
    rows.append(at_most("clock drift", abs(_slope(times, lead)) * 60.0 * 1000.0, "ms/min", CLOCK_DRIFT))
    rows.append(Row("stamp before wall clock, median", -1000.0 * float(np.median(lead)), "ms"))
    rows.append(Row("time skipped", float(clock["skipped_s"][chosen][-1] - clock["skipped_s"][chosen][0]), "s"))
    return rows


def failed(rows: Sequence[Row]) -> list[str]:
    """Return the cases that missed their target."""
    return [row.case for row in rows if row.met is False]
