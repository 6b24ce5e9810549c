# SPDX-License-Identifier: Apache-2.0
"""The figures that trials are compared by: their names, units, formulas, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from l2a_ros.errors import unknown_name
from l2a_ros.experiments.intervals import Interval, mean_interval, proportion_interval
from l2a_ros.experiments.trial_files import TrialResult


@dataclass(frozen=True)
class Measure:
    """A figure of a trial.

    Args:
        name: in claims.
        column: in the CSV files, with the unit.
        title: for people.
        unit: for people.
        formula: what it is, in words and signs.
        value: of a trial; None if it has none.
        lower_is_better: None where neither way is better.
        is_share: whether it is a yes or no of each trial, summarised as a share.
        scale: from the value to what is shown in ``unit``.
        digits: shown after the point.
    """

    name: str
    column: str
    title: str
    unit: str
    formula: str
    value: Callable[[TrialResult], float | None]
    lower_is_better: bool | None = True
    is_share: bool = False
    scale: float = 1.0
    digits: int = 2

    def interval(self, trials: Iterable[TrialResult]) -> Interval:
        """Return the mean or share over trials with its interval, in the unit of the CSV files."""
        values = [self.value(trial) for trial in trials]
        if self.is_share:
            return proportion_interval(sum(bool(value) for value in values), len(values))
        return mean_interval(values)

    def text(self, value: float | None) -> str:
        """Return a value for people, without its unit."""
        return "–" if value is None or not math.isfinite(value) else f"{self.scale * value:.{self.digits}f}"


MEASURES: dict[str, Measure] = {measure.name: measure for measure in (
    Measure("mean_cost", "mean_cost_per_step", "cost", "per step",
            "mean over the steps of the trial of w_lateral · |distance to the path in m| − w_progress · (gain in the "
            "fraction of the path's segment) + w_heading · |heading error in rad|, on the executed states; the paper's "
            "cost of its real robot", lambda trial: trial.mean_cost),
    Measure("return", "return_per_trial", "return", "per trial",
            "minus the sum over the steps of the same cost; longer trials have more steps",
            lambda trial: trial.total_return, lower_is_better=False, digits=1),
    Measure("completion", "completed_share", "completed", "% of trials",
            "share of the trials that came within 0.1 m of the end of the path in the time given",
            lambda trial: float(trial.completed), lower_is_better=False, is_share=True, scale=100.0, digits=0),
    Measure("speed", "speed_m_per_s", "speed along the path", "m/s",
            "progress along the path at the end of the trial / its duration", lambda trial: trial.speed_m_s,
            lower_is_better=False, digits=3),
    Measure("progress", "progress_m", "progress", "m", "arc length of the path's point closest to the last position",
            lambda trial: trial.progress_m, lower_is_better=False),
    Measure("lateral_error", "mean_lateral_error_m", "lateral error", "cm",
            "mean over the steps of the distance from the robot to the path", lambda trial: trial.mean_lateral_error_m,
            scale=100.0, digits=1),
    Measure("lateral_error_after_1s", "mean_lateral_error_after_1s_m", "lateral error after 1 s", "cm",
            "the same without the first second, while the robot gets going",
            lambda trial: trial.mean_lateral_error_after_1s_m, scale=100.0, digits=1),
    Measure("max_lateral_error", "max_lateral_error_m", "largest lateral error", "cm",
            "largest distance from the robot to the path", lambda trial: trial.max_lateral_error_m, scale=100.0,
            digits=1),
    Measure("duration", "duration_s", "duration", "s", "from the first state of the trial to the last",
            lambda trial: trial.duration_s, digits=1),
    Measure("leg_rate", "mean_leg_rate_rad_per_s", "leg rate", "rad/s",
            "mean over steps and both sides of the magnitude of the measured leg rate: a robot that creeps has a low "
            "one", lambda trial: trial.mean_leg_rate_rad_s, lower_is_better=None, digits=1),
    Measure("safety_stops", "safety_stops_per_trial", "safety stops", "per trial",
            "stops by a watchdog, a limit or the emergency stop", lambda trial: float(trial.safety_stops)),
    Measure("cost_before_onset", "mean_cost_before_onset_per_step", "cost before the onset", "per step",
            "the cost, mean over the steps until the first fault that strikes during the trial",
            lambda trial: trial.cost_before_onset),
    Measure("cost_after_onset", "mean_cost_after_onset_per_step", "cost after the onset", "per step",
            "the cost, mean over the steps from that fault on", lambda trial: trial.cost_after_onset),
)}
#: Those of trials in which nothing strikes have no value.
AROUND_ONSET = ("cost_before_onset", "cost_after_onset")


def find_measure(name: str) -> Measure:
    """Return a figure by its name.

    Raises:
        UserError: listing the known ones.
    """
    if name not in MEASURES:
        raise unknown_name("figure", name, list(MEASURES))
    return MEASURES[name]
