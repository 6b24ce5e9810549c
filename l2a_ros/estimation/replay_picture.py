# SPDX-License-Identifier: Apache-2.0
"""The picture of ``l2a estimate``: motion and errors over time, with three standard deviations."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from l2a_ros.estimation.motion import Health
from l2a_ros.estimation.replay import HEALTHS, Evaluated
from l2a_ros.estimation.replay_errors import Errors

#: So many columns of a panel; more moments are drawn by the smallest and the largest of each column.
COLUMNS = 1500
#: More refused poses are thinned out.
MOST_REFUSED = 3000
ESTIMATE, TRUTH, BAND, REFUSED, INK, MUTED = "#15803d", "#22272e", "#a7d8b5", "#c2410c", "#22272e", "#6b7480"
SHADES = ((Health.COASTING, "#fde8b5"), (Health.LOST, "#f4c7c3"))
#: Lines are broken where moments are further apart, s.
_BREAK = 0.5


def draw(evaluated: Evaluated, errors: Errors | None, title: str) -> bytes:
    """Return the picture as PNG bytes.

    Args:
        evaluated: at least one moment.
        errors: of its live moments against the truth, if there is one; the truth is drawn as it is there.
        title: one line.
    """
    start = min(evaluated.first, int(evaluated.estimate.stamps[0]))
    times = (evaluated.estimate.stamps - start) / 1e9
    live = evaluated.is_live()
    rows = 5 if errors is not None else 3
    figure = Figure(figsize=(15.0, 0.8 + 2.3 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 3, sharex=True, squeeze=False)
    figure.suptitle(title, color=INK, fontsize=11)
    for i, axis in enumerate("xyz"):
        panels = iter(axes[:, i])
        panel = next(panels)
        _refused(panel, evaluated, start, i)
        if errors is not None:
            true_times = (errors.truth.stamps - start) / 1e9
            _line(panel, true_times, errors.truth.positions[:, i], TRUTH, "truth", linewidth=2.2, alpha=0.45)
        _line(panel, times[live], evaluated.estimate.positions[live, i], ESTIMATE, "estimate")
        panel.set_ylabel(f"position {axis}, m")
        if errors is not None:
            _error(next(panels), true_times, errors.signed[:, i], errors.spreads[:, i], 1e3, f"error of {axis}, mm")
        else:
            _spread(next(panels), times[live], evaluated.spreads[live, i], 1e3, f"3 spreads of {axis}, mm")
        panel = next(panels)
        if errors is not None:
            _line(panel, true_times, errors.true_velocity[:, i], TRUTH, "truth", linewidth=2.2, alpha=0.45)
        _line(panel, times[live], evaluated.velocity[live, i], ESTIMATE, "estimate")
        panel.set_ylabel(f"velocity {axis}, m/s")
        if errors is not None:
            _error(next(panels), true_times, errors.signed[:, 3 + i], errors.spreads[:, 3 + i], 1.0,
                   f"error of velocity {axis}, m/s")
            _error(next(panels), true_times, np.degrees(errors.signed[:, 6 + i]), np.degrees(errors.spreads[:, 6 + i]),
                   1.0, f"error about {axis}, deg")
    _shade(axes, times, evaluated.health)
    for panel in axes.flat:
        panel.tick_params(colors=MUTED, labelsize=8)
        panel.yaxis.label.set(color=INK, fontsize=9)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
        panel.margins(x=0.0)
    for panel in axes[-1]:
        panel.set_xlabel("time, s", color=INK, fontsize=9)
    for panel in axes[:1 if errors is None else 2, 0]:
        panel.legend(fontsize=8, framealpha=0.8, edgecolor="none", loc="best")
    buffer = io.BytesIO()
    figure.savefig(buffer)
    return buffer.getvalue()


def thinned(times: np.ndarray, values: np.ndarray, columns: int = COLUMNS) -> np.ndarray:
    """Return indices of moments that draw the same picture: the extremes of each column, in order.

    Args:
        times: rising ``(n,)``, s.
        values: ``(n,)``.
        columns: how many columns the picture has.
    """
    if len(times) <= 2 * columns:
        return np.arange(len(times))
    edges = np.searchsorted(times, np.linspace(times[0], times[-1], columns + 1)[:-1])
    chosen = []
    for begin, end in zip(edges, [*edges[1:], len(times)], strict=True):
        part = values[begin:end]
        if not np.any(np.isfinite(part)):
            chosen += [begin] * (end > begin)
            continue
        chosen += sorted({begin + int(np.nanargmin(part)), begin + int(np.nanargmax(part))})
    return np.array(chosen, dtype=np.int64)


def _line(panel: Any, times: np.ndarray, values: np.ndarray, colour: str, label: str, **style: Any) -> None:
    panel.plot(*_drawn(times, values), color=colour, label=label, **({"linewidth": 0.9} | style))


def _drawn(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what is drawn of a series: thinned, and broken at gaps."""
    which = thinned(times, values)
    shown_times, shown = times[which], values[which]
    breaks = np.flatnonzero(np.diff(times) > _BREAK)
    if len(breaks) and len(breaks) < COLUMNS:
        places = np.searchsorted(shown_times, times[breaks], side="right")
        shown_times, shown = np.insert(shown_times, places, times[breaks]), np.insert(shown, places, np.nan)
    return shown_times, shown


def _error(panel: Any, times: np.ndarray, errors: np.ndarray, spreads: np.ndarray, factor: float, label: str) -> None:
    if len(times):
        shown_times, shown = _drawn(times, 3.0 * factor * spreads)
        panel.fill_between(shown_times, -shown, shown, color=BAND, linewidth=0.0, label="3 spreads")
        known = np.abs(errors[np.isfinite(errors)])
        if len(known):
            # Neither the first moments nor the wide band of a long dropout may make everything else flat.
            limit = 1.5 * factor * max(float(np.percentile(known, 99.5)), 3.0 * float(np.median(spreads)), 1e-9)
            panel.set_ylim(-limit, limit)
    panel.axhline(0.0, color=MUTED, linewidth=0.6)
    _line(panel, times, factor * errors, ESTIMATE, "error")
    panel.set_ylabel(label)


def _spread(panel: Any, times: np.ndarray, spreads: np.ndarray, factor: float, label: str) -> None:
    _line(panel, times, 3.0 * factor * spreads, ESTIMATE, label)
    panel.set_ylim(bottom=0.0)
    panel.set_ylabel(label)


def _refused(panel: Any, evaluated: Evaluated, start: int, axis: int) -> None:
    refused = evaluated.refused
    if not len(refused):
        return
    refused = refused[::max(1, -(-len(refused) // MOST_REFUSED))]
    values, estimated = refused[:, 1 + axis], evaluated.estimate.positions[:, axis]
    # Far ones at the edge: they would make everything else flat.
    middle, reach = 0.5 * (estimated.min() + estimated.max()), 0.75 * (np.ptp(estimated) + 0.02)
    panel.plot((refused[:, 0] - start) / 1e9, np.clip(values, middle - reach, middle + reach), "x", color=REFUSED,
               markersize=4.5, markeredgewidth=1.0, label="refused poses", zorder=3)


def _shade(axes: Any, times: np.ndarray, health: np.ndarray) -> None:
    for kind, colour in SHADES:
        is_so = health == HEALTHS.index(kind)
        if not np.any(is_so):
            continue
        which = thinned(times, is_so.astype(float))
        for number, panel in enumerate(axes.flat):
            panel.fill_between(times[which], 0.0, 1.0, where=is_so[which], step="post", color=colour, alpha=0.7,
                               linewidth=0.0, transform=panel.get_xaxis_transform(), zorder=0,
                               label=kind.value if number == 0 else None)
