# SPDX-License-Identifier: Apache-2.0
"""Transitions (state, action, next state) and the rules by which a stream of states and commands becomes them.

The action of a transition is the crank rate that was really commanded during the period, averaged over time: a command
answers the state with its own stamp but takes effect a *delay* later, and until then its predecessor still holds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from l2a_ros.robot.continuity import has_begun_again, is_state_jump
from l2a_ros.robot.layout import ACTION, STATE

_SECOND = 1_000_000_000
#: What becomes infinite in a data set is as good as infinite.
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Transitions:
    """n transitions in order: states ``(n, 24)``, actions ``(n, 2)`` rad/s, next states ``(n, 24)``, float32."""

    states: Tensor
    actions: Tensor
    next_states: Tensor

    def __len__(self) -> int:
        return int(self.states.shape[0])

    def last(self, count: int) -> Transitions:
        """Return the newest ``count`` transitions."""
        first = max(0, len(self) - count)
        return Transitions(self.states[first:], self.actions[first:], self.next_states[first:])


def effective_action(previous: np.ndarray, current: np.ndarray, delay_fraction: float) -> np.ndarray:
    """Return the time average of two commands over a period, shape ``(2,)`` rad/s.

    Args:
        previous: command that held until the current one took effect.
        current: command given in this period.
        delay_fraction: delay of the current command over the period; 0 for at once, 1 for one whole period (the
            published robot's case: the first action of a plan is the one that already executes).
    """
    weight = min(max(delay_fraction, 0.0), 1.0)
    return weight * previous + (1.0 - weight) * current


class Cut(StrEnum):
    """Why an episode ended."""

    GAP = "gap"
    JUMP = "jump"
    STOP = "stop"
    NO_COMMAND = "no_command"
    NOT_FINITE = "not_finite"
    RESET = "reset"


def is_finite(values: np.ndarray) -> bool:
    """Tell whether all numbers are finite, also in single precision."""
    return bool(np.all(np.abs(values) <= _LARGEST))


@dataclass(frozen=True)
class _Tick:
    stamp: int
    state: np.ndarray


class Episode:
    """Turns states and commands, in the order of their stamps, into transitions; keeps the newest ones.

    A transition joins two states one control period apart and the command that answered the first. At a gap, a pose
    that the robot cannot have reached, a stop (zero command), a missing command, a number that is not finite or a
    reset everything kept is dropped, so that no window reaches across it. Repeated and late stamps are ignored; one
    that is more than a second late is a reset, because time has begun again.

    Args:
        control_period: time between states, s.
        capacity: how many transitions are kept; None for all.
        tolerance: how far two states may be from one period apart, as a fraction of it.
        finished: where the transitions up to each cut are put instead of being dropped, for offline use.

    Attributes:
        cuts: how often something kept was dropped, by reason.
        stretches: how often transitions were lost without a break, by reason.
        lost: transitions that states would have given, by reason; a gap loses one per period that it lasts. What is
            lost because the command before a delayed one is unknown counts for the reason of the cut that hides it.
        repeated: states that came too late or again.
    """

    def __init__(self, control_period: float, capacity: int | None, tolerance: float = 0.3,
                 finished: list[Transitions] | None = None) -> None:
        self._finished = finished
        self._period = control_period * _SECOND
        self._tolerance = tolerance * self._period
        self._kept: deque[tuple[np.ndarray, np.ndarray, np.ndarray]] = deque(maxlen=capacity)
        self._last: _Tick | None = None
        self._commands: dict[int, tuple[np.ndarray, float]] = {}
        self._previous_command: np.ndarray | None = None
        self.cuts = dict.fromkeys(Cut, 0)
        self.stretches = dict.fromkeys(Cut, 0)
        self.lost = dict.fromkeys(Cut, 0)
        self._losing: Cut | None = None
        self.repeated = 0

    def __len__(self) -> int:
        return len(self._kept)

    def cut(self, reason: Cut) -> None:
        """Drop what is kept, so that no window reaches across this moment."""
        if self._kept or reason is Cut.RESET:
            self.cuts[reason] += 1
        if self._finished is not None and self._kept:
            self._finished.append(self.window())
        self._kept.clear()
        self._previous_command = None
        if reason is Cut.RESET:
            self._last = None
            self._losing = None
            self._commands.clear()

    def _lose(self, reason: Cut, periods: int = 1) -> None:
        self.stretches[reason] += reason is not self._losing
        self.lost[reason] += periods
        self._losing = reason

    def add_command(self, stamp: int, rates: np.ndarray, delay: float) -> None:
        """Note the command ``(2,)`` rad/s that answers the state of this stamp (ns), in effect ``delay`` s later."""
        if self._last is not None and stamp < self._last.stamp:
            return
        self._commands.setdefault(stamp, (np.array(rates, dtype=np.float64), delay))

    def has_command(self, stamp: int) -> bool:
        """Tell whether the command for a state is known."""
        return stamp in self._commands

    @property
    def last_stamp(self) -> int | None:
        """Stamp of the newest state, ns."""
        return None if self._last is None else self._last.stamp

    def add_state(self, stamp: int, state: np.ndarray) -> bool:
        """Take the next state ``(24,)``; return True if it completed a transition.

        The command that answered the state before must have been added by now, else it counts as missing.
        """
        if self._last is not None and has_begun_again(stamp, self._last.stamp):
            self.cut(Cut.RESET)
        last = self._last
        if last is not None and stamp <= last.stamp:
            self.repeated += 1
            return False
        self._last = _Tick(stamp, np.array(state, dtype=np.float64))
        command = None if last is None else self._commands.get(last.stamp)
        for old in [key for key in self._commands if key < stamp]:
            del self._commands[old]
        if last is None:
            return False
        reason = self._defect(last, command)
        if reason is not None or command is None:
            reason = reason or Cut.NO_COMMAND
            self.cut(reason)
            self._lose(reason, max(1, round((stamp - last.stamp) / self._period)) if reason is Cut.GAP else 1)
            return False
        rates, delay = command
        previous, self._previous_command = self._previous_command, rates
        if previous is None:
            # What held before the first command is unknown unless it took effect at once.
            if delay > 0.0:
                self._lose(self._losing or Cut.NO_COMMAND)
                return False
            previous = rates
        action = effective_action(previous, rates, delay * _SECOND / self._period)
        self._losing = None
        self._kept.append((last.state, action, self._last.state))
        return True

    def _defect(self, last: _Tick, command: tuple[np.ndarray, float] | None) -> Cut | None:
        assert self._last is not None
        if abs(self._last.stamp - last.stamp - self._period) > self._tolerance:
            return Cut.GAP
        if not (is_finite(last.state) and is_finite(self._last.state)):
            return Cut.NOT_FINITE
        if is_state_jump(last.state, self._last.state, self._last.stamp - last.stamp):
            return Cut.JUMP
        if command is None:
            return Cut.NO_COMMAND
        rates, delay = command
        if not is_finite(rates) or not math.isfinite(delay):
            return Cut.NOT_FINITE
        if not np.any(rates):
            return Cut.STOP
        if not 0.0 <= delay <= self._period / _SECOND:
            return Cut.GAP
        return None

    def window(self) -> Transitions:
        """Return the kept transitions, oldest first."""
        states, actions, following = zip(*self._kept, strict=True) if self._kept else ((), (), ())

        def tensor(rows: tuple[np.ndarray, ...], size: int) -> Tensor:
            return torch.from_numpy(np.array(rows, dtype=np.float32).reshape(-1, size))

        return Transitions(tensor(states, STATE.size), tensor(actions, ACTION.size), tensor(following, STATE.size))
