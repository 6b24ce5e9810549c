# SPDX-License-Identifier: Apache-2.0
"""Driving the simulated robot for the tests of its behaviour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from l2a_ros.robot.frames import planar_pose_of
from l2a_ros.robot.limits import REVOLUTION
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain


@dataclass(frozen=True)
class Drive:
    """What a robot did: path ``(ticks + 1, 2)`` m and heading ``(ticks + 1,)`` rad unwrapped, cranks in revolutions."""

    path: np.ndarray
    heading: np.ndarray
    revolutions: np.ndarray

    @property
    def moved(self) -> np.ndarray:
        """Displacement seen from the heading at the start: ahead and to the left, m."""
        dx, dy = self.path[-1] - self.path[0]
        cosine, sine = math.cos(self.heading[0]), math.sin(self.heading[0])
        return np.array([cosine * dx + sine * dy, cosine * dy - sine * dx])

    @property
    def turned(self) -> float:
        """Heading gained, rad, left positive."""
        return float(self.heading[-1] - self.heading[0])

    @property
    def length(self) -> float:
        """Length of the way, m."""
        return float(np.linalg.norm(np.diff(self.path, axis=0), axis=1).sum())


@cache
def drive(left: float, right: float, faults: Sequence[str] = (), terrain: str = "carpet", seed: int = 0,
          ticks: int = 20, heading: float = 0.0) -> Drive:
    """Walk with constant crank rates (rev/s) after standing for a moment."""
    robot = InProcessRobot(load_terrain(terrain), seed, [parse_fault(text) for text in faults], heading=heading)
    estimates = [robot.settle()]
    start = robot.robot.crank_angles.copy()
    for _ in range(ticks):
        estimates.append(robot.tick(np.array([left, right]) * REVOLUTION))
    states = [estimate.state for estimate in estimates]
    assert all(state is not None for state in states)
    poses = [planar_pose_of(state) for state in states if state is not None]
    return Drive(np.array([position for position, _ in poses]), np.unwrap([yaw for _, yaw in poses]),
                 (robot.robot.crank_angles - start) / REVOLUTION)


def drives(left: float, right: float, faults: Sequence[str] = (), terrain: str = "carpet", seeds: int = 4,
           ticks: int = 20) -> list[Drive]:
    """Walk the same way from several starts: one walk alone is chaotic, their mean is not."""
    return [drive(left, right, tuple(faults), terrain, seed, ticks) for seed in range(seeds)]
