# SPDX-License-Identifier: Apache-2.0
"""Settings of the motion filter as people write them: in the parameter file of a robot, and as ``name=value``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import yaml

from l2a_ros.bringup.arguments import read_config
from l2a_ros.errors import UserError, unknown_name
from l2a_ros.estimation.settings import FilterSettings

#: Last words of the names under which a parameter file may hold the estimator's parameters.
_NODES = ("**", "*", "state_estimator")


def read_filter_settings(config: str = "", assignments: Sequence[str] = ()) -> tuple[FilterSettings, list[str]]:
    """Return the settings, and the names of the estimator's other parameters in the file, which are not used.

    Args:
        config: ROS 2 parameter file; empty for the filter's own defaults.
        assignments: texts such as ``gate=50``; they win.

    Raises:
        UserError: for a file or a text that will not do, or a value out of its range.
    """
    known = {field.name for field in fields(FilterSettings)}
    values: dict[str, float] = {}
    others: list[str] = []
    if config:
        path = read_config(config)
        for name, parameters in _sections(yaml.safe_load(path.read_text(encoding="utf-8")), ""):
            for key, value in parameters.items():
                if key in known:
                    values[key] = _number(f"config {path}: {key}", value)
                elif name == "state_estimator":
                    others.append(str(key))
    for text in assignments:
        name, is_there, value = text.partition("=")
        if not is_there:
            raise UserError(f"--set {text} must be NAME=VALUE, such as gate=50")
        if name.strip() not in known:
            raise unknown_name("setting of the filter", name.strip(), sorted(known))
        try:
            values[name.strip()] = float(value)
        except ValueError:
            raise UserError(f"--set {text}: '{value}' is not a number") from None
    return FilterSettings(**values), others


def _number(what: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UserError(f"{what} must be a number, not '{value}'")
    return float(value)


def _sections(content: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the parameters of every section that is the estimator's, in the order of the file."""
    if not isinstance(content, dict):
        return
    for key, inner in content.items():
        if key != "ros__parameters":
            yield from _sections(inner, str(key).rsplit("/", 1)[-1])
        elif name in _NODES and isinstance(inner, dict):
            yield name, inner
