# SPDX-License-Identifier: Apache-2.0
"""The named state: every element where its name says, absent with a reason when a source is not there."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from estimation.robot_motion import BEGIN, IDEAL, MS, SECOND, Sensing, moment, record
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from l2a_ros.errors import UserError
from l2a_ros.estimation.settings import FilterSettings, SourceSettings
from l2a_ros.estimation.state_estimator import SOURCES, StateEstimator
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample, TelemetrySample

LEG_RATES = np.array([20.0, 30.0])
KINDS = list(SOURCES)
END = BEGIN + SECOND


def walk(seconds: float = 1.0, leave_out: type | None = None, sensing: Sensing | None = None) -> list[Sample]:
    """Return what all sensors say, in the order of stamps."""
    samples: list[Sample] = [*record(seconds, sensing or Sensing(4))]
    for ms in range(0, round(1000 * seconds) + 1, 20):
        stamp = BEGIN + ms * MS
        samples += [CrankSample(stamp, LEG_RATES * ms / 1000.0, LEG_RATES),
                    TelemetrySample(stamp, np.array([0.5, 0.6]), np.array([0.2, 0.3])), BatterySample(stamp, 3.9)]
    return sorted((each for each in samples if type(each) is not leave_out), key=lambda each: each.stamp)


def fed(samples: list[Sample], **sources: Any) -> StateEstimator:
    estimator = StateEstimator(0.1, SourceSettings(**sources), IDEAL)
    for sample in samples:
        estimator.add(sample)
    return estimator


def named(estimator: StateEstimator, stamp: int = END) -> dict[str, float]:
    estimate = estimator.estimate(stamp)
    assert estimate.state is not None, estimate.status
    assert estimate.stamp == stamp
    return STATE.named(estimate.state)


def test_every_element_is_where_its_name_says() -> None:
    values, true = named(fed(walk())), moment(END)
    yaw, pitch, roll = true.attitude.as_euler("ZYX")
    mean = (true.position - moment(END - 100 * MS).position) / 0.1
    expected = {f"{name}_{part.__name__[:3]}": part(angle) for part in (math.cos, math.sin)
                for name, angle in (("roll", roll), ("pitch", pitch), ("yaw", yaw))}
    for i, axis in enumerate("xyz"):
        expected |= {f"position_{axis}": true.position[i], f"velocity_{axis}": mean[i],
                     f"angular_velocity_{axis}": true.rate[i]}
    for i, side in enumerate(("left", "right")):
        expected |= {f"{side}_leg_cos": math.cos(LEG_RATES[i]), f"{side}_leg_sin": math.sin(LEG_RATES[i]),
                     f"{side}_leg_velocity": LEG_RATES[i], f"{side}_back_emf": (0.5, 0.6)[i]}
    expected["battery_voltage"] = 3.9
    assert set(expected) == set(STATE.names)
    assert values == pytest.approx(expected, abs=0.01)


def test_velocity_may_be_momentary() -> None:
    values = named(fed(walk(), state_velocity="momentary"))
    np.testing.assert_allclose([values[f"velocity_{axis}"] for axis in "xyz"], moment(END).velocity, atol=0.01)
    with pytest.raises(UserError, match="state_velocity must be one of mean, momentary, not 'fast'"):
        SourceSettings(state_velocity="fast")


def test_velocity_of_a_robot_that_was_put_elsewhere_is_not_the_way_there() -> None:
    estimator = fed(walk())
    estimator.set_pose(END, np.array([2.0, 1.0, 0.04]), Rotation.identity().as_quat())
    for sample in walk(1.4):
        if sample.stamp > END:
            moved = isinstance(sample, PoseSample)
            estimator.add(replace(sample, position=sample.position + [1.7, 1.0, 0.0]) if moved else sample)
    values = named(estimator, END + 400 * MS)
    assert math.hypot(values["velocity_x"], values["velocity_y"]) < 0.6


def test_velocity_is_not_taken_across_a_jump_that_is_believed() -> None:
    """A marker is pushed: the poses go on 3 cm beside, and are believed after a moment."""
    estimator, seen = StateEstimator(0.1, None, IDEAL), 0
    for sample in walk(1.2):
        pushed = isinstance(sample, PoseSample) and sample.stamp > END - 400 * MS
        estimator.add(replace(sample, position=sample.position + [0.0, 0.03, 0.0]) if pushed else sample)
        if isinstance(sample, PoseSample) and sample.stamp > END - 300 * MS:
            sway = named(estimator, sample.stamp)["velocity_y"]
            assert sway == pytest.approx(moment(sample.stamp).velocity[1], abs=0.1), "3 cm in 0.1 s are 0.3 m/s"
            seen += 1
    assert seen == 50 and estimator.report()["times reacquired"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_source_that_never_spoke_is_named(kind: type) -> None:
    estimate = fed(walk(leave_out=kind)).estimate(END)
    assert estimate.state is None
    assert estimate.status == f"no {SOURCES[kind]} yet"


@pytest.mark.parametrize("kind", KINDS)
def test_source_that_falls_silent_ends_the_states_and_is_named(kind: type) -> None:
    limits = {PoseSample: 0.35, ImuSample: 0.15, CrankSample: 0.15, TelemetrySample: 0.3, BatterySample: 3.0}
    samples = walk(4.5)
    silent = BEGIN + round(1.0 * SECOND)
    estimator = StateEstimator(0.1, None, IDEAL)
    last_live, status = 0, ""
    times = iter(range(BEGIN + 500 * MS, BEGIN + 4500 * MS, 10 * MS))
    now = next(times)
    for sample in samples:
        while sample.stamp > now:
            estimate = estimator.estimate(now)
            if estimate.state is not None:
                last_live = now
            else:
                status = status or estimate.status
            now = next(times, 2**62)
        if type(sample) is not kind or sample.stamp <= silent:
            estimator.add(sample)
    assert (last_live - silent) / SECOND == pytest.approx(limits[kind], abs=0.03)
    assert f"{SOURCES[kind]} is 0." in status or f"{SOURCES[kind]} is 3." in status
    assert estimator.ages(BEGIN + 4500 * MS)[SOURCES[kind]] == pytest.approx(3.5, abs=0.02)


def test_without_inertial_unit_if_that_is_allowed() -> None:
    estimator = fed(walk(leave_out=ImuSample), imu_required=False)
    estimate = estimator.estimate(END)
    assert estimate.state is not None
    assert "no imu/data_raw" in estimate.status
    assert named(estimator)["angular_velocity_x"] == pytest.approx(moment(END).rate[0], abs=0.5)


def test_coasting_is_said_while_there_is_a_state() -> None:
    estimator = fed([each for each in walk() if not isinstance(each, PoseSample) or each.stamp < END - 200 * MS])
    estimate = estimator.estimate(END)
    assert estimate.state is not None
    assert estimate.status == "coasting: mocap/pose is 0.21 s old"


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_are_not_finite_change_nothing(kind: type, value: float) -> None:
    samples = walk()
    estimator, untouched = fed(samples), fed(samples)
    good = next(each for each in samples if type(each) is kind)
    for field in fields(good):
        if field.name == "stamp":
            continue
        spoiled = np.array(getattr(good, field.name), dtype=float)
        spoiled.reshape(-1)[-1] = value
        estimator.add(replace(good, stamp=END + MS, **{field.name: spoiled if spoiled.shape else float(value)}))
    assert named(estimator, END + 2 * MS) == named(untouched, END + 2 * MS)


def test_stamp_of_another_clock_does_not_poison_a_source() -> None:
    estimator = fed(walk())
    estimator.add(BatterySample(END + 3600 * SECOND, 3.9))
    estimate = estimator.estimate(END)
    assert estimate.state is None and "battery_state was stamped 3600.00 s ahead" in estimate.status
    estimator.add(BatterySample(END, 3.8))
    assert named(estimator)["battery_voltage"] == pytest.approx(3.8, abs=0.1)


@settings(max_examples=10)
@given(st.integers(0, 2**31))
def test_order_between_sources_does_not_matter(seed: int) -> None:
    """Within a tick each source in its own order, interleaved at random as over DDS: bit for bit the same state."""
    rng = np.random.default_rng(seed)
    samples = walk(0.6)
    shuffled: list[Sample] = []
    for tick in range(7):
        queues = [[each for each in samples if type(each) is kind and (each.stamp - BEGIN) // (100 * MS) == tick]
                  for kind in KINDS]
        while any(queues):
            queue = queues[int(rng.integers(len(queues)))]
            shuffled += queue[:1]
            del queue[:1]
    assert len(shuffled) == len(samples)
    stamp = BEGIN + 600 * MS
    assert named(fed(shuffled), stamp) == named(fed(samples), stamp)


def test_reset_forgets_everything() -> None:
    estimator = fed(walk())
    estimator.reset()
    assert estimator.estimate(END).status == "no mocap/pose yet"
    assert all(math.isinf(age) for age in estimator.ages(END).values())


def test_descriptions_teach() -> None:
    for kind in (FilterSettings, SourceSettings):
        for each in fields(kind):
            assert len(each.metadata["description"]) > 30, each.name
            if isinstance(getattr(kind(), each.name), float):
                assert each.metadata["minimum"] <= getattr(kind(), each.name) <= each.metadata["maximum"]
