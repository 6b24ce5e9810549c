# SPDX-License-Identifier: Apache-2.0
"""The commands already sent, and the state at the moment when the next one takes effect."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

import numpy as np

from l2a_ros.planning.plan import Model
from l2a_ros.robot.frames import part_of_a_step
from l2a_ros.robot.limits import STAND

_SECOND = 1_000_000_000
#: A part of a period below this is rounding, not time.
_ROUNDING = 1e-6
#: As many are kept; a command takes effect within far fewer ticks.
_KEPT = 64


class SentCommands:
    """Commands with the moment from which each holds."""

    def __init__(self) -> None:
        self._sent: deque[tuple[int, np.ndarray]] = deque(maxlen=_KEPT)

    def clear(self) -> None:
        """Forget them all: the robot stands."""
        self._sent.clear()

    def add(self, effect: int, rates: np.ndarray) -> None:
        """Add a command of rates ``(2,)`` rad/s that holds from a time (ns) on; one due later is overtaken by it."""
        while self._sent and self._sent[-1][0] >= effect:
            self._sent.pop()
        self._sent.append((effect, np.array(rates, dtype=np.float64)))

    def at(self, time: int) -> np.ndarray:
        """Return the rates ``(2,)`` rad/s in force at a time (ns): those last sent that hold by then."""
        return next((rates for effect, rates in reversed(self._sent) if effect <= time), STAND)

    def between(self, begin: int, end: int) -> list[tuple[float, np.ndarray]]:
        """Return what is in force from one time (ns) to another, as durations (s) with rates ``(2,)`` rad/s."""
        times = [begin, *sorted(effect for effect, _ in self._sent if begin < effect < end), end]
        return [((till - since) / _SECOND, self.at(since)) for since, till in itertools.pairwise(times)
                if till > since]


def rolled_forward(state: np.ndarray, model: Model, commands: Sequence[tuple[float, np.ndarray]],
                   period: float) -> np.ndarray:
    """Return the state expected after the commands that are in force until the next one takes effect.

    The model predicts whole periods; of a part of one, the same part of the predicted change is taken. With a delay of
    one period this is the published rule that the first action of a plan is the one already executing. While a robot is
    to stand it is taken to stay where it is: the model has not seen that.

    Args:
        state: before them, ``(24,)``.
        model: predicts.
        commands: how long each holds (s), with rates ``(2,)`` rad/s.
        period: that the model predicts, s.

    Returns:
        ``(24,)``.
    """
    for duration, rates in commands:
        left = duration / period if np.any(rates) else 0.0
        command = rates.astype(np.float32).reshape(1, 1, 2)
        while left > _ROUNDING:
            part = min(left, 1.0)
            following = model.rollout(state, command)[0, 0]
            state = following.astype(np.float64) if part == 1.0 else part_of_a_step(state, following, part)
            left -= part
    return state
