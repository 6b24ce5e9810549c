# SPDX-License-Identifier: Apache-2.0
"""The comparison with the real robot as CSV, as a table for the documentation, and as a picture."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from l2a_ros.benchmarks.fidelity import COLUMNS, SPEED_BINS, YAW_BINS, behaviour
from l2a_ros.benchmarks.measured import MEASURED, why_not
from l2a_ros.errors import UserError

BEGIN, END = "<!-- fidelity: made by l2a bench fidelity -->", "<!-- end of fidelity -->"


def write_drives(path: Path, drives: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write every row of every drive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["terrain", "drive", *COLUMNS])
        for terrain, of_terrain in drives.items():
            for i, drive in enumerate(of_terrain):
                writer.writerows([terrain, i, *(f"{value:.6g}" for value in row)] for row in drive)


def _number(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value:.3f}" if abs(value) < 10.0 else f"{value:.0f}"


def markdown(drives: Mapping[str, list[np.ndarray]]) -> list[str]:
    """Return a table of each figure on each terrain: measured, simulated; and why a figure misses its target."""
    terrains = [terrain for terrain in MEASURED if terrain in drives]
    ours = {terrain: behaviour(drives[terrain]) for terrain in terrains}
    names = list(dict.fromkeys(name for terrain in terrains for name in MEASURED[terrain]))
    minutes = {terrain: sum(len(drive) for drive in drives[terrain]) / 600.0 for terrain in terrains}
    lines = ["Minutes of driving: " + ", ".join(f"{terrain} {minutes[terrain]:.1f}" for terrain in terrains) + ".", "",
             "| figure | unit | " + " | ".join(f"{terrain}: real | sim" for terrain in terrains) + " |",
             "|---|---|" + "--:|--:|" * len(terrains)]
    missed: dict[str, list[str]] = {}
    within = total = 0
    for name in names:
        unit = next(MEASURED[terrain][name].unit for terrain in terrains if name in MEASURED[terrain])
        cells = []
        for terrain in terrains:
            measured = MEASURED[terrain].get(name)
            value = ours[terrain][name]
            if measured is None:
                cells.append(f" | {_number(value)}")
                continue
            total += 1
            if measured.admits(value):
                within += 1
                cells.append(f"{measured.text()} | {_number(value)}")
            else:
                missed.setdefault(name, []).append(terrain)
                cells.append(f"{measured.text()} | **{_number(value)}**")
        lines.append(f"| {name} | {unit} | " + " | ".join(cells) + " |")
    lines += ["", f"{within} of {total} measured figures are met (means within 20 %, spreads within 50 %); "
              "those in bold type are not:" if missed else f"All {total} measured figures are met."]
    lines += [f"- {name} ({', '.join(where)}): {why_not(name)}" for name, where in missed.items()]
    return lines


def replace_section(path: Path, lines: Sequence[str]) -> None:
    """Put the lines between the two marks of a Markdown file.

    Raises:
        UserError: if the file or the marks are missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN, 1)
        _, after = rest.split(END, 1)
    except (OSError, ValueError):
        raise UserError(f"{path} needs the lines '{BEGIN}' and '{END}'; the table goes between them") from None
    path.write_text("\n".join([before + BEGIN, *lines, END + after]), encoding="utf-8")


def draw(path: Path, drives: Mapping[str, list[np.ndarray]]) -> None:
    """Draw speed over leg rate and yaw rate over the difference of the sides, real and simulated."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    terrains = [terrain for terrain in MEASURED if terrain in drives and "speed at 3.5 rev/s" in MEASURED[terrain]]
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    speed, yaw = figure.subplots(1, 2)
    for i, terrain in enumerate(terrains):
        ours, real = behaviour(drives[terrain]), MEASURED[terrain]
        for axes, places, name in ((speed, SPEED_BINS, "speed at {:g} rev/s"),
                                   (yaw, YAW_BINS, "yaw rate at {:+g} rev/s")):
            axes.plot(places, [ours[name.format(place)] for place in places], color=f"C{i}",
                      label=f"{terrain}, simulated")
            known = [place for place in places if name.format(place) in real]
            axes.plot(known, [real[name.format(place)].middle for place in known], color=f"C{i}", linestyle="none",
                      marker="o", label=f"{terrain}, real")
    speed.set(xlabel="mean leg rate (rev/s)", ylabel="speed walking straight (m/s)", ylim=(0.0, None))
    yaw.set(xlabel="right minus left leg rate (rev/s)", ylabel="yaw rate (rad/s)")
    for axes in (speed, yaw):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    speed.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
