# SPDX-License-Identifier: Apache-2.0
"""The judgement of an endurance run, on samples whose growth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from l2a_ros.benchmarks.endurance import endurance_rows, failed, read_columns
from l2a_ros.errors import UserError

MIB = 2.0**20


def samples(growth: float = 0.0, opened: int = 0, seconds: int = 600) -> dict[str, np.ndarray]:
    """Return a run of one node: a leap in the first minute, then growth (a part of 100 MiB) and handles opened."""
    times = np.arange(seconds, dtype=np.float64)
    memory = np.where(times < 60.0, 20.0 + times, 100.0 * (1.0 + growth * (times - 60.0) / (seconds - 60.0))) * MIB
    return {"elapsed_s": times, "walking": np.ones(seconds), "node": np.array(["mpc"] * seconds),
            "rss_bytes": memory, "uss_bytes": 0.5 * memory,
            "handles": np.where(times < seconds / 2, 17.0, 17.0 + opened), "threads": np.full(seconds, 9.0)}


def clock(drift: float = 0.0, seconds: int = 600) -> dict[str, np.ndarray]:
    """Return stamps that drift by so many ms per minute."""
    times = np.arange(seconds, dtype=np.float64)
    return {"elapsed_s": times, "lead_s": -0.002 + drift * 1e-3 * times / 60.0, "skipped_s": 0.01 * times}


@pytest.mark.parametrize(("run", "stamps", "missed"), [
    (samples(), clock(), []),
    (samples(0.04), clock(0.9), []),
    (samples(0.08), clock(), ["mpc: growth of resident memory", "mpc: growth of unshared memory"]),
    (samples(-0.08), clock(), []),
    (samples(opened=1), clock(), ["mpc: more handles at the end"]),
    (samples(), clock(1.2), ["clock drift"]), (samples(), clock(-1.2), ["clock drift"])])
def test_what_grows_is_found(run: Any, stamps: Any, missed: list[str]) -> None:
    assert failed(endurance_rows(run, stamps)) == missed


def test_figures() -> None:
    rows = {row.case: row for row in endurance_rows(samples(0.02), clock(-0.5))}
    assert rows["mpc: growth of resident memory"].ours == pytest.approx(2.0, abs=0.1)
    assert rows["clock drift"].ours == pytest.approx(0.5)
    assert rows["stamp before wall clock, median"].ours == pytest.approx(4.7, abs=0.1)
    assert rows["time skipped"].ours == pytest.approx(5.39)


def test_short_runs_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="longer"):
        endurance_rows(samples(seconds=65), clock())
    with pytest.raises(UserError, match="longer"):
        endurance_rows(samples(), clock(seconds=65))
    with pytest.raises(UserError, match="cannot be read"):
        read_columns(tmp_path / "none.csv")
    (tmp_path / "some.csv").write_text("elapsed_s,node\n0.5,mpc\n1.5,trial\n")
    columns = read_columns(tmp_path / "some.csv")
    assert columns["elapsed_s"].tolist() == [0.5, 1.5]
    assert columns["node"].tolist() == ["mpc", "trial"]
