# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy method: draw around a mean, move mean and spread to the best candidates, again.

Source: R. Y. Rubinstein, 1999; for planning with a learnt model K. Chua et al., NeurIPS 2018. Noise that is correlated
in time and the mean among the candidates: C. Pinneri et al., CoRL 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.planning.noise import SmoothNoise
from l2a_ros.planning.sampling import SamplingPlanner, SamplingSettings, Search


@dataclass(frozen=True)
class CemSettings(SamplingSettings):
    """How to search.

    Args:
        iterations: times that mean and spread are fitted; the candidates are shared among them.
        elites: share of an iteration's candidates that they are fitted to.
        spread: standard deviation of the first draws, over half the range of each action.
        smallest_spread: the same, below which it does not shrink.
        momentum: share of the mean and spread before that is kept.
        smoothness: correlation of the noise from step to step, 0 to below 1.
    """

    iterations: int = 4
    elites: float = 0.2
    spread: float = 0.8
    smallest_spread: float = 0.05
    momentum: float = 0.1
    smoothness: float = 0.7

    @property
    def rounds(self) -> int:
        """How many iterations the candidates are shared by."""
        return self.iterations

    def __post_init__(self) -> None:
        """Refuse numbers that make no search."""
        if not (self.iterations >= 1 and 0.0 < self.elites <= 1.0 and 0.0 < self.smallest_spread <= self.spread
                and 0.0 <= self.momentum < 1.0 and 0.0 <= self.smoothness < 1.0):
            raise UserError("cem needs iterations of 1 or more, elites from above 0 to 1, a spread not below the "
                            "smallest one, momentum and smoothness from 0 to below 1")
        super().__post_init__()


class Cem(SamplingPlanner):
    """Cross-entropy method; the best sequence of all iterations is the plan."""

    def __init__(self, settings: CemSettings) -> None:
        super().__init__(settings)
        self.settings = settings
        self._noise = SmoothNoise(settings.horizon, settings.smoothness)

    def _search(self, nominal: np.ndarray | None, rng: np.random.Generator) -> Search:
        return _CemSearch(self.settings, self._noise, nominal, rng)


class _CemSearch(Search):
    def __init__(self, settings: CemSettings, noise: SmoothNoise, nominal: np.ndarray | None,
                 rng: np.random.Generator) -> None:
        self._settings, self._noise, self._rng = settings, noise, rng
        bounds = settings.bounds
        self._mean = np.tile(bounds.middle, (settings.horizon, 1)) if nominal is None else nominal
        self._spread = np.tile(settings.spread * bounds.half_range, (settings.horizon, 1))
        self._best: np.ndarray | None = None
        self._cost = np.inf

    def draw(self, count: int) -> np.ndarray:
        """Return the mean and draws around it, moved into the bounds: what is predicted is what would be done."""
        bounds = self._settings.bounds
        actions = self._noise.draw(self._rng, count, bounds.size)
        actions = actions * self._spread.astype(np.float32) + self._mean.astype(np.float32)
        actions[0] = self._mean
        return bounds.clip(actions)

    def learn(self, actions: np.ndarray, costs: np.ndarray) -> None:
        """Fit mean and spread to the elites; the best sequence so far is always one of them."""
        settings = self._settings
        wanted = max(2, round(settings.elites * len(costs)))
        order = np.argpartition(costs, min(wanted, len(costs) - 1))[:wanted]
        elites = actions[order[np.isfinite(costs[order])]].astype(np.float64)
        if self._best is not None:
            elites = np.concatenate([elites, self._best[np.newaxis]])
        winner = int(np.argmin(costs))
        if costs[winner] < self._cost:
            self._best, self._cost = actions[winner].astype(np.float64), float(costs[winner])
        keep = settings.momentum
        self._mean = keep * self._mean + (1.0 - keep) * elites.mean(axis=0)
        floor = settings.smallest_spread * settings.bounds.half_range
        self._spread = np.maximum(keep * self._spread + (1.0 - keep) * elites.std(axis=0), floor)
