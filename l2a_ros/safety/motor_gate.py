# SPDX-License-Identifier: Apache-2.0
"""Decides, every moment, which crank rates may reach the motors: zero unless everything is in order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from l2a_ros.robot.limits import STAND, LegRateLimits

_SECOND = 1_000_000_000


class GateState(StrEnum):
    """DISARMED at start; ARMED lets commands through; STOPPED is latched until reset."""

    DISARMED = "disarmed"
    ARMED = "armed"
    STOPPED = "stopped"


@dataclass
class GateCounters:
    """What was not let through, and how often motion was stopped."""

    ignored: int = 0
    refused: int = 0
    late: int = 0
    timeouts: int = 0
    safety_stops: int = 0


class MotorGate:
    """Limiter, command watchdog and latched stop in one place.

    A command is used only while armed, finite, in range, newer than the last one, and younger than the time-out both by
    stamp and by arrival. A command that is refused makes the robot stand: its sender cannot be trusted. Nothing is
    clipped. Times are nanoseconds of one clock.

    Args:
        limits: admissible rates.
        command_timeout: s.
    """

    def __init__(self, limits: LegRateLimits, command_timeout: float) -> None:
        self._limits = limits
        self._timeout = round(command_timeout * _SECOND)
        self.state = GateState.DISARMED
        self.reason = "not armed yet"
        self.counters = GateCounters()
        self._newest_stamp: int | None = None
        self._clear()

    def _clear(self) -> None:
        # The newest stamp stays: a command from before a stop must not move the robot after it.
        self._rates = STAND
        self._arrival = 0
        self._timed_out = False

    def arm(self) -> tuple[bool, str]:
        """Let commands through from now on, starting from zero; refused while stopped."""
        if self.state is GateState.STOPPED:
            return False, f"stopped: {self.reason}; call reset_stop first"
        if self.state is GateState.DISARMED:
            self._clear()
            self.state, self.reason = GateState.ARMED, ""
        return True, "armed"

    def disarm(self) -> tuple[bool, str]:
        """Stand and let nothing through; a latched stop stays latched."""
        if self.state is GateState.ARMED:
            self.state, self.reason = GateState.DISARMED, "disarmed"
        self._clear()
        return True, str(self.state)

    def stop(self, reason: str) -> None:
        """Stand at once and stay so until :meth:`reset_stop` and :meth:`arm`."""
        if self.state is not GateState.STOPPED:
            self.counters.safety_stops += 1
            self.state, self.reason = GateState.STOPPED, reason
        self._clear()

    def reset_stop(self) -> tuple[bool, str]:
        """Release a latched stop; the robot stays disarmed."""
        if self.state is GateState.STOPPED:
            self.state, self.reason = GateState.DISARMED, "stop was reset"
        return True, str(self.state)

    def offer(self, rates: np.ndarray, stamp: int, now: int) -> bool:
        """Take a command: rates ``(2,)`` rad/s, stamp of the state it answers, time of arrival; True if accepted."""
        # A stamp far ahead is of another clock; accepting it would make every honest command after it late.
        is_late = (self._newest_stamp is not None and stamp <= self._newest_stamp) or abs(now - stamp) > self._timeout
        if not is_late:
            self._newest_stamp = stamp
        if self.state is not GateState.ARMED:
            self.counters.ignored += 1
            return False
        if not self._limits.admits(rates):
            self.counters.refused += 1
            self._rates = STAND
            return False
        if is_late:
            self.counters.late += 1
            return False
        self._rates, self._arrival = rates.copy(), now
        self._timed_out = False
        return True

    def output(self, now: int) -> np.ndarray:
        """Return the rates for the motors at this moment, shape ``(2,)`` rad/s."""
        if self.state is not GateState.ARMED:
            return STAND
        if now - self._arrival > self._timeout:
            if not self._timed_out and np.any(self._rates):
                self.counters.timeouts += 1
            self._timed_out = True
            return STAND
        return self._rates
