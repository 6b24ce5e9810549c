# SPDX-License-Identifier: Apache-2.0
"""Tracks of all trials over each other, a panel per condition: the paper's figure of its robot experiments."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from l2a_ros.experiments.picture_style import INK, MUTED, Style, legend, new_figure, styles, tidy, to_png
from l2a_ros.experiments.results import Results
from l2a_ros.experiments.tracks import Track, mean_track, normals, read_track, reference_points

#: Of a panel, inches.
WIDTH, LOWEST, HIGHEST = 4.4, 1.9, 5.2
ABOVE = 0.75
MARGIN = 0.12


#: Tracks with the onset of their fault, s, or None; by (condition, variant).
TracksByCell = Mapping[tuple[str, str], Sequence[tuple[Track, float | None]]]


def read_tracks(results: Results) -> TracksByCell:
    """Return the tracks of all trials."""
    return {key: [(read_track(trial), trial.onset_s) for trial in cell.trials] for key, cell in results.cells.items()}


def draw_tracks(results: Results, tracks: TracksByCell) -> bytes:
    """Return the picture as PNG bytes."""
    looks = styles(results.variants)
    columns = min(3, len(results.conditions))
    rows = math.ceil(len(results.conditions) / columns)
    bounds = [_bounds(results, condition, tracks) for condition in results.conditions]
    heights = [max(_height(each) for each in bounds[row * columns:(row + 1) * columns]) for row in range(rows)]
    figure = new_figure(max(7.0, WIDTH * columns), sum(heights) + ABOVE * rows + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"height_ratios": heights}).ravel()
    for axes, condition, (low, high) in zip(panels, results.conditions, bounds, strict=False):
        _draw_panel(axes, results, condition, tracks, looks)
        # Not by limits: equal axes have to show more ground where the panel is wider or higher than its content.
        axes.margins(0.0)
        axes.update_datalim([low, high])
        axes.set_aspect("equal", adjustable="datalim")
    for axes in panels[len(results.conditions):]:
        axes.set_visible(False)
    handles: list[Artist] = [
        *_lines(results, looks), Line2D([], [], color="black", linewidth=1.3, label="path"),
        Patch(facecolor=MUTED, alpha=0.25, label="± 1 standard deviation across")]
    if any(onset is not None for some in tracks.values() for _, onset in some):
        handles.append(Line2D([], [], color=INK, marker="x", markersize=6, linestyle="none", label="fault strikes"))
    legend(figure, handles)
    return to_png(figure)


def _bounds(results: Results, condition: str, tracks: TracksByCell) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of what a panel must show, each ``(2,)``, m."""
    some = [np.zeros((1, 2))]
    for variant in results.variants:
        cell = results.cells.get((condition, variant))
        points = reference_points(cell.trials[0]) if cell else None
        some += [] if points is None else [points]
        some += [track.positions for track, _ in tracks.get((condition, variant), ())]
    every = np.vstack(some)
    every = every[np.isfinite(every).all(axis=1)]
    return every.min(axis=0) - MARGIN, every.max(axis=0) + MARGIN


def _height(bounds: tuple[np.ndarray, np.ndarray]) -> float:
    span = bounds[1] - bounds[0]
    return float(np.clip(WIDTH * span[1] / span[0], LOWEST, HIGHEST))


def _draw_panel(axes: Axes, results: Results, condition: str, tracks: TracksByCell,
                looks: Mapping[str, Style]) -> None:
    tidy(axes)
    axes.set_title("\n".join(textwrap.wrap(condition, 48)), loc="left", color=INK, fontsize=9.5)
    axes.set_xlabel("x, m", color=MUTED, fontsize=8)
    axes.set_ylabel("y, m", color=MUTED, fontsize=8)
    path_drawn = False
    for variant in results.variants:
        some, look = tracks.get((condition, variant), ()), looks[variant]
        for track, onset in some:
            axes.plot(*track.positions.T, color=look.colour, linewidth=0.6, alpha=0.45, zorder=3)
            if onset is not None:
                axes.plot(*track.at(onset), color=look.colour, marker="x", markersize=4.5, markeredgewidth=1.1,
                          zorder=6)
        mean = mean_track([track for track, _ in some])
        if mean is not None:
            axes.fill(*_band(mean.positions, mean.spread).T, facecolor=look.colour, edgecolor="none", alpha=0.16,
                      zorder=2)
            axes.plot(*mean.positions.T, color=look.colour, linestyle=look.dashes, linewidth=2.2, zorder=5)
        cell = results.cells.get((condition, variant))
        points = reference_points(cell.trials[0]) if cell and not path_drawn else None
        if points is not None:
            axes.plot(*points.T, color="black", linewidth=1.3, zorder=2.5)
            path_drawn = True
    if not any((condition, variant) in tracks for variant in results.variants):
        axes.text(0.5, 0.5, "no finished trial", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_xticks([])
        axes.set_yticks([])


def _band(centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return the outline, ``(2 n, 2)``, of a band of half-width ``spread`` ``(n,)`` about a line ``(n, 2)``."""
    aside = normals(centre) * spread[:, np.newaxis]
    return np.vstack([centre + aside, (centre - aside)[::-1]])


def draw_laterals(results: Results, tracks: TracksByCell) -> bytes:
    """Return the picture as PNG bytes: the lateral error along the path, a panel per condition."""
    looks = styles(results.variants)
    columns = min(3, len(results.conditions))
    rows = math.ceil(len(results.conditions) / columns)
    figure = new_figure(max(7.0, WIDTH * columns), 2.6 * rows + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, condition in zip(panels, results.conditions, strict=False):
        tidy(axes)
        axes.set_title("\n".join(textwrap.wrap(condition, 48)), loc="left", color=INK, fontsize=9.5)
        axes.axhline(0.0, color="black", linewidth=1.3, zorder=4)
        axes.set_xlabel("progress along the path, m", color=MUTED, fontsize=8)
        axes.set_ylabel("lateral error, cm", color=MUTED, fontsize=8)
        for variant in results.variants:
            some, look = tracks.get((condition, variant), ()), looks[variant]
            for track, _ in some:
                axes.plot(track.progress, 100 * track.lateral, color=look.colour, linewidth=0.5, alpha=0.35, zorder=3)
            mean = mean_track([track for track, _ in some])
            if mean is not None:
                low, high = mean.lateral - mean.lateral_spread, mean.lateral + mean.lateral_spread
                axes.fill_between(mean.progress, 100 * low, 100 * high, color=look.colour, alpha=0.14, linewidth=0)
                axes.plot(mean.progress, 100 * mean.lateral, color=look.colour, linestyle=look.dashes, linewidth=2.0,
                          zorder=5)
    for axes in panels[len(results.conditions):]:
        axes.set_visible(False)
    legend(figure, [*_lines(results, looks), Patch(facecolor=MUTED, alpha=0.25, label="± 1 standard deviation")])
    return to_png(figure)


def _lines(results: Results, looks: Mapping[str, Style]) -> list[Line2D]:
    return [Line2D([], [], color=looks[name].colour, linestyle=looks[name].dashes, linewidth=2.4, label=name)
            for name in results.variants]
