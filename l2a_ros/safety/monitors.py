# SPDX-License-Identifier: Apache-2.0
"""What is watched on a real robot: each monitor says in one line what is wrong, with figures, or None.

A number that is not finite is always wrong. Times are nanoseconds of one clock; durations in settings are s.
"""

from __future__ import annotations

import math

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.safety.times import SECOND, Persistence, duration_or_none, figure, positive_duration

#: A leg at this share of full duty or more is driven as hard as it can be; the firmware saturates at 0.95.
FULL_DUTY = 0.9
#: A leg that turns slower does not turn, rad/s: the slowest that it is commanded to is 2 rev/s = 12.6 rad/s.
STALLED = 1.0
SIDES = ("left", "right")


def _positive(name: str, value: float, unit: str) -> float:
    if not (math.isfinite(value) and value > 0.0):
        raise UserError(f"{name} must be finite and above 0 {unit}, not {value:g} {unit}")
    return value


class Geofence:
    """A rectangle that the robot must not leave; its edge belongs to it.

    Args:
        x_min: m, as all limits in the frame of the positions.
        x_max: m.
        y_min: m.
        y_max: m.

    Raises:
        UserError: if there is no room inside, or a limit is not finite.
    """

    def __init__(self, x_min: float, x_max: float, y_min: float, y_max: float) -> None:
        for axis, low, high in (("x", x_min, x_max), ("y", y_min, y_max)):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise UserError(f"the geofence needs finite limits with {axis}_min below {axis}_max, "
                                f"not {low:g} m and {high:g} m")
        self._limits = {"x": (x_min, x_max), "y": (y_min, y_max)}

    def check(self, x: float, y: float) -> str | None:
        """Say where a position, m, is outside."""
        if not (math.isfinite(x) and math.isfinite(y)):
            return f"the position is not finite: x = {x:g} m, y = {y:g} m"
        outside = []
        for (axis, (low, high)), value in zip(self._limits.items(), (x, y), strict=True):
            if not low <= value <= high:
                limit = low if value < low else high
                outside.append(f"{axis} = {figure(value)} m (limit {figure(limit)} m)")
        return f"outside the geofence: {', '.join(outside)}" if outside else None


class TiltMonitor:
    """A body that leans too far for too long: it has fallen over, or is about to.

    What counts is the angle between the body's z axis and the world's, whatever the direction.

    Args:
        maximum_tilt: rad; leaning exactly so far is allowed. More than pi never is too far.
        duration: s that it may lean further; 0 for not at all.

    Raises:
        UserError: for settings that are not finite, no angle above zero or a negative duration.
    """

    def __init__(self, maximum_tilt: float, duration: float) -> None:
        self._maximum = _positive("the maximum tilt", maximum_tilt, "rad")
        self._leaning = Persistence(duration_or_none("the duration of a tilt", duration))

    def check(self, roll: float, pitch: float, now: int) -> str | None:
        """Say for how long a body with this roll and pitch, rad (REP-103), has leant too far."""
        if not (math.isfinite(roll) and math.isfinite(pitch)):
            return f"the attitude is not finite: roll = {roll:g} rad, pitch = {pitch:g} rad"
        # The body's z axis in the world is (cos roll sin pitch, -sin roll, cos roll cos pitch), turned by the yaw.
        flat = math.hypot(math.cos(roll) * math.sin(pitch), math.sin(roll))
        tilt = math.atan2(flat, math.cos(roll) * math.cos(pitch))
        age = self._leaning.age(tilt > self._maximum, now)
        if age is None:
            return None
        return f"the body leans {figure(tilt)} rad (limit {figure(self._maximum)} rad), for {figure(age)} s"


class BatteryMonitor:
    """A battery that stays too low; one that sags for a moment under load does not count.

    Args:
        minimum: V; exactly so much is enough.
        duration: s that it may be lower; 0 for not at all.

    Raises:
        UserError: for settings that are not finite, no voltage above zero or a negative duration.
    """

    def __init__(self, minimum: float, duration: float) -> None:
        self._minimum = _positive("the minimum battery voltage", minimum, "V")
        self._low = Persistence(duration_or_none("the duration of a low battery", duration))

    def check(self, voltage: float, now: int) -> str | None:
        """Say for how long the battery has been too low, V."""
        if not math.isfinite(voltage):
            return f"the battery voltage is not finite: {voltage:g} V"
        age = self._low.age(voltage < self._minimum, now)
        if age is None:
            return None
        return f"the battery is low: {figure(voltage)} V (limit {figure(self._minimum)} V), for {figure(age)} s"


class StallMonitor:
    """A leg that is driven as hard as it can be and does not turn: it is blocked, or its encoder has failed.

    Either ruins something: a blocked motor burns, and a leg whose encoder stands still turns as fast as it can.

    Args:
        duration: s that it may last, as it does when a leg starts or meets a stone; 0 for not at all.

    Raises:
        UserError: for a duration that is negative or not finite.
    """

    def __init__(self, duration: float) -> None:
        ns = duration_or_none("the duration of a stall", duration)
        self._stalled = {side: Persistence(ns) for side in SIDES}

    def check(self, rates: np.ndarray, duty: np.ndarray, now: int) -> str | None:
        """Say which leg does not turn: rates ``(2,)`` in rad/s, duty ``(2,)`` as a fraction of full."""
        problems = []
        for (side, stalled), rate, drive in zip(self._stalled.items(), rates, duty, strict=True):
            if not (math.isfinite(rate) and math.isfinite(drive)):
                problems.append(f"the telemetry of the {side} leg is not finite: {rate:g} rad/s, duty {drive:g}")
                continue
            age = stalled.age(abs(drive) >= FULL_DUTY and abs(rate) < STALLED, now)
            if age is not None:
                problems.append(f"the {side} leg or its encoder is stuck: {figure(rate, 1)} rad/s at "
                                f"{figure(100.0 * drive, 0)} % duty, for {figure(age)} s")
        return "; ".join(problems) or None


class LinkWatchdog:
    """Something that must be heard again and again.

    Args:
        timeout: s; silence of exactly so long is allowed.

    Raises:
        UserError: if the time-out is not finite and above zero.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = positive_duration("the time-out of the link", timeout)
        self._heard: int | None = None

    def heard(self, now: int) -> None:
        """Take note that it was heard."""
        self._heard = now

    def check(self, now: int) -> str | None:
        """Say for how long it was silent, if too long or always; or that the clock was set back since."""
        if self._heard is None:
            return "nothing heard yet"
        age = now - self._heard
        if abs(age) <= self._timeout:
            return None
        if age < 0:
            return f"the clock was set back by {figure(-age / SECOND)} s"
        return f"nothing heard for {figure(age / SECOND)} s (limit {figure(self._timeout / SECOND)} s)"
