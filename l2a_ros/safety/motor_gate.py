# SPDX-License-Identifier: Apache-2.0
"""Decides, every moment, which crank rates may reach the motors: zero unless everything is in order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from l2a_ros.robot.limits import STAND, LegRateLimits
from l2a_ros.safety.ramp import RateRamp
from l2a_ros.safety.times import positive_duration

#: The word under which a gate's node says what keeps the robot from being armed.
NOT_READY = "not ready"


class GateState(StrEnum):
    """DISARMED at start; ARMED lets commands through; STOPPED is latched until reset."""

    DISARMED = "disarmed"
    ARMED = "armed"
    STOPPED = "stopped"


@dataclass
class GateCounters:
    """What was not let through as it came, and how often motion was stopped.

    Args:
        ignored: commands while not armed.
        refused: commands out of range, not finite or unreadable.
        late: commands that repeat a stamp, or with one that is old or of another clock.
        timeouts: times that the legs turned when the newest command became too old.
        safety_stops: stops that latched.
        slewed: commands to whose rates the legs were brought slowly.
    """

    ignored: int = 0
    refused: int = 0
    late: int = 0
    timeouts: int = 0
    safety_stops: int = 0
    slewed: int = 0


@dataclass
class _Command:
    """The command in force."""

    rates: np.ndarray
    arrival: int
    is_slewed: bool = False


class MotorGate:
    """Limiter, command watchdog and latched stop in one place.

    A command is used only while armed, finite, in range, newer than the last one, and younger than the time-out both by
    stamp and by arrival; a clock that is set back ends it too. A command that is refused makes the robot stand: its
    sender cannot be trusted. Nothing is clipped. Speeding up may be limited, standing and slowing down never are. Times
    are nanoseconds of one clock.

    Args:
        limits: admissible rates.
        command_timeout: s.
        fastest_acceleration: of a crank, rad/s^2; 0 for no limit.

    Raises:
        UserError: for a time-out or an acceleration that will not do.
    """

    def __init__(self, limits: LegRateLimits, command_timeout: float, fastest_acceleration: float = 0.0) -> None:
        self._limits = limits
        self._timeout = positive_duration("the time-out of commands", command_timeout)
        self._ramp = RateRamp(fastest_acceleration, limits.minimum, self._timeout)
        self.state = GateState.DISARMED
        self.reason = "not armed yet"
        self.counters = GateCounters()
        self._newest_stamp: int | None = None
        self._stand()

    def _stand(self) -> None:
        # The newest stamp stays: a command from before a stop must not move the robot after it.
        self._command: _Command | None = None
        self._ramp.reset()

    @property
    def is_limiting(self) -> bool:
        """Whether the rates put out last were below the commanded ones, because of the acceleration."""
        return self._ramp.is_limiting

    def arm(self) -> tuple[bool, str]:
        """Let commands through from now on, starting from zero; refused while stopped."""
        if self.state is GateState.STOPPED:
            return False, f"stopped: {self.reason}; call reset_stop first"
        if self.state is GateState.DISARMED:
            self._stand()
            self.state, self.reason = GateState.ARMED, ""
        return True, "armed"

    def disarm(self) -> tuple[bool, str]:
        """Stand and let nothing through; a latched stop stays latched."""
        if self.state is GateState.ARMED:
            self.state, self.reason = GateState.DISARMED, "disarmed"
        self._stand()
        return True, str(self.state)

    def stop(self, reason: str) -> None:
        """Stand at once and stay so until :meth:`reset_stop` and :meth:`arm`."""
        if self.state is not GateState.STOPPED:
            self.counters.safety_stops += 1
            self.state, self.reason = GateState.STOPPED, reason
        self._stand()

    def reset_stop(self) -> tuple[bool, str]:
        """Release a latched stop; the robot stays disarmed."""
        if self.state is GateState.STOPPED:
            self.state, self.reason = GateState.DISARMED, "stop was reset"
        return True, str(self.state)

    def offer(self, rates: np.ndarray, stamp: int, now: int) -> bool:
        """Take a command: rates ``(2,)`` rad/s, stamp of the state it answers, time of arrival; True if accepted."""
        if self._newest_stamp is not None and self._newest_stamp - now > self._timeout:
            # The clock was set back; waiting until it has caught up would make every honest command late.
            self._newest_stamp = None
        # A stamp far ahead is of another clock; accepting it would make every honest command after it late.
        is_late = (self._newest_stamp is not None and stamp <= self._newest_stamp) or abs(now - stamp) > self._timeout
        if not is_late:
            self._newest_stamp = stamp
        if self.state is GateState.ARMED and self._limits.admits(rates):
            if is_late:
                self.counters.late += 1
                return False
            self._command = _Command(rates.copy(), now)
            return True
        self.refuse()
        return False

    def refuse(self) -> None:
        """Take a command that cannot be used, whatever is wrong with it: the robot stands."""
        if self.state is GateState.ARMED:
            self.counters.refused += 1
            self._stand()
        else:
            self.counters.ignored += 1

    def pause(self) -> None:
        """Forget the command: the robot stands until the next one, and then gains speed from standing."""
        self._stand()

    def output(self, now: int) -> np.ndarray:
        """Return the rates for the motors at this moment, shape ``(2,)`` rad/s.

        With a limited acceleration they depend on what came out before: call it once for every time that the motors
        are told.
        """
        command = self._command
        if self.state is not GateState.ARMED or command is None:
            return STAND
        if abs(now - command.arrival) > self._timeout:
            self.counters.timeouts += bool(np.any(command.rates))
            self._stand()
            return STAND
        rates = self._ramp.follow(command.rates, now)
        if self._ramp.is_limiting and not command.is_slewed:
            command.is_slewed = True
            self.counters.slewed += 1
        return rates
