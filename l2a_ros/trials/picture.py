# SPDX-License-Identifier: Apache-2.0
"""``trial.png``: the track over the path, and what happened over time."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from l2a_ros.trials.log import END_DISTANCE, SECOND, TrialLog

WIDTH = 10.0
#: Margins in inches: left, right (colour bar), top, bottom, and between the panels.
LEFT, RIGHT, TOP, BOTTOM, BETWEEN = 0.85, 1.15, 1.05, 0.6, 0.55
PANEL = 1.3
UNDER_TRACK = 0.85
INK, MUTED, GRID = "#22272e", "#6b7480", "#e3e6ea"
LEFT_COLOUR, RIGHT_COLOUR = "#c2410c", "#1d4ed8"
#: The colour scale reaches at least this far, metres, so that a good trial does not look alarming.
LEAST_SCALE = 0.05
REVOLUTION = 2.0 * math.pi


def draw_trial(log: TrialLog, report: dict[str, Any]) -> bytes:
    """Return the picture of a trial as PNG bytes."""
    rows = log.rows()
    losses = {name: series for name, series in log.metrics.items() if "loss" in name}
    positions = np.array([row.position for row in rows]).reshape(-1, 2)
    everything = np.vstack([log.path.points, positions[np.all(np.isfinite(positions), axis=1)]])
    low, high = everything.min(axis=0) - 0.15, everything.max(axis=0) + 0.15
    # Equal axes: the panel gets the height that its width needs, within what a page can take.
    inside = WIDTH - LEFT - RIGHT
    top_height = float(np.clip(inside * (high[1] - low[1]) / (high[0] - low[0]), 1.6, 6.5))
    # The other way round where that did not fit: the shorter side shows more ground, evenly on both sides.
    span = np.maximum(high - low, np.array([inside, top_height]) * max((high[0] - low[0]) / inside,
                                                                       (high[1] - low[1]) / top_height))
    low, high = (low + high - span) / 2, (low + high + span) / 2
    panels = 4 if losses else 3
    height = TOP + top_height + UNDER_TRACK + panels * (PANEL + BETWEEN) - BETWEEN + BOTTOM
    figure = Figure(figsize=(WIDTH, height), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)

    def panel(top: float, panel_height: float) -> Axes:
        axes = figure.add_axes((LEFT / WIDTH, 1.0 - (top + panel_height) / height, inside / WIDTH,
                                panel_height / height))
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(MUTED)
        axes.tick_params(colors=MUTED, labelsize=8.5)
        axes.grid(True, color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        return axes

    figure.text(LEFT / WIDTH, 1.0 - 0.32 / height, _title(report), color=INK, fontsize=13, fontweight="bold",
                va="center")
    figure.text(LEFT / WIDTH, 1.0 - 0.58 / height, _subtitle(report), color=MUTED, fontsize=9.5, va="center")
    above = panel(TOP, top_height)
    _draw_track(figure, above, log, positions, np.array([row.lateral_error for row in rows]), low, high)
    time = np.array([row.elapsed for row in rows])
    first = TOP + top_height + UNDER_TRACK
    last = (0.0, max(float(time[-1]) if len(time) else 0.0, 1e-3))
    axes = [panel(first + i * (PANEL + BETWEEN), PANEL) for i in range(panels)]
    for each in axes:
        each.set_xlim(*last)
    axes[-1].set_xlabel("time (s)", color=INK, fontsize=9.5)
    _draw_lateral(axes[0], time, np.array([row.lateral_error for row in rows]))
    commands = np.array([row.command for row in rows]).reshape(-1, 2)
    measured = np.array([row.leg_rates for row in rows]).reshape(-1, 2)
    for side, name, colour in ((0, "left", LEFT_COLOUR), (1, "right", RIGHT_COLOUR)):
        _draw_rate(axes[1 + side], name, colour, time, commands[:, side], measured[:, side])
    if losses:
        _draw_losses(axes[3], losses, rows[0].stamp if rows else 0, last[1])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _title(report: dict[str, Any]) -> str:
    ground = f" on {report['terrain']}" if report["terrain"] else ""
    faults = f" with {', '.join(report['faults'])}" if report["faults"] else ""
    return f"{report['path']}{ground}{faults}: {report['method']}, {report['planner'].replace('_', ' ')}"


def _subtitle(report: dict[str, Any]) -> str:
    def value(key: str, form: str, scale: float = 1.0) -> str:
        number = report[key]
        return "-" if number is None else format(scale * number, form)

    return (f"{'completed' if report['completed'] else 'not completed: ' + report['ended']}   ·   "
            f"{value('progress_m', '.2f')} of {value('path_length_m', '.2f')} m in {value('duration_s', '.1f')} s"
            "   ·   "
            f"mean lateral error {value('mean_lateral_error_m', '.1f', 100)} cm   ·   "
            f"mean cost {value('mean_cost', '.2f')}   ·   seed {report['seed']}")


def _draw_track(figure: Figure, axes: Axes, log: TrialLog, positions: np.ndarray, lateral: np.ndarray,
                low: np.ndarray, high: np.ndarray) -> None:
    points = log.path.points
    axes.plot(points[:, 0], points[:, 1], color="#9aa3ad", linewidth=1.6, dashes=(4, 2.5), marker="o", markersize=3.5,
              markerfacecolor="white", markeredgewidth=1.1, label="reference path", zorder=2)
    circle = np.linspace(0.0, 2.0 * math.pi, 60)
    axes.fill(points[-1, 0] + END_DISTANCE * np.cos(circle), points[-1, 1] + END_DISTANCE * np.sin(circle),
              facecolor="#d8dde3", edgecolor="none", alpha=0.6, zorder=1, label="end of the path")
    if len(positions) > 1:
        pieces = np.stack([positions[:-1], positions[1:]], axis=1)
        scale = max(LEAST_SCALE, _largest(lateral))
        track = LineCollection(list(pieces), cmap="plasma", linewidths=3.0, capstyle="round", zorder=3)
        track.set_array(100.0 * np.abs(0.5 * (lateral[:-1] + lateral[1:])))
        # The last colours of the map are too pale on white.
        track.set_clim(0.0, 100.0 * scale * 1.1)
        axes.add_collection(track)
        box = axes.get_position()
        bar = figure.colorbar(track, cax=figure.add_axes((box.x1 + 0.018, box.y0, 0.014, box.height)))
        bar.set_label("|lateral error| (cm)", color=INK, fontsize=9)
        bar.ax.tick_params(colors=MUTED, labelsize=8)
        bar.outline.set_visible(False)
    if len(positions):
        axes.plot(*positions[0], marker="o", color="#15803d", markersize=10, markeredgecolor="white",
                  markeredgewidth=1.5, linestyle="none", label="start", zorder=5)
        axes.plot(*positions[-1], marker="X", color=INK, markersize=10, markeredgecolor="white",
                  markeredgewidth=1.2, linestyle="none", label="last state", zorder=5)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_xlabel("x (m)", color=INK, fontsize=9.5)
    axes.set_ylabel("y (m)", color=INK, fontsize=9.5)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, fontsize=8, frameon=False, labelcolor=INK,
                handletextpad=0.5, columnspacing=1.4, borderaxespad=0.1)


def _largest(values: np.ndarray) -> float:
    """Return the largest finite magnitude, 0 if there is none."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if len(finite) else 0.0


def _caption(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", color=INK, fontsize=9.5, pad=5)


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, fontsize=8, frameon=False, labelcolor=INK,
                handlelength=1.6, columnspacing=1.4, borderaxespad=0.1)


def _draw_lateral(axes: Axes, time: np.ndarray, lateral: np.ndarray) -> None:
    _caption(axes, "lateral error (cm, left of the path is positive)")
    axes.axhline(0.0, color=MUTED, linewidth=0.9)
    axes.fill_between(time, 100.0 * lateral, 0.0, color="#7c3aed", alpha=0.15, linewidth=0)
    axes.plot(time, 100.0 * lateral, color="#6d28d9", linewidth=1.5)
    reach = 100.0 * max(0.02, _largest(lateral)) * 1.15
    axes.set_ylim(-reach, reach)


def _draw_rate(axes: Axes, name: str, colour: str, time: np.ndarray, command: np.ndarray,
               measured: np.ndarray) -> None:
    _caption(axes, f"{name} leg rate (revolutions/s)")
    axes.step(time, command / REVOLUTION, where="post", color="#7b8591", linewidth=1.1, label="commanded")
    axes.plot(time, measured / REVOLUTION, color=colour, linewidth=1.5, label="measured")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    _legend(axes)


def _draw_losses(axes: Axes, losses: dict[str, list[tuple[int, float]]], start: int, end: float) -> None:
    _caption(axes, "the model's loss on the newest window")
    drawn = []
    # In reverse order "before" comes before "after" and "pre" before "post": in the muted colour first.
    for index, (name, series) in enumerate(sorted(losses.items(), reverse=True)):
        time = np.array([(stamp - start) / SECOND for stamp, _ in series])
        values = np.array([value for _, value in series])
        shown = np.isfinite(values) & (time >= 0.0) & (time <= end)
        drawn.append(values[shown])
        axes.plot(time[shown], values[shown], linewidth=1.4, label=name.split("/")[-1].replace("_", " "),
                  color=("#94a3b8", "#0d9488", "#b45309", "#be185d")[index % 4])
    values = np.concatenate(drawn)
    if len(values) and values.min() > 0.0 and values.max() > 30.0 * values.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, float(values.min())) if len(values) else 0.0)
    _legend(axes)
