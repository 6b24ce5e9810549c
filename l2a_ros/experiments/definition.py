# SPDX-License-Identifier: Apache-2.0
"""What an experiment is: one YAML file read into variants x conditions x seeds, and checked before anything runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from l2a_ros.errors import UserError, unknown_name
from l2a_ros.experiments.planning import PlanningSettings, read_planning
from l2a_ros.experiments.verdicts import read_claims
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.learning.methods import find_method
from l2a_ros.planning.costs import PUBLISHED, plain_terms
from l2a_ros.simulation.faults import parse_faults
from l2a_ros.simulation.terrain import load_terrain, terrain_label
from l2a_ros.trials.paths import load_shape

_LONGEST, _MOST_SEEDS = 3600.0, 10_000
_KEYS = ("title", "description", "seeds", "duration", "weights", "planning", "variants", "methods", "planners",
         "conditions", "matrix", "prepare", "claims")
_VARIANT_KEYS = ("name", "method", "checkpoint", "adaptation", "planning")
_ADAPTATION_KEYS = ("past", "inner_steps", "inner_rate_scale")
_CONDITION_KEYS = ("name", "path", "terrain", "faults", "duration", "weights")
_MATRIX_KEYS = ("paths", "terrains", "faults")


@dataclass(frozen=True)
class Variant:
    """One way to control the robot.

    Args:
        name: in tables and folders.
        method: how the model adapts.
        checkpoint: trained model.
        planning: how is planned.
        adaptation: what differs from how the model was trained: ``past`` (M), ``inner_steps``, ``inner_rate_scale``.
    """

    name: str
    method: str
    checkpoint: Path
    planning: PlanningSettings
    adaptation: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """What is to be followed, where, and what breaks.

    Args:
        name: in tables and folders.
        path: a shape by name or a file.
        terrain: ``NAME[:ANGLE[,DIRECTION[,BEGIN]]]``.
        faults: ``NAME[:ARGUMENTS][@ONSET_S]`` each.
        duration: longest time, s.
        weights: of the published terms, for planning and for the report.
    """

    name: str
    path: str
    terrain: str = "carpet"
    faults: tuple[str, ...] = ()
    duration: float = 20.0
    weights: Mapping[str, float] = field(default_factory=lambda: dict(PUBLISHED))


@dataclass(frozen=True)
class Preparation:
    """A file or folder that an ``l2a`` command makes before the trials, if it is not there yet.

    Args:
        makes: what appears.
        command: arguments of ``l2a``.
    """

    makes: Path
    command: tuple[str, ...]


@dataclass(frozen=True)
class Experiment:
    """Everything of one experiment file.

    Args:
        title: one line.
        description: some lines, for the report.
        variants: ways to control.
        conditions: what they are tried on.
        seeds: each seed is one trial of each variant in each condition.
        preparations: commands that come first, in order.
        claims: what the report checks, as written.
        text: the file's own text.
    """

    title: str
    description: str
    variants: tuple[Variant, ...]
    conditions: tuple[Condition, ...]
    seeds: tuple[int, ...]
    preparations: tuple[Preparation, ...]
    claims: tuple[Mapping[str, Any], ...]
    text: str


def folder_name(text: str) -> str:
    """Return a name as a folder: ``GrBAL, M = 16`` is ``GrBAL_M_16``."""
    return re.sub(r"[^\w.+-]+", "_", text.strip()).strip("_.") or "unnamed"


def load_experiment(file: Path) -> Experiment:
    """Read an experiment.

    Checkpoints that do not exist yet are accepted if a preparation makes them; paths of files are as seen from the
    current folder.

    Raises:
        UserError: for the first thing that will not do, naming it.
    """
    try:
        text = file.read_text(encoding="utf-8")
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"experiment {file} cannot be read: {' '.join(str(error).split())}") from None
    try:
        return _experiment(_mapping(data, "the file", _KEYS), text)
    except UserError as error:
        raise UserError(f"experiment {file}: {error}") from None


def _experiment(data: Mapping[str, Any], text: str) -> Experiment:
    duration = _number(data.get("duration", 20.0), "duration")
    weights = _weights(data.get("weights", {}), PUBLISHED)
    preparations = tuple(_preparation(entry) for entry in _list(data.get("prepare", []), "prepare"))
    made = {each.makes.absolute() for each in preparations}
    claims = tuple(_mapping(claim, "a claim") for claim in _list(data.get("claims", []), "claims"))
    experiment = Experiment(
        title=str(data.get("title", "Experiment")), description=str(data.get("description", "")).strip(),
        variants=tuple(_variants(data, made)), conditions=tuple(_conditions(data, duration, weights)),
        seeds=_seeds(data.get("seeds", 1)), preparations=preparations, claims=claims, text=text)
    for kind, names in (("variant", [each.name for each in experiment.variants]),
                        ("condition", [each.name for each in experiment.conditions])):
        if not names:
            raise UserError(f"there is no {kind}; " + (
                "name methods" if kind == "variant" else "give conditions, or a matrix of paths, terrains and faults"))
        folders = [folder_name(name) for name in names]
        for name, folder in zip(names, folders, strict=True):
            if folders.count(folder) > 1:
                raise UserError(f"two {kind}s would be called {folder} (one of them: {name}); give them names")
    read_claims(claims, [each.name for each in experiment.variants], [each.name for each in experiment.conditions])
    return experiment


def _variants(data: Mapping[str, Any], made: set[Path]) -> list[Variant]:
    if ("variants" in data) == ("methods" in data):
        raise UserError("give either methods (and planners), or variants")
    common = _mapping(data.get("planning", {}), "planning")
    planners = _list(data.get("planners", []), "planners")
    if "variants" in data:
        if planners:
            raise UserError("planners goes with methods; with variants each has its planning")
        entries = [entry if isinstance(entry, Mapping) else {"method": entry}
                   for entry in _list(data["variants"], "variants")]
    else:
        entries = [{"method": method, **({"name": f"{method} {planner}" if len(planners) > 1 else str(method),
                                          "planning": {"planner": planner}} if planner else {})}
                   for method, planner in itertools.product(_list(data["methods"], "methods"), planners or [None])]
    return [_variant(_mapping(entry, "a variant", _VARIANT_KEYS), common, made) for entry in entries]


def _variant(entry: Mapping[str, Any], common: Mapping[str, Any], made: set[Path]) -> Variant:
    if "method" not in entry:
        raise UserError(f"variant {dict(entry)} needs a method")
    method = find_method(str(entry["method"])).name
    checkpoint = Path(str(entry["checkpoint"])) if "checkpoint" in entry else shipped_checkpoint(method)
    if not checkpoint.is_file() and checkpoint.absolute() not in made:
        raise UserError(f"checkpoint {checkpoint} does not exist and no preparation makes it")
    adaptation = _mapping(entry.get("adaptation", {}), "adaptation", _ADAPTATION_KEYS)
    return Variant(str(entry.get("name", method)), method, checkpoint,
                   read_planning({**common, **_mapping(entry.get("planning", {}), "planning")}),
                   {name: _number(value, name) for name, value in adaptation.items()})


def _conditions(data: Mapping[str, Any], duration: float, weights: Mapping[str, float]) -> list[Condition]:
    entries = [_mapping(entry, "a condition", _CONDITION_KEYS) for entry in _list(data.get("conditions", []),
                                                                                "conditions")]
    if "matrix" in data:
        matrix = _mapping(data["matrix"], "matrix", _MATRIX_KEYS)
        paths = _list(matrix.get("paths", ["straight"]), "paths")
        terrains = _list(matrix.get("terrains", ["carpet"]), "terrains")
        faults = _list(matrix.get("faults", [[]]), "faults")
        entries += [{"path": path, "terrain": terrain, "faults": broken}
                    for terrain, path, broken in itertools.product(terrains, paths, faults)]
    return [_condition(entry, duration, weights) for entry in entries]


def _condition(entry: Mapping[str, Any], duration: float, weights: Mapping[str, float]) -> Condition:
    path, terrain = str(entry.get("path", "straight")), str(entry.get("terrain", "carpet"))
    faults = tuple(str(fault) for fault in _list(entry.get("faults", []), "faults"))
    load_shape(path)
    load_terrain(terrain)
    parse_faults(faults)
    # In words where there is no name: "turf figure8", and what breaks.
    name = str(entry.get("name", " ".join([terrain_label(terrain), Path(path).stem, *faults])))
    longest = _number(entry.get("duration", duration), f"duration of {name}")
    if not 0.0 < longest <= _LONGEST:
        raise UserError(f"duration of {name} must be above 0 and at most {_LONGEST:g} s, not {longest:g}")
    return Condition(name, path, terrain, faults, longest, _weights(entry.get("weights", {}), weights))


def _weights(given: object, base: Mapping[str, float]) -> dict[str, float]:
    weights = dict(base)
    for term, value in _mapping(given, "weights").items():
        if term not in PUBLISHED:
            raise unknown_name("cost term", str(term), list(PUBLISHED))
        weights[term] = _number(value, f"weight of {term}")
    plain_terms(weights)
    return weights


def _seeds(given: object) -> tuple[int, ...]:
    seeds = range(given) if isinstance(given, int) and not isinstance(given, bool) else _list(given, "seeds")
    if not seeds or len(seeds) > _MOST_SEEDS or len(set(seeds)) < len(seeds) or not all(
            isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**31 for seed in seeds):
        raise UserError(f"seeds must be how many (1 to {_MOST_SEEDS}), or a list of different whole numbers from 0, "
                        f"not {given}")
    return tuple(seeds)


def _preparation(entry: object) -> Preparation:
    parts = _mapping(entry, "a preparation", ("makes", "command"))
    command = parts.get("command")
    words = command.split() if isinstance(command, str) else _list(command, "command")
    if "makes" not in parts or not words:
        raise UserError("a preparation needs 'makes' (a file or folder) and 'command' (arguments of l2a)")
    return Preparation(Path(str(parts["makes"])), tuple(str(word) for word in words))


def _mapping(value: object, what: str, known: Sequence[str] = ()) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{what} must hold keys and values, not {value!r}")
    for key in value:
        if known and key not in known:
            raise UserError(f"{what} has an unknown key '{key}'; known: {', '.join(known)}")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise UserError(f"{what} must be a list, not {value!r}")
    return value


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{what} must be a number, not {value!r}")
    return float(value)
