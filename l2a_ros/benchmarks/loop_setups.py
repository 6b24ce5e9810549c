# SPDX-License-Identifier: Apache-2.0
"""Set-ups that the control loop is measured in: period, candidates and steps, and what they should reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from l2a_ros.errors import UserError, unknown_name
from l2a_ros.learning.checkpoint import load_checkpoint, make_checkpoint, save_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.learning.normalization import Normalization
from l2a_ros.trials.paths import load_path


@dataclass(frozen=True)
class LoopSetup:
    """One set-up.

    Args:
        control_period: s.
        latency: from the arrival of a state to its command, 99th percentile at most, s; None for no target.
        overruns: share of the ticks at most, %.
        parameters: of the nodes, over the shipped ones, by node; ``/**`` for all.
    """

    control_period: float = 0.1
    latency: float | None = None
    overruns: float = 1.0
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


SETUPS = {
    "shipped": LoopSetup(),
    # Those of the published robot: 2000 sequences of 5 new actions each, adapted to the last 16 to 23 transitions.
    "published": LoopSetup(latency=0.07, overruns=0.0, parameters={
        "/**/adaptation": {"past": 20},
        "/**/mpc": {"candidates": 2000, "horizon": 5, "random_shooting": {"longest_hold": 1}}}),
    "20hz": LoopSetup(0.05, 0.04, 0.1, {
        "/**": {"control_period": 0.05},
        "/**/adaptation": {"command_wait": 0.008},
        "/**/mpc": {"candidates": 500, "horizon": 10, "model_wait": 0.012, "plan_budget": 0.03,
                    "maximum_model_age": 0.08}}),
}


def find_setup(name: str) -> LoopSetup:
    """Return a set-up by name.

    Raises:
        UserError: listing the known ones.
    """
    if name not in SETUPS:
        raise unknown_name("set-up", name, list(SETUPS))
    return SETUPS[name]


def write_config(setup: LoopSetup, base: Path, file: Path) -> None:
    """Write the parameter file of a set-up: that of ``base``, and its own values over them."""
    content = yaml.safe_load(base.read_text(encoding="utf-8"))
    for node, values in setup.parameters.items():
        parameters = content.setdefault(node, {}).setdefault("ros__parameters", {})
        for name, value in values.items():
            parameters[name] = {**parameters.get(name, {}), **value} if isinstance(value, Mapping) else value
    file.write_text(yaml.safe_dump(content), encoding="utf-8")


def write_laps(path: str, laps: int, file: Path) -> None:
    """Write a path that goes round and round a closed shape.

    Raises:
        UserError: for a shape that does not end where it begins.
    """
    points = load_path(path)
    if laps > 1 and not np.allclose(points[0], points[-1]):
        raise UserError(f"path '{path}' does not end where it begins; take figure8 to measure for longer")
    rounds = np.concatenate([points[:1], *[points[1:]] * laps])
    file.write_text(yaml.safe_dump({"description": f"{laps} rounds of {path}", "points": rounds.tolist()}),
                    encoding="utf-8")


def write_checkpoint(method: str, control_period: float, file: Path) -> Path:
    """Return a checkpoint for a control period: the shipped one, or one whose changes are shortened to the period.

    The latter is a rough model of its own, good enough to walk and as large, for measuring times alone.
    """
    shipped = shipped_checkpoint(method)
    checkpoint = load_checkpoint(shipped, method)
    share = control_period / checkpoint.card.control_period
    if abs(share - 1.0) < 1e-6:
        return shipped
    outputs = Normalization(checkpoint.outputs.mean * share, checkpoint.outputs.std * share)
    save_checkpoint(make_checkpoint(replace(checkpoint.card, control_period=control_period), checkpoint.weights,
                                    checkpoint.inputs, outputs, checkpoint.encoder, checkpoint.sensitivity), file)
    return file
