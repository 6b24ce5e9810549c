# SPDX-License-Identifier: Apache-2.0
"""``l2a bench planning``: adapting and planning beside other libraries."""

from __future__ import annotations

import argparse
import time

from l2a_ros.benchmarks.planning import planning_rows
from l2a_ros.benchmarks.table import table, write_json
from l2a_ros.errors import UserError


def run(args: argparse.Namespace) -> int:
    """Measure and print; return 1 if a target was missed."""
    if not args.seconds > 0.0:
        raise UserError(f"seconds must be more than 0, not {args.seconds:g}")
    rows, notes = planning_rows(time.perf_counter, args.seconds)
    print("\n".join([*table(rows), *notes]))
    if args.json is not None:
        write_json(args.json, "planning", rows)
    return int(any(row.met is False for row in rows))
