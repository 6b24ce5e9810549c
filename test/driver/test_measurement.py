# SPDX-License-Identifier: Apache-2.0
"""From counts to the robot's measurements: sides, directions, zeros, axes, and the bias of a gyroscope at rest."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from l2a_ros.driver.measurement import Converter
from l2a_ros.driver.telemetry import TelemetryRecord
from l2a_ros.robot.calibration import Calibration

G = 9.80665
TURN = 2.0 * math.pi
#: 2^32 ticks of a fifth of a microsecond.
WRAP = 858_993_459
REST = TelemetryRecord(0, 1_000_000, (0, 0), (0, 0), (0, 0), (0, 0, 0), (0, 0, 4096), (0, 0), 882)
#: 16.375 counts are one degree per second.
DEGREE = 16.375


def at(number: int, **change: Any) -> TelemetryRecord:
    return replace(REST, index=number, time_us=(1_000_000 + number * 20_000) % WRAP, **change)


def noisy(draw: random.Random, bias: tuple[float, float, float], spread: float = 0.12) -> tuple[int, int, int]:
    """Return counts of a gyroscope with this bias and noise, deg/s."""
    x, y, z = (round(DEGREE * (value + draw.gauss(0.0, spread))) for value in bias)
    return x, y, z


def test_si_units() -> None:
    measured = Converter(Calibration()).convert(
        replace(REST, position=(65536, -16384), duty=(2000, -1000), gyro=(16375, 0, -16375), back_emf=(100, -50)), 77)
    assert measured.stamp == 77
    assert measured.angles == pytest.approx([TURN, -TURN / 4])
    assert measured.rates is None
    assert np.degrees(measured.angular_velocity) == pytest.approx([1000.0, 0.0, -1000.0], rel=2e-4)
    assert measured.specific_force == pytest.approx([0.0, 0.0, G], rel=1e-4)
    volts = 3.3 / 1024 * 47 / 15
    assert measured.back_emf == pytest.approx([100 * volts, -50 * volts])
    assert measured.duty == pytest.approx([0.5, -0.25])
    assert measured.battery_voltage == pytest.approx(3.90, abs=0.005)


def test_swapped_sides() -> None:
    converter = Converter(Calibration(swap_sides=True))
    converter.convert(REST, 0)
    measured = converter.convert(at(50, position=(65536, -131072), duty=(400, 800), back_emf=(10, 30)), 1)
    assert measured.angles == pytest.approx([-2 * TURN, TURN])
    assert measured.rates == pytest.approx([-2 * TURN, TURN])
    assert measured.duty == pytest.approx([0.2, 0.1])
    assert measured.back_emf[0] == pytest.approx(3 * measured.back_emf[1])
    # Counts per millisecond: one revolution per second is 65.536.
    assert converter.commanded_counts(np.array([TURN * 3, TURN * 6])) == (393, 197)


def test_directions_are_of_the_robots_sides() -> None:
    converter = Converter(Calibration(leg_signs=(-1.0, 1.0), swap_sides=True))
    converter.convert(REST, 0)
    # The second motor is the left one and counts backwards.
    measured = converter.convert(at(50, position=(65536, -131072), duty=(400, -800), back_emf=(10, -30)), 1)
    assert measured.angles == pytest.approx([2 * TURN, TURN])
    assert measured.rates == pytest.approx([2 * TURN, TURN])
    assert measured.duty == pytest.approx([0.2, 0.1])
    assert np.all(measured.back_emf > 0.0)
    assert converter.commanded_counts(np.array([TURN * 6, TURN * 3])) == (197, -393)


@pytest.mark.parametrize("signs", [(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0)])
@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_commanded_rate_comes_back_as_measured(signs: tuple[float, float], is_swapped: bool) -> None:
    converter = Converter(Calibration(swap_sides=is_swapped, leg_signs=signs, leg_zeros=(0.3, -2.0)))
    wanted = np.array([TURN * 2.0, TURN * 7.0])
    first, second = converter.commanded_counts(wanted)
    converter.convert(REST, 0)
    # Counts per millisecond, for a second.
    rates = converter.convert(at(50, position=(1000 * first, 1000 * second)), 1).rates
    assert rates == pytest.approx(wanted, abs=TURN * 0.5 / 65.536)


def test_zeros_are_the_readings_at_zero() -> None:
    calibration = Calibration(swap_sides=True, leg_signs=(-1.0, 1.0), leg_zeros=(TURN / 4, -TURN / 8))
    assert Converter(calibration).angles((-8192, 16384)) == pytest.approx([0.0, 0.0])
    # The left leg, second and backwards, an eighth of a revolution before its zero's reading.
    assert Converter(calibration).angles((-8192, 8192)) == pytest.approx([TURN / 8, 0.0])


def test_rotation() -> None:
    """The unit's x points to the robot's left, its y backwards."""
    rotation = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    measured = Converter(Calibration(imu_rotation=rotation, gyro_bias=(0.0, 0.0, 0.0))).convert(
        replace(REST, gyro=(100, 200, 300), acceleration=(4096, 0, 0)), 0)
    assert measured.angular_velocity / measured.angular_velocity[2] == pytest.approx([-2 / 3, 1 / 3, 1.0])
    assert measured.specific_force == pytest.approx([0.0, G, 0.0], rel=1e-4)


def test_biases_and_scales_are_of_the_units_own_axes() -> None:
    rotation = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    converter = Converter(Calibration(
        imu_rotation=rotation, gyro_bias=(0.1, 0.0, 0.0), acceleration_bias=(1.0, 0.0, 0.0),
        acceleration_scale=(1.1, 1.0, 1.0)))
    measured = converter.convert(replace(REST, gyro=(0, 0, 0), acceleration=(4096, 0, 0)), 0)
    assert measured.angular_velocity == pytest.approx([0.0, -0.1, 0.0])
    assert measured.specific_force == pytest.approx([0.0, (G - 1.0) * 1.1, 0.0], rel=1e-4)


def test_rates_across_lost_records_and_a_wrap_of_the_clock() -> None:
    converter = Converter(Calibration())
    before = replace(REST, time_us=WRAP - 30_000, position=(1000, -1000))
    converter.convert(before, 0)
    # 100 ms later, four records lost: six revolutions per second forwards, one backwards.
    after = replace(REST, index=5, time_us=70_000, position=(1000 + 39322, -1000 - 6554))
    assert converter.convert(after, 1).rates == pytest.approx([6 * TURN, -TURN], rel=1e-3)


def test_rates_across_a_wrap_of_the_positions() -> None:
    converter = Converter(Calibration())
    converter.convert(replace(REST, position=(2**31 - 100, -2**31 + 100)), 0)
    rates = converter.convert(at(1, position=(-2**31 + 1211, 2**31 - 1211)), 1).rates
    assert rates == pytest.approx([TURN, -TURN], rel=1e-3)


def test_no_rate_without_time_or_after_what_was_forgotten() -> None:
    converter = Converter(Calibration())
    converter.convert(at(1), 0)
    assert converter.convert(at(1, position=(500, 500)), 1).rates is None
    assert converter.convert(at(2), 2).rates is not None
    converter.forget()
    assert converter.convert(at(3), 3).rates is None
    assert converter.convert(at(4), 4).rates is not None


def bias_after(count: int, calibration: Calibration | None = None, **options: Any) -> Converter:
    converter = Converter(calibration or Calibration())
    watch(converter, count, **options)
    return converter


def watch(converter: Converter, count: int, bias: tuple[float, float, float] = (6.3, -6.2, 78.0), spread: float = 0.12,
          first: int = 0, step: int = 0, duty: tuple[int, int] = (0, 0), shake: int = 0) -> None:
    draw = random.Random(first)
    for i in range(first, first + count):
        position = (step * i + draw.randint(-shake, shake), step * i + draw.randint(-shake, shake))
        converter.convert(at(i, position=position, gyro=noisy(draw, bias, spread), duty=duty), i)


@pytest.mark.parametrize("shake", [0, 8, 20])
def test_the_bias_is_found_at_rest(shake: int) -> None:
    """Also with the noise of an encoder that stands, and however large it is."""
    converter = bias_after(60, shake=shake)
    assert converter.gyro_bias is not None
    assert np.degrees(converter.gyro_bias) == pytest.approx([6.3, -6.2, 78.0], abs=0.15)
    still = converter.convert(at(60, gyro=(103, -102, 1277)), 60)
    assert np.degrees(still.angular_velocity) == pytest.approx([0.0, 0.0, 0.0], abs=0.2)


def test_the_bias_needs_some_time() -> None:
    assert bias_after(50).gyro_bias is None
    assert bias_after(51).gyro_bias is not None


@pytest.mark.parametrize("options", [
    {"step": 600}, {"step": -600}, {"duty": (1, 0)}, {"duty": (0, -200)}, {"spread": 5.0}, {"spread": 1.2}])
def test_no_bias_while_it_moves(options: dict[str, Any]) -> None:
    converter = bias_after(400, **options)
    assert converter.gyro_bias is None
    watch(converter, 120, first=400)
    assert converter.gyro_bias is not None
    assert np.degrees(converter.gyro_bias) == pytest.approx([6.3, -6.2, 78.0], abs=0.15)


def test_one_moved_axis_is_enough() -> None:
    for axis in range(3):
        converter = Converter(Calibration())
        for i in range(300):
            gyro = [0, 0, 0]
            gyro[axis] = round(DEGREE * 20.0 * math.sin(0.2 * i))
            converter.convert(at(i, gyro=tuple(gyro)), i)
        assert converter.gyro_bias is None


def test_moving_in_between_begins_anew() -> None:
    converter = bias_after(45, bias=(50.0, 0.0, 0.0))
    watch(converter, 1, first=45, step=1000)
    watch(converter, 45, first=46)
    assert converter.gyro_bias is None
    watch(converter, 10, first=91)
    assert converter.gyro_bias is not None
    assert np.degrees(converter.gyro_bias) == pytest.approx([6.3, -6.2, 78.0], abs=0.15)


def test_the_bias_stays_when_it_walks_and_when_records_are_lost() -> None:
    converter = bias_after(60)
    known = converter.gyro_bias
    watch(converter, 100, first=60, step=2000, bias=(0.0, 0.0, 300.0))
    converter.forget()
    watch(converter, 200, first=160, bias=(1.0, 2.0, 3.0))
    assert converter.gyro_bias is known


def test_a_restart_forgets_the_bias_that_was_measured() -> None:
    converter = bias_after(60)
    converter.restart()
    assert converter.gyro_bias is None
    assert converter.convert(at(0), 0).rates is None
    watch(converter, 60, bias=(1.0, 2.0, 3.0))
    assert converter.gyro_bias is not None
    assert np.degrees(converter.gyro_bias) == pytest.approx([1.0, 2.0, 3.0], abs=0.15)


def test_a_restart_keeps_the_bias_that_was_given() -> None:
    converter = bias_after(200, Calibration(gyro_bias=(0.1, 0.2, 0.3)))
    for _ in range(2):
        assert converter.gyro_bias is not None
        assert converter.gyro_bias.tolist() == [0.1, 0.2, 0.3]
        converter.restart()


def test_before_the_bias_is_known_nothing_is_taken_off() -> None:
    measured = Converter(Calibration()).convert(replace(REST, gyro=(1638, 0, 0)), 0)
    assert np.degrees(measured.angular_velocity) == pytest.approx([100.0, 0.0, 0.0], rel=1e-3)
