# SPDX-License-Identifier: Apache-2.0
"""Verifies a stop by what the robot measures: a stop that was only sent is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from l2a_ros.safety.monitors import SIDES
from l2a_ros.safety.times import SECOND, figure, positive_duration

#: A leg that turns slower is at rest, rad/s: above what the encoder makes of one step between two records.
REST = 0.5
#: A motor with less than this fraction of full duty is off; the firmware's own resolution is 1/4000.
OFF = 1e-3
#: Records in a row that must agree: the first after a stop may still answer the command before it.
AGREEING = 2


class StopState(StrEnum):
    """IDLE: no stop in force; PENDING: within the patience; VERIFIED: seen to stand; FAILED: not, or no longer."""

    IDLE = "idle"
    PENDING = "pending"
    VERIFIED = "verified"
    FAILED = "failed"


@dataclass(frozen=True)
class _Reading:
    """What one record says about a stop."""

    at: int
    after: float  # s after the stop
    turning: str  # which legs turn and how fast, or how fast is not known; empty for none
    driven: str  # which motors are on; empty for none, or for a robot that cannot tell
    tells_duty: bool
    is_finite: bool

    @property
    def is_rest(self) -> bool:
        return not self.turning and not self.driven

    @property
    def is_off(self) -> bool:
        return self.tells_duty and not self.driven

    @property
    def pushed(self) -> str:
        return self.turning if self.is_finite and self.is_off else ""


def _sides(values: np.ndarray, threshold: float, scale: float, unit: str) -> str:
    return ", ".join(f"{side} {figure(scale * value, 1)} {unit}"
                     for side, value in zip(SIDES, values, strict=True) if not abs(value) < threshold)


class StopCheck:
    """Follows one stop, from :meth:`begin` until :meth:`end`. Times are ns of one clock.

    It is verified once two records in a row show both legs at rest and both motors off. Legs that are turned while the
    motors are off (by hand, or on a slope) do not undo that; motors that are on do, and so do legs that turn when the
    robot cannot tell whether its motors are on. A stop that failed is verified as soon as the robot is seen to stand.

    Args:
        patience: s after the stop within which the robot must be seen to stand.

    Raises:
        UserError: if the patience is not finite and above zero.
    """

    def __init__(self, patience: float) -> None:
        self._patience = positive_duration("the patience with a stop", patience)
        self._begun: int | None = None
        self._forget()

    def begin(self, now: int) -> None:
        """A stop is in force from now on; saying so again does not start the patience anew."""
        if self._begun is None:
            self._begun = now

    def end(self) -> None:
        """No stop is in force any more."""
        self._begun = None
        self._forget()

    def _forget(self) -> None:
        self._reading: _Reading | None = None
        self._pushed = ""
        self._agreeing = 0
        self._is_verified = False
        self._was_verified = False

    def observe(self, rates: np.ndarray, duty: np.ndarray | None, now: int) -> None:
        """Take a record: leg rates ``(2,)`` rad/s and duty ``(2,)`` as a fraction of full, None if it cannot tell."""
        if self._begun is None:
            return
        drive = np.zeros(2) if duty is None else duty
        self._reading = reading = _Reading(
            now, (now - self._begun) / SECOND, _sides(rates, REST, 1.0, "rad/s"), _sides(drive, OFF, 100.0, "%"),
            duty is not None, all(math.isfinite(value) for value in (*rates, *drive)))
        self._pushed = reading.pushed
        if reading.is_rest:
            self._agreeing += 1
            if self._agreeing >= AGREEING:
                self._is_verified = self._was_verified = True
            return
        self._agreeing = 0
        if not self._pushed:
            self._is_verified = False

    @property
    def is_verified(self) -> bool:
        """Whether a stop is in force and the robot was seen to obey it, up to its last record."""
        return self._is_verified

    @property
    def is_pushed(self) -> bool:
        """Whether a stop is in force, and the last record shows legs that turn although the motors are off."""
        return bool(self._pushed)

    @property
    def must_repeat(self) -> bool:
        """Whether the command to stop has to be sent again: until the stop is verified, and after a relapse."""
        return self._begun is not None and not self._is_verified

    def state(self, now: int) -> StopState:
        """Return how far the stop is."""
        if self._begun is None:
            return StopState.IDLE
        if self._is_verified:
            return StopState.VERIFIED
        # A clock that was set must not lengthen the patience.
        is_over = abs(now - self._begun) > self._patience
        return StopState.FAILED if self._was_verified or is_over else StopState.PENDING

    def problem(self, now: int) -> str:
        """Say why the stop has failed; empty unless it has."""
        return self._failure(now) if self.state(now) is StopState.FAILED else ""

    def describe(self, now: int) -> str:
        """Return one line about the stop, whatever its state."""
        state = self.state(now)
        if state is StopState.IDLE:
            return "no stop in force"
        if state is StopState.PENDING:
            return "waiting for the legs to be at rest and the motors off"
        if state is StopState.FAILED:
            return self._failure(now)
        if self._pushed:
            return f"verified: the motors are off; the legs are turned from outside: {self._pushed}"
        return "verified: the robot stands"

    def _failure(self, now: int) -> str:
        reading = self._reading
        if reading is None:
            return "no telemetry since the stop: not verified"
        still, when = ("", "again after a verified stop") if self._was_verified else (
            "still ", f"{figure(reading.after, 1)} s after the stop")
        if not reading.is_finite:
            text = f"the telemetry of the legs is not finite {when}"
        elif reading.turning:
            off = "; the motors are off, so something else turns them" if reading.is_off else ""
            text = f"the legs {still}turn {when}: {reading.turning}{off}"
        elif reading.driven:
            text = f"the motors are {still}on {when}: {reading.driven}"
        else:
            text = "only one record shows the robot at rest: not verified"
        silence = now - reading.at
        return text if silence <= self._patience else f"{text}; no telemetry for {figure(silence / SECOND, 1)} s since"
