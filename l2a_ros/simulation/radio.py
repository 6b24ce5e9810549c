# SPDX-License-Identifier: Apache-2.0
"""The radio between host and robot: the fault ``packet_loss`` loses whole packets, each way on its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from l2a_ros.robot.limits import STAND
from l2a_ros.simulation.fault_schedule import FaultSchedule

#: Streams of the seed from which losses are drawn.
_TO_ROBOT, _TO_HOST = 11, 12
_SECOND = 1_000_000_000


class _Direction:
    """One way of the radio; draws only while packets can be lost."""

    def __init__(self, faults: FaultSchedule, seed: int, stream: int) -> None:
        self._faults = faults
        self._rng = np.random.default_rng([seed, stream])

    def delivers(self) -> bool:
        """Tell whether the packet that leaves now arrives."""
        passed = 1.0
        for (share,) in self._faults.values("packet_loss"):
            passed *= 1.0 - share
        return passed == 1.0 or bool(self._rng.random() < passed)


class TelemetryRadio:
    """From the robot to the host: what the robot measured in one millisecond is one packet."""

    def __init__(self, faults: FaultSchedule, seed: int) -> None:
        self._faults, self._seed = faults, seed
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self._direction = _Direction(self._faults, self._seed, _TO_HOST)

    def delivers(self) -> bool:
        """Tell whether the packet that leaves now arrives."""
        return self._direction.delivers()


class CommandRadio:
    """From the host to the robot: a command that is lost leaves the robot doing what the last one said.

    The published firmware has no watchdog of its own; the emulated robot gives up after ``hold``. A command to stand is
    sent again and again until it arrives, so it is not lost.

    Args:
        faults: of the robot.
        seed: of the losses.
        hold: longest time for which the robot does what the last command said, s.
    """

    def __init__(self, faults: FaultSchedule, seed: int, hold: float = 0.3) -> None:
        self._faults, self._seed = faults, seed
        self._hold = round(hold * _SECOND)
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self._direction = _Direction(self._faults, self._seed, _TO_ROBOT)
        self._is_lost = False
        self._rates: Sequence[float] | np.ndarray = STAND
        self._arrival = 0

    def send(self, now: int) -> None:
        """Send the next command at this moment (ns): what :meth:`output` is given from now on."""
        self._is_lost = not self._direction.delivers()
        if not self._is_lost:
            self._arrival = now

    def output(self, sent: Sequence[float] | np.ndarray, now: int) -> Sequence[float] | np.ndarray:
        """Return what the robot does at this moment (ns) while the host sends these rates ``(2,)``, rad/s."""
        if self._is_lost and np.any(sent):
            return self._rates if now - self._arrival <= self._hold else STAND
        self._rates = sent
        return sent
