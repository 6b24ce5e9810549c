# SPDX-License-Identifier: Apache-2.0
"""Leg angles and rates: against motion that is known, against NumPy's fits, and on the simulated robot."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.estimation.legs import LegEstimate, LegFilter, LegSettings
from l2a_ros.robot.samples import CrankSample
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.sensors import Sensors
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.training.random_driving import RandomDriver

MS = 1_000_000
TURN = 2.0 * math.pi
NOW = 1_700_000_000_000_000_000
#: How a driver may say angles: as they are; in one turn from 0 or from -pi; with a counter of 16 bit, about to wrap.
WRAPS = ("none", "zero", "pi", "counter")


def said(angle: float, wrap: str) -> float:
    if wrap == "zero":
        return angle % TURN
    if wrap == "pi":
        return (angle + math.pi) % TURN - math.pi
    if wrap == "counter":
        return (angle + 65535.0 * TURN) % (65536.0 * TURN) - 32768.0 * TURN
    return angle


def sample(ms: float, left: float, right: float = 0.0, rates: tuple[float, float] = (0.0, 0.0)) -> CrankSample:
    return CrankSample(NOW + round(ms * MS), np.array([left, right]), np.array(rates))


def at(legs: LegFilter, ms: float) -> LegEstimate:
    estimate = legs.estimate(NOW + round(ms * MS))
    assert estimate is not None
    return estimate


def apart(a: float, b: float) -> float:
    """Return how far two angles are from each other, whole turns aside."""
    return abs((a - b + math.pi) % TURN - math.pi)


def turning(rate: float = 40.0, count: int = 10, period: float = 20.0) -> LegFilter:
    """Return a filter whose left leg turned at a constant rate until 0 ms, to an angle of 0; the right one stood."""
    legs = LegFilter()
    for i in range(-count + 1, 1):
        assert legs.add(sample(i * period, rate * i * period / 1000.0))
    return legs


# Angles and rates ----------------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(steps=st.lists(st.floats(1.0, 60.0), min_size=3, max_size=40), start=st.floats(-3.0, 6.0),
       rate=st.floats(-55.0, 55.0), wrap=st.sampled_from(WRAPS), later=st.floats(0.0, 50.0))
def test_constant_rate_is_exact_whatever_the_stamps_and_wraps(steps: list[float], start: float, rate: float, wrap: str,
                                                              later: float) -> None:
    legs, ms = LegFilter(), 0.0
    for step in [0.0, *steps]:
        ms += round(step, 6)
        angle = start + rate * ms / 1000.0
        assert legs.add(sample(ms, said(angle, wrap), said(-angle, wrap), (rate, -rate)))
    estimate = at(legs, ms + later)
    np.testing.assert_allclose(estimate.rates, [rate, -rate], rtol=1e-5, atol=1e-5)
    for angle, sign in zip(estimate.angles, (1.0, -1.0), strict=True):
        assert apart(angle, sign * (start + rate * (ms + later) / 1000.0)) < 1e-5
    assert legs.rejected == {"not finite": 0, "late": 0, "glitch": 0}


@pytest.mark.parametrize("wrap", WRAPS)
def test_angles_go_on_over_many_turns(wrap: str) -> None:
    legs = LegFilter()
    for i in range(200):
        legs.add(sample(20.0 * i, said(0.8 * i, wrap), said(-0.5 * i, wrap)))
        if i == 0:
            first = at(legs, 0.0).angles
    np.testing.assert_allclose(at(legs, 199 * 20.0).angles - first, [199 * 0.8, -199 * 0.5], atol=1e-6)


@settings(max_examples=40)
@given(steps=st.lists(st.floats(8.0, 30.0), min_size=4, max_size=20), window=st.floats(0.0, 0.2),
       noise=st.integers(0, 2**31))
def test_rate_is_the_slope_of_the_window(steps: list[float], window: float, noise: int) -> None:
    rng = np.random.default_rng(noise)
    legs = LegFilter(LegSettings(window=window))
    stamps = np.cumsum(np.round(steps, 6))
    angles = 0.03 * stamps + rng.uniform(-0.1, 0.1, len(stamps))
    for ms, angle in zip(stamps, angles, strict=True):
        legs.add(sample(ms, angle))
    chosen = stamps >= stamps[-1] - 1000.0 * window - 1e-7
    chosen[-2:] = True
    slope = np.polyfit(stamps[chosen] - stamps[-1], angles[chosen], 1)[0]
    assert at(legs, stamps[-1]).rates[0] == pytest.approx(1000.0 * slope, rel=1e-4, abs=1e-4)


def test_rate_is_late_by_half_of_the_time() -> None:
    legs = LegFilter()
    for i in range(-10, 1):
        ms = 20.0 * i
        legs.add(sample(ms, 30.0 * ms / 1000.0 + 50.0 * (ms / 1000.0) ** 2))
    # The rate is 30 + 100 t: that of 10 ms before.
    assert at(legs, 0.0).rates[0] == pytest.approx(29.0)


def test_readings_that_come_together_do_not_spoil_the_rate() -> None:
    """One millisecond apart by their stamps, and noise of the encoder between them."""
    legs = turning(40.0)
    legs.add(sample(19.0, 0.76))
    legs.add(sample(20.0, 0.80 + 0.002))
    assert at(legs, 20.0).rates[0] == pytest.approx(40.0, rel=0.01)
    # As much in no time at all.
    legs.add(sample(20.1, 0.80 + 0.04))
    assert at(legs, 20.1).angles[0] == pytest.approx(0.84)
    assert legs.rejected["glitch"] == 0


def test_prediction_ends() -> None:
    legs = turning(40.0)
    for ms, way in ((0.0, 0.0), (10.0, 0.4), (50.0, 2.0), (51.0, 2.0), (5000.0, 2.0), (-20.0, -0.8), (-5000.0, -2.0)):
        assert at(legs, ms).angles[0] == pytest.approx(way, abs=1e-6)
        assert at(legs, ms).rates[0] == pytest.approx(40.0)
        assert at(legs, ms).stamp == NOW


def test_first_sample_and_one_after_a_gap_have_the_rates_of_the_driver() -> None:
    legs = LegFilter()
    assert legs.estimate(NOW) is None
    legs.add(sample(0.0, 1.0, 2.0, (30.0, -5.0)))
    np.testing.assert_array_equal(at(legs, 0.0).rates, [30.0, -5.0])
    legs.add(sample(20.0, 1.4, 2.0, (99.0, 99.0)))
    np.testing.assert_allclose(at(legs, 20.0).rates, [20.0, 0.0], atol=1e-6)
    # Over 100 ms a rate is taken, over more it is not.
    legs.add(sample(120.0, 3.4, 2.0, (99.0, 99.0)))
    np.testing.assert_allclose(at(legs, 120.0).rates, [20.0, 0.0], atol=1e-6)
    legs.add(sample(221.0, 77.0, 2.0, (33.0, 44.0)))
    np.testing.assert_array_equal(at(legs, 221.0).rates, [33.0, 44.0])
    np.testing.assert_array_equal(at(legs, 221.0).angles, [77.0, 2.0])
    legs.reset()
    assert legs.estimate(NOW) is None
    assert legs.add(sample(0.0, 1.0, 5.0, (7.0, 8.0)))
    np.testing.assert_array_equal(at(legs, 0.0).angles, [1.0, 5.0])
    np.testing.assert_array_equal(at(legs, 0.0).rates, [7.0, 8.0])


# Glitches ------------------------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(rate=st.floats(-20.0, 60.0), size=st.floats(1.5, 1e5), sign=st.sampled_from([-1.0, 1.0]),
       period=st.sampled_from([5.0, 10.0, 20.0]))
def test_large_glitch_never_shows(rate: float, size: float, sign: float, period: float) -> None:
    # Of an encoder that counts on: in its first turn, what is a turn away may be the same angle.
    far = 50.0 * TURN
    legs = LegFilter()
    for i in range(-5, 1):
        legs.add(sample(i * period, far + rate * i * period / 1000.0))
    for i in range(1, 6):
        angle = far + rate * i * period / 1000.0
        legs.add(sample(i * period, angle + (sign * size if i == 2 else 0.0)))
        estimate = at(legs, i * period)
        assert estimate.angles[0] == pytest.approx(angle, abs=1e-6)
        assert estimate.rates[0] == pytest.approx(rate, abs=1e-5)
        assert estimate.stamp == NOW + round(period * (1 if i == 2 else i) * MS)
    assert legs.rejected["glitch"] == 1


@pytest.mark.parametrize("wrap", ["zero", "pi"])
@pytest.mark.parametrize("size", [1.6, 2.5, math.pi, 4.0])
@pytest.mark.parametrize("begin", np.linspace(0.0, TURN, 7))
def test_glitch_of_a_driver_that_wraps(wrap: str, size: float, begin: float) -> None:
    legs = LegFilter()
    for i in range(20):
        angle = begin + 0.8 * i
        legs.add(sample(20.0 * i, said(angle + (size if i in (6, 12) else 0.0), wrap)))
        assert apart(at(legs, 20.0 * i).angles[0], angle) < 1e-6
    assert legs.rejected["glitch"] == 2


def test_zero_is_a_glitch_even_where_a_turn_begins() -> None:
    """An encoder that counts on has been there, five turns ago."""
    legs = LegFilter()
    for i in range(100):
        angle = 0.4 * i
        legs.add(sample(20.0 * i, 0.0 if apart(angle, 0.0) < 0.19 and i > 20 else angle))
        assert at(legs, 20.0 * i).angles[0] == pytest.approx(angle)
    assert legs.rejected["glitch"] > 3


@pytest.mark.parametrize(("rate", "size"), [(20.0, -1.3), (20.0, -0.8), (20.0, 1.25), (0.0, 0.5), (0.0, -0.5),
                                            (10.0, -0.6)])
def test_small_glitch_is_left_out_of_the_next_rate(rate: float, size: float) -> None:
    """It shows at once: a leg could do that. The reading after it tells."""
    legs, way = turning(rate), 0.02 * rate
    legs.add(sample(20.0, way + size))
    assert at(legs, 20.0).angles[0] == pytest.approx(way + size)
    legs.add(sample(40.0, 2.0 * way))
    assert at(legs, 40.0).rates[0] == pytest.approx(rate, abs=1e-5)
    assert at(legs, 40.0).angles[0] == pytest.approx(2.0 * way, abs=1e-9)
    assert legs.rejected["glitch"] == 1


def test_leg_that_turns_back_a_little_is_believed() -> None:
    legs = turning(10.0)
    for ms, angle in ((20.0, 0.25), (40.0, 0.05), (60.0, 0.3), (80.0, 0.1)):
        legs.add(sample(ms, angle))
        assert at(legs, ms).angles[0] == angle
    assert at(legs, 80.0).rates[0] == pytest.approx(-10.0)
    assert legs.rejected["glitch"] == 0


def test_one_leg_does_not_wait_for_the_other() -> None:
    legs = LegFilter()
    for i in range(10):
        legs.add(sample(20.0 * i, 0.8 * i + (500.0 if i == 7 else 0.0), 0.5 * i))
        estimate = at(legs, 20.0 * i)
        np.testing.assert_allclose(estimate.angles, [0.8 * i, 0.5 * i], atol=1e-6)
        assert estimate.stamp == NOW + 20 * (6 if i == 7 else i) * MS


def test_jump_that_stays_is_believed_the_second_time() -> None:
    """A robot that began anew, an encoder that was stuck."""
    legs = turning(40.0)
    legs.add(sample(20.0, -300.0))
    assert at(legs, 20.0).angles[0] == pytest.approx(0.8)
    legs.add(sample(40.0, -299.2))
    assert at(legs, 40.0).angles[0] == pytest.approx(-299.2)
    assert at(legs, 40.0).rates[0] == pytest.approx(40.0)
    assert legs.rejected["glitch"] == 0


@pytest.mark.parametrize("wrap", ["zero", "pi"])
def test_jump_of_a_driver_that_wraps(wrap: str) -> None:
    """The second reading is a turn away from the first, by its numbers."""
    for begin in np.linspace(0.0, TURN, 9):
        legs = LegFilter()
        for i in range(20):
            angle = begin + 0.8 * i + (3.0 if i > 9 else 0.0)
            legs.add(sample(20.0 * i, said(angle, wrap)))
            estimate = at(legs, 20.0 * i)
            assert apart(estimate.angles[0], angle) < 1e-6 or i == 10
            assert estimate.rates[0] == pytest.approx(40.0, abs=1e-5) or not i
        assert legs.rejected["glitch"] == 0


def test_bad_first_reading() -> None:
    legs = LegFilter()
    for i in range(-3, 4):
        legs.add(sample(20.0 * i, 0.4 * i if i > -3 else 222.0, 0.0, (20.0, 0.0)))
    assert at(legs, 60.0).angles[0] == pytest.approx(1.2)
    assert at(legs, 60.0).rates[0] == pytest.approx(20.0)


def test_garbage_is_never_believed() -> None:
    legs = turning(40.0)
    rng = np.random.default_rng(0)
    # Each reading somewhere else, for less than it takes to begin anew.
    for i in range(1, 6):
        legs.add(sample(18.0 * i, 1000.0 * i * rng.choice([-1.0, 1.0])))
        assert at(legs, 0.0).angles[0] == pytest.approx(0.0, abs=1e-9)
        assert at(legs, 0.0).stamp == NOW
    legs.add(sample(100.0, 4.0))
    assert at(legs, 100.0).angles[0] == pytest.approx(4.0)
    assert legs.rejected["glitch"] == 5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_samples_that_are_refused_change_nothing(bad: float) -> None:
    legs, untouched = turning(40.0), turning(40.0)
    assert legs.add(sample(20.0, bad)) is False
    assert legs.add(sample(20.0, 0.8, bad)) is False
    assert legs.add(sample(20.0, 0.8, 0.0, (bad, 0.0))) is False
    assert legs.rejected == {"not finite": 3, "late": 0, "glitch": 0}
    for ms in (0.0, -0.001, -20.0):
        assert legs.add(sample(ms, 5.0)) is False
    assert legs.rejected == {"not finite": 3, "late": 3, "glitch": 0}
    for ms in (20.0, 40.0):
        assert legs.add(sample(ms, 0.04 * ms)) and untouched.add(sample(ms, 0.04 * ms))
        np.testing.assert_array_equal(at(legs, ms).angles, at(untouched, ms).angles)
        np.testing.assert_array_equal(at(legs, ms).rates, at(untouched, ms).rates)


def test_settings_have_ranges() -> None:
    with pytest.raises(UserError, match="window must be from 0 to 1, not 2"):
        LegSettings(window=2.0)


# The simulated robot -------------------------------------------------------------------------------------------------


@cache
def walked(fault: str, seconds: int = 6) -> list[tuple[CrankSample, np.ndarray]]:
    """Return what the encoders said, and the true rates at those moments."""
    robot = Millirobot(load_terrain("carpet"), 5, [parse_fault(fault)] if fault else [])
    sensors, driver = Sensors(robot, 5), RandomDriver(5)
    samples = []
    for i in range(1, 1000 * seconds + 1):
        if i % 100 == 1:
            command = driver().tolist()
        robot.step(command)
        samples += [(each, robot.crank_rates.copy()) for each in sensors.sample(i, i * MS)
                    if isinstance(each, CrankSample)]
    return samples


@pytest.mark.parametrize("wrap", WRAPS)
def test_good_readings_of_a_walk_all_count_at_once(wrap: str) -> None:
    legs, errors, truths = LegFilter(), [], []
    for said_by_it, true in walked(""):
        angles = np.array([said(angle, wrap) for angle in said_by_it.angles.tolist()])
        assert legs.add(CrankSample(said_by_it.stamp, angles, said_by_it.rates))
        estimate = legs.estimate(said_by_it.stamp)
        assert estimate is not None and estimate.stamp == said_by_it.stamp
        assert max(map(apart, estimate.angles, said_by_it.angles)) < 1e-6
        errors.append(estimate.rates - true)
        truths.append(true)
    assert legs.rejected["glitch"] == 0
    assert np.std(errors) < 0.7 * np.std(truths)


@pytest.mark.parametrize("fault", ["stuck_encoder:left@2.0", "encoder_slip:right,0.3@2.0"])
def test_faulty_encoder_comes_through(fault: str) -> None:
    """One that is stuck jumps when it begins, if at all: that is a reading late."""
    legs, late = LegFilter(), 0
    for each, _ in walked(fault):
        legs.add(each)
        estimate = legs.estimate(each.stamp)
        assert estimate is not None
        if estimate.stamp == each.stamp:
            np.testing.assert_allclose(estimate.angles, each.angles, atol=1e-9)
        else:
            late += 1
    assert late <= 1 and legs.rejected["glitch"] == 0


def test_glitches_of_a_walk_hardly_show() -> None:
    rng = np.random.default_rng(3)
    legs, shown, injected = LegFilter(), 0, 0
    for each, _ in walked(""):
        angles = each.angles.copy()
        if rng.random() < 0.03:
            angles[0] += rng.choice([-1.0, 1.0]) * rng.uniform(2.5, 300.0)
            injected += 1
        legs.add(CrankSample(each.stamp, angles, each.rates))
        estimate = legs.estimate(each.stamp)
        assert estimate is not None
        # While a reading is held back the angle is predicted.
        shown += apart(estimate.angles[0], each.angles[0]) > 1.3
        assert abs(estimate.rates[0]) < 100.0
    assert injected > 4 and shown == 0
    assert injected - 1 <= legs.rejected["glitch"] <= injected
