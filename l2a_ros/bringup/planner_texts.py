# SPDX-License-Identifier: Apache-2.0
"""How mpc plans by a robot's parameter file, for who plans without the node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from l2a_ros.planning.planners import planner_names

if TYPE_CHECKING:
    from l2a_ros.experiments.planning import PlanningSettings

#: Last words of the names under which a parameter file may hold the planner's parameters, later ones win.
_NODES = ("**", "*", "mpc")
_TAKEN = ("candidates", "horizon", "cost")


def read_planner_settings(config: Path, planner: str) -> PlanningSettings:
    """Return what the parameters of mpc in a parameter file say, as far as they shape a plan.

    Args:
        config: ROS 2 parameter file that was checked.
        planner: name; it is no matter of the file.

    Raises:
        UserError: for values that will not do.
    """
    from l2a_ros.experiments.planning import read_planning

    found: dict[str, Any] = {}
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    for node in _NODES:
        for key, inner in (content or {}).items():
            if str(key).rsplit("/", 1)[-1] == node and isinstance(inner, dict):
                parameters = inner.get("ros__parameters", {})
                found |= {name: value for name, value in parameters.items()
                          if name in (*_TAKEN, *planner_names())}
    return read_planning({**found, "planner": planner})
