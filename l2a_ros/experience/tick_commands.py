# SPDX-License-Identifier: Apache-2.0
"""Which command was really in force after each state of a recording."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from l2a_ros.experience.resample import CommandsInForce
from l2a_ros.experience.transitions import effective_action
from l2a_ros.robot.layout import ACTION

_SECOND = 1_000_000_000
#: Commands answer states if at least this part of what can match by stamp does; else a stamp matches by chance.
_ANSWERING = 0.1
#: No command takes longer to its effect: its stamp and its log time are from different clocks, ns.
_LONGEST_DELAY = 10 * _SECOND


class TickCommands:
    """The mean of what was commanded during the period after a state, by the rules of :class:`Episode`.

    A command that answers a state took effect a delay later (its log time minus its stamp); until then the one before
    was still in force. In a replay nothing takes time, so the mean is what the state is answered with.

    Args:
        commands: by stamp (ns): when the command took effect (ns) and crank rates ``(2,)`` rad/s.
        stamps: of the recorded states, ns, ``(n,)``.
        period: control period, ns.
    """

    def __init__(self, commands: Mapping[int, tuple[int, np.ndarray]], stamps: np.ndarray, period: int) -> None:
        self._commands, self._period = commands, period
        matching = sum(int(stamp) in commands for stamp in stamps)
        #: Whether commands have the stamps of the states that they answer.
        self.answers = matching >= max(1.0, _ANSWERING * min(len(stamps), len(commands)))
        delays = [moment - stamp for stamp, (moment, _) in commands.items()]
        #: Whether log times say when a command took effect.
        self.has_delays = bool(delays) and abs(float(np.median(delays))) <= _LONGEST_DELAY
        self._in_force: CommandsInForce | None = None
        if not self.answers and commands:
            pairs = [(moment if self.has_delays else stamp, rates) for stamp, (moment, rates) in commands.items()]
            self._in_force = CommandsInForce(np.array([moment for moment, _ in pairs], dtype=np.int64),
                                             np.array([rates for _, rates in pairs], dtype=np.float64), period)
        self._before: tuple[int, np.ndarray] | None = None

    def recorded(self, stamp: int) -> np.ndarray | None:
        """Return the recorded command that answers the state of this stamp (ns) as it is, ``(2,)`` rad/s."""
        command = self._commands.get(stamp) if self.answers else None
        return None if command is None else command[1]

    def at(self, stamp: int) -> np.ndarray | None:
        """Return what was in force after the state of this stamp (ns), ``(2,)`` rad/s; ask in the order of time.

        None where the recording does not say, or says that the robot stood: nothing can be learnt from that.
        """
        mean = self._answer(stamp) if self.answers else self._mean(stamp)
        return mean if mean is not None and np.any(mean) else None

    def _mean(self, stamp: int) -> np.ndarray | None:
        return None if self._in_force is None else self._in_force.average(stamp, stamp + self._period)

    def _answer(self, stamp: int) -> np.ndarray | None:
        command = self._commands.get(stamp)
        before, self._before = self._before, None
        if command is None:
            return None
        moment, rates = command
        delay = max(0, moment - stamp) if self.has_delays else 0
        if delay > self._period or not np.all(np.isfinite(rates)) or not np.any(rates):
            return None
        self._before = stamp, rates
        if delay == 0:
            return rates
        if before is None or abs(stamp - before[0] - self._period) > 0.5 * self._period:
            # What held before it took effect is not known.
            return None
        return effective_action(before[1], rates, delay / self._period)


NOTHING = np.zeros(ACTION.size)
