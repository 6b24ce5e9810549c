# SPDX-License-Identifier: Apache-2.0
"""The planners beside each other at the same compute, in lock-step trials."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.benchmarks.table import Row
from l2a_ros.errors import UserError
from l2a_ros.training.evaluate import interval


@dataclass(frozen=True)
class Contender:
    """A planner as it is tried.

    Args:
        name: in the table.
        planner: name of the planner.
        parameters: of ``mpc``, over the shipped ones.
        is_rival: whether it should be better than the baseline.
    """

    name: str
    planner: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_rival: bool = False


#: The first is what the others should be better than.
BASELINE = "random_shooting"
CONTENDERS = (
    Contender(BASELINE, "random_shooting"),
    Contender("random_shooting, a new draw every step", "random_shooting", {"random_shooting": {"longest_hold": 1}}),
    Contender("cem", "cem", is_rival=True),
    Contender("mppi", "mppi", is_rival=True),
)


@dataclass(frozen=True)
class Outcome:
    """What the trials of one contender on one path came to.

    Args:
        costs: mean cost per step, one per trial.
        lateral_errors: mean, m, one per trial.
        durations: s, one per trial.
        completed: trials that reached the end of the path.
    """

    costs: np.ndarray
    lateral_errors: np.ndarray
    durations: np.ndarray
    completed: int


def read_outcome(reports: Sequence[Path]) -> Outcome:
    """Read the reports of some trials.

    Raises:
        UserError: for a file that is no report.
    """
    values = []
    for file in reports:
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
            values.append((report["mean_cost"], report["mean_lateral_error_m"], report["duration_s"],
                           report["completed"]))
        except (OSError, ValueError, LookupError) as error:
            raise UserError(f"{file} is no report of a trial ({error}); remove its folder and run again") from None
    costs, errors, durations, completed = np.array(values, dtype=np.float64).T
    return Outcome(costs, errors, durations, int(completed.sum()))


def planner_rows(outcomes: Mapping[tuple[str, str], Outcome]) -> list[Row]:
    """Return the mean cost of each contender on each path, beside the baseline's.

    Args:
        outcomes: by name of the contender and of the path.
    """
    rivals = {each.name for each in CONTENDERS if each.is_rival}
    rows = []
    for (name, path), outcome in outcomes.items():
        mean = float(outcome.costs.mean())
        case = f"{path}, {name}: mean cost"
        if name == BASELINE:
            rows.append(Row(case, mean, "1"))
            continue
        other = float(outcomes[BASELINE, path].costs.mean())
        # Costs can be negative: less is better, a ratio means nothing.
        is_rival = name in rivals
        rows.append(Row(case, mean, "1", BASELINE, other, None, other if is_rival else None,
                        mean < other if is_rival else None))
    return rows


def markdown(outcomes: Mapping[tuple[str, str], Outcome]) -> list[str]:
    """Return the outcomes as a table for a document; intervals are of 95 %."""
    lines = ["| path | planner | mean cost | lateral error, cm | duration, s | completed |",
             "|---|---|---|---|---|---|"]
    for (name, path), outcome in outcomes.items():
        count = len(outcome.costs)
        lines.append(
            f"| {path} | {name} | {outcome.costs.mean():.2f} ± {interval(list(outcome.costs)):.2f} "
            f"| {100.0 * outcome.lateral_errors.mean():.2f} ± {100.0 * interval(list(outcome.lateral_errors)):.2f} "
            f"| {outcome.durations.mean():.1f} | {outcome.completed} of {count} |")
    return lines
