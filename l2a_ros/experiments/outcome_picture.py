# SPDX-License-Identifier: Apache-2.0
"""Figures of all conditions and variants beside each other, with intervals; and the cost around an onset."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from l2a_ros.experiments.intervals import mean_interval
from l2a_ros.experiments.measures import MEASURES, Measure
from l2a_ros.experiments.picture_style import INK, MUTED, Style, legend, new_figure, styles, tidy, to_png
from l2a_ros.experiments.results import Results
from l2a_ros.experiments.track_picture import TracksByCell
from l2a_ros.experiments.tracks import Track

#: Cost first; what must be known beside it.
SHOWN = ("mean_cost", "lateral_error", "speed", "completion")
#: Around an onset, s: how far is shown, and over how long each point is a mean.
BEFORE, AFTER, BIN = 3.0, 8.0, 0.5


def draw_outcomes(results: Results, names: Sequence[str] = SHOWN) -> bytes:
    """Return the picture as PNG bytes: a panel per figure, a row per condition, a point per variant."""
    looks = styles(results.variants)
    wide = [2.0 if i == 0 and len(names) > 1 else 1.0 for i in range(len(names))]
    per_row = 0.16 * len(results.variants) + 0.22
    figure = new_figure(3.2 + 2.3 * sum(wide), 1.2 + per_row * len(results.conditions) + 0.3)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False, gridspec_kw={"width_ratios": wide}).ravel()
    for axes, name in zip(panels, names, strict=True):
        _draw_measure(axes, results, MEASURES[name], looks)
    height = len(results.conditions)
    panels[0].set_yticks(range(height), ["\n".join(textwrap.wrap(name, 34)) for name in results.conditions], color=INK)
    panels[0].set_ylim(height - 0.5, -0.5)
    legend(figure, [*_handles(results, looks),
                    Line2D([], [], color=MUTED, marker=".", markersize=4, linestyle="none", alpha=0.6,
                           label="single trials")])
    return to_png(figure)


def _handles(results: Results, looks: Mapping[str, Style]) -> list[Line2D]:
    return [Line2D([], [], color=looks[name].colour, marker=looks[name].mark, markersize=5, linestyle="solid",
                   linewidth=1.4, label=name) for name in results.variants]


def _draw_measure(axes: Axes, results: Results, measure: Measure, looks: Mapping[str, Style]) -> None:
    tidy(axes)
    better = {True: "; less is better", False: "; more is better", None: ""}[measure.lower_is_better]
    axes.set_title(measure.title, loc="left", color=INK, fontsize=9.5)
    axes.set_xlabel(f"{measure.unit}{better}", color=MUTED, fontsize=8)
    axes.grid(False, axis="y")
    for row in range(len(results.conditions) - 1):
        axes.axhline(row + 0.5, color=MUTED, linewidth=0.5, alpha=0.5)
    edge = _edge(results, measure)
    for row, condition in enumerate(results.conditions):
        for place, variant in enumerate(results.variants):
            cell = results.cells.get((condition, variant))
            interval = cell.intervals.get(measure.name) if cell else None
            if cell is None or interval is None:
                continue
            y = row + 0.8 * ((place + 0.5) / len(results.variants) - 0.5)
            look = looks[variant]
            singles = [measure.scale * value for value in cell.values(measure.name).values() if value is not None]
            if not measure.is_share:
                axes.plot([value for value in singles if value <= edge], [y] * sum(value <= edge for value in singles),
                          linestyle="none", marker=".", markersize=4, color=look.colour, alpha=0.35, zorder=2)
                _draw_beyond(axes, sorted(value for value in singles if value > edge), edge, y, look)
            if interval.count and interval.is_bounded:
                axes.plot([measure.scale * interval.low, measure.scale * interval.high], [y, y], color=look.colour,
                          linewidth=1.8, solid_capstyle="butt", zorder=3)
            if interval.count:
                axes.plot(measure.scale * interval.mean, y, color=look.colour, marker=look.mark, markersize=5.5,
                          markeredgecolor="white", markeredgewidth=0.7, linestyle="none", zorder=4)
    if measure.is_share:
        axes.set_xlim(-4, 104)
        return
    # From zero on, so that a small difference looks small.
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.0), max(high, 0.0))


def _edge(results: Results, measure: Measure) -> float:
    """Return up to where a measure is drawn: all means and intervals, and most trials; a few may be far beyond."""
    cells = results.cells.values()
    intervals = [cell.intervals[measure.name] for cell in cells if measure.name in cell.intervals]
    ends = [measure.scale * (each.high if each.is_bounded else each.mean) for each in intervals if each.count]
    singles = [measure.scale * value for cell in cells for value in cell.values(measure.name).values()
               if value is not None]
    if not ends or not singles:
        return math.inf
    edge = 1.05 * max(*ends, float(np.quantile(singles, 0.95)))
    return edge if max(singles) > 1.2 * edge > 0.0 else math.inf


def _draw_beyond(axes: Axes, values: Sequence[float], edge: float, y: float, look: Style) -> None:
    """Draw trials that are beyond the edge as an arrow on it, with their values."""
    if not values:
        return
    axes.plot(edge, y, linestyle="none", marker=">", markersize=4, color=look.colour, alpha=0.6, clip_on=False)
    text = ", ".join(f"{value:.3g}" for value in values)
    if len(values) > 3:
        text = f"{len(values)} to {values[-1]:.3g}"
    axes.annotate(text, (edge, y), (5, 0), textcoords="offset points",
                  va="center", fontsize=6, color=look.colour, annotation_clip=False)


def has_onsets(results: Results) -> bool:
    """Tell whether a fault struck during any trial."""
    return any(trial.onset_s is not None for trial in results.found.trials)


def draw_onsets(results: Results, tracks: TracksByCell) -> bytes:
    """Return the picture as PNG bytes: the cost around the onset, a panel for each condition in which one struck.

    Each point is the mean over trials of their mean cost within half a second, with its 95 % interval; trials that were
    over by then are not in it.
    """
    looks = styles(results.variants)
    conditions = [condition for condition in results.conditions
                  if any(onset is not None for variant in results.variants
                         for _, onset in tracks.get((condition, variant), ()))]
    columns = min(3, len(conditions))
    rows = math.ceil(len(conditions) / columns)
    figure = new_figure(max(7.0, 4.4 * columns), 2.8 * rows + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, condition in zip(panels, conditions, strict=False):
        tidy(axes)
        axes.set_title("\n".join(textwrap.wrap(condition, 48)), loc="left", color=INK, fontsize=9.5)
        axes.axvline(0.0, color=INK, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.set_xlim(-BEFORE, AFTER)
        axes.set_xlabel("time since the fault struck, s", color=MUTED, fontsize=8)
        axes.set_ylabel("cost per step", color=MUTED, fontsize=8)
        for variant in results.variants:
            _draw_around(axes, tracks.get((condition, variant), ()), looks[variant])
    for axes in panels[len(conditions):]:
        axes.set_visible(False)
    legend(figure, _handles(results, looks))
    return to_png(figure)


def _draw_around(axes: Axes, tracks: Sequence[tuple[Track, float | None]], look: Style) -> None:
    edges = np.arange(-BEFORE, AFTER + BIN / 2, BIN)
    moments, means, lows, highs = [], [], [], []
    for left, right in itertools.pairwise(edges):
        values = []
        for track, onset in tracks:
            if onset is None:
                continue
            # Each row's cost is of the step that ended there.
            within = (track.elapsed - onset > left + 1e-9) & (track.elapsed - onset <= right + 1e-9)
            cost = track.cost[within & np.isfinite(track.cost)]
            if len(cost):
                values.append(float(cost.mean()))
        if not values:
            continue
        interval = mean_interval(values)
        moments.append((left + right) / 2)
        means.append(interval.mean)
        lows.append(interval.low if interval.is_bounded else interval.mean)
        highs.append(interval.high if interval.is_bounded else interval.mean)
    axes.fill_between(moments, lows, highs, color=look.colour, alpha=0.16, linewidth=0)
    axes.plot(moments, means, color=look.colour, marker=look.mark, markersize=3.2, linewidth=1.6)
