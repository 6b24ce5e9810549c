# SPDX-License-Identifier: Apache-2.0
"""How long the filter takes for one reading, one pose, one answer, and for an hour of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from l2a_ros.benchmarks.estimation.follow import Filter
from l2a_ros.benchmarks.estimation.walk import MILLISECOND, Walk
from l2a_ros.benchmarks.table import Row, at_most
from l2a_ros.robot.samples import ImuSample, PoseSample

#: Median of one update, us, and an hour of data, s (issue 7).
UPDATE_TARGET, HOUR_TARGET = 150.0, 300.0
#: Period of the readings, ms, and between two answers.
IMU_MS, ANSWER_MS = 2, 10
#: The first updates compile and fill caches, s.
_WARM_UP = 0.5


def cost_rows(walked: Walk, make: Callable[[], Filter], clock: Callable[[], float]) -> list[Row]:
    """Measure every call of a filter that is fed 500 readings and 100 poses a second and asked 100 times.

    Args:
        walked: at the full rate; with latency and dropouts, so that the filter has to roll back.
        make: returns a new filter.
        clock: gives the time, s.
    """
    slower, motion_filter = walked.with_imu_period(IMU_MS), make()
    times: dict[str, list[float]] = {"IMU reading": [], "pose": [], "answer": []}

    def measure(name: str, call: Callable[..., object], argument: object, stamp: int) -> None:
        begin = clock()
        call(argument)
        if stamp >= _WARM_UP * 1e9:
            times[name].append(clock() - begin)

    next_answer = ANSWER_MS * MILLISECOND
    for sample, arrival in zip(slower.samples, slower.arrivals.tolist(), strict=True):
        while next_answer < arrival:
            measure("answer", motion_filter.estimate, next_answer, next_answer)
            next_answer += ANSWER_MS * MILLISECOND
        if isinstance(sample, ImuSample):
            measure("IMU reading", motion_filter.add_imu, sample, arrival)
        elif isinstance(sample, PoseSample):
            measure("pose", motion_filter.add_pose, sample, arrival)
    rows = []
    for name, each in times.items():
        median, late = 1e6 * np.percentile(each, [50.0, 99.0])
        rows += [at_most(f"one {name}: median", float(median), "us", UPDATE_TARGET),
                 Row(f"one {name}: 99th percentile", float(late), "us")]
    seconds = walked.end / 1e9 - _WARM_UP
    per_second = sum(map(sum, times.values())) / seconds
    return [*rows, at_most("an hour of 500 Hz readings, 100 Hz poses and answers", 3600.0 * per_second, "s",
                           HOUR_TARGET)]
