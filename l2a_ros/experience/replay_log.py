# SPDX-License-Identifier: Apache-2.0
"""What the nodes said to a recording, tick by tick, beside what was recorded: the report of a replay."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2a_ros.robot.frames import planar_pose_of
from l2a_ros.robot.layout import SIDES

_SECOND = 1_000_000_000
NAN = math.nan
_NO_POSE = (NAN, NAN, NAN)
#: Figures of the adaptation that are kept, by their names on ``adaptation/metrics``.
FIGURES = ("loss_before", "loss_after", "step_norm")


@dataclass
class ReplayTick:
    """One tick.

    Args:
        stamp: ns.
        recorded_state: ``(24,)``; None where none was recorded.
        recorded: recorded command ``(2,)`` rad/s; None where there was none.
        state: what the estimator said now; None for nothing.
        command: what the planner answered now ``(2,)`` rad/s.
        status: of the adaptation.
        figures: of the adaptation.
        is_answered: whether every node answered in time.
    """

    stamp: int
    recorded_state: np.ndarray | None = None
    recorded: np.ndarray | None = None
    state: np.ndarray | None = None
    command: np.ndarray | None = None
    status: str = ""
    figures: Mapping[str, float] | None = None
    is_answered: bool = True


def command_difference(ticks: Sequence[tuple[np.ndarray | None, np.ndarray | None]]) -> dict[str, Any]:
    """Return how far two sequences of commands (recorded, planned) are apart where both walk.

    RMS in rad/s over both legs and by leg, and how many ticks were compared; None where there are none.
    """
    pairs = [(first, second) for first, second in ticks
             if first is not None and second is not None and np.any(first) and np.any(second)]
    if not pairs:
        return {"ticks": 0, "rms_rad_s": None, **{f"{side}_rms_rad_s": None for side in SIDES}}
    apart = np.array([np.subtract(second, first) for first, second in pairs])
    by_leg = np.sqrt(np.mean(apart**2, axis=0))
    return {"ticks": len(pairs), "rms_rad_s": float(np.sqrt(np.mean(apart**2))),
            **{f"{side}_rms_rad_s": float(value) for side, value in zip(SIDES, by_leg, strict=True)}}


class ReplayLog:
    """Collects the ticks of a replay."""

    def __init__(self) -> None:
        self.ticks: list[ReplayTick] = []

    def begin(self, stamp: int, recorded_state: np.ndarray | None, recorded: np.ndarray | None) -> ReplayTick:
        """Note a tick (ns) and what was recorded of it."""
        tick = ReplayTick(stamp, recorded_state, recorded)
        self.ticks.append(tick)
        return tick

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per tick: SI units, empty where there is nothing."""
        rows = []
        for tick in self.ticks:
            poses = [_NO_POSE if state is None else (*planar_pose_of(state)[0].tolist(), planar_pose_of(state)[1])
                     for state in (tick.recorded_state, tick.state)]
            row: dict[str, Any] = {"stamp_s": tick.stamp / _SECOND}
            for kind, pose in zip(("recorded", "replayed"), poses, strict=True):
                row |= {f"{kind}_{name}": value for name, value in zip(("x_m", "y_m", "yaw_rad"), pose, strict=True)}
            for kind, rates in (("recorded", tick.recorded), ("replayed", tick.command)):
                values = (NAN, NAN) if rates is None else rates
                row |= {f"{kind}_{side}_rad_s": float(value) for side, value in zip(SIDES, values, strict=True)}
            row |= {name: (tick.figures or {}).get(name, NAN) for name in FIGURES}
            row |= {"status": tick.status, "answered": int(tick.is_answered)}
            rows.append(row)
        return rows

    def csv(self) -> str:
        """Return the rows as CSV."""
        return as_csv(self.rows())

    def summary(self) -> dict[str, Any]:
        """Return the figures of the whole replay."""
        both = [(tick.state, tick.recorded_state) for tick in self.ticks
                if tick.state is not None and tick.recorded_state is not None]
        apart = np.array([np.linalg.norm(planar_pose_of(now)[0] - planar_pose_of(then)[0]) for now, then in both])
        same = sum(now.tobytes() == then.tobytes() for now, then in both)
        figures = [tick.figures for tick in self.ticks if tick.figures is not None]
        return {
            "ticks": len(self.ticks), "recorded_states": sum(each.recorded_state is not None for each in self.ticks),
            "states": sum(tick.state is not None for tick in self.ticks),
            "unanswered": sum(not tick.is_answered for tick in self.ticks),
            "states_compared": len(both), "states_identical": same,
            "position_difference_m": {"rms": float(np.sqrt(np.mean(apart**2))), "max": float(apart.max())}
            if len(apart) else None,
            "adaptation": {"statuses": dict(Counter(tick.status for tick in self.ticks if tick.status)),
                           **{f"mean_{name}": mean_of([each.get(name, NAN) for each in figures]) for name in FIGURES}},
            "commands": command_difference([(tick.recorded, tick.command) for tick in self.ticks])}

    def lines(self) -> list[str]:
        """Return the figures for a person."""
        found = self.summary()
        apart, commands, adaptation = found["position_difference_m"], found["commands"], found["adaptation"]
        lines = [f"{found['ticks']} ticks, {found['states']} states, {found['unanswered']} not answered in time"]
        if found["states_compared"]:
            lines.append(f"estimate beside the recorded one: {found['states_identical']} of {found['states_compared']} "
                         f"states identical, position {1e3 * apart['rms']:.2f} mm RMS, "
                         f"{1e3 * apart['max']:.2f} mm most")
        if adaptation["statuses"]:
            counts = ", ".join(f"{count} {status}" for status, count in adaptation["statuses"].items())
            lines.append(f"adaptation: {counts}")
            if adaptation["mean_loss_before"] is not None:
                lines.append(f"  loss on the window (normalised squares) {adaptation['mean_loss_before']:.4f} before, "
                             f"{adaptation['mean_loss_after']:.4f} after the step; norm of the step "
                             f"{adaptation['mean_step_norm']:.3f}")
        if commands["ticks"]:
            lines.append(f"planned commands beside the recorded ones: {commands['rms_rad_s']:.2f} rad/s RMS over "
                         f"{commands['ticks']} ticks in which both walk")
        return lines


def mean_of(values: Sequence[float]) -> float | None:
    """Return the mean of the numbers that are finite; None if there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else None


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of the same columns as CSV; not-a-number is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["stamp_s"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if isinstance(value, float) and not math.isfinite(value) else value
                         for name, value in row.items()})
    return text.getvalue()
