# SPDX-License-Identifier: Apache-2.0
"""States and commands to compute a cost of."""

from __future__ import annotations

import numpy as np

from l2a_ros.planning.costs import BoundCost, PathCost, Term, make_terms
from l2a_ros.planning.costs.registry import TERMS
from l2a_ros.planning.line_path import LinePath
from l2a_ros.robot.layout import STATE

CORNER = LinePath(np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]]))


def states_of(**columns: object) -> np.ndarray:
    """Return states ``(n, h, 24)`` with elements ``(n, h)`` by name, yaw in rad; what is not named is 0."""
    shape = np.shape(next(iter(columns.values())))
    states = np.zeros((*shape, STATE.size), dtype=np.float32)
    yaw = np.asarray(columns.pop("yaw", np.zeros(shape)))
    states[..., STATE.index("yaw_cos")], states[..., STATE.index("yaw_sin")] = np.cos(yaw), np.sin(yaw)
    for name, values in columns.items():
        states[..., STATE.index(name)] = values
    return states


def only(name: str, **settings: float) -> tuple[Term, ...]:
    """Return one term, of weight 1 if not given."""
    return make_terms({**{each: {"weight": 0.0} for each in TERMS}, name: {"weight": 1.0, **settings}})


def bound(terms: tuple[Term, ...], position: tuple[float, float] = (0.0, 0.0), path: LinePath = CORNER,
          previous: tuple[float, float] = (0.0, 0.0)) -> BoundCost:
    """Return the cost of trajectories from a position on the first segment, after a command."""
    cost = PathCost(path, terms)
    return cost.at(cost.start(np.array(position)), np.array(previous))


def random_walks(seed: int, count: int = 6, horizon: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return states and actions that wander from the origin over the corner."""
    random = np.random.default_rng(seed)
    states = random.normal(size=(count, horizon, STATE.size)).astype(np.float32)
    yaw = random.uniform(-4.0, 4.0, (count, horizon))
    walk = np.cumsum(random.normal(0.3, 0.3, (count, horizon, 2)), axis=1)
    for name, values in (("yaw_cos", np.cos(yaw)), ("yaw_sin", np.sin(yaw)), ("position_x", walk[..., 0]),
                         ("position_y", walk[..., 1])):
        states[..., STATE.index(name)] = values
    return states, random.uniform(12.0, 56.0, (count, horizon, 2)).astype(np.float32)
