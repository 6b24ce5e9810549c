# SPDX-License-Identifier: Apache-2.0
"""Each monitor: what it says, and when it is silent."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from l2a_ros.errors import UserError
from l2a_ros.safety.monitors import BatteryMonitor, Geofence, LinkWatchdog, StallMonitor, TiltMonitor

SECOND = 1_000_000_000
START = 10**12
NOT_FINITE = [math.nan, math.inf, -math.inf]
ABOVE = np.nextafter


# Geofence ------------------------------------------------------------------------------------------------------------

FENCE = (-1.0, 2.0, -3.0, 4.0)


@pytest.mark.parametrize(("x", "y"), [
    (0.0, 0.0), (-1.0, -3.0), (2.0, 4.0), (-1.0, 4.0), (2.0, -3.0), (0.0, 3.9), (1.9, 0.0)])
def test_inside_the_fence(x: float, y: float) -> None:
    assert Geofence(*FENCE).check(x, y) is None


@pytest.mark.parametrize(("x", "y", "expected"), [
    (2.31, 0.0, "outside the geofence: x = 2.31 m (limit 2.00 m)"),
    (-1.5, 0.0, "outside the geofence: x = -1.50 m (limit -1.00 m)"),
    (0.0, 4.25, "outside the geofence: y = 4.25 m (limit 4.00 m)"),
    (0.0, -3.1, "outside the geofence: y = -3.10 m (limit -3.00 m)"),
    (3.0, 5.0, "outside the geofence: x = 3.00 m (limit 2.00 m), y = 5.00 m (limit 4.00 m)"),
    (1e300, 0.0, "outside the geofence: x = 1.00e+300 m (limit 2.00 m)"),
    (math.nan, 0.0, "the position is not finite: x = nan m, y = 0 m"),
    (0.5, math.inf, "the position is not finite: x = 0.5 m, y = inf m")])
def test_outside_the_fence(x: float, y: float, expected: str) -> None:
    assert Geofence(*FENCE).check(x, y) == expected


@pytest.mark.parametrize(("side", "x", "y"), [
    (0, -1.0, 0.0), (1, 2.0, 0.0), (2, 0.0, -3.0), (3, 0.0, 4.0)])
def test_the_next_number_beyond_the_edge_is_outside(side: int, x: float, y: float) -> None:
    outward = math.copysign(math.inf, FENCE[side])
    beyond = (ABOVE(x, outward), y) if side < 2 else (x, ABOVE(y, outward))
    assert Geofence(*FENCE).check(*beyond) is not None


@given(x=st.floats(), y=st.floats())
def test_fence_is_silent_only_inside(x: float, y: float) -> None:
    problem = Geofence(*FENCE).check(x, y)
    assert (problem is None) == (-1.0 <= x <= 2.0 and -3.0 <= y <= 4.0)
    assert problem is None or (problem and "\n" not in problem and len(problem) < 120)


@pytest.mark.parametrize(("limits", "expected"), [
    ((1.0, 1.0, 0.0, 1.0), "x_min below x_max, not 1 m and 1 m"),
    ((2.0, 1.0, 0.0, 1.0), "x_min below x_max, not 2 m and 1 m"),
    ((0.0, 1.0, 3.0, 2.0), "y_min below y_max, not 3 m and 2 m"),
    ((2.0, 1.0, 3.0, 2.0), "x_min below x_max, not 2 m and 1 m"),
    ((-math.inf, 1.0, 0.0, 1.0), "x_min below x_max, not -inf m and 1 m"),
    ((0.0, math.inf, 0.0, 1.0), "x_min below x_max, not 0 m and inf m"),
    ((0.0, 1.0, math.nan, 1.0), "y_min below y_max, not nan m and 1 m"),
    ((0.0, 1.0, 0.0, math.nan), "y_min below y_max, not 0 m and nan m")])
def test_a_fence_needs_room(limits: tuple[float, float, float, float], expected: str) -> None:
    with pytest.raises(UserError, match=f"^the geofence needs finite limits with {expected}$"):
        Geofence(*limits)


# Tilt ----------------------------------------------------------------------------------------------------------------


def test_a_body_that_fell_over() -> None:
    monitor = TiltMonitor(1.05, 0.3)
    assert monitor.check(1.5, 0.0, START) is None
    assert monitor.check(1.5, 0.0, START + 3 * SECOND // 10 - 1) is None
    assert monitor.check(1.5, 0.0, START + 3 * SECOND // 10) == (
        "the body leans 1.50 rad (limit 1.05 rad), for 0.30 s")
    assert monitor.check(0.1, 0.0, START + SECOND) is None
    assert monitor.check(1.5, 0.0, START + SECOND) is None, "a break starts it again"


def test_a_body_that_only_wobbles() -> None:
    monitor = TiltMonitor(1.05, 0.3)
    for i in range(50):
        assert monitor.check(1.2 if i % 2 else 1.0, 0.0, START + i * SECOND // 5) is None


@pytest.mark.parametrize(("roll", "pitch"), [
    (1.06, 0.0), (-1.06, 0.0), (0.0, 1.06), (0.0, -1.06), (0.8, 0.8), (-0.8, 0.8), (math.pi, 0.0), (0.0, math.pi),
    (2.5, 0.1), (math.pi / 2, math.pi / 2)])
def test_leaning_too_far_in_any_direction(roll: float, pitch: float) -> None:
    assert TiltMonitor(1.05, 0.0).check(roll, pitch, START) is not None


@pytest.mark.parametrize(("roll", "pitch"), [
    (1.04, 0.0), (-1.04, 0.0), (0.0, 1.04), (0.0, -1.04), (0.7, 0.7), (math.pi, math.pi), (0.0, 0.0),
    (2 * math.pi, 0.0)])
def test_leaning_far_enough_to_walk(roll: float, pitch: float) -> None:
    assert TiltMonitor(1.05, 0.0).check(roll, pitch, START) is None, "upside down twice is upright"


def test_leaning_exactly_so_far_is_allowed() -> None:
    assert TiltMonitor(math.atan2(math.sin(1.0), math.cos(1.0)), 0.0).check(1.0, 0.0, START) is None


def test_a_limit_beyond_upside_down_is_none() -> None:
    assert TiltMonitor(3.2, 0.0).check(math.pi, 0.0, START) is None


@given(roll=st.floats(-4.0, 4.0), pitch=st.floats(-4.0, 4.0), yaw=st.floats(-4.0, 4.0))
def test_tilt_is_the_angle_between_the_vertical_axes(roll: float, pitch: float, yaw: float) -> None:
    up = Rotation.from_euler("ZYX", [yaw, pitch, roll]).as_matrix()[:, 2]
    angle = math.acos(min(1.0, max(-1.0, up[2])))
    assert TiltMonitor(angle + 1e-6, 0.0).check(roll, pitch, START) is None
    if angle > 1e-5:
        assert TiltMonitor(angle - 1e-6, 0.0).check(roll, pitch, START) is not None


@pytest.mark.parametrize("value", NOT_FINITE)
def test_attitude_that_is_not_finite(value: float) -> None:
    monitor = TiltMonitor(1.05, 10.0)
    assert monitor.check(value, 0.5, START) == f"the attitude is not finite: roll = {value:g} rad, pitch = 0.5 rad"
    assert monitor.check(0.5, value, START) == f"the attitude is not finite: roll = 0.5 rad, pitch = {value:g} rad"


def test_one_bad_number_is_no_break() -> None:
    monitor = TiltMonitor(1.05, 0.3)
    monitor.check(1.5, 0.0, START)
    monitor.check(math.nan, 0.0, START + SECOND // 10)
    assert monitor.check(1.5, 0.0, START + SECOND) == "the body leans 1.50 rad (limit 1.05 rad), for 1.00 s"


# Battery -------------------------------------------------------------------------------------------------------------


def test_a_battery_that_stays_low() -> None:
    monitor = BatteryMonitor(3.3, 1.0)
    assert monitor.check(3.21, START) is None
    assert monitor.check(3.21, START + SECOND - 1) is None
    assert monitor.check(3.25, START + SECOND + SECOND // 5) == (
        "the battery is low: 3.25 V (limit 3.30 V), for 1.20 s")


def test_a_battery_that_sags_under_load() -> None:
    monitor = BatteryMonitor(3.3, 1.0)
    for i in range(50):
        assert monitor.check(3.1 if i % 2 else 3.3, START + i * SECOND) is None


def test_exactly_the_minimum_is_enough() -> None:
    assert BatteryMonitor(3.3, 0.0).check(3.3, START) is None
    assert BatteryMonitor(3.3, 0.0).check(ABOVE(3.3, 0.0), START) is not None
    assert BatteryMonitor(3.3, 0.0).check(0.0, START) is not None


@pytest.mark.parametrize("value", NOT_FINITE)
def test_voltage_that_is_not_finite(value: float) -> None:
    assert BatteryMonitor(3.3, 10.0).check(value, START) == f"the battery voltage is not finite: {value:g} V"


# Stall ---------------------------------------------------------------------------------------------------------------


def stalled(monitor: StallMonitor, rates: list[float], duty: list[float], now: int) -> str | None:
    return monitor.check(np.array(rates), np.array(duty), now)


@pytest.mark.parametrize(("rates", "duty", "expected"), [
    ([0.0, 30.0], [0.95, 0.5], "the left leg or its encoder is stuck: 0.0 rad/s at 95 % duty, for 1.00 s"),
    ([30.0, -0.4], [0.5, -0.9], "the right leg or its encoder is stuck: -0.4 rad/s at -90 % duty, for 1.00 s"),
    ([0.99, -0.99], [0.9, 1.0], "the left leg or its encoder is stuck: 1.0 rad/s at 90 % duty, for 1.00 s; "
                                "the right leg or its encoder is stuck: -1.0 rad/s at 100 % duty, for 1.00 s")])
def test_a_leg_that_is_stuck(rates: list[float], duty: list[float], expected: str) -> None:
    monitor = StallMonitor(1.0)
    assert stalled(monitor, rates, duty, START) is None
    assert stalled(monitor, rates, duty, START + SECOND - 1) is None
    assert stalled(monitor, rates, duty, START + SECOND) == expected


@pytest.mark.parametrize(("rates", "duty"), [
    ([0.0, 0.0], [0.0, 0.0]), ([0.0, 0.0], [0.89, -0.89]), ([30.0, 30.0], [0.95, 0.95]), ([1.0, -1.0], [1.0, 1.0])])
def test_legs_that_are_well(rates: list[float], duty: list[float]) -> None:
    assert stalled(StallMonitor(0.0), rates, duty, START) is None


def test_each_leg_has_its_own_time() -> None:
    monitor = StallMonitor(1.0)
    assert stalled(monitor, [0.0, 30.0], [1.0, 1.0], START) is None
    assert stalled(monitor, [30.0, 0.0], [1.0, 1.0], START + SECOND) is None
    assert stalled(monitor, [0.0, 0.0], [1.0, 1.0], START + 2 * SECOND) == (
        "the right leg or its encoder is stuck: 0.0 rad/s at 100 % duty, for 1.00 s")


@pytest.mark.parametrize("value", NOT_FINITE)
def test_telemetry_that_is_not_finite(value: float) -> None:
    monitor = StallMonitor(10.0)
    assert stalled(monitor, [value, 1.0], [0.5, 0.5], START) == (
        f"the telemetry of the left leg is not finite: {value:g} rad/s, duty 0.5")
    assert stalled(monitor, [1.0, 1.0], [0.5, value], START) == (
        f"the telemetry of the right leg is not finite: 1 rad/s, duty {value:g}")


@pytest.mark.parametrize("bad", [([math.nan, 30.0], [1.0, 0.5]), ([0.0, 30.0], [math.inf, 0.5])])
def test_one_bad_record_is_no_break_of_a_stall(bad: tuple[list[float], list[float]]) -> None:
    monitor = StallMonitor(1.0)
    stalled(monitor, [0.0, 30.0], [1.0, 0.5], START)
    problem = stalled(monitor, *bad, START + SECOND)
    assert problem is not None
    assert "stuck" not in problem
    assert stalled(monitor, [0.0, 30.0], [1.0, 0.5], START + SECOND) is not None


def test_one_leg_that_is_not_finite_does_not_hide_the_other() -> None:
    problem = stalled(StallMonitor(0.0), [math.nan, 0.0], [0.5, 1.0], START)
    assert problem is not None
    assert "left leg is not finite" in problem
    assert "right leg or its encoder is stuck" in problem


@pytest.mark.parametrize("count", [1, 3])
def test_a_robot_has_two_legs(count: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        StallMonitor(1.0).check(np.zeros(count), np.zeros(count), START)


# Link ----------------------------------------------------------------------------------------------------------------


def test_a_link_that_falls_silent() -> None:
    watchdog = LinkWatchdog(0.25)
    assert watchdog.check(START) == "nothing heard yet"
    watchdog.heard(START)
    assert watchdog.check(START) is None
    assert watchdog.check(START + SECOND // 4) is None
    assert watchdog.check(START + SECOND // 4 + 1) == "nothing heard for 0.25 s (limit 0.25 s)"
    assert watchdog.check(START + 10 * SECOND) == "nothing heard for 10.00 s (limit 0.25 s)"
    watchdog.heard(START + 10 * SECOND)
    assert watchdog.check(START + 10 * SECOND) is None


def test_a_link_on_a_clock_that_is_set_back() -> None:
    watchdog = LinkWatchdog(0.25)
    watchdog.heard(START)
    assert watchdog.check(START - SECOND // 4) is None
    assert watchdog.check(START - SECOND // 4 - 1) == "the clock was set back by 0.25 s"
    watchdog.heard(START - 10 * SECOND)
    assert watchdog.check(START - 10 * SECOND) is None, "and it recovers"


def test_a_link_that_is_heard_at_zero() -> None:
    watchdog = LinkWatchdog(0.25)
    watchdog.heard(0)
    assert watchdog.check(0) is None


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [*NOT_FINITE, -1.0, 0.0])
@pytest.mark.parametrize(("build", "expected"), [
    (lambda value: TiltMonitor(value, 0.3), "the maximum tilt must be finite and above 0 rad, not {:g} rad"),
    (lambda value: BatteryMonitor(value, 0.3), "the minimum battery voltage must be finite and above 0 V, not {:g} V"),
    (LinkWatchdog, "the time-out of the link must be finite and above 0 s, not {:g} s")])
def test_settings_that_must_be_positive(build: Callable[[float], object], expected: str, value: float) -> None:
    with pytest.raises(UserError) as error:
        build(value)
    assert str(error.value) == expected.format(value)


@pytest.mark.parametrize("value", [*NOT_FINITE, -1.0])
@pytest.mark.parametrize(("build", "expected"), [
    (lambda value: TiltMonitor(1.05, value), "the duration of a tilt must be finite and at least 0 s, not {:g} s"),
    (lambda value: BatteryMonitor(3.3, value),
     "the duration of a low battery must be finite and at least 0 s, not {:g} s"),
    (StallMonitor, "the duration of a stall must be finite and at least 0 s, not {:g} s")])
def test_durations_must_not_be_negative(build: Callable[[float], object], expected: str, value: float) -> None:
    with pytest.raises(UserError) as error:
        build(value)
    assert str(error.value) == expected.format(value)
