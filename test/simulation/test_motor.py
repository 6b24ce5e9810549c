# SPDX-License-Identifier: Apache-2.0
"""One drive: stall torque, free speed, back-EMF, rate loop."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.robot.limits import REVOLUTION, LegRateLimits
from l2a_ros.simulation.motor import (
    GEAR_EFFICIENCY,
    GEAR_RATIO,
    MAXIMUM_DUTY,
    MAXIMUM_INTEGRAL_DUTY,
    MAXIMUM_LAG,
    PROPORTIONAL,
    RESISTANCE,
    TORQUE_CONSTANT,
    Drive,
    LoopGains,
    Motor,
)

DT = 0.001
BATTERY = 4.0


def free_rate(command: float, battery: float = BATTERY, seconds: float = 3.0, motor: Motor | None = None) -> float:
    """Rate that a crank without load settles at, rad/s."""
    motor, angle, rate, inertia = motor or Motor(), 0.0, 0.0, 2e-6
    for _ in range(round(seconds / DT)):
        rate += motor.step(command, angle, rate, battery, DT) / inertia * DT
        angle += rate * DT
    return rate


def test_stall_torque() -> None:
    """A blocked crank with the loop saturated gets what resistance, constant and gear say."""
    motor = Motor()
    for _ in range(1000):
        torque = motor.step(9.0 * REVOLUTION, 0.0, 0.0, BATTERY, DT)
    current = MAXIMUM_DUTY * BATTERY / RESISTANCE
    assert motor.duty == MAXIMUM_DUTY
    assert motor.current == pytest.approx(current)
    assert torque == pytest.approx(current * TORQUE_CONSTANT * GEAR_RATIO * GEAR_EFFICIENCY)
    assert 0.005 < torque < 0.03, "tens of mN m from a motor of this size"
    assert motor.back_emf == 0.0


def test_free_rate_is_the_measured_one() -> None:
    """27 to 30 rev/s at three quarters of the duty and about 4 V: where back-EMF equals the voltage."""
    no_load = 0.75 * BATTERY / (TORQUE_CONSTANT * GEAR_RATIO) / REVOLUTION
    assert 26.0 < no_load < 31.0


def test_no_torque_at_the_no_load_rate() -> None:
    rate = MAXIMUM_DUTY * BATTERY / (TORQUE_CONSTANT * GEAR_RATIO)
    motor = Motor()
    assert motor.step(10.0 * rate, 0.0, rate, BATTERY, DT) == pytest.approx(0.0, abs=1e-9)
    assert motor.step(10.0 * rate, 0.0, 1.1 * rate, BATTERY, DT) < 0.0


@settings(max_examples=60)
@given(st.floats(-60, 60), st.floats(-10, 10), st.floats(-200, 200), st.floats(3.4, 4.2))
def test_duty_and_back_emf(command: float, angle: float, rate: float, battery: float) -> None:
    motor = Motor()
    torque = motor.step(command, angle, rate, battery, DT)
    assert abs(motor.duty) <= MAXIMUM_DUTY
    assert motor.back_emf == pytest.approx(TORQUE_CONSTANT * GEAR_RATIO * rate)
    assert motor.current * RESISTANCE == pytest.approx(motor.duty * battery - motor.back_emf)
    assert torque * motor.current >= 0.0, "torque has the sign of the current"


@pytest.mark.parametrize("rate", [-50.0, 50.0])
def test_sign_of_back_emf_is_that_of_the_rate_and_it_brakes(rate: float) -> None:
    motor = Motor()
    motor.reset(0.0)
    # As the loop would without an error: no duty, so that only the generator is left.
    torque = motor.step(rate, rate * DT, rate, BATTERY, DT)
    assert math.copysign(1.0, motor.back_emf) == math.copysign(1.0, rate)
    assert motor.duty == pytest.approx(0.0, abs=1e-9)
    assert torque * rate < 0.0


@pytest.mark.parametrize("rev_per_s", [2.0, 5.0, 9.0])
def test_loop_reaches_the_commanded_rate(rev_per_s: float) -> None:
    rate = free_rate(rev_per_s * REVOLUTION)
    assert rate == pytest.approx(rev_per_s * REVOLUTION, rel=0.02)


def test_zero_command_holds_the_angle() -> None:
    motor = Motor()
    motor.reset(1.0)
    assert motor.step(0.0, 1.0, 0.0, BATTERY, DT) == pytest.approx(0.0)
    assert motor.step(0.0, 0.9, 0.0, BATTERY, DT) > 0.0
    assert motor.step(0.0, 1.1, 0.0, BATTERY, DT) < 0.0


def test_anti_windup() -> None:
    """A leg that was blocked for a minute does not race afterwards to catch up."""
    motor = Motor()
    for _ in range(60_000):
        motor.step(LegRateLimits().maximum, 0.0, 0.0, BATTERY, DT)
    assert motor.setpoint == pytest.approx(MAXIMUM_LAG)


def test_gain_scales_the_torque() -> None:
    torques = {}
    for gain in (0.0, 0.5, 1.0):
        torques[gain] = Motor(gain=gain).step(40.0, 0.0, 10.0, BATTERY, DT)
    assert torques[0.0] == 0.0
    assert torques[0.5] == pytest.approx(0.5 * torques[1.0])


def test_empty_battery_is_slower() -> None:
    fast = 80.0 * REVOLUTION
    assert free_rate(fast, 3.4) == pytest.approx(free_rate(fast, 4.2) * 3.4 / 4.2, rel=0.05)


def test_reset_forgets() -> None:
    motor = Motor(gain=0.5)
    motor.step(40.0, 0.0, 10.0, BATTERY, DT)
    motor.reset(2.0)
    assert (motor.setpoint, motor.duty, motor.current, motor.back_emf) == (2.0, 0.0, 0.0, 0.0)


def test_integral_term_takes_up_a_steady_load_and_is_bounded() -> None:
    motor = Motor()
    duties = []
    for _ in range(5000):
        motor.setpoint = 0.1
        motor.step(0.0, 0.0, 0.0, BATTERY, DT)
        duties.append(motor.duty)
    assert duties[0] == pytest.approx(PROPORTIONAL * 0.1, rel=0.01)
    # The firmware sums a sixteenth of the error every millisecond and shifts by 16: 0.1 rad for 1 s.
    counts = 0.1 / REVOLUTION * 65536.0
    assert duties[999] - duties[0] == pytest.approx(200.0 * counts / 16.0 * 999 / 65536.0 / 4000.0, rel=1e-3)
    assert duties[-1] - PROPORTIONAL * 0.1 <= MAXIMUM_INTEGRAL_DUTY + 1e-9
    motor.reset(0.0)
    assert motor.lag_sum == 0.0


def test_friction_opposes_the_motion_and_nothing_at_rest() -> None:
    for rate, opposed in ((20.0, 1.0), (-20.0, -1.0), (0.0, 0.0)):
        smooth, rough = Motor(), Motor(Drive(friction=4.0e-4))
        assert smooth.step(0.0, 0.0, rate, BATTERY, DT) - rough.step(0.0, 0.0, rate, BATTERY, DT) == pytest.approx(
            4.0e-4 * opposed)


def test_gains_of_the_firmware_are_those_that_the_robot_has_without_being_told() -> None:
    assert LoopGains.from_firmware(1800, 200, 100) == LoopGains() == Motor().loop_gains
    weak, silent = Motor(loop_gains=LoopGains.from_firmware(18, 0, 0)), Motor(loop_gains=LoopGains(0.0, 0.0, 0.0))
    for motor in (weak, silent):
        motor.step(10.0, 0.0, 0.0, BATTERY, DT)
    assert weak.duty == pytest.approx(PROPORTIONAL / 100.0 * 10.0 * DT)
    assert silent.duty == 0.0
    # Without an integral gain no sum is left behind that a later one would act on.
    assert weak.lag_sum == silent.lag_sum == 0.0


def test_a_fixed_duty_takes_the_place_of_the_loop() -> None:
    motor = Motor(fixed_duty=0.0)
    assert free_rate(30.0, motor=motor) == 0.0
    motor.fixed_duty = 2.0
    motor.step(0.0, 1.0, 0.0, BATTERY, DT)
    assert motor.duty == MAXIMUM_DUTY
    motor.fixed_duty = -0.3
    motor.step(30.0, 2.5, 0.0, BATTERY, DT)
    assert (motor.duty, motor.setpoint, motor.lag_sum) == (-0.3, 2.5, 0.0), "the loop begins where the crank is"
    motor.fixed_duty = None
    motor.step(0.0, 2.5, 0.0, BATTERY, DT)
    assert motor.duty == 0.0


def test_the_loop_believes_the_encoder_and_the_motor_does_not() -> None:
    motor, truth = Motor(), Motor()
    motor.step(10.0, 5.0, 20.0, BATTERY, DT, reading=(0.0, 0.0))
    truth.step(10.0, 0.0, 0.0, BATTERY, DT)
    assert motor.duty == truth.duty
    assert motor.back_emf == pytest.approx(TORQUE_CONSTANT * GEAR_RATIO * 20.0)
