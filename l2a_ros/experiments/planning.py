# SPDX-License-Identifier: Apache-2.0
"""How an experiment plans: the settings of the planner and its cost, by the names that the node's parameters have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from l2a_ros.errors import UserError
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.planning.costs import TERMS, Term, make_terms
from l2a_ros.planning.line_follower import leg_rate_bounds
from l2a_ros.planning.planners import DEFAULT_PLANNER, make_planner, planner_names
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.planning.sampling import SamplingPlanner
from l2a_ros.planning.start_up import one_thread_engine
from l2a_ros.robot.limits import LegRateLimits

_KEYS = ("planner", "candidates", "horizon", "precision", "cost")


@dataclass(frozen=True)
class PlanningSettings:
    """How is planned.

    Args:
        planner: name.
        candidates: action sequences per plan.
        horizon: steps per sequence.
        precision: of the hidden layers: ``float32`` repeats on every machine; ``auto`` takes ``bfloat16`` where the
            processor has it, which is faster, and lets single precision decide between the best.
        cost: settings by term, over the published ones and the condition's weights.
        own: settings of the planner itself.
    """

    planner: str = DEFAULT_PLANNER
    candidates: int = 500
    horizon: int = 15
    precision: str = "float32"
    cost: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    own: Mapping[str, float] = field(default_factory=dict)

    def build_planner(self, seed: int, control_period: float) -> SamplingPlanner:
        """Return the search.

        Raises:
            UserError: for numbers that make none.
        """
        return make_planner(self.planner, {
            "bounds": leg_rate_bounds(LegRateLimits()), "candidates": self.candidates, "horizon": self.horizon,
            "period": control_period, "seed": seed, **self.own})

    def build_terms(self, weights: Mapping[str, float]) -> tuple[Term, ...]:
        """Return the terms of the cost of planning.

        Args:
            weights: of the published terms, where ``cost`` says nothing else.
        """
        every = {name: {"weight": weight} for name, weight in weights.items()}
        for name, settings in self.cost.items():
            every[name] = {**every.get(name, {}), **settings}
        return make_terms(every)

    def build_engine(self, checkpoint: Checkpoint, terms: tuple[Term, ...]) -> RolloutEngine:
        """Return what predicts, on one thread: trials run beside each other."""
        return one_thread_engine(checkpoint, self.precision, terms, leg_rate_bounds(LegRateLimits()), self.candidates,
                                 self.horizon)


def read_planning(given: Mapping[str, Any]) -> PlanningSettings:
    """Read the section ``planning`` of an experiment: the names are those of the parameters of ``mpc``.

    Raises:
        UserError: for what will not do.
    """
    planner = str(given.get("planner", DEFAULT_PLANNER))
    if planner not in planner_names():
        raise UserError(f"unknown planner '{planner}'; known: {', '.join(planner_names())}")
    for key in given:
        if key not in (*_KEYS, *planner_names()):
            raise UserError(f"planning has an unknown key '{key}'; known: {', '.join((*_KEYS, *planner_names()))}")
    own = given.get(planner, {})
    cost = given.get("cost", {})
    if not isinstance(own, Mapping) or not isinstance(cost, Mapping):
        raise UserError(f"planning: {planner} and cost must hold settings by name")
    for name in cost:
        if name not in TERMS:
            raise UserError(f"unknown cost term '{name}'; known: {', '.join(TERMS)}")
    try:
        settings = PlanningSettings(planner, int(given.get("candidates", 500)), int(given.get("horizon", 15)),
                                    str(given.get("precision", "float32")), dict(cost), dict(own))
        settings.build_terms({})
        settings.build_planner(0, 0.1)
    except (TypeError, ValueError) as error:
        raise UserError(f"planning: {error}") from None
    return settings
