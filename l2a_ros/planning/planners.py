# SPDX-License-Identifier: Apache-2.0
"""The planners by name; nothing slow is imported before one is made."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from l2a_ros.errors import unknown_name

if TYPE_CHECKING:
    from l2a_ros.planning.random_shooting import RandomShooting, RandomShootingSettings

_PLANNERS = {"random_shooting": ("l2a_ros.planning.random_shooting", "RandomShooting")}


def planner_names() -> list[str]:
    """Return the names of the known planners."""
    return sorted(_PLANNERS)


def make_planner(name: str, settings: RandomShootingSettings) -> RandomShooting:
    """Make a planner by name.

    Raises:
        UserError: listing the known ones.
    """
    if name not in _PLANNERS:
        raise unknown_name("planner", name, planner_names())
    module, attribute = _PLANNERS[name]
    planner: RandomShooting = getattr(importlib.import_module(module), attribute)(settings)
    return planner
