# SPDX-License-Identifier: Apache-2.0
"""Random shooting: draw action sequences, predict them all, take the best (paper section 6.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.planning.noise import held_uniform
from l2a_ros.planning.sampling import SamplingPlanner, SamplingSettings, Search


@dataclass(frozen=True)
class RandomShootingSettings(SamplingSettings):
    """How to search.

    Args:
        longest_hold: a sequence holds its draws for up to so many steps; 1 is the published way.
    """

    longest_hold: int = 7

    def __post_init__(self) -> None:
        """Refuse holds of no step."""
        if self.longest_hold < 1:
            raise UserError(f"random shooting holds its draws for 1 step or more, not {self.longest_hold}")
        super().__post_init__()


class RandomShooting(SamplingPlanner):
    """The planner of the published robot."""

    def __init__(self, settings: RandomShootingSettings) -> None:
        super().__init__(settings)
        self.settings = settings

    def _search(self, nominal: np.ndarray | None, rng: np.random.Generator) -> Search:
        return _RandomSearch(self.settings, nominal, rng)


class _RandomSearch(Search):
    def __init__(self, settings: RandomShootingSettings, nominal: np.ndarray | None, rng: np.random.Generator) -> None:
        self._settings, self._nominal, self._rng = settings, nominal, rng

    def draw(self, count: int) -> np.ndarray:
        """Return the nominal sequence and draws over the whole box."""
        settings = self._settings
        actions = held_uniform(self._rng, settings.bounds, count, settings.horizon, settings.longest_hold)
        if self._nominal is not None:
            actions[0] = settings.bounds.clip(self._nominal)
        return actions

    def learn(self, actions: np.ndarray, costs: np.ndarray) -> None:
        """There is nothing to learn for a next iteration."""
