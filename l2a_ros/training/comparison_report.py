# SPDX-License-Identifier: Apache-2.0
"""What ``l2a replay --compare`` shows: figures by method, rows by tick, a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from l2a_ros.experience.replay_log import command_difference, mean_of
from l2a_ros.robot.layout import SIDES
from l2a_ros.training.method_comparison import ERRORS, ComparedTick, Comparison, MethodTick

_SECOND = 1_000_000_000


def method_figures(ticks: Sequence[ComparedTick], label: str) -> dict[str, Any]:
    """Return the figures of one method: means over the ticks whose outcome is known."""
    made = [tick.methods[label] for tick in ticks]
    figures: dict[str, Any] = {"method": label, "statuses": dict(Counter(each.status for each in made))}
    for kind in ("one", "far"):
        for model in ("trained", "adapted"):
            errors: list[Mapping[str, float]] = [getattr(each, f"{kind}_{model}") for each in made]
            figures[f"{kind}_{model}"] = {name: mean_of([each[name] for each in errors]) for name in ERRORS}
        figures[f"{kind}_ticks"] = sum(math.isfinite(getattr(each, f"{kind}_trained")["position_m"]) for each in made)
    for name in ("loss_before", "loss_after"):
        figures[f"mean_{name}"] = mean_of([getattr(each, name) for each in made])
    figures["mean_step_norm"] = mean_of([each.step_norm for each in made if each.step_norm > 0.0])
    figures["commands"] = command_difference([(tick.recorded, tick.methods[label].rates) for tick in ticks])
    return figures


def comparison_figures(comparison: Comparison) -> dict[str, Any]:
    """Return all figures for JSON, with what their units are."""
    methods = [method_figures(comparison.ticks, each.label) for each in comparison.contenders]
    for figures, each in zip(methods, comparison.contenders, strict=True):
        figures["checkpoint"] = each.adapter.checkpoint.id
    return {"ticks": len(comparison.ticks), "future": comparison.future, "control_period": comparison.control_period,
            "units": {**ERRORS, "loss": "mean squared error on the window, normalised units of the method's own model",
                      "commands": "planned minus recorded, RMS rad/s, where both walk"},
            "kinds": {"one": "one control period ahead", "far": f"{comparison.future} control periods ahead, open loop",
                      "trained": "theta*", "adapted": "theta'"},
            "methods": methods}


def comparison_rows(ticks: Sequence[ComparedTick]) -> list[dict[str, Any]]:
    """Return one row per tick for CSV; names are METHOD.FIGURE, units in the name."""
    rows = []
    for tick in ticks:
        row: dict[str, Any] = {"stamp_s": tick.stamp / _SECOND}
        row |= _rates("recorded", tick.recorded)
        for label, made in tick.methods.items():
            row |= {f"{label}.{name}": value for name, value in _figures(made).items()}
            row |= {f"{label}.{name}": value for name, value in _rates("planned", made.rates).items()}
        rows.append(row)
    return rows


def _figures(made: MethodTick) -> dict[str, Any]:
    figures: dict[str, Any] = {"status": made.status, "loss_before": made.loss_before, "loss_after": made.loss_after,
                               "step_norm": made.step_norm}
    for kind in ("one", "far"):
        for model in ("trained", "adapted"):
            figures |= {f"{kind}_{model}_{name}": value for name, value in getattr(made, f"{kind}_{model}").items()}
    return figures


def _rates(kind: str, rates: np.ndarray | None) -> dict[str, float]:
    values = (math.nan, math.nan) if rates is None else rates
    return {f"{kind}_{side}_rad_s": float(value) for side, value in zip(SIDES, values, strict=True)}


def comparison_table(found: Mapping[str, Any]) -> list[str]:
    """Return the figures as lines of a Markdown table; theta* → theta' where the method adapts."""
    future, period = found["future"], found["control_period"]
    lines = [f"| method | 1 step, normalised | 1 step, mm | 1 step, mrad | {future} steps, cm | {future} steps, mrad | "
             "loss on the window | step norm | adapted, % | commands off, rad/s |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for each in found["methods"]:
        total = max(1, sum(each["statuses"].values()))
        adapts = set(each["statuses"]) != {"not_adaptive"}

        def pair(kind: str, name: str, factor: float, digits: int, each: Any = each, adapts: bool = adapts) -> str:
            values = [each[f"{kind}_{model}"][name] for model in ("trained", "adapted")[:1 + adapts]]
            return " → ".join("–" if value is None else f"{factor * value:.{digits}f}" for value in values)

        losses = [each["mean_loss_before"], each["mean_loss_after"]]
        norm, apart = each["mean_step_norm"], each["commands"]["rms_rad_s"]
        lines.append("| " + " | ".join([
            f"`{each['method']}`", pair("one", "normalised", 1.0, 3), pair("one", "position_m", 1e3, 1),
            pair("one", "yaw_rad", 1e3, 1), pair("far", "position_m", 1e2, 1), pair("far", "yaw_rad", 1e3, 0),
            "–" if None in losses else f"{losses[0]:.3f} → {losses[1]:.3f}", "–" if norm is None else f"{norm:.3f}",
            f"{100.0 * each['statuses'].get('adapted', 0) / total:.0f}" if adapts else "–",
            "–" if apart is None else f"{apart:.1f}"]) + " |")
    return [*lines, "", f"Means over the ticks whose outcome was recorded, theta* → theta'. One step is {period:g} s. "
                        "Normalised: RMS over the 24 elements of the change in standard deviations of the first "
                        "model's data."]
