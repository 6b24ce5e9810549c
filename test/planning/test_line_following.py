# SPDX-License-Identifier: Apache-2.0
"""The cost of following a line, against a slow scalar version written from the published description."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.planning.line_following import LineFollowingCost, LineFollowingWeights
from l2a_ros.planning.line_path import LinePath
from l2a_ros.trials.paths import load_path

Point = tuple[float, float]


def to_segment(p: Point, a: Point, b: Point) -> tuple[float, float]:
    """Distance to a finite segment, and the unclamped fraction along it."""
    length_squared = (b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2
    fraction = ((p[0] - a[0]) * (b[0] - a[0]) + (p[1] - a[1]) * (b[1] - a[1])) / length_squared
    clamped = min(1.0, max(0.0, fraction))
    return math.dist(p, (a[0] + clamped * (b[0] - a[0]), a[1] + clamped * (b[1] - a[1]))), fraction


def slow_cost(points: list[Point], start: Point, states: list[tuple[float, float, float]],
              weights: LineFollowingWeights) -> float:
    segment, total = 0, 0.0

    def switched(p: Point, segment: int) -> int:
        if segment + 2 < len(points):
            now, fraction = to_segment(p, points[segment], points[segment + 1])
            following, _ = to_segment(p, points[segment + 1], points[segment + 2])
            # Beyond the corner a tie goes to the next segment.
            if following**2 < now**2 + (1e-9 if fraction >= 1.0 else -1e-9):
                return segment + 1
        return segment

    segment = switched(start, 0)
    previous = to_segment(start, points[segment], points[segment + 1])[1]
    for x, y, yaw in states:
        new = switched((x, y), segment)
        distance, fraction = to_segment((x, y), points[new], points[new + 1])
        heading = math.atan2(points[new + 1][1] - points[new][1], points[new + 1][0] - points[new][0])
        total += weights.lateral * distance + weights.heading * abs(math.remainder(yaw - heading, 2 * math.pi))
        if new == segment:
            total += weights.progress * (previous - fraction)
        segment, previous = new, fraction
    return total


@settings(max_examples=60)
@given(st.sampled_from(["straight", "left", "right", "zigzag", "figure8"]), st.integers(0, 2**31), st.integers(1, 12),
       st.floats(0.0, 100.0), st.floats(0.0, 20.0), st.floats(0.0, 20.0))
def test_batch_equals_the_slow_scalar_version(
        name: str, seed: int, horizon: int, lateral: float, progress: float, heading: float) -> None:
    shape = load_path(name)
    weights = LineFollowingWeights(lateral, progress, heading)
    cost = LineFollowingCost(LinePath(shape), weights)
    random = np.random.default_rng(seed)
    positions = np.cumsum(random.normal(0.05, 0.25, (7, horizon, 2)), axis=1)
    yaws = random.uniform(-10.0, 10.0, (7, horizon))
    start = random.normal(0.0, 0.1, 2)
    ours = cost.trajectory_cost(positions, yaws, cost.start(start[None]))
    for i in range(7):
        states = [(float(x), float(y), float(yaw)) for (x, y), yaw in zip(positions[i], yaws[i], strict=True)]
        theirs = slow_cost([tuple(p) for p in shape.tolist()], tuple(start.tolist()), states, weights)
        assert ours[i] == pytest.approx(theirs, rel=1e-9, abs=1e-9)


def test_known_numbers_on_the_straight_path() -> None:
    cost = LineFollowingCost(LinePath(load_path("straight")))
    start = cost.start(np.array([[0.2, 0.0]]))
    value, seen = cost.step(np.array([[0.5, 0.02]]), np.array([0.1]), start)
    assert value[0] == pytest.approx(50 * 0.02 - 10 * 0.3 + 5 * 0.1)
    value, seen = cost.step(np.array([[1.1, -0.02]]), np.array([-0.1]), seen)
    assert seen.segment[0] == 1
    assert value[0] == pytest.approx(50 * 0.02 + 5 * 0.1), "no progress is counted in the step that switches"


def test_one_start_serves_all_trajectories_and_each_may_have_its_own() -> None:
    cost = LineFollowingCost(LinePath(load_path("left")))
    random = np.random.default_rng(0)
    positions, yaws = random.normal(0.5, 0.3, (6, 4, 2)), random.normal(size=(6, 4))
    shared = cost.start(np.array([[0.1, 0.1]]))
    own = cost.start(np.tile([[0.1, 0.1]], (6, 1)))
    np.testing.assert_array_equal(cost.trajectory_cost(positions, yaws, shared),
                                  cost.trajectory_cost(positions, yaws, own))


def test_start_on_a_later_segment() -> None:
    cost = LineFollowingCost(LinePath(load_path("figure8")))
    crossing = np.array([[0.525, 0.0]])
    assert cost.start(crossing, 0).segment[0] == 0
    assert cost.start(crossing, 7).segment[0] == 7


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.filterwarnings("error")
def test_inputs_that_are_not_finite_cost_infinitely_much(bad: float) -> None:
    cost = LineFollowingCost(LinePath(load_path("straight")))
    positions, yaws = np.full((4, 3, 2), 0.1), np.zeros((4, 3))
    positions[1, 0, 0] = positions[2, 2, 1] = yaws[3, 1] = bad
    total = cost.trajectory_cost(positions, yaws, cost.start(np.zeros((1, 2))))
    assert np.isfinite(total[0])
    assert np.all(total[1:] == math.inf)


def test_single_precision_is_accepted() -> None:
    cost = LineFollowingCost(LinePath(load_path("zigzag")))
    positions = np.random.default_rng(0).normal(size=(5, 3, 2))
    yaws = np.zeros((5, 3))
    start = cost.start(np.zeros((1, 2)))
    np.testing.assert_allclose(
        cost.trajectory_cost(positions.astype(np.float32), yaws.astype(np.float32), start),
        cost.trajectory_cost(positions, yaws, start), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_bad_weight_is_refused(value: float) -> None:
    with pytest.raises(UserError, match="the weight 'heading'"):
        LineFollowingWeights(heading=value)
