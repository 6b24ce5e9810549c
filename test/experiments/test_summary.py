# SPDX-License-Identifier: Apache-2.0
import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from experiment_samples import write_sample, write_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.experiments.intervals import mean_interval
from l2a_ros.experiments.measures import MEASURES
from l2a_ros.experiments.summary import read_trials, summarise, write_summary
from l2a_ros.experiments.trial_files import TrialResult, find_trials, read_trial


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def trials(out: Path) -> list[TrialResult]:
    return read_trials(out)


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_trial_is_what_its_report_and_rows_say(tmp_path: Path) -> None:
    folder = write_sample(tmp_path, "grbal", "carpet straight", 3, lateral=0.02, speed=0.25, steps=40)
    (folder / "bag").mkdir()
    report = json.loads((folder / "report.json").read_text())
    trial = read_trial(folder)
    assert (trial.variant, trial.condition, trial.seed) == ("grbal", "carpet straight", 3)
    assert (trial.mean_cost, trial.total_return) == (report["mean_cost"], report["return"])
    assert trial.progress_m == pytest.approx(1.0)
    assert trial.speed_m_s == pytest.approx(0.25)
    assert trial.mean_leg_rate_rad_s == pytest.approx(32.0), "magnitudes: turning on the spot is no creeping"
    assert trial.bag == folder / "bag"
    assert trial.picture is None
    assert (trial.onset_s, trial.cost_before_onset) == (None, None)


def test_cost_around_an_onset_is_split_where_the_fault_strikes(tmp_path: Path) -> None:
    folder = write_sample(tmp_path, "grbal", "x", 0, steps=60, faults=("payload:0.02", "missing_leg:front_left@3.0",
                                                                       "motor_gain:left,0.9@4.0"))
    trial = read_trial(folder)
    assert trial.onset_s == pytest.approx(2.5), "onsets count from the start of the world, half a second earlier"
    rows = table(folder / "trial.csv")[1:]
    early = [float(row["cost"]) for row in rows if float(row["elapsed_s"]) <= 2.5]
    late = [float(row["cost"]) for row in rows if float(row["elapsed_s"]) > 2.5]
    assert len(early) + len(late) == trial.steps
    assert trial.cost_before_onset == pytest.approx(np.mean(early))
    assert trial.cost_after_onset == pytest.approx(np.mean(late))


@pytest.mark.parametrize("fault", ["missing_leg:front_left", "missing_leg:front_left@60.0", "payload:0.02@0.4"])
def test_what_breaks_before_or_after_a_trial_is_no_onset(tmp_path: Path, fault: str) -> None:
    assert read_trial(write_sample(tmp_path, "grbal", "x", 0, faults=(fault,))).onset_s is None


def test_every_trial_is_a_row_and_units_are_in_the_names(out: Path, trials: list[TrialResult]) -> None:
    files = write_summary(out)
    assert [file.name for file in files] == ["summary.csv", "cells.csv"]
    rows = table(files[0])
    assert [(row["variant"], row["condition"], int(row["seed"])) for row in rows] == [
        (trial.variant, trial.condition, trial.seed) for trial in trials]
    assert len(rows) == 16
    assert float(rows[0]["mean_lateral_error_m"]) == pytest.approx(trials[0].mean_lateral_error_m)
    assert float(rows[0]["speed_m_per_s"]) == pytest.approx(trials[0].speed_m_s)
    assert (out / rows[0]["folder"] / "report.json").is_file()
    units = ("_m", "_s", "_m_per_s", "_rad_per_s", "_per_step", "_per_trial", "_count")
    texts = {"variant", "condition", "seed", "method", "planner", "path", "terrain", "faults", "completed", "ended",
             "folder", "bag"}
    assert not [name for name in rows[0] if name not in texts and not name.endswith(units)]


def test_cells_have_the_intervals_of_their_trials(out: Path, trials: list[TrialResult]) -> None:
    rows = table(write_summary(out)[1])
    assert len(rows) == 4
    for row in rows:
        costs = [trial.mean_cost for trial in trials
                 if (trial.variant, trial.condition) == (row["variant"], row["condition"])]
        interval = mean_interval(costs)
        assert int(row["trials_count"]) == len(costs) == 4
        assert float(row["mean_cost_per_step_mean"]) == pytest.approx(interval.mean)
        assert float(row["mean_cost_per_step_low"]) == pytest.approx(interval.low)
        assert float(row["mean_cost_per_step_high"]) == pytest.approx(interval.high)
        struck = row["condition"] != "carpet straight"
        assert bool(row["mean_cost_after_onset_per_step_mean"]) == struck


@settings(max_examples=25)
@given(st.randoms(), st.integers(0, 16))
def test_order_does_not_matter_and_nothing_is_lost(trials: list[TrialResult], random: object, kept: int) -> None:
    some = list(trials)
    random.shuffle(some)  # type: ignore[attr-defined]
    some = some[:kept]
    cells = summarise(some)
    assert sum(cell.count for cell in cells) == len(some)
    assert sorted(trial.folder for cell in cells for trial in cell.trials) == sorted(trial.folder for trial in some)
    assert cells == summarise(sorted(some, key=lambda trial: trial.folder))
    for cell in cells:
        for name, interval in cell.intervals.items():
            assert interval.count + interval.omitted == cell.count
            assert not interval.count or interval.low <= interval.mean <= interval.high, name


def test_folders_decide_nothing(out: Path, trials: list[TrialResult], tmp_path: Path) -> None:
    for i, trial in enumerate(reversed(trials)):
        shutil.copytree(trial.folder, tmp_path / "trials" / "x" / "y" / f"{i:02}")
    moved = read_trials(tmp_path)
    assert [(trial.variant, trial.condition, trial.seed, trial.mean_cost) for trial in moved] == [
        (trial.variant, trial.condition, trial.seed, trial.mean_cost) for trial in trials]


def test_trial_with_an_infinite_cost_is_counted_where_it_has_none(tmp_path: Path) -> None:
    for seed in range(3):
        write_sample(tmp_path, "grbal", "x", seed, broken_at=20 if seed == 1 else None)
    [cell] = summarise(read_trials(tmp_path))
    cost = cell.intervals["mean_cost"]
    assert (cost.count, cost.omitted) == (2, 1)
    assert cell.intervals["completion"].mean == pytest.approx(2 / 3)
    row = table(write_summary(tmp_path)[0])[1]
    assert row["mean_cost_per_step"] == ""
    assert table(tmp_path / "cells.csv")[0]["mean_cost_per_step_omitted_count"] == "1"


def test_what_cannot_be_read_is_told_and_not_left_out(tmp_path: Path) -> None:
    write_sample(tmp_path, "grbal", "x", 0)
    damage = {1: ("report.json", "{"), 2: ("report.json", "[]"), 3: ("report.json", "{}"),
              4: ("trial.csv", "stamp_ns,elapsed_s\n1,2\n"), 5: ("trial.csv", "")}
    for seed, (name, content) in damage.items():
        (write_sample(tmp_path, "grbal", "x", seed) / name).write_text(content)
    (write_sample(tmp_path, "grbal", "x", 6) / "trial.csv").unlink()
    cut = write_sample(tmp_path, "grbal", "x", 7) / "trial.csv"
    cut.write_text(cut.read_text()[:-40])
    write_sample(tmp_path, "grbal", "x", 0, folder=tmp_path / "trials" / "grbal" / "x" / "copy")
    (tmp_path / "trials" / "grbal" / "x" / "8").mkdir()
    write_sample(tmp_path, "grbal", "x", 9, folder=tmp_path / "trials" / "grbal" / "x" / ".9.123.unfinished")
    found = find_trials(tmp_path)
    assert [trial.seed for trial in found.trials] == [0]
    assert sorted(folder.name for folder in found.unfinished) == [".9.123.unfinished", "8"]
    assert sorted(folder.name for folder, _ in found.unreadable) == ["1", "2", "3", "4", "5", "6", "7", "copy"]
    assert all(why for _, why in found.unreadable)


def test_folder_that_is_no_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no experiment"):
        read_trials(tmp_path)


def test_trial_without_a_step_has_no_figures_but_is_there(tmp_path: Path) -> None:
    write_sample(tmp_path, "grbal", "x", 0, steps=0)
    [trial] = read_trials(tmp_path)
    assert (trial.steps, trial.mean_cost, trial.speed_m_s, trial.mean_leg_rate_rad_s) == (0, None, None, None)
    [cell] = summarise([trial])
    assert math.isnan(cell.intervals["mean_cost"].mean)
    write_summary(tmp_path)


def test_names_of_columns_are_unique_and_every_measure_says_what_it_is() -> None:
    assert len({measure.column for measure in MEASURES.values()}) == len(MEASURES)
    assert all(measure.formula and measure.unit and measure.title for measure in MEASURES.values())
