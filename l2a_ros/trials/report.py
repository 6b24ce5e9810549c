# SPDX-License-Identifier: Apache-2.0
"""The files and lines that a trial leaves: ``report.json``, ``trial.csv``, a progress line, a table."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.robot.layout import ACTION, STATE
from l2a_ros.trials.log import LoopTimes, Row, TrialLog

REPORT, CSV, PICTURE = "report.json", "trial.csv", "trial.png"
#: Errors are also given without the first moments, when the robot still gets going, seconds.
SETTLED = 1.0


def build_report(log: TrialLog, times: LoopTimes, safety_stops: int, ended: str) -> dict[str, Any]:
    """Return the report of a trial as plain data.

    The first row is the start; each later row is one step. Means are over the steps. In lock-step the loop's statistics
    are null: the world waited for each command, so wall-clock times say nothing about the loop, and the same seed gives
    the same report.

    Args:
        log: the rows.
        times: the loop's statistics.
        safety_stops: how often the robot was stopped by a watchdog, a limit or the emergency stop.
        ended: why the trial ended, a few words.
    """
    rows, settings = log.rows(), log.settings
    steps = rows[1:]
    lateral = np.array([abs(row.lateral_error) for row in steps])
    settled = np.array([abs(row.lateral_error) for row in steps if row.elapsed >= SETTLED - 1e-6])
    cost = np.array([row.cost for row in steps])
    timed = not settings.lockstep
    return {
        "method": settings.method, "planner": settings.planner, "path": settings.path, "terrain": settings.terrain,
        "faults": list(settings.faults), "seed": settings.seed, "checkpoint": settings.checkpoint,
        "completed": log.completed, "ended": ended, "steps": len(steps),
        "duration_s": _number(rows[-1].elapsed if rows else 0.0),
        "mean_cost": _number(_mean(cost)), "return": _number(-float(cost.sum())),
        "mean_lateral_error_m": _number(_mean(lateral)),
        "mean_lateral_error_after_1s_m": _number(_mean(settled)),
        "max_lateral_error_m": _number(float(lateral.max()) if len(lateral) else math.nan),
        "progress_m": _number(rows[-1].progress if rows else 0.0), "path_length_m": _number(log.path.length),
        "safety_stops": safety_stops, "cost_weights": dict(settings.weights),
        "control_period_s": settings.control_period, "lockstep": settings.lockstep,
        "loop": {
            "period_s": _percentiles(times.periods() if timed else np.empty(0)),
            "state_to_command_s": _percentiles(times.latencies() if timed else np.empty(0)),
            "overruns": times.overruns() if timed else None,
        },
    }


def csv_text(rows: Sequence[Row]) -> str:
    """Return the rows as CSV: stamps in ns, everything else in SI units with nine digits, unknown values empty.

    Nothing in it depends on wall-clock time beyond the stamps themselves.
    """
    header = ["stamp_ns", "elapsed_s", *STATE.names, *(f"command_{name}" for name in ACTION.names), "segment",
              "lateral_error_m", "progress_m", "heading_error_rad", "cost"]
    lines = [",".join(header)]
    for row in rows:
        values = [_cell(value) for value in (*row.state, *row.command)]
        lines.append(",".join([str(row.stamp), _cell(row.elapsed), *values, str(row.segment), _cell(row.lateral_error),
                               _cell(row.progress), _cell(row.heading_error), _cell(row.cost)]))
    return "\n".join(lines) + "\n"


def write_trial(folder: Path, log: TrialLog, report: dict[str, Any], pictures: bool = True) -> list[Path]:
    """Write ``report.json``, ``trial.csv`` and, with ``pictures``, ``trial.png`` into a folder; return their paths.

    Raises:
        UserError: if the folder cannot be written.
    """
    files = [folder / REPORT, folder / CSV]
    write_file(files[0], (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    write_file(files[1], csv_text(log.rows()).encode())
    if pictures:
        from l2a_ros.trials.picture import draw_trial

        files.append(folder / PICTURE)
        write_file(files[2], draw_trial(log, report))
    return files


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that at any moment it is either the old or the whole new one.

    Raises:
        UserError: if it cannot be written.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another folder") from None


def check_folder(folder: Path) -> Path:
    """Make the folder of a trial, refuse it at once if it cannot be written, and return it.

    Raises:
        UserError: if it cannot.
    """
    probe = folder / f".writable.{os.getpid()}"
    write_file(probe, b"")
    probe.unlink()
    return folder


def progress_line(row: Row, path_length: float, period: float) -> str:
    """Return one line about a running trial; ``period`` in s, NaN when it means nothing."""
    text = (f"{row.elapsed:5.1f} s   {row.progress:5.2f} of {path_length:.2f} m   "
            f"lateral {100 * row.lateral_error:+5.1f} cm")
    return text + (f"   period {1000 * period:3.0f} ms" if math.isfinite(period) else "")


def report_table(report: dict[str, Any], files: Sequence[Path]) -> str:
    """Return the report as a short table for people, with where the files are."""
    loop = report["loop"]
    ground = f" on {report['terrain']}" if report["terrain"] else ""
    faults = f", {', '.join(report['faults'])}" if report["faults"] else ""
    lateral = [_text(report[f"{kind}_lateral_error{when}_m"], ".1f", 100)
               for kind, when in (("mean", ""), ("mean", "_after_1s"), ("max", ""))]
    way = f"{_text(report['progress_m'], '.2f')} of {_text(report['path_length_m'], '.2f')} m"
    how = f"{report['method']} + {report['planner']}"
    lines = [
        ("trial", f"{report['path']}{ground} with {how}{faults}, seed {report['seed']}"),
        ("completed", f"{'yes' if report['completed'] else 'no'} ({report['ended']})"),
        ("progress", f"{way} in {_text(report['duration_s'], '.1f')} s, {report['steps']} steps"),
        ("lateral error", f"mean {lateral[0]} cm, after 1 s {lateral[1]} cm, max {lateral[2]} cm"),
        ("cost", f"{_text(report['mean_cost'], '.3f')} per step, return {_text(report['return'], '.1f')}"),
        ("safety stops", str(report["safety_stops"])),
    ]
    if loop["period_s"]["p50"] is not None:
        for name, key in (("loop period", "period_s"), ("state to command", "state_to_command_s")):
            numbers = [f"{which} {_text(loop[key][which], '.1f', 1000)}" for which in ("p50", "p99", "max")]
            lines.append((name, f"{', '.join(numbers)} ms"))
        lines.append(("overruns", str(loop["overruns"])))
    lines += [("files" if i == 0 else "", str(path)) for i, path in enumerate(files)]
    return "\n".join(f"  {name:<17} {value}" for name, value in lines)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _number(value: float) -> float | None:
    """Round for reading; JSON knows no NaN or infinity, so those become null."""
    return round(value, 6) if math.isfinite(value) else None


def _percentiles(values: np.ndarray) -> dict[str, float | None]:
    if not len(values):
        return {"p50": None, "p99": None, "max": None}
    return {"p50": _number(float(np.percentile(values, 50))), "p99": _number(float(np.percentile(values, 99))),
            "max": _number(float(values.max()))}


def _cell(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else ""


def _text(value: float | None, form: str, scale: float = 1.0) -> str:
    return "-" if value is None else format(scale * value, form)
