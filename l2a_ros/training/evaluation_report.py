# SPDX-License-Identifier: Apache-2.0
"""What ``l2a evaluate`` shows: a table, JSON, and the histograms of the paper's figure 2."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from l2a_ros.training.evaluate import ConditionResult, WindowError, interval

#: The method that the others are compared with.
BASELINE = "mb"
#: Marks of the error axis.
TICKS = [digit * 10.0**power for power in range(-6, 5) for digit in (1.0, 2.0, 5.0)]
BEFORE_COLOUR, AFTER_COLOUR, INK, MUTED = "#9aa3ad", "#15803d", "#22272e", "#6b7480"


def ratio_to_baseline(result: ConditionResult, results: Sequence[ConditionResult]) -> tuple[float, float] | None:
    """Return the mean of after / baseline's after, model by model, and half its 95 % interval; None without one.

    Models are paired in the order they were given, so that seeds that share a split of the data are compared.
    """
    for other in results:
        if (other.condition, other.method) == (result.condition, BASELINE) and result.method != BASELINE:
            if len(other.after) != len(result.after):
                return None
            ratios = [ours / theirs for ours, theirs in zip(result.after, other.after, strict=True)]
            return float(np.mean(ratios)), interval(ratios)
    return None


def table(results: Sequence[ConditionResult]) -> list[str]:
    """Return the results as lines of a Markdown table."""
    lines = ["| condition | method | models | not adapted | adapted | change, % | adapted / mb | "
             "drift, cm | drift adapted, cm | fell back, % |", "|---|---|---|---|---|---|---|---|---|---|"]
    for result in results:
        before, after = float(np.mean(result.before)), float(np.mean(result.after))
        ratio = ratio_to_baseline(result, results)
        is_adaptive = result.adapted > 0.0
        lines.append("| " + " | ".join([
            result.condition, f"`{result.method}`", str(result.seeds), _with(before, interval(result.before)),
            _with(after, interval(result.after)) if is_adaptive else "–",
            f"{100.0 * (after / before - 1.0):+.1f}" if is_adaptive else "–",
            "–" if ratio is None else _with(*ratio), f"{100.0 * float(np.mean(result.drift_before)):.1f}",
            f"{100.0 * float(np.mean(result.drift_after)):.1f}" if is_adaptive else "–",
            f"{100.0 * (1.0 - result.adapted):.1f}" if is_adaptive else "–"]) + " |")
    return lines


def _with(value: float, half: float) -> str:
    return f"{value:.4f}" + (f" ± {half:.4f}" if np.isfinite(half) else "")


def as_rows(results: Sequence[ConditionResult]) -> list[dict[str, object]]:
    """Return the results for JSON."""
    rows = []
    for result in results:
        ratio = ratio_to_baseline(result, results)
        rows.append({**asdict(result), "mean_before": float(np.mean(result.before)),
                     "mean_after": float(np.mean(result.after)),
                     "ratio_to_mb": None if ratio is None else ratio[0],
                     "ratio_to_mb_half_interval": None if ratio is None or np.isnan(ratio[1]) else ratio[1]})
    return rows


def draw(errors: Mapping[tuple[str, str], Sequence[WindowError]]) -> bytes:
    """Return histograms of the errors of single windows as PNG bytes, one panel per condition and adaptive method.

    Args:
        errors: by condition and method, in the order to be shown; methods that never adapt are left out.
    """
    shown = {key: found for key, found in errors.items() if any(error.after != error.before for error in found)}
    conditions = list(dict.fromkeys(condition for condition, _ in shown))
    methods = list(dict.fromkeys(method for _, method in shown))
    rows, columns = max(1, len(conditions)), max(1, len(methods))
    figure = Figure(figsize=(1.2 + 3.4 * columns, 0.7 + 1.45 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for i, condition in enumerate(conditions):
        of_row = [error for (name, _), found in shown.items() if name == condition for error in found]
        values = np.log10(np.maximum([value for error in of_row for value in (error.before, error.after)], 1e-9))
        low, high = np.quantile(values, [0.002, 0.998]).tolist()
        bins = np.logspace(low, high, 45)
        for j, method in enumerate(methods):
            panel = axes[i][j]
            for side in ("top", "right", "left"):
                panel.spines[side].set_visible(False)
            panel.set_xscale("log")
            panel.set_xlim(bins[0], bins[-1])
            panel.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if bins[0] <= tick <= bins[-1]]))
            panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.xaxis.set_minor_formatter(NullFormatter())
            panel.set_yticks([])
            panel.tick_params(colors=MUTED, labelsize=8)
            found = shown.get((condition, method), ())
            for name, colour, style in (("before", BEFORE_COLOUR, "not adapted"), ("after", AFTER_COLOUR, "adapted")):
                sample = np.array([getattr(error, name) for error in found])
                if len(sample):
                    panel.hist(sample, bins=bins, color=colour, alpha=0.55, label=style)
                    panel.axvline(sample.mean(), color=colour, linewidth=1.6)
            if j == 0:
                panel.set_ylabel(condition.replace("+", "\n"), color=INK, fontsize=8.5, rotation=0, ha="right",
                                 va="center")
            if i == 0:
                panel.set_title(method, color=INK, fontsize=10)
            if i == rows - 1:
                panel.set_xlabel("mean squared error on the next K transitions", color=INK, fontsize=8)
    if shown:
        axes[0][-1].legend(fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer)
    return buffer.getvalue()
