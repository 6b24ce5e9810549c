# SPDX-License-Identifier: Apache-2.0
"""What the trial is told, and who must be there before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2a_ros.nodes import interfaces
from l2a_ros.nodes.cost_settings import PUBLISHED_WEIGHTS_SCHEMA, published_weights
from l2a_ros.nodes.interfaces import Topic
from l2a_ros.nodes.parameters import Parameter
from l2a_ros.planning.planners import DEFAULT_PLANNER
from l2a_ros.trials.log import TrialSettings
from l2a_ros.trials.room import Room

SCHEMA = (
    Parameter("control_period", 0.1, "nominal control period, s", 0.001, 10.0),
    Parameter("lockstep", False, "the world waits for the command of each tick"),
    Parameter("path", "straight", "name of a path shape, a YAML file with one, or drawn: by hand, with RViz's tools"),
    Parameter("duration", 20.0, "time given, s", 0.1, 36000.0),
    Parameter("out", "", "folder for the report; empty for a new one under runs/"),
    Parameter("method", "grbal", "how the model adapts; for the report"),
    Parameter("planner", DEFAULT_PLANNER, "how the plan is made; for the report"),
    Parameter("terrain", "", "the ground; for the report"),
    Parameter("faults", [""], "injected faults; for the report"),
    Parameter("seed", 0, "seed of the run; for the report", 0, 2**31 - 1),
    Parameter("checkpoint", "", "checkpoint file; for the report"),
    *PUBLISHED_WEIGHTS_SCHEMA,
    # As of the driver, which stops a robot that is there; without a driver there are no walls unless they are given.
    Parameter("geofence.x_min", -1000.0, "a path beyond is refused, m in map", -1000.0, 1000.0),
    Parameter("geofence.x_max", 1000.0, "a path beyond is refused, m in map", -1000.0, 1000.0),
    Parameter("geofence.y_min", -1000.0, "a path beyond is refused, m in map", -1000.0, 1000.0),
    Parameter("geofence.y_max", 1000.0, "a path beyond is refused, m in map", -1000.0, 1000.0),
    Parameter("autostart", True, "start without trial/start: as soon as everything is live, or, with a path that is "
              "drawn, at a goal"),
    Parameter("wait_timeout", 30.0, "longest wait for the other nodes, s", 0.1, 3600.0),
    Parameter("state_timeout", 2.0, "end the trial when no state came for so long (not in lock-step), s", 0.1, 60.0),
    Parameter("expected_nodes", ["state_estimator", "adaptation", "mpc"], "nodes that must be connected first"),
)

#: Who must be connected to what: (topic, publishes it, node).
CONNECTIONS: tuple[tuple[Topic, bool, str], ...] = (
    (interfaces.ROBOT_STATE, True, "state_estimator"),
    (interfaces.ROBOT_STATE, False, "adaptation"), (interfaces.MOTOR_COMMANDS, False, "adaptation"),
    (interfaces.ADAPTED_MODEL, True, "adaptation"),
    (interfaces.ROBOT_STATE, False, "mpc"), (interfaces.ADAPTED_MODEL, False, "mpc"),
    (interfaces.REFERENCE_PATH, False, "mpc"), (interfaces.MOTOR_COMMANDS, True, "mpc"),
    (interfaces.ROBOT_STATE, False, "recorder"), (interfaces.MOTOR_COMMANDS, False, "recorder"),
)


def read_room(values: Mapping[str, Any]) -> Room:
    """Return the room that paths must stay in.

    Raises:
        UserError: if there is no room inside.
    """
    return Room(**{side: values[f"geofence.{side}"] for side in ("x_min", "x_max", "y_min", "y_max")})


def trial_settings(values: Mapping[str, Any]) -> TrialSettings:
    """Return what the parameters of ``SCHEMA`` ask for."""
    names = ("path", "method", "planner", "terrain", "seed", "control_period", "duration", "lockstep")
    return TrialSettings(**{name: values[name] for name in names}, faults=tuple(values["faults"]),
                         # The name is enough to know it, and a report does not depend on where things are installed.
                         checkpoint=Path(values["checkpoint"]).name, weights=published_weights(values))
