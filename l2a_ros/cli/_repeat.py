# SPDX-License-Identifier: Apache-2.0
"""``l2a bench repeat``: every terrain and every fault in lock-step, twice with one seed and once with another."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from l2a_ros.errors import UserError


def run(args: argparse.Namespace) -> int:
    """Run the trials and print the table; return 1 if one did not repeat, or did not depend on the seed.

    Raises:
        UserError: if a trial cannot be run, with its last words.
    """
    from l2a_ros.benchmarks.repeat import all_met, every_case, repeat_rows
    from l2a_ros.benchmarks.table import Row, table, write_json
    from l2a_ros.cli._flags import check_ros

    check_ros()
    rows: list[Row] = []
    for case in every_case():
        with tempfile.TemporaryDirectory() as folder:
            tables = [_trial(Path(folder) / str(i), seed, args.duration, case.words())
                      for i, seed in enumerate((0, 0, 1))]
        rows += repeat_rows(case, *tables)
        print(f"{case.name}: {'repeats' if all_met(rows[-2:]) else 'DOES NOT REPEAT'}", file=sys.stderr, flush=True)
    print("\n".join(table(rows)))
    if args.json is not None:
        write_json(args.json, "repeat", rows)
    return 0 if all_met(rows) else 1


def _trial(out: Path, seed: int, duration: float, words: list[str]) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "l2a_ros.cli", "sim", "--clock", "lockstep", "--path", "zigzag", "--seed", str(seed),
         "--duration", str(duration), "--out", str(out), *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"a trial with {' '.join(words)} failed: {last}")
    return (out / "trial.csv").read_bytes()
