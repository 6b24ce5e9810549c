# SPDX-License-Identifier: Apache-2.0
"""The figures of the soak and of the kills from made-up robots, and a short soak and short kills of real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.benchmarks.kills import VICTIMS, judge_kill, kill_rows, moving_for
from l2a_ros.benchmarks.leg_stops import time_to_rest, time_to_stop
from l2a_ros.benchmarks.soak import SampleCheck, find_losses, unplug_times
from l2a_ros.driver.measurement import Converter
from l2a_ros.driver.telemetry import TelemetryRecord
from l2a_ros.robot.calibration import Calibration

ROOT = Path(__file__).resolve().parents[2]
SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND


def truth(*parts: tuple[float, float, int, int]) -> np.ndarray:
    """Return samples at 100 Hz: parts of (seconds, rate of both legs, motors on, plugged)."""
    rows = [(rate, rate, on, plugged) for seconds, rate, on, plugged in parts for _ in range(round(seconds * 100))]
    return np.array([(BEGIN + i * SECOND // 100, *row) for i, row in enumerate(rows)], dtype=float)


def test_stopped_is_motors_off_for_good_and_less_than_half_a_turn() -> None:
    gives_way = truth((0.2, 30.0, 1, 1), (0.3, 5.0, 0, 1), (1.0, 0.0, 0, 1))
    assert time_to_stop(gives_way) == pytest.approx(0.2, abs=0.011)
    assert time_to_rest(gives_way) == pytest.approx(0.5, abs=0.011)
    runs_on = truth((0.2, 30.0, 1, 1), (0.3, 30.0, 0, 1), (1.0, 0.0, 0, 1))
    assert 0.35 < time_to_stop(runs_on) < 0.5
    again = truth((0.2, 30.0, 1, 1), (0.3, 0.0, 0, 1), (0.1, 0.0, 1, 1), (1.0, 0.0, 0, 1))
    assert time_to_stop(again) == pytest.approx(0.6, abs=0.011)
    assert time_to_stop(truth((1.0, 30.0, 1, 1))) == float("inf")
    assert time_to_rest(truth((1.0, 30.0, 0, 1))) == float("inf")
    assert time_to_stop(np.zeros((0, 5))) == time_to_rest(np.zeros((0, 5))) == float("inf")
    assert time_to_rest(truth((1.0, 0.0, 0, 1))) == time_to_stop(truth((1.0, 0.0, 0, 1))) == 0.0


def test_losses_are_found_with_their_times() -> None:
    found = find_losses(truth((1.0, 30.0, 1, 1), (0.2, 30.0, 1, 0), (0.8, 0.0, 0, 0), (1.0, 0.0, 0, 1),
                              (1.0, 30.0, 1, 1), (0.5, 30.0, 1, 0)),
                        np.array([BEGIN, BEGIN + round(2.4 * SECOND), BEGIN + 3 * SECOND]))
    assert [loss.stop for loss in found] == pytest.approx([0.2, float("inf")], abs=0.011)
    assert [loss.recovery for loss in found] == pytest.approx([0.4, float("inf")], abs=0.011)


@given(st.floats(60.0, 3600.0), st.integers(0, 20), st.integers(0, 100))
def test_unplugging_is_planned(seconds: float, cycles: int, seed: int) -> None:
    plan = unplug_times(seconds, cycles, seed)
    assert len(plan) == cycles
    assert plan == sorted(plan) == unplug_times(seconds, cycles, seed)
    assert all(0.0 < moment < seconds and 0.5 <= length <= 2.5 for moment, length in plan)


def record(position: int = 65536) -> TelemetryRecord:
    return TelemetryRecord(5, 1000, (position, 65000), (0, 0), (1200, 1300), (10, -20, 300), (100, -50, 4000),
                           (12, -34), 880)


def published(check: SampleCheck, sent: TelemetryRecord, stamp: int) -> None:
    told = Converter(Calibration(gyro_bias=(0.01, 0.0, 0.0))).convert(sent, stamp)
    for kind, values in (("legs", told.angles), ("imu", np.concatenate([told.angular_velocity, told.specific_force])),
                         ("motors", np.concatenate([told.back_emf, told.duty]))):
        check.received(kind, stamp, list(values), stamp)


def test_samples_are_compared_with_what_was_sent() -> None:
    check = SampleCheck()
    check.sent(record().pack(), BEGIN)
    published(check, record(), BEGIN + 1)
    assert check.judge(BEGIN) == [], "it is not old enough to be judged"
    assert check.judge(BEGIN + SECOND) == []
    assert check.matched == 1
    published(check, record(65540), BEGIN + SECOND // 10)
    [(stamp, catchable, what)] = check.judge(BEGIN + SECOND)
    assert (stamp, catchable) == (BEGIN + SECOND // 10, 0)
    assert "legs" in what
    published(check, record(65536 + 65536 * 400), BEGIN + SECOND // 5)
    [(_, catchable, what)] = check.judge(BEGIN + SECOND)
    assert catchable == 1
    assert "a leg turned at" in what


def test_kills_are_judged() -> None:
    walk = truth((2.0, 0.0, 0, 1), (1.0, 30.0, 1, 1), (0.3, 30.0, 1, 1), (1.0, 0.0, 0, 1))
    assert moving_for(walk[:300]) == pytest.approx(0.99, abs=0.011)
    assert moving_for(walk) == 0.0
    fine = judge_kill("mpc", walk, BEGIN + 3 * SECOND, True)
    assert fine.stop == pytest.approx(0.3, abs=0.011)
    rows = {row.case: row for row in kill_rows([fine, judge_kill("mpc", walk[:320], BEGIN + 3 * SECOND, False)])}
    assert rows["legs stopped too late"].ours == rows["the rest did not say why"].ours == 1.0
    assert rows["legs stopped too late"].met is False


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "l2a_ros.cli", "bench", *words], cwd=ROOT, capture_output=True,
                          text=True, timeout=280, check=False)


def test_short_soak(tmp_path: Path) -> None:
    """Two unpluggings on a bad wire. Times are measured by the long one, on a machine that does nothing else."""
    done = bench("soak", "--minutes", "0.54", "--cycles", "2", "--out", str(tmp_path / "soak"),
                 "--json", str(tmp_path / "soak.json"))
    rows = {row["case"]: row for row in json.loads((tmp_path / "soak.json").read_text())["rows"]}
    timed = ("legs stopped after a loss, longest", "telemetry again after a replug, longest")
    assert not [case for case, row in rows.items() if row["met"] is False and case not in timed], done.stdout
    assert all(np.isfinite(rows[case]["ours"]) for case in timed), done.stdout
    assert rows["samples as sent"]["ours"] > 200


def test_short_kills(tmp_path: Path) -> None:
    """Each process once: the legs stop, and the rest says why. With this seed the kills come early."""
    done = bench("kills", "--count", str(len(VICTIMS)), "--seed", "156", "--out", str(tmp_path / "kills"),
                 "--json", str(tmp_path / "kills.json"))
    rows = {row["case"]: row for row in json.loads((tmp_path / "kills.json").read_text())["rows"]}
    assert rows["the rest did not say why"]["met"], done.stdout
    stops = [row["ours"] for case, row in rows.items() if "legs stopped, longest" in case]
    assert len(stops) == len(VICTIMS)
    assert np.all(np.isfinite(stops)), done.stdout
