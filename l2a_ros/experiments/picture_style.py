# SPDX-License-Identifier: Apache-2.0
"""How the pictures of experiments look: a colour and a mark per variant, the same in all of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, MUTED, GRID = "#22272e", "#6b7480", "#e3e6ea"
DOTS_PER_INCH = 110

#: Okabe and Ito's colours: told apart also by people with colour blindness. Black is the reference path's.
_COLOURS = ("#0072B2", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
_MARKS = ("o", "s", "^", "D", "v", "P")
_Dashes = tuple[float, tuple[float, ...]]
_DASHES: tuple[_Dashes, ...] = (
    (0, ()), (0, (5, 1.5)), (0, (2, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (1, 1)), (0, (8, 2)))
#: The methods look alike in every experiment.
_FIXED = {"grbal": 0, "mb": 1, "mb_de": 2, "rebal": 3}


@dataclass(frozen=True)
class Style:
    """How a variant is drawn."""

    colour: str
    mark: str
    dashes: _Dashes


def styles(variants: Sequence[str]) -> dict[str, Style]:
    """Return a style for each variant; with more than six of them, colours come again with other marks."""
    places = {name: _FIXED[name] for name in variants if name in _FIXED}
    free = [place for place in range(len(_COLOURS)) if place not in places.values()]
    for name in variants:
        if name not in places:
            places[name] = free.pop(0) if free else len(places)
    return {name: Style(_COLOURS[place % len(_COLOURS)], _MARKS[(place + place // len(_COLOURS)) % len(_MARKS)],
                        _DASHES[(place + place // len(_COLOURS)) % len(_DASHES)]) for name, place in places.items()}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, laid out by itself."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes) -> None:
    """Give axes the quiet look that all have."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put one legend above all panels."""
    columns = max(1, min(len(handles), int(figure.get_figwidth() / 1.7)))
    figure.legend(handles=list(handles), loc="outside upper left", ncols=columns, fontsize=8.5, frameon=False,
                  labelcolor=INK, handlelength=2.6, columnspacing=1.8)


def to_png(figure: Figure) -> bytes:
    """Return a figure as PNG bytes; nothing in them depends on when."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
