# SPDX-License-Identifier: Apache-2.0
"""The comparison of planners, from reports whose figures are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from l2a_ros.benchmarks.planners import BASELINE, CONTENDERS, Outcome, markdown, planner_rows, read_outcome
from l2a_ros.errors import UserError
from l2a_ros.planning.planners import planner_names


def reports(folder: Path, costs: list[float]) -> list[Path]:
    files = []
    for i, cost in enumerate(costs):
        file = folder / f"report{i}.json"
        file.write_text(json.dumps({"mean_cost": cost, "mean_lateral_error_m": 0.01 * cost, "duration_s": 20.0 + i,
                                    "completed": i > 0}))
        files.append(file)
    return files


def outcomes(tmp_path: Path, rival: float) -> dict[tuple[str, str], Outcome]:
    found = {}
    for i, (name, costs) in enumerate(((BASELINE, [1.0, 3.0]), ("cem", [rival, rival + 1.0]))):
        folder = tmp_path / str(i)
        folder.mkdir()
        found[name, "zigzag"] = read_outcome(reports(folder, costs))
    return found


def test_rows_say_who_is_better(tmp_path: Path) -> None:
    baseline, rival = planner_rows(outcomes(tmp_path, 1.0))
    assert (baseline.ours, baseline.met) == (2.0, None)
    assert (rival.ours, rival.theirs, rival.met) == (1.5, 2.0, True)


def test_a_draw_or_worse_is_not_met(tmp_path: Path) -> None:
    assert planner_rows(outcomes(tmp_path, 1.5))[1].met is False


def test_markdown_has_means_intervals_and_completion(tmp_path: Path) -> None:
    lines = markdown(outcomes(tmp_path, 1.0))
    assert len(lines) == 4
    # Of two values the interval is 12.706 times half their distance.
    assert "| zigzag | random_shooting | 2.00 ± 12.71 | 2.00 ± 12.71 | 20.5 | 1 of 2 |" in lines


def test_a_broken_report_is_named(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("{}")
    with pytest.raises(UserError, match=str(file)):
        read_outcome([file])


def test_every_planner_is_a_contender() -> None:
    assert {each.planner for each in CONTENDERS} == set(planner_names())
    assert CONTENDERS[0].name == BASELINE
