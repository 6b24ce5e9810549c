# SPDX-License-Identifier: Apache-2.0
"""The control loop in one object, without ROS: a state comes in, the model adapts, the planner answers with rates.

What the nodes ``adaptation`` and ``mpc`` do between two messages, with the same pure objects in the same order, as in
lock-step: a command takes effect at the stamp of the state that it answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from l2a_ros.experience.transitions import Episode
from l2a_ros.learning.online import Adaptation, OnlineAdapter
from l2a_ros.planning.costs import Term
from l2a_ros.planning.line_follower import Decision, LineFollower
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.planning.sampling import SamplingPlanner
from l2a_ros.robot.limits import LegRateLimits


class Controller:
    """Adapts and plans, tick by tick.

    Args:
        adapter: the model and how it adapts.
        engine: predicts with the same model.
        planner: the search.
        terms: of the cost of planning.
        limits: a plan's command outside of them is not used.
        control_period: s.
    """

    def __init__(self, adapter: OnlineAdapter, engine: RolloutEngine, planner: SamplingPlanner, terms: Sequence[Term],
                 limits: LegRateLimits, control_period: float) -> None:
        self._adapter = adapter
        self._episode = Episode(control_period, max(1, adapter.window_length))
        self._follower = LineFollower(engine, planner, terms, limits, control_period)
        self.control_period = control_period
        #: Of the newest tick.
        self.adaptation: Adaptation | None = None

    @property
    def checkpoint_id(self) -> str:
        """The trained weights."""
        return self._adapter.checkpoint.id

    def set_path(self, points: np.ndarray, stamp: int) -> None:
        """Follow points ``(n, 2)`` m in ``map`` from the tick with this stamp (ns) on.

        Raises:
            UserError: for points that make no path.
        """
        self._follower.set_path(points, stamp)

    def decide(self, stamp: int, state: np.ndarray) -> Decision:
        """Adapt to what was driven and plan; :meth:`driven` must say what became of it before the next tick.

        Args:
            stamp: of the state, ns.
            state: shape ``(24,)``.
        """
        self._episode.add_state(stamp, state)
        self.adaptation = self._adapter.adapt(self._episode.window(), stamp)
        return self._follower.decide(state, stamp, self.adaptation.model, 0.0)

    def driven(self, stamp: int, rates: np.ndarray) -> None:
        """Note the command ``(2,)`` rad/s that really answered the state of this stamp."""
        self._episode.add_command(stamp, rates, 0.0)
