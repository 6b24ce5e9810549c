# SPDX-License-Identifier: Apache-2.0
"""What the planning node says about itself: figures of every tick, and its health."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import JointState

from l2a_ros.learning.adapted_model import AdaptedModel
from l2a_ros.nodes.diagnostics import ERROR, OK, WARN, Health
from l2a_ros.nodes.messages import named_vector
from l2a_ros.planning.line_follower import Decision
from l2a_ros.timing.statistics import Statistics

#: So many plans are more than the start could measure.
ENOUGH_PLANS = 100
FOLLOWING, NO_PATH, NO_STATE = "following", "no path", "no state yet"
COUNTED = ("plans", "late plans", "plans over budget", "fallbacks", "void plans", "states overtaken",
           "deadlines missed", "models not in time", "messages of wrong layout", "pose jumps", "commands out of range")


@dataclass(frozen=True)
class Tick:
    """A state that is to be answered.

    Args:
        stamp: ns.
        state: ``(24,)``.
        arrival: s on the monotonic clock.
        until: when waiting for its model ends, s on the same clock.
    """

    stamp: int
    state: np.ndarray
    arrival: float
    until: float


@dataclass(frozen=True)
class StartUp:
    """What was found out before the first tick.

    Args:
        engine: name of what predicts.
        plan_p90: duration of a plan then, s.
        budget: that a plan should take at most, s.
        advice: what to change because plans do not fit into their budget; None if they do.
    """

    engine: str
    plan_p90: float
    budget: float
    advice: str | None = None


class MpcReport:
    """Counts and times the answers of one node.

    Args:
        start_up: what was found out before.
    """

    def __init__(self, start_up: StartUp) -> None:
        self._start_up = start_up
        self.counts = dict.fromkeys(COUNTED, 0)
        self._latency, self._waiting, self._planning = Statistics(), Statistics(), Statistics()
        self.reason = NO_STATE

    def answered(self, decision: Decision, tick: Tick, model: AdaptedModel | None, begin: float, now: float,
                 delay: float, budget: float) -> JointState:
        """Note an answer and return its figures.

        Args:
            decision: the answer.
            tick: what it answers.
            model: that was planned with.
            begin: when planning began, s on the monotonic clock.
            now: when the command was sent, s.
            delay: from a state to the moment when its command takes effect, s.
            budget: time that a plan should take at most, s.
        """
        self._latency.add(now - tick.arrival)
        self._waiting.add(begin - tick.arrival)
        self._planning.add(now - begin)
        self.counts["plans"] += 1
        self.counts["plans over budget"] += now - begin > budget
        self.counts["fallbacks"] += decision.is_fallback
        plan = decision.plan
        missing = float("nan")
        figures = {
            "state_to_command_s": now - tick.arrival, "model_wait_s": begin - tick.arrival, "plan_s": now - begin,
            "delay_s": delay, "cost": missing if plan is None else plan.cost,
            "mean_cost": missing if plan is None else plan.mean_cost,
            "not_finite": 0 if plan is None else plan.not_finite,
            "iterations": 0 if plan is None else plan.iterations, "is_fallback": decision.is_fallback,
            "lateral_error_m": decision.lateral_error, "model_version": 0 if model is None else model.version,
            "model_is_of_this_tick": model is not None and model.stamp == tick.stamp,
            **{f"cost.{name}": value for name, value in decision.terms.items()}}
        return named_vector(list(figures), [float(value) for value in figures.values()], tick.stamp)

    def health(self, delay: float, time_jumps: int) -> Health:
        """Return the health of now."""
        values: dict[str, object] = {"engine": self._start_up.engine, "plan at start p90 (s)": self._start_up.plan_p90,
                                     **self.counts}
        for name, statistics in (("state to command", self._latency), ("wait for the model", self._waiting),
                                 ("plan", self._planning)):
            values |= {f"{name} {key} (s)": value for key, value in statistics.summary().items()}
        values |= {"command delay (s)": delay, "time jumps": time_jumps}
        level, message, advice = ERROR, self.reason, self._advice()
        if self.reason in (FOLLOWING, NO_PATH):
            level = OK if advice is None else WARN
            message = self.reason if advice is None else f"{self.reason}; {advice}"
        elif self.reason == NO_STATE:
            level = WARN
        return Health("planner", level, message, values)

    def _advice(self) -> str | None:
        """Return the advice of the start, until plans have been seen to fit: the machine may have been busy then."""
        fits = len(self._planning) >= ENOUGH_PLANS and self._planning.summary()["p99"] <= self._start_up.budget
        return None if fits else self._start_up.advice
