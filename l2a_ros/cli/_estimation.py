# SPDX-License-Identifier: Apache-2.0
"""``l2a bench estimation``: the motion filter against the simulator's truth, and against its own account."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from l2a_ros.benchmarks.estimation.cost import cost_rows
from l2a_ros.benchmarks.estimation.figures import (
    accuracy_rows,
    consistency_rows,
    difference_rows,
    ensemble,
    rate_rows,
    rate_table,
)
from l2a_ros.benchmarks.estimation.follow import Track, phases
from l2a_ros.benchmarks.estimation.report import close_up, draw, write_moments
from l2a_ros.benchmarks.estimation.study import FULL, PERIODS, Plan, study_all
from l2a_ros.benchmarks.estimation.walk import trouble, walk
from l2a_ros.benchmarks.table import Row, table, write_json
from l2a_ros.errors import UserError, unknown_name
from l2a_ros.estimation.motion_filter import MotionFilter
from l2a_ros.simulation.terrain import load_terrain

#: What can be measured, each on its own.
CASES = ("accuracy", "differences", "consistency", "rates", "cost")
#: A quick look: seeds, and simulated seconds of each.
_QUICK = (2, 4.5)
#: Walking for which calls are timed, s.
_TIMED = 10.0
#: The part of the first walk that is drawn: so long before and after the first dropout begins, s.
_BEFORE, _AFTER = 0.8, 1.2


def run(args: argparse.Namespace) -> int:
    """Walk, follow, compare, write; return 1 if a target was missed.

    Raises:
        UserError: for a case, terrain or size that cannot be.
    """
    cases = args.only or list(CASES)
    for case in cases:
        if case not in CASES:
            raise unknown_name("case", case, list(CASES))
    seeds, seconds = _QUICK if args.quick else (args.seeds, args.seconds)
    if seeds < 1 or args.workers < 1:
        raise UserError("seeds and workers must be at least 1")
    if not seconds >= _QUICK[1]:
        raise UserError(f"seconds must be at least {_QUICK[1]:g} (the start and a dropout), not {seconds:g}")
    load_terrain(args.terrain)
    rows: list[Row] = []
    by_rate: list[Row] = []
    lines: list[str] = []
    if set(cases) - {"cost"}:
        rate_seeds = min(seeds, args.rate_seeds) if "rates" in cases else 0
        plans = [Plan(seed, seconds, args.terrain, PERIODS if seed < rate_seeds else (FULL,), MotionFilter)
                 for seed in range(seeds)]
        studied = _study(plans, args.workers)
        walked = walk(0, seconds, faults=trouble(seconds), terrain=args.terrain)
        phase = phases(studied[0][FULL].stamps, walked.dropouts, walked.latency)
        full = ensemble([studied[seed][FULL] for seed in range(seeds)], phase)
        for case, make_rows in (("accuracy", accuracy_rows), ("differences", difference_rows),
                                ("consistency", consistency_rows)):
            rows += make_rows(full) if case in cases else []
        if "rates" in cases:
            rates = {period: ensemble([studied[seed][period] for seed in range(rate_seeds)], phase)
                     for period in PERIODS}
            by_rate, lines = rate_rows(rates), rate_table(rates)
        if args.out is not None:
            write_moments(args.out / "moments.csv", full)
            begin = walked.dropouts[0][0] * 1e-9
            draw(args.out / "estimation.png", walked,
                 close_up(walked, MotionFilter(), begin - _BEFORE, min(begin + _AFTER, seconds)), full)
    if "cost" in cases:
        timed = min(_TIMED, seconds)
        rows += cost_rows(walk(0, timed, faults=trouble(timed), terrain=args.terrain), MotionFilter, time.perf_counter)
    print("\n".join([*(table(rows) if rows else []), *lines]))
    judged = [row for row in rows if row.met is not None]
    print(f"{sum(bool(row.met) for row in judged)} of {len(judged)} targets met")
    if args.out is not None:
        print(f"moments and picture: {args.out}")
    if args.json is not None:
        write_json(args.json, "estimation", [*rows, *by_rate])
    return int(any(row.met is False for row in judged))


def _study(plans: Sequence[Plan], workers: int) -> dict[int, dict[int, Track]]:
    """Study all seeds and say how far it is."""
    begin, studied = time.monotonic(), {}
    for plan, tracks in study_all(plans, min(workers, len(plans))):
        studied[plan.seed] = tracks
        done = len(studied)
        if sys.stderr.isatty() or done == len(plans):
            left = (time.monotonic() - begin) * (len(plans) - done) / done
            print(f"\rwalks {done}/{len(plans)}, {left:.0f} s left ", end="\n" if done == len(plans) else "",
                  file=sys.stderr, flush=True)
    return studied
