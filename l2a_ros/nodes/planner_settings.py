# SPDX-License-Identifier: Apache-2.0
"""How is planned, as parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from l2a_ros.nodes.parameters import Parameter
from l2a_ros.planning.cem import CemSettings
from l2a_ros.planning.mppi import MppiSettings
from l2a_ros.planning.planners import DEFAULT_PLANNER, make_planner, planner_names
from l2a_ros.planning.random_shooting import RandomShootingSettings
from l2a_ros.planning.sampling import SamplingSettings

if TYPE_CHECKING:
    from l2a_ros.planning.engine_choice import EngineSettings
    from l2a_ros.planning.plan import ActionBounds
    from l2a_ros.planning.sampling import SamplingPlanner


def _settings(prefix: str, defaults: type[SamplingSettings],
              **meanings: tuple[str, float, float]) -> tuple[Parameter, ...]:
    """Return parameters whose defaults are those of a settings class, from description and range by name."""
    return tuple(Parameter(prefix + name, getattr(defaults, name), *meaning) for name, meaning in meanings.items())


PLANNER_SCHEMA = (
    Parameter("planner", DEFAULT_PLANNER, "how action sequences are searched", choices=planner_names()),
    *_settings(
        "", SamplingSettings,
        candidates=("action sequences per plan, over all iterations together", 1, 100000),
        horizon=("control periods per action sequence", 1, 100),
        seed=("of the planner's draws", 0, 2**31 - 1)),
    *_settings(
        "random_shooting.", RandomShootingSettings,
        longest_hold=("a sequence holds each draw for up to so many periods; 1 as published", 1, 100)),
    *_settings(
        "cem.", CemSettings,
        iterations=("times that mean and spread are fitted to the elites", 1, 100),
        elites=("share of an iteration's candidates that are elites", 0.001, 1.0),
        spread=("standard deviation of the first draws over half the range of leg rates", 0.001, 10.0),
        smallest_spread=("the same, below which it does not shrink", 0.0001, 10.0),
        momentum=("share of mean and spread that is kept from one iteration to the next", 0.0, 0.99),
        smoothness=("correlation of the noise from one period to the next", 0.0, 0.99)),
    *_settings(
        "mppi.", MppiSettings,
        iterations=("times that the nominal plan is improved", 1, 100),
        temperature=("difference in cost that makes a candidate count e times less", 1e-6, 1e6),
        spread=("standard deviation of the noise over half the range of leg rates", 0.001, 10.0),
        decay=("factor on the spread from one iteration to the next", 0.01, 1.0),
        smoothness=("correlation of the noise from one period to the next", 0.0, 0.99),
        control_cost=("share of the published cost of steering away from no action", 0.0, 1.0)),
    Parameter("engine", "auto", "what predicts: compiled code, PyTorch, or the faster one", choices=(
        "auto", "native", "torch")),
    Parameter("device", "auto", "where PyTorch predicts; auto: the faster one of those there are", choices=(
        "auto", "cpu", "cuda")),
    Parameter("precision", "auto", "of the hidden layers; auto: bfloat16 where it is faster and as good", choices=(
        "auto", "float32", "bfloat16")),
    Parameter("rollout_threads", 0, "processor threads that predict; 0 for as many as the process may use", 0, 64),
)


def build_planner(settings: Mapping[str, Any], bounds: ActionBounds) -> SamplingPlanner:
    """Return the planner that the parameters of ``PLANNER_SCHEMA`` name.

    Raises:
        UserError: for values that make no search.
    """
    name = settings["planner"]
    own = {key.removeprefix(f"{name}."): value for key, value in settings.items() if key.startswith(f"{name}.")}
    return make_planner(name, {
        "bounds": bounds, "candidates": settings["candidates"], "horizon": settings["horizon"],
        "period": settings["control_period"], "seed": settings["seed"], **own})


def engine_settings(settings: Mapping[str, Any]) -> EngineSettings:
    """Return what may predict.

    In lock-step everything is to repeat, here and elsewhere: single precision unless it is asked for otherwise.
    """
    from l2a_ros.planning.engine_choice import AUTO, EngineSettings

    precision = settings["precision"]
    return EngineSettings(settings["engine"], "cpu" if settings["lockstep"] and settings["device"] == AUTO
                          else settings["device"],
                          "float32" if settings["lockstep"] and precision == AUTO else precision,
                          settings["rollout_threads"])
