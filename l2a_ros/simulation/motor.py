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
# Position error in counts, shifted right by 12; rate error in counts per millisecond, shifted right by 4.
PROPORTIONAL = 1800.0 / 4096.0 * _COUNTS_PER_RADIAN / FULL_DUTY_COUNTS
DERIVATIVE = 100.0 / 16.0 * _COUNTS_PER_RADIAN / 1000.0 / FULL_DUTY_COUNTS
#: The loop forgets a set-point that runs away from a blocked leg beyond this angle, rad (anti-windup).
MAXIMUM_LAG = 0.5


@dataclass
class Motor:
    """State of one drive.

    Args:
        gain: factor on the motor's torque, 1 when healthy, 0 when dead.
    """

    gain: float = 1.0
    setpoint: float = 0.0
    duty: float = 0.0
    current: float = 0.0
    back_emf: float = 0.0

    def reset(self, angle: float) -> None:
        """Forget everything and hold this crank angle (rad)."""
        self.setpoint, self.duty, self.current, self.back_emf = angle, 0.0, 0.0, 0.0

    def step(self, command: float, angle: float, rate: float, battery_voltage: float, dt: float) -> float:
        """Advance one period of the rate loop.

        Args:
            command: commanded crank rate, rad/s.
            angle: crank angle, rad.
            rate: crank rate, rad/s.
            battery_voltage: V.
            dt: s.

        Returns:
            Torque on the crank, N m.
        """
        lag = self.setpoint + command * dt - angle
        lag = min(max(lag, -MAXIMUM_LAG), MAXIMUM_LAG)
        self.setpoint = angle + lag
        duty = PROPORTIONAL * lag + DERIVATIVE * (command - rate)
        self.duty = min(max(duty, -MAXIMUM_DUTY), MAXIMUM_DUTY)
        self.back_emf = TORQUE_CONSTANT * GEAR_RATIO * rate
        self.current = (self.duty * battery_voltage - self.back_emf) / RESISTANCE
        return self.gain * GEAR_EFFICIENCY * GEAR_RATIO * TORQUE_CONSTANT * self.current
