# SPDX-License-Identifier: Apache-2.0
"""What ``l2a estimate`` shows of a recording: a table, JSON, CSV, and trajectories in the TUM format.

TUM format (https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats): lines of stamp in s, position in m,
quaternion x y z w.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.estimation.evo_errors import EvoErrors
from l2a_ros.estimation.recorded_motion import MotionTopics
from l2a_ros.estimation.replay import HEALTHS, Evaluated
from l2a_ros.estimation.replay_errors import Distribution, ErrorFigures
from l2a_ros.estimation.trajectory_errors import Trajectory

_SECOND = 1_000_000_000
_AXES = [f"{name}_{axis}" for name in ("position", "velocity", "attitude") for axis in "xyz"]
_POSE = ["x_m", "y_m", "z_m", "qx", "qy", "qz", "qw"]
_VELOCITY = ["vx_m_s", "vy_m_s", "vz_m_s"]
COLUMNS = ["stamp_s", "health", *_POSE, *_VELOCITY, "wx_rad_s", "wy_rad_s", "wz_rad_s",
           *(f"{name}_spread" for name in _AXES)]
TRUE_COLUMNS = [f"true_{name}" for name in (*_POSE, *_VELOCITY)]


@dataclass(frozen=True)
class RecordingReport:
    """What became of one recording.

    Args:
        bag: which one.
        topics: what was read.
        duration: from the first to the last sample, s.
        moments: how often the filter was asked and had an answer.
        waiting: how often it had none yet.
        health: share of the moments by health.
        filter: the filter's own figures at the end, with their units in their names.
        status: the filter's last word.
        errors: against the truth; None without.
        evo: the same by evo; None where it is not installed.
        bad_truths: true poses that are none.
        warnings: what could not be read, and what is odd.
    """

    bag: Path
    topics: MotionTopics
    duration: float
    moments: int
    waiting: int
    health: Mapping[str, float]
    filter: Mapping[str, float]
    status: str
    errors: ErrorFigures | None = None
    evo: EvoErrors | None = None
    bad_truths: int = 0
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON, after :func:`without_nan`."""
        topics = {name: None if each is None else asdict(each) for name, each in (
            ("mocap", self.topics.mocap), ("imu", self.topics.imu), ("truth", self.topics.truth))}
        evo = None
        if self.evo is not None:
            evo = {"poses": self.evo.poses, "ate_m": self.evo.translation, "ate_deg": math.degrees(self.evo.angle),
                   "rpe": [{"interval_s": interval, "translation_m": way, "rotation_deg": math.degrees(turn)}
                           for interval, (way, turn) in self.evo.relative.items()]}
        return {"bag": str(self.bag), "topics": topics, "duration_s": self.duration, "moments": self.moments,
                "waiting": self.waiting, "health": dict(self.health), "filter": dict(self.filter),
                "status": self.status, "errors": None if self.errors is None else asdict(self.errors), "evo": evo,
                "bad_truths": self.bad_truths, "warnings": self.warnings}

    def lines(self) -> list[str]:
        """Return it for people."""
        lines = [f"{self.bag}: {self.duration:.1f} s"]
        for name, topic in (("mocap", self.topics.mocap), ("imu", self.topics.imu), ("truth", self.topics.truth)):
            if topic is not None:
                rate = topic.count / self.duration if self.duration > 0.0 else 0.0
                lines.append(f"  {name:<6} {topic.name} ({topic.type.rsplit('/', 1)[-1]}): {topic.count} messages, "
                             f"{rate:.1f} Hz")
        shares = ", ".join(f"{name} {100.0 * share:.2f} %" for name, share in self.health.items() if share > 0.0)
        lines.append(f"  {self.moments} moments: {shares}" if self.moments else f"  no estimate: {self.status}")
        lines += [f"  {text}" for text in filter_lines(self.filter)]
        if self.errors is not None:
            lines += ["", *error_lines(self.errors, self.evo)]
        lines += [f"warning: {each}" for each in self.warnings]
        return lines


def filter_lines(figures: Mapping[str, float]) -> list[str]:
    """Return the filter's own figures; a standard deviation stands beside what it is of."""
    lines = []
    for name, value in figures.items():
        # What was not refused is not worth a line.
        if " spread (" in name or ("refused" in name and not value):
            continue
        what, bracket, unit = name.partition(" (")
        spread = figures.get(f"{what} spread ({unit}") if bracket else None
        lines.append(f"{name:<42}{value:.6g}" + ("" if spread is None else f" ± {spread:.2g}"))
    return lines


def error_lines(figures: ErrorFigures, evo: EvoErrors | None = None) -> list[str]:
    """Return a table of errors."""
    lines = [f"{'error':<26}" + "".join(f"{name:>10}" for name in ("RMSE", "median", "95 %", "99 %", "max")) + "  unit"]
    for name, accuracy in (("", figures.live), (", coasting", figures.coasting)):
        if not accuracy.position_m.count and name:
            continue
        for what, found, factor, unit in (("position", accuracy.position_m, 1e3, "mm"),
                                          ("orientation", accuracy.orientation_deg, 1.0, "deg"),
                                          ("velocity", accuracy.velocity_m_s, 1.0, "m/s")):
            lines.append(f"{what + name:<26}{_cells(found, factor)}  {unit}")
    rows = [("ATE", figures.ate_m, figures.ate_deg)]
    if evo is not None:
        rows.append((_by_evo("ATE", evo), evo.translation, math.degrees(evo.angle)))
    for each in figures.rpe:
        rows.append((f"RPE over {each.interval_s:g} s", each.translation_m, each.rotation_deg))
        if evo is not None and each.interval_s in evo.relative:
            way, turn = evo.relative[each.interval_s]
            rows.append((_by_evo(f"RPE over {each.interval_s:g} s", evo), way, math.degrees(turn)))
    lines.append(f"{'trajectory error (RMSE)':<40}{'translation, mm':>18}{'rotation, deg':>18}")
    lines += [f"{name:<40}{_number(way, 1e3):>18}{_number(turn, 1.0):>18}" for name, way, turn in rows]
    honest = figures.consistency
    lines.append(f"(error / spread)^2, 1 is honest: position {_number(honest.position)}, orientation "
                 f"{_number(honest.orientation)}, velocity {_number(honest.velocity)}; within 3 spreads "
                 f"{_number(honest.within_three, 100.0)} %")
    return lines


def _by_evo(name: str, evo: EvoErrors) -> str:
    return f"  {name} by evo, {evo.poses} poses"


def _cells(found: Distribution, factor: float) -> str:
    return "".join(f"{_number(value, factor):>10}" for value in (found.rmse, found.p50, found.p95, found.p99,
                                                                 found.largest))


def _number(value: float | None, factor: float = 1.0) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{factor * value:.4g}"


def health_shares(evaluated: Evaluated) -> dict[str, float]:
    """Return the share of each health."""
    count = max(1, len(evaluated.health))
    return {health.value: float(np.sum(evaluated.health == i)) / count for i, health in enumerate(HEALTHS)}


def write_tum(path: Path, trajectory: Trajectory) -> None:
    """Write a trajectory in the TUM format."""
    with path.open("w", encoding="utf-8") as file:
        for i, stamp in enumerate(trajectory.stamps):
            numbers = (*trajectory.positions[i].tolist(), *trajectory.quaternions[i].tolist())
            file.write(f"{seconds(int(stamp))} {' '.join(f'{value:.9g}' for value in numbers)}\n")


def write_csv(path: Path, evaluated: Evaluated) -> None:
    """Write a table of all moments: estimate, standard deviations, truth as it was recorded."""
    truth = evaluated.truth
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *(TRUE_COLUMNS if truth is not None else [])])
        for i, stamp in enumerate(evaluated.estimate.stamps):
            numbers = [*evaluated.estimate.positions[i].tolist(), *evaluated.estimate.quaternions[i].tolist(),
                       *evaluated.velocity[i].tolist(), *evaluated.angular_velocity[i].tolist(),
                       *evaluated.spreads[i].tolist()]
            if truth is not None and evaluated.true_velocity is not None:
                numbers += [*truth.positions[i].tolist(), *truth.quaternions[i].tolist(),
                            *evaluated.true_velocity[i].tolist()]
            writer.writerow([seconds(int(stamp)), HEALTHS[evaluated.health[i]].value, *_texts(numbers)])


def _texts(numbers: list[float]) -> Iterator[str]:
    return ("" if math.isnan(value) else f"{value:.9g}" for value in numbers)


def seconds(stamp: int) -> str:
    """Return a stamp in s, to the nanosecond, which a float does not hold."""
    return f"{stamp // _SECOND}.{stamp % _SECOND:09d}"


def without_nan(content: Any) -> Any:
    """Return the same with None for numbers that JSON does not know."""
    if isinstance(content, Mapping):
        return {name: without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
