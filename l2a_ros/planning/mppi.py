# SPDX-License-Identifier: Apache-2.0
"""Model predictive path integral control: draw around the nominal plan, average the draws by what they cost.

Source: G. Williams et al., "Information Theoretic MPC for Model-Based Reinforcement Learning", ICRA 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.planning.noise import SmoothNoise
from l2a_ros.planning.sampling import SamplingPlanner, SamplingSettings, Search


@dataclass(frozen=True)
class MppiSettings(SamplingSettings):
    """How to search.

    Args:
        iterations: times that the nominal plan is improved; the candidates are shared among them.
        temperature: difference in cost that makes a candidate count e times less.
        spread: standard deviation of the noise, over half the range of each action.
        decay: factor on the spread from one iteration to the next.
        smoothness: correlation of the noise from step to step, 0 to below 1.
        control_cost: share, 0 to 1, of the published cost of steering away from no action; 0 leaves that to the terms
            of the cost.
    """

    iterations: int = 3
    temperature: float = 0.5
    spread: float = 0.8
    decay: float = 0.7
    smoothness: float = 0.7
    control_cost: float = 0.0

    @property
    def rounds(self) -> int:
        """How many iterations the candidates are shared by."""
        return self.iterations

    def __post_init__(self) -> None:
        """Refuse numbers that make no search."""
        if not (self.iterations >= 1 and 0.0 < self.temperature < np.inf and self.spread > 0.0
                and 0.0 < self.decay <= 1.0 and 0.0 <= self.smoothness < 1.0 and 0.0 <= self.control_cost <= 1.0):
            raise UserError("mppi needs iterations of 1 or more, temperature and spread above 0, a decay from above "
                            "0 to 1, smoothness from 0 to below 1 and a control cost from 0 to 1")
        super().__post_init__()


class Mppi(SamplingPlanner):
    """Path integral control; the plan is the average, which was never drawn itself."""

    def __init__(self, settings: MppiSettings) -> None:
        super().__init__(settings)
        self.settings = settings
        self._noise = SmoothNoise(settings.horizon, settings.smoothness)

    def _search(self, nominal: np.ndarray | None, rng: np.random.Generator) -> Search:
        return MppiSearch(self.settings, self._noise, nominal, rng)


class MppiSearch(Search):
    """One plan's search.

    Args:
        settings: how.
        noise: makes the draws.
        nominal: plan to begin from, ``(h, a)``; None for the middle of the bounds.
        rng: of the draws.
    """

    def __init__(self, settings: MppiSettings, noise: SmoothNoise, nominal: np.ndarray | None,
                 rng: np.random.Generator) -> None:
        self._settings, self._noise, self._rng = settings, noise, rng
        middle = np.tile(settings.bounds.middle, (settings.horizon, 1))
        self._nominal = middle if nominal is None else nominal
        self._deviation = settings.spread * settings.bounds.half_range

    def draw(self, count: int) -> np.ndarray:
        """Return the nominal plan and draws around it, moved into the bounds."""
        bounds = self._settings.bounds
        actions = self._noise.draw(self._rng, count, bounds.size)
        actions = actions * self._deviation.astype(np.float32) + self._nominal.astype(np.float32)
        actions[0] = self._nominal
        return bounds.clip(actions)

    def learn(self, actions: np.ndarray, costs: np.ndarray) -> None:
        """Move the nominal plan to the average of the candidates, weighted by what they cost."""
        settings = self._settings
        # Of what remained after moving into the bounds: else the average would leave the box.
        change = actions - self._nominal
        if settings.control_cost > 0.0:
            pull = settings.control_cost * settings.temperature * self._nominal / self._deviation**2
            costs = costs + np.einsum("nha,ha->n", change, pull)
        weights = np.exp((costs.min() - costs) / settings.temperature)
        self._nominal = self._nominal + np.tensordot(weights / weights.sum(), change, axes=1)
        self._deviation = self._deviation * settings.decay

    def answer(self) -> np.ndarray | None:
        """Return the nominal plan."""
        # An average of sequences within the bounds, but for rounding.
        return self._settings.bounds.clip(self._nominal)
