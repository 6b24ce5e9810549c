# SPDX-License-Identifier: Apache-2.0
"""The picture of ``l2a replay --compare``: errors, losses and steps of each method over time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from l2a_ros.experience.replay_picture import INK, MUTED, save, style
from l2a_ros.training.method_comparison import ComparedTick, Comparison

COLOURS = ("#15803d", "#1d4ed8", "#c2410c", "#7c3aed", "#0f766e", "#a16207")
#: Lines are means over so many ticks.
SMOOTH = 10


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Return the mean of the last ticks ``(n,)``; NaN where none of them has a value."""
    known = np.isfinite(values)
    sums, counts = (np.convolve(each, np.ones(SMOOTH))[:len(values)] for each in (np.where(known, values, 0.0),
                                                                                known.astype(float)))
    result: np.ndarray = np.where(known & (counts > 0.0), sums / np.maximum(counts, 1.0), np.nan)
    return result


def draw_comparison(comparison: Comparison, title: str) -> bytes:
    """Return the picture as PNG bytes.

    Args:
        comparison: with at least one tick.
        title: one line.
    """
    ticks = comparison.ticks
    times = np.array([tick.stamp for tick in ticks]) / 1e9
    times = times - times[0]
    plans = any(each.follower is not None for each in comparison.contenders)
    figure = Figure(figsize=(12.0, 11.0 + 1.8 * plans), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}\nmeans over {SMOOTH} ticks; trained weights θ* dashed, adapted model θ' solid",
                    fontsize=10.5, color=INK)
    panels = figure.subplots(5 + plans, 1, sharex=True)
    period = comparison.control_period
    ahead = comparison.future * period
    labels = [f"{period:g} s ahead,\nnormalised RMS", f"{period:g} s ahead,\nposition, mm",
              f"{ahead:g} s ahead,\nposition, cm", "loss on the window,\nnormalised squares", "norm of the step",
              "command off the\nrecorded one, rad/s"]
    for panel, label in zip(panels, labels, strict=False):
        style(panel, label)
    for each, colour in zip(comparison.contenders, COLOURS * len(ticks), strict=False):
        made = [tick.methods[each.label] for tick in ticks]
        adapts = each.adapter.method.adapts
        for panel, kind, name, factor in ((panels[0], "one", "normalised", 1.0), (panels[1], "one", "position_m", 1e3),
                                          (panels[2], "far", "position_m", 1e2)):
            for model in ("trained", "adapted"):
                values = factor * np.array([getattr(tick, f"{kind}_{model}")[name] for tick in made])
                solid = model == "adapted" or not adapts
                if model == "adapted" and not adapts:
                    continue
                panel.plot(times, _smoothed(values), color=colour, linewidth=1.4 if solid else 0.9,
                           linestyle="-" if solid else "--", label=each.label if solid else None)
        if adapts:
            _loss(panels[3], times, [tick.loss_before for tick in made], [tick.loss_after for tick in made], colour)
            panels[4].plot(times, [tick.step_norm for tick in made], color=colour, linewidth=1.0)
        if plans:
            panels[5].plot(times, _smoothed(_apart(ticks, each.label)), color=colour, linewidth=1.2)
    panels[3].set_yscale("log")
    panels[0].legend(fontsize=8, frameon=False, ncols=6, loc="upper left")
    panels[-1].set_xlabel("time of the recording, s", fontsize=8.5, color=MUTED)
    return save(figure)


def _loss(panel: Axes, times: np.ndarray, before: list[float], after: list[float], colour: str) -> None:
    panel.plot(times, _smoothed(np.array(before)), color=colour, linewidth=0.9, linestyle="--")
    panel.plot(times, _smoothed(np.array(after)), color=colour, linewidth=1.4)


def _apart(ticks: list[ComparedTick], label: str) -> np.ndarray:
    """Return the RMS over both legs of planned minus recorded, ``(n,)`` rad/s; NaN unless both walk."""
    values = np.full(len(ticks), np.nan)
    for i, tick in enumerate(ticks):
        planned, recorded = tick.methods[label].rates, tick.recorded
        if planned is not None and recorded is not None and np.any(planned) and np.any(recorded):
            values[i] = float(np.sqrt(np.mean((planned - recorded) ** 2)))
    return values
