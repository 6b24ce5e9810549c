# SPDX-License-Identifier: Apache-2.0
"""The planning node before its first tick: its parameters, what they make, and whether that fits this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rclpy.node import Node

from l2a_ros.nodes.cost_settings import COST_SCHEMA, cost_terms
from l2a_ros.nodes.limits import LIMITS_SCHEMA, load_limits
from l2a_ros.nodes.model import MODEL_SCHEMA, load_model
from l2a_ros.nodes.mpc_report import StartUp
from l2a_ros.nodes.parameters import Parameter
from l2a_ros.nodes.planner_settings import PLANNER_SCHEMA, build_planner, engine_settings
from l2a_ros.planning.engine_choice import choose
from l2a_ros.planning.line_follower import LineFollower, leg_rate_bounds
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.planning.start_up import advice, engine_probes, typical_state, warm_up

SCHEMA = (
    *MODEL_SCHEMA,
    Parameter("lockstep", False, "wait for the adapted model of every state"),
    *PLANNER_SCHEMA,
    *COST_SCHEMA,
    *LIMITS_SCHEMA,
    Parameter("model_wait", 0.025, "longest wait for the adapted model of a state, s", 0.0, 1.0),
    Parameter("plan_budget", 0.06, "a search with iterations ends after so long, and longer plans are reported, s",
              0.001, 1.0),
    Parameter("longest_fallback", 1, "ticks for which an earlier plan is followed when there is no new one", 0, 10),
    Parameter("actuation_delay", 0.0, "from sending a command to its effect on the legs, s", 0.0, 1.0),
    Parameter("maximum_state_age", 0.25, "the robot stands when the newest state is older, s", 0.01, 10.0),
    Parameter("maximum_model_age", 0.15, "it stands when the newest adapted model is older than the state by more, s",
              0.0, 10.0),
)
#: Predicted steps of a probe: enough to tell backends apart, few enough for a start of seconds on a busy machine.
MOST_PROBED = 20_000


def start_up(node: Node, settings: Mapping[str, Any]) -> tuple[LineFollower, StartUp]:
    """Build what plans, warm it up, and say what was found out.

    Raises:
        UserError: for a checkpoint or parameters that cannot be used.
    """
    lockstep, log = settings["lockstep"], node.get_logger()
    checkpoint, limits, terms = load_model(settings), load_limits(settings), cost_terms(settings)
    bounds = leg_rate_bounds(limits)
    planner = build_planner(settings, bounds)
    probes = engine_probes(checkpoint, terms, bounds, min(settings["candidates"], max(
        1, MOST_PROBED // settings["horizon"])), settings["horizon"])
    choice = choose(checkpoint, engine_settings(settings), probes, None if lockstep else time.perf_counter)
    for reason in choice.refused:
        log.warning(f"not used to predict: {reason}")
    follower = LineFollower(RolloutEngine(checkpoint, choice.backend, choice.exact), planner, terms, limits,
                            settings["control_period"], settings["longest_fallback"])
    taken = warm_up(follower, typical_state(checkpoint), settings["control_period"], time.perf_counter)
    log.info(f"{choice.name} predicts; a plan takes {1e3 * taken.p50:.1f} ms")
    problem = advice(taken.p90, settings["plan_budget"], settings["candidates"], settings["horizon"])
    if problem is None or lockstep:
        return follower, StartUp(choice.name, taken.p90, settings["plan_budget"])
    log.warning(problem)
    return follower, StartUp(choice.name, taken.p90, settings["plan_budget"], problem)
