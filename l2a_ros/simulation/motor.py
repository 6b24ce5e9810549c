# SPDX-License-Identifier: Apache-2.0
"""One side's drive: DC motor, gear, battery and the rate loop of the firmware at 1 kHz.

Motor constants and firmware gains are the published ones (resistance 3.3 ohm, torque constant 1.41 mN m/A; gains
1800, 200, 100 with the firmware's fixed-point shifts undone). The gear ratio is not published: it is inferred from the
measured free leg rate of 27 to 30 rev/s at three quarters of the duty and about 4 V.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

RESISTANCE = 3.3
TORQUE_CONSTANT = 1.41e-3
GEAR_RATIO = 11.5
GEAR_EFFICIENCY = 0.8
MAXIMUM_DUTY = 0.95
COUNTS_PER_REVOLUTION = 65536.0
FULL_DUTY_COUNTS = 4000.0

_COUNTS_PER_RADIAN = COUNTS_PER_REVOLUTION / (2.0 * math.pi)
# The firmware's fixed-point arithmetic: position error in counts shifted right by 12; its sum, one term of a sixteenth
# per millisecond, by 16; rate error in counts per millisecond by 4.
PROPORTIONAL = 1800.0 / 4096.0 * _COUNTS_PER_RADIAN / FULL_DUTY_COUNTS
INTEGRAL = 200.0 / 16.0 / 65536.0 * 1000.0 * _COUNTS_PER_RADIAN / FULL_DUTY_COUNTS
DERIVATIVE = 100.0 / 16.0 * _COUNTS_PER_RADIAN / 1000.0 / FULL_DUTY_COUNTS
#: The loop forgets a set-point that runs away from a blocked leg beyond this angle, rad (fitted).
MAXIMUM_LAG = 0.75
#: The sum of the position error is kept within what gives this duty (assumed; the published anti-windup gain is zero).
MAXIMUM_INTEGRAL_DUTY = 0.25
#: Rate at which Coulomb friction has its full size, rad/s.
_CREEP = 0.5


@dataclass(frozen=True)
class Drive:
    """What may differ between the two drives of a robot.

    Args:
        friction: Coulomb friction of gear and linkage at the crank, N m.
    """

    friction: float = 0.0


@dataclass(frozen=True)
class LoopGains:
    """Gains of the rate loop, duty per radian, per radian and second, and per radian a second."""

    proportional: float = PROPORTIONAL
    integral: float = INTEGRAL
    derivative: float = DERIVATIVE

    @classmethod
    def from_firmware(cls, proportional: int, integral: int, derivative: int) -> LoopGains:
        """Return the gains that the firmware's integers mean."""
        return cls(proportional / 4096.0 * _COUNTS_PER_RADIAN / FULL_DUTY_COUNTS,
                   integral / 16.0 / 65536.0 * 1000.0 * _COUNTS_PER_RADIAN / FULL_DUTY_COUNTS,
                   derivative / 16.0 * _COUNTS_PER_RADIAN / 1000.0 / FULL_DUTY_COUNTS)


#: Left and right (fitted: the right legs of the measured robot lagged their commands more).
DRIVES = (Drive(5.0e-5), Drive(5.0e-4))


@dataclass
class Motor:
    """State of one drive.

    Args:
        drive: its constants.
        gain: factor on the motor's torque, 1 when healthy, 0 when dead.
        loop_gains: of the rate loop.
        fixed_duty: duty that is applied instead of the loop's, 0 with the motor off; None while the loop is on.
    """

    drive: Drive = Drive()
    gain: float = 1.0
    loop_gains: LoopGains = LoopGains()
    fixed_duty: float | None = None
    setpoint: float = 0.0
    lag_sum: float = 0.0
    duty: float = 0.0
    current: float = 0.0
    back_emf: float = 0.0

    def reset(self, angle: float) -> None:
        """Forget everything and hold this crank angle (rad)."""
        self.setpoint, self.lag_sum, self.duty, self.current, self.back_emf = angle, 0.0, 0.0, 0.0, 0.0

    def step(self, command: float, angle: float, rate: float, battery_voltage: float, dt: float,
             reading: tuple[float, float] | None = None) -> float:
        """Advance one period of the rate loop.

        Args:
            command: commanded crank rate, rad/s.
            angle: crank angle, rad.
            rate: crank rate, rad/s.
            battery_voltage: V.
            dt: s.
            reading: crank angle and rate that the encoder reads, where they are not the true ones.

        Returns:
            Torque on the crank, N m.
        """
        read_angle, read_rate = (angle, rate) if reading is None else reading
        if self.fixed_duty is None:
            gains = self.loop_gains
            lag = self.setpoint + command * dt - read_angle
            # Written out: twice a millisecond of simulation, min and max are a twentieth of its time.
            lag = MAXIMUM_LAG if lag > MAXIMUM_LAG else max(lag, -MAXIMUM_LAG)
            self.setpoint = read_angle + lag
            lag_sum = self.lag_sum + lag * dt
            largest = MAXIMUM_INTEGRAL_DUTY / gains.integral if gains.integral > 0.0 else 0.0
            self.lag_sum = largest if lag_sum > largest else max(lag_sum, -largest)
            duty = (gains.proportional * lag + gains.integral * self.lag_sum
                    + gains.derivative * (command - read_rate))
        else:
            # The loop begins anew, from where the crank is, when it is switched on again.
            self.setpoint, self.lag_sum, duty = read_angle, 0.0, self.fixed_duty
        self.duty = MAXIMUM_DUTY if duty > MAXIMUM_DUTY else max(duty, -MAXIMUM_DUTY)
        self.back_emf = TORQUE_CONSTANT * GEAR_RATIO * rate
        self.current = (self.duty * battery_voltage - self.back_emf) / RESISTANCE
        torque = self.gain * GEAR_EFFICIENCY * GEAR_RATIO * TORQUE_CONSTANT * self.current
        slip = rate / _CREEP
        return torque - self.drive.friction * (1.0 if slip > 1.0 else max(slip, -1.0))
