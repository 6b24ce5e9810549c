# SPDX-License-Identifier: Apache-2.0
"""What the emulated firmware does with the motors: loops on and off, velocities, profiles, timed runs, its time-out.

As in the published firmware there is no watchdog: motors that are on stay on until they are told otherwise. Only the
experiments' firmware can be given a time-out (0x85), and it has none when it boots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from l2a_ros.driver.units import FULL_DUTY, LARGEST_DUTY, POSITION_STEP, VELOCITY_STEP
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.motor import LoopGains

#: Increments of a velocity profile are shifted left by two; a stride has four segments.
_SEGMENTS, _SHIFT = 4, 4
#: Rate at which a new phase between the legs is reached, rad/s (assumed).
PHASE_RATE = 2.0 * math.pi


class Motion:
    """The motors of one robot at the hands of its firmware; gains are zero and motors off after the start.

    Args:
        robot: whose motors they are.
    """

    def __init__(self, robot: Millirobot) -> None:
        self._robot = robot
        self.restart()

    def restart(self) -> None:
        """Begin again, as the firmware does when it boots."""
        self.is_on = False
        #: Commanded velocities, rad/s.
        self.rates = [0.0, 0.0]
        self._thrust: list[float] | None = None
        self._single_thrust: list[float | None] = [None, None]
        self._profile: list[Sequence[int] | None] = [None, None]
        self._profile_ms = [0, 0]
        self._phase_left = 0.0
        self._until: int | None = None
        self.timeout_ms = 0
        self._fed = 0
        #: How often the firmware's own time-out switched the motors off.
        self.timed_out = 0
        self.set_gains([0] * 10)
        self._apply()

    # Commands --------------------------------------------------------------------------------------------------------

    def set_gains(self, values: Sequence[int]) -> None:
        """Take Kp, Ki, Kd, Kaw and Kff of the left leg and of the right. Kaw and Kff are zero in use, and ignored."""
        for motor, first in zip(self._robot.motors, (0, 5), strict=True):
            motor.loop_gains = LoopGains.from_firmware(*values[first:first + 3])

    def start(self, now: int, run_ms: int | None = None) -> None:
        """Switch the loops on, for so long or until they are switched off."""
        if not self.is_on:
            self._profile_ms = [0, 0]
        self.is_on, self._fed = True, now
        self._single_thrust = [None, None]
        self._until = None if run_ms is None else now + run_ms

    def stop(self) -> None:
        """Switch the motors off."""
        self.is_on, self._until = False, None
        self._single_thrust = [None, None]

    def set_velocity(self, counts: Sequence[int], now: int) -> None:
        """Take leg velocities, counts per millisecond; they feed the time-out."""
        self.rates = [count * VELOCITY_STEP for count in counts]
        self._thrust, self._profile, self._fed = None, [None, None], now

    def set_thrust(self, duties: Sequence[int], now: int) -> None:
        """Take duties that are applied instead of the loops' while the motors are on; they feed the time-out."""
        self._thrust = [_duty(each) for each in duties]
        self._fed = now

    def set_single_thrust(self, channel: int, duty: int) -> None:
        """Apply a duty to one channel (1 left, 2 right; others drive nothing) whether the loops are on or not."""
        if channel in (1, 2):
            self._single_thrust[channel - 1] = _duty(duty)

    def set_profile(self, values: Sequence[int]) -> None:
        """Take a period in ms, four increments and whether to run once, of the left leg and of the right."""
        for side, first in enumerate((0, 6)):
            self._profile[side] = values[first:first + 6]
            self._profile_ms[side] = 0
        self._thrust = None

    def set_phase(self, counts: int) -> None:
        """Let the left leg run ahead until it is so far before the right one, counts."""
        left, right = (motor.setpoint for motor in self._robot.motors)
        self._phase_left = math.remainder(counts * POSITION_STEP - (left - right), 2.0 * math.pi)

    # Time ------------------------------------------------------------------------------------------------------------

    def step(self, now: int) -> Sequence[float]:
        """Go on by a millisecond; return the rates that the loops are to follow ``(2,)``, rad/s."""
        if self._until is not None and now >= self._until:
            self.stop()
        if self.is_on and self.timeout_ms > 0 and now - self._fed > self.timeout_ms:
            self.timed_out += 1
            self.stop()
        self._apply()
        if not self.is_on:
            return 0.0, 0.0
        rates = [self._rate(side) for side in range(2)]
        if self._phase_left:
            step = min(abs(self._phase_left), PHASE_RATE / 1000.0)
            rates[0] += 1000.0 * math.copysign(step, self._phase_left)
            self._phase_left -= math.copysign(step, self._phase_left)
        return rates

    def freeze(self) -> Sequence[float]:
        """Go on by a millisecond in which no loop runs: the motors keep the duty they have."""
        for motor in self._robot.motors:
            motor.fixed_duty = motor.duty
        return 0.0, 0.0

    def _apply(self) -> None:
        for side, motor in enumerate(self._robot.motors):
            single = self._single_thrust[side]
            if single is not None:
                motor.fixed_duty = single
            elif not self.is_on:
                motor.fixed_duty = 0.0
            else:
                motor.fixed_duty = None if self._thrust is None else self._thrust[side]

    def _rate(self, side: int) -> float:
        profile = self._profile[side]
        if profile is None:
            return self.rates[side]
        period, *increments, once = profile
        if period <= 0:
            return 0.0
        moment = self._profile_ms[side]
        self._profile_ms[side] += 1
        if once and moment >= period:
            return 0.0
        increment = increments[_SEGMENTS * (moment % period) // period]
        return increment * _SHIFT / (period / _SEGMENTS) * VELOCITY_STEP


def _duty(counts: int) -> float:
    return max(-LARGEST_DUTY, min(LARGEST_DUTY, counts)) / FULL_DUTY
