# SPDX-License-Identifier: Apache-2.0
"""The study of the estimate as CSV and as a picture."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from l2a_ros.benchmarks.estimation.figures import Ensemble, band
from l2a_ros.benchmarks.estimation.follow import (
    ATTITUDE,
    BLOCKS,
    POSITION,
    STARTING,
    VELOCITY,
    Filter,
    Track,
    follow,
)
from l2a_ros.benchmarks.estimation.walk import MILLISECOND, Walk

_PHASE_NAMES = ("starting", "tracked", "dropout", "end of dropout")
_COLUMNS = ("time_s", "phase", "position_rms_m", "position_expected_m", "velocity_rms_m_s", "velocity_expected_m_s",
            "attitude_rms_rad", "attitude_expected_rad", *(f"squared_error_{name}" for name in BLOCKS), "live_share")
_OURS, _TRUTH, _PEER, _MISSING, _BAND = "C0", "black", "C1", "0.9", "gold"


def _over_seeds(each: Ensemble, block: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return the RMS length of an error over the seeds at each moment, and what the filter expects, ``(n,)``."""
    with np.errstate(invalid="ignore"):
        errors, spreads = each.errors[..., block], each.spreads[..., block]
        counts = np.maximum(np.sum(np.isfinite(errors[..., 0]), axis=0), 1)
        return (np.sqrt(np.nansum(errors**2, axis=(0, 2)) / counts),
                np.sqrt(np.nansum(spreads**2, axis=(0, 2)) / counts))


def _mean_squared(each: Ensemble) -> np.ndarray:
    """Return the mean normalised squared errors over the seeds, ``(n, 4)``, NaN where no seed has any."""
    counts = np.sum(~np.isnan(each.squared), axis=0)
    sums = np.nansum(each.squared, axis=0)
    means: np.ndarray = np.where(counts > 0, sums / np.maximum(counts, 1), math.nan)
    return means


def write_moments(path: Path, each: Ensemble) -> None:
    """Write what every moment is like over all seeds: errors, what the filter expects, normalised squared errors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [column for block in (POSITION, VELOCITY, ATTITUDE) for column in _over_seeds(each, block)]
    squared, live = _mean_squared(each), each.is_live.mean(axis=0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for i, stamp in enumerate(each.stamps.tolist()):
            numbers = [*(column[i] for column in columns), *squared[i], live[i]]
            writer.writerow([f"{stamp * 1e-9:.3f}", _PHASE_NAMES[each.phases[i]],
                             *(f"{value:.6g}" for value in numbers)])


def close_up(walked: Walk, motion_filter: Filter, begin: float, end: float) -> Track:
    """Follow a walk and ask for every millisecond of a part of it, s."""
    stamps = np.arange(round(begin * 1000.0), round(end * 1000.0)) * MILLISECOND
    return follow(walked, motion_filter, stamps)


def draw(path: Path, walked: Walk, track: Track, each: Ensemble) -> None:
    """Draw a part of one walk, of velocity and position error with what the filter expects, and the consistency.

    Args:
        path: of the PNG.
        walked: the walk of which the part is.
        track: of every millisecond of the part.
        each: tracks of many seeds.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(11.0, 9.0), layout="constrained")
    FigureCanvasAgg(figure)
    velocity, position, consistency = figure.subplots(3, 1)
    times = track.stamps * 1e-9
    rows = track.stamps // MILLISECOND
    truth = walked.velocity[rows, 0]
    estimate, spread = truth - track.errors[:, 3], track.spreads[:, 3]
    velocity.plot(times, truth - track.differences[:, 0, 0], color=_PEER, linewidth=0.8,
                  label="finite difference\nof two poses")
    velocity.fill_between(times, estimate - 2.0 * spread, estimate + 2.0 * spread, color=_OURS, alpha=0.3, linewidth=0,
                          label="± 2 standard\ndeviations")
    velocity.plot(times, truth, color=_TRUTH, linewidth=1.0, label="truth")
    velocity.plot(times, estimate, color=_OURS, linewidth=1.2, linestyle="--", label="estimate")
    velocity.set(ylabel="velocity x (m/s)", ylim=_limits(truth))
    for i, name in enumerate("xyz"):
        position.plot(times, 1e3 * track.errors[:, i], color=f"C{i}", linewidth=1.0, label=name)
        for sign in (-2e3, 2e3):
            position.plot(times, sign * track.spreads[:, i], color=f"C{i}", linewidth=0.9, linestyle=":",
                          label=f"± 2 standard\ndeviations of {name}" if sign > 0.0 else None)
    # Tenths of a millimetre with motion capture, centimetres without.
    position.set_yscale("symlog", linthresh=1.0, subs=range(2, 10))
    position.yaxis.set_major_formatter(ScalarFormatter())
    position.set(xlabel="time (s)", ylabel="error of the position (mm)")
    for axes in (velocity, position):
        axes.set_xlim(times[0], times[-1])
    _draw_consistency(consistency, each)
    for axes in (velocity, position, consistency):
        _shade_dropouts(axes, walked.dropouts, walked.latency)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw_consistency(axes, each: Ensemble) -> None:  # type: ignore[no-untyped-def]
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    seeds, at = len(each.errors), each.phases != STARTING
    times, squared = each.stamps[at] * 1e-9, _mean_squared(each)[at]
    low, high = band(seeds)
    axes.axhspan(low / 9.0, high / 9.0, color=_BAND, alpha=0.5, linewidth=0, label="95 % band of all")
    for i, (name, block) in enumerate(BLOCKS.items()):
        is_all = name == "all"
        axes.plot(times, squared[:, i] / (block.stop - block.start), color=_TRUTH if is_all else f"C{i - 1}",
                  linewidth=1.2 if is_all else 0.6, zorder=3 if is_all else 2, label=name)
    largest = float(np.nanmax(squared[:, 0], initial=9.0)) / 9.0
    axes.set(xlabel="time (s)", ylabel=f"squared error over expected,\nmean of {seeds} seeds", yscale="log",
             ylim=(0.2, 10.0 if largest > 4.0 else 5.0))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    if len(times):
        axes.set_xlim(times[0], times[-1])


def _limits(values: np.ndarray) -> tuple[float, float]:
    # A finite difference across an outlier would make everything else flat.
    low, high = float(values.min()), float(values.max())
    margin = 0.3 * (high - low) + 0.01
    return low - margin, high + margin


def _shade_dropouts(axes, dropouts: list[tuple[int, int]], latency: int) -> None:  # type: ignore[no-untyped-def]
    left, right = axes.get_xlim()
    for i, (begin, end) in enumerate(dropouts):
        span = (begin + latency) * 1e-9, (end + latency) * 1e-9
        if span[0] < right and span[1] > left:
            axes.axvspan(*span, color=_MISSING, zorder=0, linewidth=0, label="no motion\ncapture" if i == 0 else None)
    axes.set_xlim(left, right)
