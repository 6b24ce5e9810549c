# SPDX-License-Identifier: Apache-2.0
"""Everything that the report of an experiment tells: what was asked for, what is on disk, what follows from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from l2a_ros.errors import UserError
from l2a_ros.experiments.definition import load_experiment
from l2a_ros.experiments.measures import AROUND_ONSET, MEASURES
from l2a_ros.experiments.pooled import Pooled, pool
from l2a_ros.experiments.summary import Cell, summarise
from l2a_ros.experiments.trial_files import Found, find_trials
from l2a_ros.experiments.verdicts import Claim, Verdict, judge, read_claims

DEFINITION, RUN = "experiment.yaml", "run.json"


@dataclass(frozen=True)
class Results:
    """An experiment and its trials.

    Args:
        out: its folder.
        title: one line.
        description: some lines.
        definition: text of ``experiment.yaml``, empty if there is none.
        variants: in the order of the definition, then those only found on disk.
        conditions: likewise.
        seeds: that were asked for, and found.
        found: what is on disk.
        cells: by (condition, variant).
        missing: trials that were asked for and are not finished, as (variant, condition, seed).
        verdicts: of the claims.
        pooled: the variants of a claim over all of its conditions together.
        run: content of ``run.json``, empty if there is none.
        notes: what could not be read, in words.
    """

    out: Path
    title: str
    description: str
    definition: str
    variants: tuple[str, ...]
    conditions: tuple[str, ...]
    seeds: tuple[int, ...]
    found: Found
    cells: Mapping[tuple[str, str], Cell]
    missing: tuple[tuple[str, str, int], ...] = ()
    claims: tuple[Claim, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    pooled: tuple[Pooled, ...] = ()
    run: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def planned(self) -> int:
        """Number of trials that were asked for."""
        return len(self.variants) * len(self.conditions) * len(self.seeds)

    def shown_measures(self) -> list[str]:
        """Return the figures that any of the trials has, by name."""
        strikes = any(trial.onset_s is not None for trial in self.found.trials)
        return [name for name in MEASURES if strikes or name not in AROUND_ONSET]


def load_results(out: Path) -> Results:
    """Read the folder of an experiment, finished or not.

    Raises:
        UserError: if there is none, or a claim in its definition will not do.
    """
    found = find_trials(out)
    text, content, notes = _definition(out)
    title, description = str(content.get("title") or out.name), str(content.get("description") or "").strip()
    run = _run(out, notes)
    variants, conditions, seeds = _asked(out, run, notes) if text else ([], [], [])
    variants = _with(variants, (trial.variant for trial in found.trials))
    conditions = _with(conditions, (trial.condition for trial in found.trials))
    seeds = sorted({*seeds, *(trial.seed for trial in found.trials)})
    cells = {(cell.condition, cell.variant): cell for cell in summarise(found.trials)}
    there = {(trial.variant, trial.condition, trial.seed) for trial in found.trials}
    missing = tuple(each for each in ((variant, condition, seed) for condition in conditions for variant in variants
                                      for seed in seeds) if each not in there)
    claims = read_claims(content.get("claims"), variants, conditions)
    return Results(out, title, description, text, tuple(variants), tuple(conditions), tuple(seeds), found, cells,
                   missing, tuple(claims), tuple(judge(claims, cells.values())),
                   tuple(pool(claims, cells.values())), run, tuple(notes))


def _definition(out: Path) -> tuple[str, Mapping[str, Any], list[str]]:
    """Return the text and content of the definition, and what was wrong with it."""
    file = out / DEFINITION
    if not file.is_file():
        return "", {}, [f"there is no {DEFINITION}: what was asked for is taken from what is on disk"]
    try:
        text = file.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    return text, content if isinstance(content, Mapping) else {}, []


def _asked(out: Path, run: Mapping[str, Any], notes: list[str]) -> tuple[list[str], list[str], list[int]]:
    """Return the variants, conditions and seeds that were asked for; nothing where they cannot be told any more."""
    try:
        experiment = load_experiment(out / DEFINITION)
    except UserError as error:
        notes.append(f"{error}; so what was asked for is taken from what is on disk")
        return [], [], []
    # The last run may have been told to do with fewer seeds than the file has, or with more.
    return ([each.name for each in experiment.variants], [each.name for each in experiment.conditions],
            list(run.get("seeds") or experiment.seeds))


def _with(names: Sequence[str], more: Iterable[str]) -> list[str]:
    return [*names, *sorted(set(more) - set(names))]


def _run(out: Path, notes: list[str]) -> Mapping[str, Any]:
    file = out / RUN
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        notes.append(f"{RUN} cannot be read: {error}")
        return {}
    return content if isinstance(content, dict) else {}


