# SPDX-License-Identifier: Apache-2.0
"""The comparison with the measured robot: figures of drives whose figures are known, and what is written."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.benchmarks.fidelity import (
    COLUMNS,
    RoomDriver,
    behaviour,
    cut_windows,
    fidelity_rows,
    plan_drives,
    record_drive,
)
from l2a_ros.benchmarks.fidelity_report import BEGIN, END, draw, markdown, replace_section, write_drives
from l2a_ros.benchmarks.measured import MEAN, MEASURED, Measured
from l2a_ros.cli.main import main
from l2a_ros.errors import UserError
from l2a_ros.robot.limits import REVOLUTION


def circle(left: float, right: float, speed: float, yaw_rate: float, rows: int = 200) -> np.ndarray:
    """Rows of a robot that walks a circle evenly; rates in rev/s."""
    t = np.arange(rows) * 0.1
    yaw = yaw_rate * t
    if yaw_rate:
        x, y = speed / yaw_rate * np.sin(yaw), speed / yaw_rate * (1.0 - np.cos(yaw))
    else:
        x, y = speed * t, 0.0 * t
    column = dict.fromkeys(COLUMNS, np.zeros(rows))
    column |= {"time": t, "x": x, "y": y, "z": 0.03 + 0.005 * np.sqrt(2.0) * np.sin(2.7 * np.arange(rows)),
               "yaw": (yaw + math.pi) % (2.0 * math.pi) - math.pi, "left_angle": left * REVOLUTION * t,
               "right_angle": right * REVOLUTION * t, "left_command": np.full(rows, left * REVOLUTION),
               "right_command": np.full(rows, right * REVOLUTION), "battery_voltage": np.linspace(4.1, 3.7, rows)}
    return np.stack([column[name] for name in COLUMNS], axis=1)


def test_windows_of_a_circle() -> None:
    windows = cut_windows(circle(4.0, 6.0, 0.3, 0.8))
    assert len(windows.speed) == 39
    np.testing.assert_allclose(windows.yaw_rate, 0.8, rtol=1e-9)
    np.testing.assert_allclose(windows.mean_rate, 5.0)
    np.testing.assert_allclose(windows.difference, 2.0)
    chord = 2.0 * 0.3 / 0.8 * math.sin(0.8 * 0.5 / 2.0) / 0.5
    np.testing.assert_allclose(windows.speed, chord)


def test_figures_of_known_drives() -> None:
    figures = behaviour([circle(4.5, 4.5, 0.25, 0.2), circle(4.9, 6.1, 0.3, 0.5), circle(8.0, 3.0, 0.2, -1.1)])
    assert figures["speed at 4.5 rev/s"] == pytest.approx(0.25, rel=0.01)
    assert figures["speed at 5.5 rev/s"] == pytest.approx(0.3, rel=0.01)
    assert math.isnan(figures["speed at 3.5 rev/s"]), "nothing is said of what was not driven"
    assert figures["yaw rate at -5 rev/s"] == pytest.approx(-1.1)
    assert figures["yaw rate at +1 rev/s"] == pytest.approx(0.5)
    assert figures["left bias"] == pytest.approx(0.2)
    assert figures["speed spread"] == pytest.approx(0.0, abs=1e-9)
    assert figures["height spread"] == pytest.approx(0.005, rel=0.02)
    assert figures["left rate over command"] == pytest.approx(1.0)
    assert figures["left correlation with the same command"] == pytest.approx(1.0)
    assert (figures["battery low"], figures["battery high"]) == (3.7, 4.1)


def test_a_late_leg_follows_the_command_before() -> None:
    rng = np.random.default_rng(0)
    drive = circle(5.0, 5.0, 0.3, 0.0, 400)
    commands = rng.uniform(2.0, 9.0, 400) * REVOLUTION
    drive[:, COLUMNS.index("left_command")] = commands
    drive[:, COLUMNS.index("left_angle")] = np.concatenate([[0.0], np.cumsum(commands[:-1])]) * 0.1
    drive[:, COLUMNS.index("right_command")] = commands
    drive[:, COLUMNS.index("right_angle")] = np.concatenate([[0.0, 0.0], np.cumsum(commands[:-2])]) * 0.1
    figures = behaviour([drive])
    assert figures["left correlation with the same command"] == pytest.approx(1.0)
    assert figures["right correlation with the previous command"] == pytest.approx(1.0)
    assert abs(figures["right correlation with the same command"]) < 0.2


@given(st.floats(-2.0, 2.0), st.floats(0.0, 1.0), st.floats(0.0, 0.5), st.floats(-5.0, 5.0))
def test_a_measured_range_admits_itself_and_its_tolerance(low: float, width: float, slack: float, value: float) -> None:
    measured = Measured(low, low + width, "m", MEAN, slack)
    assert measured.admits(low) and measured.admits(measured.middle) and measured.admits(low + width)
    assert not measured.admits(math.nan) and not measured.admits(math.inf)
    if measured.admits(value) and not low <= value <= low + width:
        nearest = low if value < low else low + width
        assert abs(value - nearest) <= max(slack, MEAN * abs(nearest)) + 1e-12


def test_the_driver_stays_in_the_room() -> None:
    driver, x, y, yaw, turned = RoomDriver(0), 0.0, 0.0, 0.0, False
    for _ in range(5000):
        left, right = driver(x, y, yaw)
        assert 2.0 * REVOLUTION <= min(left, right) and max(left, right) <= 9.0 * REVOLUTION
        turned |= abs(right - left) > 4.0 * REVOLUTION
        speed = 0.008 * (left + right) / 2.0
        yaw += 0.04 * (right - left) * 0.1
        x, y = x + speed * math.cos(yaw) * 0.1, y + speed * math.sin(yaw) * 0.1
        assert math.hypot(x - 0.2, y + 0.4) < 2.0
    assert turned


def test_a_drive_is_recorded_the_same_again() -> None:
    plan = plan_drives("styrofoam", 0.1, 3)[0]
    drive = record_drive(plan)
    assert drive.shape == (plan.ticks, len(COLUMNS)) and np.all(np.isfinite(drive))
    np.testing.assert_allclose(np.diff(drive[:, 0]), 0.1)
    np.testing.assert_array_equal(drive, record_drive(plan))


def test_what_is_written(tmp_path: Path) -> None:
    drives = {"carpet": [circle(4.5, 4.5, 0.26, 0.2), circle(8.0, 3.0, 0.2, -5.0)]}
    rows = {row.case: row for row in fidelity_rows(drives)}
    assert len(rows) == len(MEASURED["carpet"])
    assert rows["carpet: speed at 4.5 rev/s"].met and not rows["carpet: yaw rate at -5 rev/s"].met
    assert not rows["carpet: speed at 3.5 rev/s"].met, "what was not measured is not met"
    write_drives(tmp_path / "drives.csv", drives)
    with (tmp_path / "drives.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 400 and float(table[0]["left_command"]) == pytest.approx(4.5 * REVOLUTION, rel=1e-5)
    page = tmp_path / "page.md"
    page.write_text(f"above\n{BEGIN}\noutdated\n{END}\nbelow\n", encoding="utf-8")
    for _ in range(2):
        replace_section(page, markdown(drives))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("above\n") and text.endswith("\nbelow\n") and "outdated" not in text
    assert "| speed at 4.5 rev/s | m/s | 0.26 | 0.260 |" in text
    assert "| yaw rate at -5 rev/s | rad/s | -1.22 | **-5.000** |" in text
    draw(tmp_path / "fidelity.png", drives)
    assert (tmp_path / "fidelity.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="needs the lines"):
        replace_section(tmp_path / "drives.csv", [])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "fidelity", "--terrain", "styrofoam", "--minutes", "0.1", "--workers", "1", "--skip-speed",
                 "--out", str(tmp_path), "--json", str(tmp_path / "fidelity.json")]) == 0
    assert "styrofoam: speed at 5.5 rev/s" in capsys.readouterr().out
    content = json.loads((tmp_path / "fidelity.json").read_text(encoding="utf-8"))
    assert content["bench"] == "fidelity" and len(content["rows"]) == len(MEASURED["styrofoam"])
    assert (tmp_path / "drives.csv").exists() and (tmp_path / "fidelity.png").exists()
    assert main(["bench", "fidelity", "--terrain", "moon"]) == 2
    assert "unknown measured terrain 'moon'" in capsys.readouterr().err
