# SPDX-License-Identifier: Apache-2.0
"""The state from sensor samples: right when they are, absent with a reason when they are not."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from l2a_ros.estimation.state_assembler import MaximumAges, StateAssembler
from l2a_ros.robot.layout import STATE
from l2a_ros.robot.samples import BatterySample, CrankSample, ImuSample, PoseSample, Sample, TelemetrySample

MS = 1_000_000
NOW = 10_000 * MS
NAMES = {PoseSample: "mocap/pose", ImuSample: "imu/data_raw", CrankSample: "joint_states",
         TelemetrySample: "motor_telemetry", BatterySample: "battery_state"}
KINDS = list(NAMES)


def pose(stamp: int, position: Any = (0.0, 0.0, 0.02), angles: Any = (0.0, 0.0, 0.0)) -> PoseSample:
    """A pose of roll, pitch, yaw."""
    roll, pitch, yaw = angles
    return PoseSample(stamp, np.array(position, dtype=float),
                      Rotation.from_euler("ZYX", [yaw, pitch, roll]).as_quat())


def sample(kind: type, stamp: int) -> Sample:
    if kind is PoseSample:
        return pose(stamp)
    if kind is ImuSample:
        return ImuSample(stamp, np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.0, 9.81]))
    if kind is CrankSample:
        return CrankSample(stamp, np.array([7.0, -2.0]), np.array([30.0, 40.0]))
    if kind is TelemetrySample:
        return TelemetrySample(stamp, np.array([0.5, 0.6]), np.array([0.2, 0.3]))
    return BatterySample(stamp, 3.9)


def fresh(stamp: int = NOW, leave_out: type | None = None) -> StateAssembler:
    """An assembler that has heard everything: two poses one period apart, and the rest just now."""
    assembler = StateAssembler(0.1)
    assembler.add(pose(stamp - 100 * MS))
    for kind in KINDS:
        if kind is not leave_out:
            assembler.add(sample(kind, stamp))
    return assembler


def values(assembler: StateAssembler, stamp: int = NOW) -> dict[str, float]:
    estimate = assembler.estimate(stamp)
    assert estimate.state is not None, estimate.status
    assert estimate.status == "ok"
    assert estimate.stamp == stamp
    return STATE.named(estimate.state)


# The numbers ---------------------------------------------------------------------------------------------------------


def test_every_element_is_where_its_name_says() -> None:
    assembler = StateAssembler(0.1)
    roll, pitch, yaw = 0.3, -0.2, 2.5
    assembler.add(pose(NOW - 100 * MS, (1.0, 2.0, 0.020)))
    assembler.add(pose(NOW, (1.02, 1.97, 0.021), (roll, pitch, yaw)))
    assembler.add(ImuSample(NOW, np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 9.0])))
    assembler.add(CrankSample(NOW, np.array([100.0, -4.0]), np.array([31.0, 42.0])))
    assembler.add(TelemetrySample(NOW, np.array([0.51, 0.62]), np.array([0.2, 0.3])))
    assembler.add(BatterySample(NOW, 3.87))
    expected = {
        "position_x": 1.02, "position_y": 1.97, "position_z": 0.021,
        "velocity_x": 0.2, "velocity_y": -0.3, "velocity_z": 0.01,
        "angular_velocity_x": 0.1, "angular_velocity_y": 0.2, "angular_velocity_z": 0.3,
        "left_leg_velocity": 31.0, "right_leg_velocity": 42.0, "left_back_emf": 0.51, "right_back_emf": 0.62,
        "battery_voltage": 3.87}
    for name, angle in (("roll", roll), ("pitch", pitch), ("yaw", yaw), ("left_leg", 100.0), ("right_leg", -4.0)):
        expected |= {f"{name}_cos": math.cos(angle), f"{name}_sin": math.sin(angle)}
    assert set(expected) == set(STATE.names)
    found = values(assembler)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


@settings(deadline=None, max_examples=60)
@given(st.floats(-3.1, 3.1), st.floats(-1.5, 1.5), st.floats(-3.1, 3.1), st.booleans())
def test_attitude_is_roll_pitch_yaw_of_rep_103(roll: float, pitch: float, yaw: float, negate: bool) -> None:
    """Against matrices written out: turn about x, y, then z of map; a quaternion and its negative are one."""
    assembler, measured = fresh(), pose(NOW + MS, angles=(roll, pitch, yaw))
    if negate:
        measured = dataclasses.replace(measured, quaternion=-measured.quaternion)
    assembler.add(measured)
    found = values(assembler)

    def turn(axis: int, name: str) -> np.ndarray:
        cosine, sine, matrix = found[f"{name}_cos"], found[f"{name}_sin"], np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        matrix[i, i] = matrix[j, j] = cosine
        matrix[i, j], matrix[j, i] = -sine, sine
        return matrix

    np.testing.assert_allclose(turn(2, "yaw") @ turn(1, "pitch") @ turn(0, "roll"),
                               Rotation.from_quat(measured.quaternion).as_matrix(), atol=1e-9)


# Velocity ------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=30, max_size=60), st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3),
       st.floats(-0.0005, 0.0005))
def test_velocity_is_by_stamps(gaps: list[int], speed: list[float], wobble: float) -> None:
    """Poses at any moments: the difference over the span that just covers a control period, over its own time."""
    assembler, stamp = StateAssembler(0.1), NOW
    rng = np.random.default_rng(len(gaps))
    track: list[tuple[int, np.ndarray]] = []
    for gap in gaps:
        stamp += gap * MS
        position = np.array(speed) * (stamp - NOW) / 1e9 + wobble * rng.normal(size=3)
        track.append((stamp, position))
        assert assembler.add(pose(stamp, position))
    covering = [i for i, (at, _) in enumerate(track) if at <= stamp - 100 * MS]
    first = track[covering[-1] if covering else 0]
    expected = (track[-1][1] - first[1]) / ((stamp - first[0]) / 1e9)
    velocity = assembler.velocity()
    assert velocity is not None
    np.testing.assert_allclose(velocity, expected, atol=1e-9)
    if covering:
        assert 0.1 <= (stamp - first[0]) / 1e9 < 0.13, "one control period, and no more than a pose longer"


def test_velocity_needs_two_poses() -> None:
    assembler = StateAssembler(0.1)
    assert assembler.velocity() is None
    assembler.add(pose(NOW))
    assert assembler.velocity() is None
    for kind in KINDS[1:]:
        assembler.add(sample(kind, NOW))
    estimate = assembler.estimate(NOW)
    assert estimate.state is None
    assert estimate.status == "too few mocap/pose samples for a velocity"


def test_no_velocity_across_a_long_drop_out() -> None:
    assembler = fresh()
    late = NOW + 1000 * MS
    for kind in KINDS:
        assembler.add(sample(kind, late))
    assert assembler.velocity() is None
    assert "too few mocap/pose" in assembler.estimate(late).status
    for ms in range(10, 121, 10):
        assembler.add(pose(late + ms * MS, (0.001 * ms, 0.0, 0.02)))
    velocity = assembler.velocity()
    assert velocity is not None
    assert velocity[0] == pytest.approx(1.0)


def test_newest_pose() -> None:
    assembler = StateAssembler(0.1)
    assert assembler.newest_pose() is None
    assembler.add(pose(NOW))
    assembler.add(pose(NOW + MS))
    newest = assembler.newest_pose()
    assert newest is not None
    assert newest.stamp == NOW + MS


# Missing and stale sources -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: NAMES[kind])
def test_missing_source_is_named(kind: type) -> None:
    assembler = StateAssembler(0.1)
    for other in KINDS:
        if other is not kind:
            assembler.add(sample(other, NOW - 100 * MS))
            assembler.add(sample(other, NOW))
    estimate = assembler.estimate(NOW)
    assert estimate.state is None
    assert estimate.status == f"no {NAMES[kind]} yet"
    assert assembler.ages(NOW)[NAMES[kind]] == math.inf


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: NAMES[kind])
def test_stale_source_is_named_with_its_age(kind: type) -> None:
    limit = MaximumAges().of(kind)
    for age, is_lost in ((limit, False), (limit + 1, True), (limit + 5_000 * MS, True)):
        assembler = fresh(leave_out=kind)
        # The others go on, this one spoke last a while ago.
        if kind is PoseSample:
            assembler.reset()
            for other in KINDS[1:]:
                assembler.add(sample(other, NOW))
            assembler.add(pose(NOW - age - 50 * MS))
        assembler.add(sample(kind, NOW - age))
        estimate = assembler.estimate(NOW)
        assert (estimate.state is None) is is_lost
        if is_lost:
            assert estimate.status == f"{NAMES[kind]} is {age / 1e9:.2f} s old"
        assert assembler.ages(NOW)[NAMES[kind]] == pytest.approx(age / 1e9)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: NAMES[kind])
def test_source_with_a_clock_that_is_ahead_is_named_and_may_come_back(kind: type) -> None:
    """Else its one sample would never grow old, and the robot would drive on a state that is frozen."""
    assembler = fresh()
    ahead = NOW + MaximumAges().of(kind)
    assembler.add(sample(kind, ahead))
    assert assembler.estimate(NOW).state is not None
    assembler.add(sample(kind, ahead + 3600_000 * MS))
    estimate = assembler.estimate(NOW)
    assert estimate.state is None
    assert estimate.status.startswith(f"{NAMES[kind]} was stamped 360")
    assert estimate.status.endswith(" s ahead of the clock")
    assert assembler.rejected[NAMES[kind]] == 1
    for stamp in (NOW + MS, NOW + 101 * MS):
        for other in KINDS:
            assembler.add(sample(other, stamp))
    assert assembler.estimate(NOW + 101 * MS).state is not None


def test_own_limits_hold() -> None:
    ages = MaximumAges(pose=1.0, imu=1.0, cranks=1.0, telemetry=1.0, battery=0.05)
    assembler = StateAssembler(0.1, ages)
    assembler.add(pose(NOW - 500 * MS))
    assembler.add(pose(NOW - 400 * MS))
    for kind in KINDS[1:-1]:
        assembler.add(sample(kind, NOW - 900 * MS))
    assembler.add(sample(BatterySample, NOW - 40 * MS))
    assert assembler.estimate(NOW).state is not None
    assert assembler.estimate(NOW + 20 * MS).status == "battery_state is 0.06 s old"


def test_source_that_comes_back_gives_a_state_again() -> None:
    assembler = fresh()
    later = NOW + 1000 * MS
    assert assembler.estimate(later).state is None
    assembler.add(pose(later - 100 * MS))
    for kind in KINDS:
        assembler.add(sample(kind, later))
    assert assembler.estimate(later).state is not None


def test_reset_forgets_all_samples() -> None:
    assembler = fresh()
    assembler.reset()
    assert assembler.estimate(NOW).status == "no mocap/pose yet"
    assert assembler.newest_pose() is None
    # Time may start again.
    assembler.add(pose(0))
    assembler.add(pose(100 * MS))
    for kind in KINDS[1:]:
        assert assembler.add(sample(kind, 100 * MS))
    assert assembler.estimate(100 * MS).state is not None


# Samples that are refused --------------------------------------------------------------------------------------------


def _spoiled() -> list[tuple[str, Sample]]:
    bad = []
    for kind in KINDS:
        good = sample(kind, NOW + MS)
        for field in dataclasses.fields(good):
            if field.name == "stamp":
                continue
            for value in (math.nan, math.inf, -math.inf):
                if kind is BatterySample:
                    bad.append((f"{NAMES[kind]}.{field.name}={value}", dataclasses.replace(good, voltage=value)))
                    continue
                array = getattr(good, field.name).copy()
                array[-1] = value
                bad.append((f"{NAMES[kind]}.{field.name}={value}", dataclasses.replace(good, **{field.name: array})))
    for factor in (0.0, 0.9, 1.1, 100.0):
        good_pose = pose(NOW + MS)
        bad.append((f"quaternion of length {factor}",
                    dataclasses.replace(good_pose, quaternion=good_pose.quaternion * factor)))
    return bad


@pytest.mark.parametrize("bad", [each for _, each in _spoiled()], ids=[name for name, _ in _spoiled()])
def test_numbers_that_are_not_finite_or_no_attitude_are_rejected(bad: Sample) -> None:
    assembler, untouched = fresh(), fresh()
    assert assembler.add(bad) is False
    assert assembler.rejected == {name: int(name == NAMES[type(bad)]) for name in NAMES.values()}
    assert values(assembler) == values(untouched)
    assert assembler.ages(NOW) == untouched.ages(NOW)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: NAMES[kind])
@pytest.mark.parametrize("earlier", [0, 1, 5 * MS])
def test_duplicates_and_late_samples_are_rejected(kind: type, earlier: int) -> None:
    assembler, untouched = fresh(), fresh()
    again = sample(kind, NOW - earlier)
    if kind is PoseSample:
        again = pose(NOW - earlier, (5.0, 5.0, 5.0))
    assert assembler.add(again) is False
    assert assembler.rejected[NAMES[kind]] == 1
    assert values(assembler) == values(untouched)


def test_good_samples_are_not_counted_as_rejected() -> None:
    assert not any(fresh().rejected.values())


# Order ---------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.permutations(range(5)), st.integers(0, 2**31), st.integers(1, 5))
def test_order_of_arrival_within_a_tick_does_not_matter(order: list[int], seed: int, ticks: int) -> None:
    """Between sources any order, within one its own: the same state."""
    rng = np.random.default_rng(seed)
    queues: list[list[Sample]] = [[] for _ in KINDS]
    for i in range(10 * ticks + 1):
        stamp = NOW + i * 10 * MS
        queues[0].append(pose(stamp, rng.uniform(0.0, 0.02, 3), rng.uniform(-1, 1, 3)))
        queues[1].append(ImuSample(stamp, rng.normal(size=3), rng.normal(size=3)))
        queues[2].append(CrankSample(stamp, rng.normal(size=2), rng.normal(size=2)))
        queues[3].append(TelemetrySample(stamp, rng.normal(size=2), rng.normal(size=2)))
        queues[4].append(BatterySample(stamp, float(rng.uniform(3, 4))))
    end = NOW + 100 * ticks * MS
    straight, shuffled, random = StateAssembler(0.1), StateAssembler(0.1), StateAssembler(0.1)
    for queue in queues:
        for each in queue:
            assert straight.add(each)
    for each in (each for row in zip(*(queues[i] for i in order), strict=True) for each in row):
        assert shuffled.add(each)
    left = [list(queue) for queue in queues]
    while any(left):
        queue = left[int(rng.integers(len(left)))]
        if queue:
            assert random.add(queue.pop(0))
    assert values(straight, end) == values(shuffled, end) == values(random, end)


def test_asking_twice_gives_the_same() -> None:
    assembler = fresh()
    assert values(assembler) == values(assembler)


@pytest.mark.parametrize("period", [0.02, 0.05, 0.2])
def test_velocity_is_over_the_control_period(period: float) -> None:
    assembler = StateAssembler(period)
    for ms in range(0, 501, 5):
        assembler.add(pose(NOW + ms * MS, ((ms / 1000.0) ** 2, 0.0, 0.02)))
    velocity = assembler.velocity()
    assert velocity is not None
    # The mean speed of a parabola over a span is that of its middle.
    assert velocity[0] == pytest.approx(2.0 * (0.5 - period / 2.0))


# Poses that the robot cannot have reached ----------------------------------------------------------------------------


def _standing(until_ms: int, first_ms: int = 10) -> StateAssembler:
    assembler = fresh()
    for ms in range(first_ms, until_ms + 1, 10):
        assert assembler.add(pose(NOW + ms * MS))
    return assembler


@pytest.mark.parametrize("count", [1, 3])
def test_outliers_are_dropped_and_leave_no_trace(count: int) -> None:
    assembler, untouched = _standing(100), _standing(100)
    for i in range(count):
        # Each one somewhere else.
        assert assembler.add(pose(NOW + (110 + 10 * i) * MS, (0.3 * (-1) ** i, 0.2 * i, 0.02))) is False
    after = NOW + (120 + 10 * count) * MS
    assert assembler.add(pose(after)) and untouched.add(pose(after))
    for each in (assembler, untouched):
        for kind in KINDS[1:]:
            each.add(sample(kind, after))
    assert values(assembler, after) == values(untouched, after)
    assert assembler.rejected["mocap/pose"] == count
    assert assembler.pose_jumps == 0


def test_robot_that_was_moved_is_believed_at_the_second_pose_and_has_no_velocity_across() -> None:
    assembler = _standing(100)
    place = (-0.4, 0.0, 0.02)
    assert assembler.add(pose(NOW + 110 * MS, place)) is False
    assert assembler.add(pose(NOW + 120 * MS, place)) is True
    assert assembler.pose_jumps == 1
    newest, velocity = assembler.newest_pose(), assembler.velocity()
    assert newest is not None and velocity is not None
    np.testing.assert_array_equal(newest.position, place)
    np.testing.assert_array_equal(velocity, 0.0)


def test_fast_robot_and_one_that_comes_back_after_a_while_do_not_jump() -> None:
    assembler = fresh()
    for ms in range(10, 200, 10):
        assert assembler.add(pose(NOW + ms * MS, (0.0029 * ms, 0.0, 0.02)))
    assert assembler.add(pose(NOW + 1190 * MS, (2.0, 1.0, 0.02)))
    assert assembler.pose_jumps == 0
