# SPDX-License-Identifier: Apache-2.0
"""What a planner is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np

#: Costs ``(n,)`` of trajectories ``(n, h, s)`` and the actions ``(n, h, a)`` that led to them; +inf: must not win.
Cost = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Model(Protocol):
    """Predicts."""

    def rollout(self, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Predict trajectories from one state.

        Args:
            state: ``(s,)``.
            actions: ``(n, h, a)`` float32.

        Returns:
            States after each step, ``(n, h, s)`` float32; good until the next call for as many.
        """


@runtime_checkable
class RoughModel(Protocol):
    """A model that may be quick at the price of some precision, with the precise one beside it."""

    @property
    def exact(self) -> Model | None:
        """The precise one; None if this is as precise."""


@dataclass(frozen=True)
class ActionBounds:
    """The box that actions are searched in.

    Args:
        low: smallest action, ``(a,)``.
        high: largest, ``(a,)``.
    """

    low: np.ndarray
    high: np.ndarray

    def __post_init__(self) -> None:
        if (self.low.shape != self.high.shape or self.low.ndim != 1 or not np.all(self.low < self.high)
                or not np.all(np.isfinite([self.low, self.high]))):
            raise ValueError(f"no box: {self.low} to {self.high}")

    @property
    def size(self) -> int:
        """Elements of an action."""
        return len(self.low)

    @property
    def middle(self) -> np.ndarray:
        """Centre of the box, ``(a,)``."""
        middle: np.ndarray = (self.low + self.high) / 2.0
        return middle

    @property
    def half_range(self) -> np.ndarray:
        """Half its widths, ``(a,)``."""
        half: np.ndarray = (self.high - self.low) / 2.0
        return half

    def clip(self, actions: np.ndarray) -> np.ndarray:
        """Return the actions ``(..., a)`` float32 moved into the box."""
        # In single precision the bounds themselves round, perhaps outwards.
        moved: np.ndarray = np.clip(actions, _inner(self.low, 1), _inner(self.high, -1), dtype=np.float32)
        return moved


def _inner(bound: np.ndarray, towards: int) -> np.ndarray:
    single = bound.astype(np.float32)
    outside = single < bound if towards > 0 else single > bound
    return np.where(outside, np.nextafter(single, np.float32(np.inf * towards)), single)


class PlanStatus(StrEnum):
    """Whether there is a plan."""

    OK = "ok"
    NO_FINITE_CANDIDATE = "no_finite_candidate"


@dataclass(frozen=True)
class Candidates:
    """The sequences that were compared last; the arrays are used again by the next plan.

    Args:
        states: ``(n, h, s)``.
        costs: ``(n,)``.
    """

    states: np.ndarray
    costs: np.ndarray


@dataclass(frozen=True)
class Plan:
    """The best sequence found.

    Args:
        status: OK, or why there is none (then actions and states are empty).
        actions: to apply one after the other, ``(h, a)``.
        states: predicted states after each of them, ``(h, s)``.
        cost: of the sequence.
        mean_cost: over the finite candidates of the last iteration.
        not_finite: candidates without a finite cost, over all iterations.
        iterations: that were made.
        candidates: those of the last iteration.
    """

    status: PlanStatus
    actions: np.ndarray
    states: np.ndarray
    cost: float
    mean_cost: float
    not_finite: int
    iterations: int
    candidates: Candidates | None = None
