# SPDX-License-Identifier: Apache-2.0
"""The loop's figures from recordings whose figures are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from l2a_ros.benchmarks.loop import WARM_UP, loop_rows
from l2a_ros.benchmarks.table import Row, at_most, table, write_json
from l2a_ros.errors import UserError
from l2a_ros.experience.bag_writer import BagWriter
from l2a_ros.training.collect import joint_state

PERIOD, START = 100_000_000, 10_000_000_000
MS = 1_000_000


def record(folder: Path, ticks: int, lateness_ms: Callable[[int], float] = lambda tick: 0.0,
           latency_s: Callable[[int], float] = lambda tick: 0.05) -> Path:
    """Record a loop whose states arrive ``lateness_ms`` after their stamp."""
    with BagWriter(folder) as bag:
        for topic in ("/robot_state", "/mpc/metrics", "/adaptation/metrics"):
            bag.add_topic(topic, "sensor_msgs/msg/JointState")
        for tick in range(ticks):
            stamp = START + tick * PERIOD
            bag.write_message("/robot_state", stamp + round(lateness_ms(tick) * MS),
                              joint_state(("position_x",), stamp, np.zeros(1)))
            bag.write_message("/mpc/metrics", stamp + 60 * MS, joint_state(
                ("state_to_command_s", "plan_s", "model_wait_s", "model_is_of_this_tick"), stamp,
                np.array([latency_s(tick), 0.03, 0.005, tick % 2])))
            bag.write_message("/adaptation/metrics", stamp + 5 * MS,
                              joint_state(("adapt_s",), stamp, np.array([0.004])))
    return folder


def figures(rows: list[Row]) -> dict[str, float]:
    return {row.case: row.ours for row in rows}


def test_steady_loop(tmp_path: Path) -> None:
    rows = loop_rows(record(tmp_path / "bag", 101 + WARM_UP), 0.1)
    found = figures(rows)
    assert found["period p50"] == pytest.approx(0.1)
    assert found["period max"] == pytest.approx(0.1)
    assert found["overruns"] == 0.0
    assert found["state to command p50"] == pytest.approx(0.05)
    assert found["share of plan in the period"] == pytest.approx(30.0)
    assert found["share of adapt in the period"] == pytest.approx(4.0)
    assert found["ticks planned with their own model"] == pytest.approx(50.0, abs=1.0)
    assert found["ticks measured"] == 101.0
    assert {row.case: row.met for row in rows if row.target is not None} == {"period p99": True, "overruns": True}


def test_late_states_and_slow_plans_are_overruns(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", 100 + WARM_UP + 1, lateness_ms=lambda tick: 70.0 if tick == 50 else 0.0,
                 latency_s=lambda tick: 0.13 if tick in (60, 61) else 0.05)
    rows = loop_rows(bag, 0.1)
    found = figures(rows)
    assert found["period max"] == pytest.approx(0.17)
    assert found["overruns"] == pytest.approx(3.0)
    assert found["state to command max"] == pytest.approx(0.13)
    assert not next(row for row in rows if row.case == "overruns").met


def test_too_short_a_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too few driven ticks"):
        loop_rows(record(tmp_path / "bag", WARM_UP + 1), 0.1)


def test_table_and_json(tmp_path: Path) -> None:
    rows = [at_most("fast", 0.5, "s", 1.0), at_most("slow", 2.0, "s", 1.0), Row("both", 1.0, "s", "other", 3.0, 3.0)]
    lines = table(rows)
    assert lines[0].split() == ["case", "ours", "theirs", "unit", "ratio", "target", "met"]
    assert lines[1].endswith("yes")
    assert lines[2].endswith("NO")
    assert "3 (other)" in lines[3]
    write_json(tmp_path / "new" / "bench.json", "loop", rows)
    content = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert content["bench"] == "loop"
    assert content["machine"]["cores"] >= 1
    assert content["rows"][1] == {"case": "slow", "ours": 2.0, "peer": None, "theirs": None, "unit": "s",
                                  "ratio": None, "target": 1.0, "met": False}
