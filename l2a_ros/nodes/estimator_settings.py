# SPDX-License-Identifier: Apache-2.0
"""Parameters of the estimator's node, made from the settings of its parts."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from l2a_ros.estimation.settings import FilterSettings, SourceSettings
from l2a_ros.estimation.state_estimator import StateEstimator
from l2a_ros.nodes.parameters import Parameter
from l2a_ros.nodes.sensor_messages import MOCAP_PARAMETER
from l2a_ros.robot.calibration import load_calibration


def _parameters(settings: type[FilterSettings | SourceSettings]) -> list[Parameter]:
    defaults = settings()
    return [Parameter(each.name, getattr(defaults, each.name), each.metadata["description"],
                      each.metadata.get("minimum"), each.metadata.get("maximum"), each.metadata.get("choices", ()))
            for each in fields(settings)]


SCHEMA = (
    Parameter("control_period", 0.1, "time between robot_state messages, s", 0.005, 1.0),
    Parameter("lockstep", False, "tick when the simulated world says that its samples are complete"),
    Parameter("odometry_rate", 100.0, "odometry messages per second, if samples come so often, Hz", 10.0, 1000.0),
    Parameter("calibration", "", "file that says how the sensors sit on this robot; empty for a robot as published"),
    MOCAP_PARAMETER,
    *_parameters(FilterSettings),
    *_parameters(SourceSettings),
)


def make_estimator(values: dict[str, Any]) -> StateEstimator:
    """Return the estimator that the values of the parameters describe.

    Raises:
        UserError: for a calibration file that will not do.
    """
    sources = SourceSettings(**{each.name: values[each.name] for each in fields(SourceSettings)})
    settings = FilterSettings(**{each.name: values[each.name] for each in fields(FilterSettings)})
    return StateEstimator(values["control_period"], sources, settings,
                          load_calibration(values["calibration"]).mounting)
