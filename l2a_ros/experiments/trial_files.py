# SPDX-License-Identifier: Apache-2.0
"""What an experiment left on disk, trial by trial.

``OUT/trials/<variant>/<condition>/<seed>/`` holds ``report.json``, ``trial.csv`` and maybe a picture and a bag.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.trials.log import SECOND
from l2a_ros.trials.report import CSV, PICTURE, REPORT

TRIALS, BAG = "trials", "bag"
#: Stamps above this are wall-clock time, below it simulated time that began at zero, ns (32 years).
_WALL_CLOCK = 10**18
_LEG_RATES = ("left_leg_velocity", "right_leg_velocity")
_COLUMNS = ("stamp_ns", "elapsed_s", "position_x", "position_y", "yaw_cos", "yaw_sin", *_LEG_RATES, "segment",
            "lateral_error_m", "progress_m", "heading_error_rad", "cost")


@dataclass(frozen=True)
class TrialResult:
    """A trial that was finished.

    Args:
        variant: the method, with its settings.
        condition: path, ground and faults.
        completed: whether the end of the path was reached.
        ended: why it ended.
        duration_s: from the first row to the last.
        mean_cost: per step; None if one was infinite or there was no step.
        total_return: minus the sum of the costs; None likewise.
        mean_leg_rate_rad_s: mean magnitude of the measured rates of both legs; None if nothing was measured.
        onset_s: when the first of its faults struck after the start of the trial; None if none struck while it ran.
        cost_before_onset: mean per step until then; None without onset.
        cost_after_onset: mean per step from then on.
        report: all of ``report.json``.
        folder: of the trial.
        bag: its recording, if there is one.
    """

    variant: str
    condition: str
    seed: int
    completed: bool
    ended: str
    steps: int
    duration_s: float
    mean_cost: float | None
    total_return: float | None
    mean_lateral_error_m: float | None
    mean_lateral_error_after_1s_m: float | None
    max_lateral_error_m: float | None
    progress_m: float
    path_length_m: float
    safety_stops: int
    mean_leg_rate_rad_s: float | None
    onset_s: float | None
    cost_before_onset: float | None
    cost_after_onset: float | None
    report: Mapping[str, Any]
    folder: Path
    bag: Path | None

    @property
    def speed_m_s(self) -> float | None:
        """Progress along the path by time; None for a trial that took no time."""
        return self.progress_m / self.duration_s if self.duration_s > 0.0 else None

    @property
    def csv(self) -> Path:
        """The rows of the trial."""
        return self.folder / CSV

    @property
    def picture(self) -> Path | None:
        """The picture of the trial, if there is one."""
        return self.folder / PICTURE if (self.folder / PICTURE).is_file() else None


@dataclass(frozen=True)
class Found:
    """What lies in the folder of an experiment.

    Args:
        trials: finished ones, by condition, variant and seed.
        unfinished: folders of trials that were begun and left no report.
        unreadable: what cannot be read, and why; nothing is left out silently.
    """

    trials: tuple[TrialResult, ...]
    unfinished: tuple[Path, ...] = ()
    unreadable: tuple[tuple[Path, str], ...] = ()


def read_trials(out: Path) -> list[TrialResult]:
    """Return the finished trials of an experiment, by condition, variant and seed.

    Raises:
        UserError: if there is no such folder.
    """
    return list(find_trials(out).trials)


def find_trials(out: Path) -> Found:
    """Look through the folder of an experiment.

    Raises:
        UserError: if there is no such folder.
    """
    root = out / TRIALS
    if not root.is_dir():
        raise UserError(f"{out} is no experiment: it has no folder '{TRIALS}'; run l2a experiment run FILE --out {out}")
    trials: dict[tuple[str, str, int], TrialResult] = {}
    unfinished, unreadable = [], []
    for folder in sorted(root.glob("*/*/*")):
        if not folder.is_dir():
            continue
        # The runner renames a folder when all of it is there.
        if folder.name.startswith(".") or not (folder / REPORT).is_file():
            unfinished.append(folder)
            continue
        try:
            trial = read_trial(folder)
            key = (trial.condition, trial.variant, trial.seed)
            if key in trials:
                raise ValueError(f"the same trial as {trials[key].folder}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = f"no {error} in it" if isinstance(error, KeyError) else str(error)
            unreadable.append((folder, why))
            continue
        trials[key] = trial
    return Found(tuple(trials[key] for key in sorted(trials)), tuple(unfinished), tuple(unreadable))


def read_trial(folder: Path) -> TrialResult:
    """Read the trial in a folder.

    Raises:
        OSError: if a file cannot be read.
        ValueError: if it holds something else; KeyError and TypeError likewise.
    """
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    label = (report.get("experiment") or {}) if isinstance(report, dict) else None
    if not isinstance(label, dict):
        raise TypeError(f"{REPORT} is no report")
    rows = read_rows(folder / CSV)
    onset = _onset(report.get("faults") or (), rows)
    before, after = _around(onset, rows["elapsed_s"], rows["cost"])
    rates = np.abs(np.concatenate([rows[name][1:] for name in _LEG_RATES]))
    bag = folder / BAG
    return TrialResult(
        variant=str(label.get("variant", folder.parent.parent.name)),
        condition=str(label.get("condition", folder.parent.name)),
        seed=int(label["seed"] if "seed" in label else report["seed"]),
        completed=bool(report["completed"]), ended=str(report.get("ended", "")), steps=int(report["steps"]),
        duration_s=float(report["duration_s"] or 0.0), mean_cost=_finite(report["mean_cost"]),
        total_return=_finite(report["return"]), mean_lateral_error_m=_finite(report["mean_lateral_error_m"]),
        mean_lateral_error_after_1s_m=_finite(report.get("mean_lateral_error_after_1s_m")),
        max_lateral_error_m=_finite(report.get("max_lateral_error_m")),
        progress_m=float(report["progress_m"] or 0.0), path_length_m=float(report["path_length_m"]),
        safety_stops=int(report["safety_stops"]), mean_leg_rate_rad_s=mean_of(rates),
        onset_s=onset, cost_before_onset=before, cost_after_onset=after,
        report=report, folder=folder, bag=bag if bag.exists() else None)


def read_rows(file: Path) -> dict[str, np.ndarray]:
    """Return the columns of a ``trial.csv`` that are used, each of shape ``(rows,)``; empty cells are NaN.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it has not these columns, or something that is no number.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    header = lines[0] if lines else []
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise ValueError(f"{file.name} has no column '{missing[0]}'")
    places = [header.index(name) for name in _COLUMNS]
    try:
        cells = [[float(line[place]) if line[place] else math.nan for place in places] for line in lines[1:]]
    except (ValueError, IndexError):
        raise ValueError(f"{file.name} is damaged") from None
    table = np.array(cells, dtype=np.float64).reshape(len(cells), len(_COLUMNS))
    return {name: table[:, i] for i, name in enumerate(_COLUMNS)}


def mean_of(values: np.ndarray) -> float | None:
    """Return the mean; None if there are no values or one of them is not finite."""
    return float(values.mean()) if len(values) and bool(np.isfinite(values).all()) else None


def _onset(faults: Any, rows: Mapping[str, np.ndarray]) -> float | None:
    """Return when the first fault struck that struck after the trial's start, s after it; None if none did.

    Onsets count from the start of the simulated world, where simulated stamps begin.
    """
    stamps, elapsed = rows["stamp_ns"], rows["elapsed_s"]
    if len(elapsed) < 2:
        return None
    start = float(stamps[0]) / SECOND if stamps[0] < _WALL_CLOCK else 0.0
    onsets = [parse_fault(str(text)).onset for text in faults]
    later = [onset - start for onset in onsets if onset > 0.0 and 0.0 < onset - start < elapsed[-1]]
    return min(later, default=None)


def _around(onset: float | None, elapsed: np.ndarray, cost: np.ndarray) -> tuple[float | None, float | None]:
    """Return the mean cost of the steps that ended until an onset, and of those after it."""
    if onset is None:
        return None, None
    before = elapsed[1:] <= onset + 1e-9
    return mean_of(cost[1:][before]), mean_of(cost[1:][~before])


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
