# SPDX-License-Identifier: Apache-2.0
"""An experiment as tables: ``summary.csv`` with a row per trial, ``cells.csv`` with one per condition and variant."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from l2a_ros.experiments.intervals import Interval
from l2a_ros.experiments.measures import AROUND_ONSET, MEASURES
from l2a_ros.experiments.trial_files import Found, TrialResult, find_trials, read_trials
from l2a_ros.trials.report import write_file

__all__ = ["Cell", "TrialResult", "by_cell", "read_trials", "summarise", "write_summary", "write_tables"]

SUMMARY, CELLS = "summary.csv", "cells.csv"


@dataclass(frozen=True)
class Cell:
    """All trials of a variant in a condition.

    Args:
        trials: by seed.
        intervals: of the figures, by name; those around an onset only where something struck during the trials.
    """

    condition: str
    variant: str
    trials: tuple[TrialResult, ...]
    intervals: dict[str, Interval]

    @property
    def count(self) -> int:
        """Number of finished trials."""
        return len(self.trials)

    @property
    def completed(self) -> int:
        """Number of trials that reached the end of the path."""
        return sum(trial.completed for trial in self.trials)

    def values(self, measure: str) -> dict[int, float | None]:
        """Return a figure by seed."""
        return {trial.seed: MEASURES[measure].value(trial) for trial in self.trials}


def by_cell(trials: Iterable[TrialResult]) -> dict[tuple[str, str], tuple[TrialResult, ...]]:
    """Return trials by (condition, variant), sorted, and by seed within."""
    cells: dict[tuple[str, str], list[TrialResult]] = {}
    for trial in sorted(trials, key=lambda each: (each.condition, each.variant, each.seed)):
        cells.setdefault((trial.condition, trial.variant), []).append(trial)
    return {key: tuple(each) for key, each in cells.items()}


def summarise(trials: Iterable[TrialResult]) -> list[Cell]:
    """Return what there is in each condition of each variant, sorted; the order of the trials does not matter."""
    result = []
    for (condition, variant), some in by_cell(trials).items():
        strikes = any(trial.onset_s is not None for trial in some)
        intervals = {name: measure.interval(some) for name, measure in MEASURES.items()
                     if strikes or name not in AROUND_ONSET}
        result.append(Cell(condition, variant, some, intervals))
    return result


def write_summary(out: Path) -> list[Path]:
    """Write ``summary.csv`` and ``cells.csv`` into the folder of an experiment; return their paths.

    Raises:
        UserError: if there is no experiment, or its folder cannot be written.
    """
    return write_tables(out, find_trials(out))


def write_tables(out: Path, found: Found) -> list[Path]:
    """Write the two tables of what was found; return their paths."""
    files = [out / SUMMARY, out / CELLS]
    write_file(files[0], trial_table(out, found.trials).encode())
    write_file(files[1], cell_table(summarise(found.trials)).encode())
    return files


def trial_table(out: Path, trials: Sequence[TrialResult]) -> str:
    """Return the CSV text of all trials: units in the column names, unknown values empty, folders relative to ``out``.
    """
    measures = [measure for measure in MEASURES.values() if not measure.is_share and measure.name != "safety_stops"]
    rows: list[list[str]] = [[
        "variant", "condition", "seed", "method", "planner", "path", "terrain", "faults", "completed", "ended",
        "steps_count", "safety_stops_count", "path_length_m", "onset_s", *(measure.column for measure in measures),
        "folder", "bag"]]
    for trial in trials:
        report = trial.report
        rows.append([
            trial.variant, trial.condition, str(trial.seed), *(str(report.get(key, "")) for key in (
                "method", "planner", "path", "terrain")),
            " ".join(map(str, report.get("faults") or ())), "yes" if trial.completed else "no", trial.ended,
            str(trial.steps), str(trial.safety_stops), _cell(trial.path_length_m), _cell(trial.onset_s),
            *(_cell(measure.value(trial)) for measure in measures),
            trial.folder.relative_to(out).as_posix(), trial.bag.relative_to(out).as_posix() if trial.bag else ""])
    return _csv(rows)


def cell_table(cells: Sequence[Cell]) -> str:
    """Return the CSV text of all cells: mean or share with the ends of its 95 % interval, unbounded ends empty."""
    header = ["condition", "variant", "trials_count", "completed_count"]
    for measure in MEASURES.values():
        header += [f"{measure.column}_{which}" for which in ("mean", "low", "high", "omitted_count")]
    rows = [header]
    for cell in cells:
        row = [cell.condition, cell.variant, str(cell.count), str(cell.completed)]
        for name in MEASURES:
            interval = cell.intervals.get(name)
            row += ([""] * 4 if interval is None else
                    [_cell(interval.mean), _cell(interval.low), _cell(interval.high), str(interval.omitted)])
        rows.append(row)
    return _csv(rows)


def _csv(rows: Sequence[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def _cell(value: float | None) -> str:
    return f"{value:.9g}" if value is not None and math.isfinite(value) else ""
