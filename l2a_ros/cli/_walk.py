# SPDX-License-Identifier: Apache-2.0
"""The process that keeps the robot of ``l2a bench endurance`` walking, trial after trial, and samples the others.

It is the process that ends the run: its siblings are the nodes, which are ended with it.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: Time between two samples, s.
INTERVAL = 1.0
#: The first samples of a trial are those of its start.
STARTING = 5.0
COLUMNS = ("elapsed_s", "walking", "node", "rss_bytes", "uss_bytes", "handles", "threads")


def siblings() -> dict[str, Any]:
    """Return the processes of the nodes of this run by node name."""
    import psutil

    found: dict[str, Any] = {}
    for process in psutil.Process().parent().children():
        name = re.search(r"l2a_ros\.nodes\.(\w+)", " ".join(process.cmdline()))
        if name:
            found[name[1]] = process
    return found


def main() -> int:
    """Walk and sample until the time is over; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    for flag in ("path", "terrain", "method", "duration"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    time.sleep(3.0)  # until every node is what it is called
    nodes, begin = siblings(), time.monotonic()
    trials, failed, trial, started = 0, 0, None, 0.0
    with (args.out / "samples.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        due = begin
        while (now := time.monotonic()) < begin + args.seconds:
            if trial is None or trial.poll() is not None:
                failed += trial is not None and trial.returncode != 0
                trials += 1
                started = now
                trial = subprocess.Popen(
                    [sys.executable, "-m", "l2a_ros.cli", "trial", "--path", args.path, "--terrain", args.terrain,
                     "--method", args.method, "--duration", args.duration, "--out", str(args.out / f"trial{trials}")],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            for name, process in nodes.items():
                memory = process.memory_full_info()
                writer.writerow([f"{now - begin:.3f}", int(now - started > STARTING), name, memory.rss, memory.uss,
                                 process.num_fds(), process.num_threads()])
            file.flush()
            due += INTERVAL
            time.sleep(max(0.0, due - time.monotonic()))
    if trial is not None and trial.poll() is None:
        trial.terminate()
        trial.wait()
    print(f"{trials} trials, {failed} of them failed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
