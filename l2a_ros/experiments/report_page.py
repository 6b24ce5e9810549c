# SPDX-License-Identifier: Apache-2.0
"""``report.html``: an experiment on one page that needs nothing but itself, its links the folder beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from l2a_ros.experiments.figures import FOLDER, draw_pictures, save_pictures
from l2a_ros.experiments.measures import MEASURES, Measure
from l2a_ros.experiments.results import DEFINITION, RUN, Results, load_results
from l2a_ros.experiments.summary import CELLS, SUMMARY, Cell, write_tables
from l2a_ros.experiments.trial_files import TrialResult
from l2a_ros.experiments.verdicts import Verdict, interval_text, tally
from l2a_ros.trials.report import REPORT, write_file

PAGE = "report.html"
_TEMPLATE = Path(__file__).with_name("report.html.jinja")
#: Beside each other in the first table: what a robot that creeps cannot all have.
HEADLINE = ("mean_cost", "lateral_error", "speed", "completion", "leg_rate")
#: More missing trials are counted, not named.
_MOST_NAMED = 30


def write_report(out: Path) -> Path:
    """Write ``report.html``, ``figures/*.png``, ``summary.csv`` and ``cells.csv`` of an experiment, finished or not.

    Returns:
        The path of the page.

    Raises:
        UserError: if there is no experiment, a claim in it will not do, or the folder cannot be written.
    """
    results = load_results(out)
    write_tables(out, results.found)
    pictures = draw_pictures(results)
    save_pictures(out, pictures)
    page = out / PAGE
    shown = [{"title": picture.title, "caption": picture.caption, "file": f"{FOLDER}/{picture.name}.png",
              "data": base64.b64encode(picture.png).decode()} for picture in pictures]
    write_file(page, render(results, shown).encode())
    return page


def render(results: Results, pictures: Sequence[Mapping[str, str]] = ()) -> str:
    """Return the page as HTML text.

    Args:
        results: of the experiment.
        pictures: each with title, caption, file (relative) and data (base64 of a PNG).
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
                                     lstrip_blocks=True)
    measures = results.shown_measures()
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        results=results, pictures=pictures, files=(SUMMARY, CELLS), definition_file=DEFINITION,
        run_text=_run_text(results.run), claims=_claims(results), headline=[MEASURES[name] for name in HEADLINE],
        headline_rows=_headline(results), measures=[MEASURES[name] for name in measures],
        tables=_tables(results, measures), trials=_trials(results),
        weights=_weights(results), made=_made(results), missing=_missing(results), per_cell=_per_cell(results),
        better=_better)


def table_markdown(out: Path) -> str:
    """Return the results as Markdown: a row per condition, in each variant's column its cost with the 95 % interval,
    how many trials completed, and the speed; below it what became of the claims.

    Raises:
        UserError: if there is no experiment.
    """
    results = load_results(out)
    lines = ["| condition | " + " | ".join(_markdown(name) for name in results.variants) + " |",
             "|---" * (1 + len(results.variants)) + "|"]
    for condition in results.conditions:
        texts = [_markdown(condition)]
        for variant in results.variants:
            cell = results.cells.get((condition, variant))
            if cell is None:
                texts.append("–")
                continue
            cost, speed = (interval_text(MEASURES["mean_cost"], cell.intervals["mean_cost"]),
                           MEASURES["speed"].text(cell.intervals["speed"].mean))
            texts.append(f"{cost}; {cell.completed}/{cell.count}; {speed} m/s")
        lines.append(f"| {' | '.join(texts)} |")
    lines += ["", "In each cell: mean cost per step [95 % interval of the mean]; trials that reached the end of the "
                  "path / trials; mean speed along the path."]
    if results.missing:
        lines.append(f"{len(results.missing)} of {results.planned} trials are missing.")
    for claim, verdicts, pooled in _by_claim(results):
        lines += ["", f"{_markdown(claim)}: **{tally(verdicts)}**."]
        lines += [f"- {_markdown(text)}" for text in pooled]
        lines += [f"- {_markdown(each.condition)}, against {_markdown(each.other)}: {each.word}: {each.numbers or '–'}"
                  f"{f' ({each.note})' if each.note else ''}" for each in verdicts if each.holds is not True]
    return "\n".join(lines) + "\n"


def _markdown(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _better(measure: Measure) -> str:
    return {True: "less is better", False: "more is better", None: ""}[measure.lower_is_better]


def _by_claim(results: Results) -> list[tuple[str, list[Verdict], list[str]]]:
    return [(claim.text, [verdict for verdict in results.verdicts if verdict.claim is claim],
             [pooled.text for pooled in results.pooled if pooled.claim is claim]) for claim in results.claims]


def _claims(results: Results) -> list[dict[str, Any]]:
    return [{"text": text, "tally": tally(verdicts), "verdicts": verdicts, "pooled": pooled,
             "all_hold": bool(verdicts) and all(verdict.holds for verdict in verdicts)}
            for text, verdicts, pooled in _by_claim(results)]


def _headline(results: Results) -> list[dict[str, Any]]:
    """Return a row for each condition and variant that was asked for."""
    rows = []
    for condition in results.conditions:
        some = [results.cells.get((condition, variant)) for variant in results.variants]
        best = {name: _best(MEASURES[name], some) for name in HEADLINE}
        for place, (variant, cell) in enumerate(zip(results.variants, some, strict=True)):
            texts = [{"text": _text(MEASURES[name], cell), "best": place in best[name]} for name in HEADLINE]
            rows.append({"condition": condition, "first": place == 0, "span": len(results.variants),
                         "variant": variant, "count": cell.count if cell else 0, "cells": texts,
                         "stops": sum(trial.safety_stops for trial in cell.trials) if cell else 0})
    return rows


def _tables(results: Results, measures: Sequence[str]) -> list[dict[str, Any]]:
    """Return a table per figure: conditions down, variants across."""
    tables = []
    for name in measures:
        rows = []
        for condition in results.conditions:
            some = [results.cells.get((condition, variant)) for variant in results.variants]
            best = _best(MEASURES[name], some)
            rows.append({"condition": condition, "cells": [
                {"text": _text(MEASURES[name], cell), "best": place in best} for place, cell in enumerate(some)]})
        tables.append({"measure": MEASURES[name], "rows": rows})
    return tables


def _text(measure: Measure, cell: Cell | None) -> str:
    interval = cell.intervals.get(measure.name) if cell else None
    return interval_text(measure, interval) if interval is not None else "–"


def _best(measure: Measure, cells: Sequence[Cell | None]) -> list[int]:
    """Return the places of the best means, if one of several variants is better than the others."""
    means = {place: cell.intervals[measure.name].mean for place, cell in enumerate(cells)
             if cell is not None and measure.name in cell.intervals and cell.intervals[measure.name].count}
    if measure.lower_is_better is None or len(means) < 2 or len(set(means.values())) == 1:
        return []
    best = (min if measure.lower_is_better else max)(means.values())
    return [place for place, mean in means.items() if mean == best]


def _trials(results: Results) -> list[dict[str, Any]]:
    """Return the trials by condition, with links relative to the page."""
    groups = []
    for condition in results.conditions:
        cells = [results.cells.get((condition, variant)) for variant in results.variants]
        rows = [_trial(results.out, trial) for cell in cells if cell is not None for trial in cell.trials]
        groups.append({"condition": condition, "trials": rows})
    return groups


def _trial(out: Path, trial: TrialResult) -> dict[str, Any]:
    def link(path: Path | None) -> str:
        return quote(path.relative_to(out).as_posix()) if path is not None else ""

    return {"trial": trial, "figures": [MEASURES[name].text(MEASURES[name].value(trial))
                                       for name in ("mean_cost", "lateral_error", "speed", "progress", "duration")],
            "folder": link(trial.folder) + "/", "csv": link(trial.csv), "report": link(trial.folder / REPORT),
            "picture": link(trial.picture), "bag": link(trial.bag)}


def _weights(results: Results) -> str:
    """Return the weights of the cost, in words; they may differ by condition."""
    by_weights: dict[str, list[str]] = {}
    for trial in results.found.trials:
        weights = trial.report.get("cost_weights") or {}
        text = ", ".join(f"w_{name} = {value:g}" for name, value in weights.items())
        if trial.condition not in by_weights.setdefault(text, []):
            by_weights[text].append(trial.condition)
    if len(by_weights) == 1:
        return next(iter(by_weights))
    return "; ".join(f"{text} ({', '.join(conditions)})" for text, conditions in by_weights.items())


def _made(results: Results) -> list[dict[str, str]]:
    """Return how each variant was made, from the reports and ``run.json``."""
    rows = []
    checkpoints = results.run.get("checkpoints") or {}
    for variant in results.variants:
        reports = [trial.report for trial in results.found.trials if trial.variant == variant]
        report = reports[0] if reports else {}
        label = report.get("experiment") or {}
        known = checkpoints.get(variant) or {}
        settings = {**(label.get("planning") or {}), **(label.get("adaptation") or {})}
        rows.append({
            "variant": variant, "method": str(report.get("method", "")), "planner": str(report.get("planner", "")),
            "checkpoint": str(known.get("file") or report.get("checkpoint", "")),
            "id": str(known.get("id") or label.get("checkpoint_id", "")), "command": str(known.get("command", "")),
            "settings": ", ".join(f"{name} {value}" for name, value in settings.items()
                                  if name != "planner" and value not in ({}, None, ""))})
    return rows


def _run_text(run: Mapping[str, Any]) -> str:
    """Return what is known of the runs, in words."""
    if not run:
        return f"There is no {RUN}: run time and version are not known."
    seconds = run.get("seconds")
    took = "an unknown time"
    if isinstance(seconds, int | float):
        minutes = round(seconds / 60.0)
        took = f"{seconds:.0f} s" if seconds < 100 else f"{minutes // 60} h {minutes % 60} min"
    text = (f"Started {run.get('started', 'at an unknown time')}; ran {took} in all, {run.get('workers', '?')} trials "
            f"at once; l2a_ros {run.get('version', 'of an unknown version')}")
    processor = (run.get("machine") or {}).get("processor")
    return text + (f"; {processor}, {run['machine'].get('cores', '?')} cores." if processor else ".")


def _missing(results: Results) -> list[str]:
    """Return the missing trials by condition and variant, at most so many lines."""
    by_cell: dict[tuple[str, str], list[int]] = {}
    for variant, condition, seed in results.missing:
        by_cell.setdefault((condition, variant), []).append(seed)
    lines = [f"{condition}, {variant}: seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
             for (condition, variant), seeds in by_cell.items()]
    return lines[:_MOST_NAMED] + ([f"and {len(lines) - _MOST_NAMED} more"] if len(lines) > _MOST_NAMED else [])


def _per_cell(results: Results) -> str:
    """Return how many trials there are in each cell, in words."""
    counts = [cell.count for cell in results.cells.values()]
    if not counts:
        return "0"
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
