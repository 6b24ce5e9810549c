# SPDX-License-Identifier: Apache-2.0
"""Experiment files: what they become, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.cli.experiment import find_experiment
from l2a_ros.errors import UserError
from l2a_ros.experiments.definition import Experiment, folder_name, load_experiment
from l2a_ros.experiments.manager import plan_jobs
from l2a_ros.robot.share import shared_names

SMALL = {"seeds": 2, "methods": ["grbal", "mb"], "conditions": [{"path": "straight"}]}


def load(folder: Path, content: object) -> Experiment:
    """Write an experiment file and read it."""
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_experiment(file)


@pytest.mark.parametrize("name", shared_names("config/experiments", ".yaml"))
def test_what_is_shipped_can_be_run(name: str) -> None:
    """Every shipped experiment is read, has claims that parse, and at least ten seeds."""
    experiment = load_experiment(find_experiment(name))
    assert experiment.description and len(experiment.seeds) >= 10
    assert experiment.claims or name not in ("terrains", "unseen")


def test_the_paper_is_covered() -> None:
    """The table of the training floors and the unseen conditions have all their rows."""
    floors = load_experiment(find_experiment("terrains"))
    assert {(each.terrain, each.path) for each in floors.conditions} == {
        (terrain, path) for terrain in ("carpet", "styrofoam", "turf")
        for path in ("left", "straight", "zigzag", "figure8")}
    assert [each.method for each in floors.variants] == ["grbal", "rebal", "mb", "mb_de"]
    unseen = load_experiment(find_experiment("unseen"))
    assert {"grbal", "mb", "mb_de"} <= {each.method for each in unseen.variants}
    under_way = [any("@" in fault for fault in each.faults) or each.terrain.count(",") == 2
                 for each in unseen.conditions]
    assert under_way[:10] == [False] * 5 + [True] * 5
    assert not any(under_way[10:])  # the harder ones


def test_products(tmp_path: Path) -> None:
    """Methods x planners x paths x terrains x faults x seeds, each trial in a folder of its own."""
    experiment = load(tmp_path, {
        "seeds": [3, 7], "methods": ["grbal", "mb"], "planners": ["cem", "mppi"], "planning": {"candidates": 40},
        "matrix": {"paths": ["straight", "left"], "terrains": ["turf", "slope:8,90"],
                   "faults": [[], ["missing_leg:front_right@2", "payload:0.02"]]}})
    assert [each.name for each in experiment.variants] == ["grbal cem", "grbal mppi", "mb cem", "mb mppi"]
    assert {each.planning.candidates for each in experiment.variants} == {40}
    assert len(experiment.conditions) == 8
    jobs = plan_jobs(experiment, tmp_path)
    assert len({job.folder for job in jobs}) == len(jobs) == 4 * 8 * 2
    assert [job.seed for job in jobs] == [3] * 32 + [7] * 32, "after each seed everything can be compared"


def test_variants_say_what_differs(tmp_path: Path) -> None:
    """A variant has the common planning but for what it says itself, and a condition the common weights."""
    experiment = load(tmp_path, {
        "planning": {"candidates": 64, "horizon": 9}, "weights": {"lateral": 40},
        "variants": ["mb", {"name": "long", "method": "grbal", "adaptation": {"past": 64, "inner_steps": 3},
                            "planning": {"horizon": 20, "cost": {"action_rate": {"weight": 1.0}}}}],
        "conditions": [{"path": "straight"}, {"path": "zigzag", "weights": {"heading": 10}}]})
    plain, other = experiment.variants
    assert (plain.name, plain.planning.candidates, plain.planning.horizon) == ("mb", 64, 9)
    assert (other.planning.candidates, other.planning.horizon, dict(other.adaptation)) == (
        64, 20, {"past": 64, "inner_steps": 3})
    terms = {term.name: term.weight for term in other.planning.build_terms(experiment.conditions[1].weights)}
    assert terms == {"lateral": 40, "progress": 10, "heading": 10, "action_rate": 1}


@pytest.mark.parametrize(("change", "words"), [
    ({"methods": ["gbal"]}, "gbal"),
    ({"methods": None}, "list"),
    ({"variants": ["mb"]}, "either"),
    ({"planning": {"planner": "rrt"}}, "rrt"),
    ({"planning": {"candiates": 3}}, "candiates"),
    ({"planning": {"horizon": 0}}, "plan"),
    ({"planning": {"cost": {"laterl": {"weight": 1}}}}, "laterl"),
    ({"conditions": []}, "no condition"),
    ({"conditions": [{"path": "spiral"}]}, "spiral"),
    ({"conditions": [{"terrain": "lava"}]}, "lava"),
    ({"conditions": [{"faults": ["broken"]}]}, "broken"),
    ({"conditions": [{"faults": "missing_leg:front_right"}]}, "list"),
    ({"conditions": [{"path": "left"}, {"path": "left"}]}, "two conditions"),
    ({"conditions": [{"duration": -1}]}, "duration"),
    ({"weights": {"speed": 1}}, "speed"),
    ({"weights": {"lateral": -1}}, "weight"),
    ({"seeds": 0}, "seeds"),
    ({"seeds": [1, 1]}, "seeds"),
    ({"seeds": [True]}, "seeds"),
    ({"prepare": [{"makes": "a"}]}, "command"),
    ({"claims": [{"better": "rebal", "than": ["mb"]}]}, "rebal"),
    ({"repeats": 3}, "repeats"),
])
def test_refused_in_one_line(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """What will not do is refused before anything runs, naming the file and the trouble."""
    with pytest.raises(UserError, match=re.escape(words)) as error:
        load(tmp_path, {**SMALL, **change})
    assert "experiment.yaml" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "\x00"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    """A file that is no experiment is refused in one line."""
    file = tmp_path / "other.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="other.yaml"):
        load_experiment(file)


def test_a_checkpoint_may_be_made_first(tmp_path: Path) -> None:
    """A checkpoint that is not there needs a preparation that makes it."""
    model = str(tmp_path / "model.safetensors")
    content = {**SMALL, "methods": None, "variants": [{"method": "mb", "checkpoint": model}]}
    del content["methods"]
    with pytest.raises(UserError, match="no preparation"):
        load(tmp_path, content)
    content["prepare"] = [{"makes": model, "command": "meta-train --bags data --method mb --out " + model}]
    assert load(tmp_path, content).preparations[0].command[0] == "meta-train"


@given(st.text(max_size=60))
def test_folder_names_are_safe(text: str) -> None:
    """A name becomes one folder, whatever is in it."""
    name = folder_name(text)
    assert name and Path(name).name == name and not name.startswith(".")
