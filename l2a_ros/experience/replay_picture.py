# SPDX-License-Identifier: Apache-2.0
"""``replay.png``: what was recorded beside what the nodes said now."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

RECORDED, REPLAYED, MARK, INK, MUTED, GRID = "#6b7480", "#15803d", "#c2410c", "#22272e", "#6b7480", "#e3e6ea"


def style(axes: Axes, label: str) -> None:
    """Give a panel the look of the others."""
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.set_ylabel(label, fontsize=8.5, color=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save(figure: Figure) -> bytes:
    """Return a figure as PNG bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def draw_replay(rows: Sequence[dict[str, Any]], title: str) -> bytes:
    """Return the picture of a replay as PNG bytes.

    Args:
        rows: as :meth:`ReplayLog.rows` returns them.
        title: one line.
    """
    figure = Figure(figsize=(11.0, 11.5), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10.5, color=INK)
    grid = figure.add_gridspec(6, 1, height_ratios=(2.6, 1, 1, 1, 1, 1))
    column = {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
    times = column.get("stamp_s", np.empty(0)).astype(float)
    times = times - times[0] if len(times) else times

    track = figure.add_subplot(grid[0])
    for kind, colour, width in (("recorded", RECORDED, 2.6), ("replayed", REPLAYED, 1.1)):
        if rows:
            track.plot(column[f"{kind}_x_m"], column[f"{kind}_y_m"], color=colour, linewidth=width, label=kind)
    style(track, "y, m")
    track.set_xlabel("x, m", fontsize=8.5, color=INK)
    track.set_aspect("equal", adjustable="datalim")
    track.legend(fontsize=8, frameon=False)

    first: Axes | None = None

    def over_time(place: int, label: str) -> Axes:
        nonlocal first
        axes = figure.add_subplot(grid[place], sharex=first)
        first = first or axes
        style(axes, label)
        return axes

    axes = over_time(1, "estimate off the\nrecorded one, mm")
    if rows:
        apart = np.hypot(column["replayed_x_m"] - column["recorded_x_m"],
                         column["replayed_y_m"] - column["recorded_y_m"])
        axes.plot(times, 1e3 * apart, color=REPLAYED, linewidth=1.0)
    for place, side in ((2, "left"), (3, "right")):
        axes = over_time(place, f"{side} legs, rad/s")
        if rows:
            axes.step(times, column[f"recorded_{side}_rad_s"], where="post", color=RECORDED, linewidth=1.8,
                      label="recorded command")
            axes.step(times, column[f"replayed_{side}_rad_s"], where="post", color=REPLAYED, linewidth=1.0,
                      label="planned now, not sent")
            axes.legend(fontsize=7.5, frameon=False, loc="lower right", ncols=2)
    axes = over_time(4, "loss on the window,\nnormalised squares")
    if rows and np.any(np.isfinite(column["loss_before"].astype(float))):
        axes.plot(times, column["loss_before"], color=RECORDED, linewidth=1.4, label="before the step")
        axes.plot(times, column["loss_after"], color=REPLAYED, linewidth=1.1, label="after it")
        axes.set_yscale("log")
        axes.legend(fontsize=7.5, frameon=False, ncols=2)
    axes = over_time(5, "norm of the step")
    if rows:
        axes.plot(times, column["step_norm"], color=REPLAYED, linewidth=1.0)
        odd = np.array([status not in ("", "adapted", "not_adaptive") for status in column["status"]])
        axes.plot(times[odd], np.zeros(int(odd.sum())), "|", color=MARK, markersize=7, label="trained weights instead")
        axes.legend(fontsize=7.5, frameon=False)
    axes.set_xlabel("time of the recording, s", fontsize=8.5, color=INK)
    return save(figure)
