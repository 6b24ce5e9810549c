# SPDX-License-Identifier: Apache-2.0
"""Many walks, each simulated once and then followed by a filter with every rate of the inertial unit asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context

from l2a_ros.benchmarks.estimation.follow import Filter, Track, follow, moments
from l2a_ros.benchmarks.estimation.walk import trouble, walk

#: The unit's own period, ms: the figures to reach are for this one.
FULL = 1
#: The periods that are compared, ms; 0 is without inertial unit.
PERIODS = (1, 2, 5, 10, 20, 100, 0)


@dataclass(frozen=True)
class Plan:
    """One walk to make and follow.

    Args:
        seed: of everything.
        seconds: simulated time.
        terrain: the floor.
        periods: of the inertial unit, ms.
        make: returns a new filter; a name of a module, so that other processes find it.
    """

    seed: int
    seconds: float
    terrain: str
    periods: tuple[int, ...]
    make: Callable[[], Filter]


def study(plan: Plan) -> dict[int, Track]:
    """Make a walk and follow it; return a track for each period."""
    walked = walk(plan.seed, plan.seconds, faults=trouble(plan.seconds), terrain=plan.terrain)
    stamps = moments(walked)
    return {period: follow(walked if period == FULL else walked.with_imu_period(period), plan.make(), stamps)
            for period in plan.periods}


def study_all(plans: Sequence[Plan], workers: int) -> Iterator[tuple[Plan, dict[int, Track]]]:
    """Study walks, several at once; yields each as it is done."""
    if workers == 1:
        for plan in plans:
            yield plan, study(plan)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(study, plan): plan for plan in plans}
        for job in as_completed(jobs):
            yield jobs[job], job.result()
