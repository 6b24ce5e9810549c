# SPDX-License-Identifier: Apache-2.0
"""How much faster than real time the simulation runs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

from l2a_ros.benchmarks.measured import MEASURED
from l2a_ros.benchmarks.table import Row
from l2a_ros.simulation.fleet import draw_setups, throughput
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.training.random_driving import RandomDriver

#: Physics and sensors of one robot on one core should run this many times as fast as real time.
TARGET = 30.0
#: A fleet on n cores should be at least this part of n times as fast as on one.
SCALING = 0.8


def robot_rows(clock: Callable[[], float], seconds: float = 20.0) -> list[Row]:
    """Measure one robot, physics and sensors and state, driven at random in this process on each measured terrain.

    Args:
        clock: gives the time, s.
        seconds: simulated time on each terrain.
    """
    rows = []
    for terrain in MEASURED:
        robot, driver = InProcessRobot(load_terrain(terrain)), RandomDriver(0)
        robot.settle()
        begin = clock()
        for _ in range(round(seconds * 10.0)):
            robot.tick(driver())
        factor = seconds / (clock() - begin)
        rows.append(Row(f"one robot on {terrain}", factor, "x real time", target=TARGET, met=factor >= TARGET))
    return rows


def fleet_rows(clock: Callable[[], float], robots_per_worker: int = 4, ticks: int = 60) -> list[Row]:
    """Measure robots shared out among 1, 2, ... worker processes up to the number of cores.

    Args:
        clock: gives the time, s.
        robots_per_worker: robots for each process.
        ticks: control periods to walk.
    """
    cores = len(os.sched_getaffinity(0))
    rows, alone = [], math.nan
    for workers in sorted({1, *(2**i for i in range(1, 12) if 2**i < cores), cores}):
        setups = draw_setups(robots_per_worker * workers, 0, list(MEASURED))
        factor = throughput(setups, workers, ticks, clock)
        alone = factor if workers == 1 else alone
        target = SCALING * workers * alone
        rows.append(Row(f"{len(setups)} robots, {workers} worker{'s' * (workers > 1)}", factor, "x real time",
                        target=None if workers == 1 else target, met=None if workers == 1 else factor >= target))
    return rows
