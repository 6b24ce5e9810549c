# SPDX-License-Identifier: Apache-2.0
"""The published cost, against a slow scalar version written from the published description."""

from __future__ import annotations

import math

import numpy as np
import pytest
from costs_samples import states_of
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.planning.costs import PathCost, plain_terms
from l2a_ros.planning.line_path import LinePath
from l2a_ros.robot.layout import STATE
from l2a_ros.trials.paths import load_path

Point = tuple[float, float]


def to_segment(p: Point, a: Point, b: Point) -> tuple[float, float]:
    """Distance to a finite segment, and the unclamped fraction along it."""
    length_squared = (b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2
    fraction = ((p[0] - a[0]) * (b[0] - a[0]) + (p[1] - a[1]) * (b[1] - a[1])) / length_squared
    clamped = min(1.0, max(0.0, fraction))
    return math.dist(p, (a[0] + clamped * (b[0] - a[0]), a[1] + clamped * (b[1] - a[1]))), fraction


def slow_cost(points: list[Point], start: Point, states: list[tuple[float, float, float]],
              weights: dict[str, float]) -> float:
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
        total += weights["lateral"] * distance + weights["heading"] * abs(math.remainder(yaw - heading, 2 * math.pi))
        if new == segment:
            total += weights["progress"] * (previous - fraction)
        segment, previous = new, fraction
    return total


@settings(max_examples=60)
@given(st.sampled_from(["straight", "left", "right", "zigzag", "figure8"]), st.integers(0, 2**31), st.integers(1, 12),
       st.floats(0.01, 100.0), st.floats(0.0, 20.0), st.floats(0.0, 20.0))
def test_batch_equals_the_slow_scalar_version(
        name: str, seed: int, horizon: int, lateral: float, progress: float, heading: float) -> None:
    shape = load_path(name)
    weights = {"lateral": lateral, "progress": progress, "heading": heading}
    cost = PathCost(LinePath(shape), plain_terms(weights))
    random = np.random.default_rng(seed)
    positions = np.cumsum(random.normal(0.05, 0.25, (7, horizon, 2)), axis=1)
    start = random.normal(0.0, 0.1, 2)
    given_states = states_of(position_x=positions[..., 0], position_y=positions[..., 1],
                             yaw=random.uniform(-10.0, 10.0, (7, horizon)))
    ours = cost.at(cost.start(start), np.zeros(2))(given_states, np.zeros((7, horizon, 2), dtype=np.float32))
    x, y, cosine, sine = (given_states[..., STATE.index(each)].astype(float).tolist()
                          for each in ("position_x", "position_y", "yaw_cos", "yaw_sin"))
    for i in range(7):
        states = [(x[i][k], y[i][k], math.atan2(sine[i][k], cosine[i][k])) for k in range(horizon)]
        theirs = slow_cost([tuple(p) for p in shape.tolist()], tuple(start.tolist()), states, weights)
        assert ours[i] == pytest.approx(theirs, rel=1e-9, abs=1e-9)


def test_known_numbers_on_the_straight_path() -> None:
    cost = PathCost(LinePath(load_path("straight")), plain_terms({"lateral": 50.0, "progress": 10.0, "heading": 5.0}))
    step = cost.at(cost.start(np.array([0.2, 0.0])), np.zeros(2))
    states = states_of(position_x=[[0.5, 1.1]], position_y=[[0.02, -0.02]], yaw=[[0.1, -0.1]])
    assert step(states[:, :1], np.zeros((1, 1, 2)))[0] == pytest.approx(50 * 0.02 - 10 * 0.3 + 5 * 0.1, abs=1e-5)
    # The second step switches: no progress is counted in it.
    both = step(states, np.zeros((1, 2, 2)))[0]
    assert both == pytest.approx(50 * 0.02 - 10 * 0.3 + 5 * 0.1 + 50 * 0.02 + 5 * 0.1, abs=1e-5)
