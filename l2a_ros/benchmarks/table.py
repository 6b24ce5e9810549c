# SPDX-License-Identifier: Apache-2.0
"""Rows of a benchmark, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        case: what was measured.
        ours: our figure.
        unit: of the figures.
        peer: what it is compared with, if anything.
        theirs: the peer's figure from the same run.
        ratio: theirs / ours; None without a peer.
        target: what was aimed at, in ``unit`` (or as a ratio where there is a peer); None for none.
        met: whether the target was reached; None without one.
    """

    case: str
    ours: float
    unit: str
    peer: str | None = None
    theirs: float | None = None
    ratio: float | None = None
    target: float | None = None
    met: bool | None = None


def at_most(case: str, ours: float, unit: str, target: float) -> Row:
    """Return a row whose figure should not be above its target."""
    return Row(case, ours, unit, target=target, met=bool(ours <= target))


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    model = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return {"processor": model, "cores": len(os.sched_getaffinity(0)), "system": platform.system(),
            "python": platform.python_version()}


def table(rows: Sequence[Row]) -> list[str]:
    """Return the rows as lines of text."""
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    cells = [["case", "ours", "theirs", "unit", "ratio", "target", "met"]]
    for row in rows:
        theirs = number(row.theirs) + (f" ({row.peer})" if row.peer else "")
        met = "" if row.met is None else ("yes" if row.met else "NO")
        cells.append([row.case, number(row.ours), theirs, row.unit, number(row.ratio), number(row.target), met])
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def write_json(path: Path, bench: str, rows: Sequence[Row]) -> None:
    """Write the rows with the machine they were measured on."""
    content = {"bench": bench, "machine": machine(), "rows": [asdict(row) for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
