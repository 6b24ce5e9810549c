# SPDX-License-Identifier: Apache-2.0
"""The planners by name; nothing slow is imported before one is made."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from l2a_ros.errors import unknown_name

if TYPE_CHECKING:
    from l2a_ros.planning.sampling import SamplingPlanner

_PLANNERS = {
    "random_shooting": ("l2a_ros.planning.random_shooting", "RandomShooting", "RandomShootingSettings"),
    "cem": ("l2a_ros.planning.cem", "Cem", "CemSettings"),
    "mppi": ("l2a_ros.planning.mppi", "Mppi", "MppiSettings"),
}
#: Lowest mean cost in trials (docs/results.md), and nothing in it has the unit of the cost.
DEFAULT_PLANNER = "cem"


def planner_names() -> list[str]:
    """Return the names of the known planners."""
    return sorted(_PLANNERS)


def make_planner(name: str, settings: Mapping[str, object]) -> SamplingPlanner:
    """Make a planner by name.

    Args:
        name: of the planner.
        settings: values of its settings class by name; those that it does not have are left out, so that one set of
            settings can serve all planners.

    Raises:
        UserError: listing the known ones, or for settings that make no search.
    """
    if name not in _PLANNERS:
        raise unknown_name("planner", name, planner_names())
    module, planner, its_settings = _PLANNERS[name]
    loaded = importlib.import_module(module)
    settings_class = getattr(loaded, its_settings)
    known = {field.name for field in fields(settings_class)}
    made: SamplingPlanner = getattr(loaded, planner)(settings_class(
        **{key: value for key, value in settings.items() if key in known}))
    return made
