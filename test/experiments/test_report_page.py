# SPDX-License-Identifier: Apache-2.0
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from experiment_samples import write_sample, write_samples

from l2a_ros.errors import UserError
from l2a_ros.experiments.figures import write_figures
from l2a_ros.experiments.outcome_picture import draw_outcomes
from l2a_ros.experiments.picture_style import styles
from l2a_ros.experiments.report_page import render, table_markdown, write_report
from l2a_ros.experiments.results import load_results

DEFINITION = """
title: Two & <b>two</b>
description: |
  What it is <script>alert(1)</script>.
seeds: 5
methods: [grbal, mb]
conditions:
  - {name: carpet straight}
  - {name: "carpet left & <fault>", path: left, faults: ["missing_leg:front_right@3.0"]}
  - {name: never run, terrain: turf}
claims:
  - {better: grbal, than: [mb]}
  - {no_worse: grbal, than: [mb], within: 0.03, conditions: ["carpet *"]}
"""
RUN = {"started": "2024-05-01T10:00:00+00:00", "seconds": 5400.0, "workers": 2, "version": "0.1.0",
       "checkpoints": {"grbal": {"file": "some.safetensors", "id": "abc123", "command": "meta-train --seed 1"}}}


class Page(HTMLParser):
    """What a page shows and what it points to; elements must be closed in order."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.sources: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "a":
            self.links.append(values["href"] or "")
        if tag == "img":
            self.sources.append(values["src"] or "")
        if "id" in values:
            self.ids.append(values["id"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = write_samples(tmp_path_factory.mktemp("experiment"))
    (out / "experiment.yaml").write_text(DEFINITION)
    (out / "run.json").write_text(json.dumps(RUN))
    (out / "trials" / "grbal" / "carpet_straight" / "2" / "bag").mkdir()
    (out / "trials" / "grbal" / "carpet_straight" / "4").mkdir()
    return out


@pytest.fixture(scope="module")
def page(out: Path) -> Page:
    return Page(write_report(out).read_text())


def test_page_is_whole_and_loads_nothing_from_elsewhere(page: Page) -> None:
    assert page.open == []
    assert "script" not in page.tags
    assert "b" in page.tags, "our own"
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not [link for link in page.links if "://" in link]


def test_every_link_leads_somewhere(page: Page, out: Path) -> None:
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (out / unquote(link)).exists(), link
    assert sum(link.endswith("trial.csv") for link in page.links) == 16
    assert [link for link in page.links if link.endswith("/bag")] == ["trials/grbal/carpet_straight/2/bag"]


def test_page_tells_what_was_run_what_is_missing_and_what_the_figures_are(page: Page) -> None:
    words = " ".join(page.words.split())
    for text in ("Two & <b>two</b>", "<script>alert(1)</script>", "16 finished trials of 30",
                 "14 of 30 trials are missing", "never run, mb: seeds 0, 1, 2, 3, 4",
                 "Begun and not finished: trials/grbal/carpet_straight/4", "abc123", "meta-train --seed 1",
                 "ran 1 h 30 min in all, 2 trials at once", "w_lateral = 50", "mean_lateral_error_m in the CSV files",
                 "holds in 2 of 3, 1 undecided", "cost after the onset", "methods: [grbal, mb]"):
        assert text in words, text


def test_tables_are_written_too(page: Page, out: Path) -> None:
    assert (out / "summary.csv").read_text().count("\n") == 17
    assert (out / "cells.csv").read_text().count("\n") == 5
    assert sorted(file.name for file in (out / "figures").iterdir()) == [
        "lateral_error.png", "onsets.png", "outcomes.png", "tracks.png"]


def test_markdown_has_a_row_per_condition(out: Path) -> None:
    text = table_markdown(out)
    lines = text.splitlines()
    assert lines[0] == "| condition | grbal | mb |"
    assert [line.split("|")[1].strip() for line in lines[2:5]] == [
        "carpet straight", "carpet left & <fault>", "never run"]
    assert "; 4/4; 0.2" in lines[2]
    assert lines[4] == "| never run | – | – |"
    assert "14 of 30 trials are missing." in text
    assert "**holds in 2 of 3, 1 undecided**" in text


def test_what_was_asked_for_comes_first_in_its_order(out: Path) -> None:
    results = load_results(out)
    assert results.variants == ("grbal", "mb")
    assert results.conditions == ("carpet straight", "carpet left & <fault>", "never run")
    assert results.seeds == (0, 1, 2, 3, 4)
    assert results.planned == len(results.missing) + len(results.found.trials) == 30


def test_definition_that_cannot_be_used_any_more_is_told(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "copy")
    (tmp_path / "copy" / "experiment.yaml").write_text(
        "title: Old\nvariants: [{method: grbal, checkpoint: gone.safetensors}, {method: mb}]\nconditions: [{}]\n")
    (tmp_path / "copy" / "run.json").write_text("{")
    words = " ".join(Page(render(load_results(tmp_path / "copy"))).words.split())
    assert "gone.safetensors does not exist" in words
    assert "run.json cannot be read" in words
    assert "16 finished trials of 16" in words


def test_bad_claim_and_broken_definition_are_errors_of_the_user(tmp_path: Path) -> None:
    write_sample(tmp_path, "grbal", "x", 0)
    (tmp_path / "experiment.yaml").write_text("claims: [{better: nobody, than: [grbal]}]")
    with pytest.raises(UserError, match="unknown variant 'nobody'"):
        write_report(tmp_path)
    (tmp_path / "experiment.yaml").write_text("claims: [")
    with pytest.raises(UserError, match="cannot be read"):
        write_report(tmp_path)


@pytest.mark.filterwarnings("error")
def test_one_trial_is_enough_and_none_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "trials").mkdir()
    words = Page(write_report(tmp_path).read_text()).words
    assert "there are no finished trials" in words
    assert table_markdown(tmp_path)
    write_sample(tmp_path, "grbal", "x", 0)
    assert len(Page(write_report(tmp_path).read_text()).sources) == 3


@pytest.mark.filterwarnings("error")
def test_pictures_of_many_variants_conditions_and_broken_trials(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2a_ros.experiments.picture_style.DOTS_PER_INCH", 30)
    paths = ("straight", "left", "zigzag", "figure8")
    for c in range(16):
        for v in range(6):
            if (c + v) % 4:
                continue
            write_sample(tmp_path, f"variant {v}", f"condition {c:02} with a rather long name of its own", 0,
                         path=paths[c % 4], lateral=0.01 * v, steps=(0, 1, 3, 30, 60, 90)[c % 6],
                         faults=("payload:0.02@2.0",) if c % 2 else (), broken_at=20 if c == 4 else None)
    files = write_figures(tmp_path)
    assert len(files) == 4
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_a_trial_far_beyond_the_others_does_not_hide_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2a_ros.experiments.outcome_picture.to_png", lambda figure: figure)

    def cost_panel() -> tuple[float, set[str]]:
        axes = draw_outcomes(load_results(tmp_path)).axes[0]
        return axes.get_xlim()[1], {text.get_text() for text in axes.texts}

    for seed in range(100):
        write_sample(tmp_path, "grbal", "x", seed, steps=5, mean_cost=1.0 + 0.005 * seed)
    usual, texts = cost_panel()
    assert usual < 2.0 and not texts
    write_sample(tmp_path, "grbal", "x", 100, steps=5, mean_cost=77.0)
    shown, texts = cost_panel()
    interval = load_results(tmp_path).cells["x", "grbal"].intervals["mean_cost"]
    assert interval.high < shown < 20.0 and texts == {"77"}
    for seed in range(3):
        write_sample(tmp_path, "grbal", "x", 101 + seed, steps=5, mean_cost=78.0)
    assert cost_panel()[1] == {"4 to 78"}
    # Below zero there is no such edge.
    for seed in range(104):
        write_sample(tmp_path, "grbal", "x", seed, steps=5, **{"return": -50.0 - 0.1 * seed})
    write_sample(tmp_path, "grbal", "x", 0, steps=5, **{"return": -40.0})
    axes = draw_outcomes(load_results(tmp_path), ("return",)).axes[0]
    assert axes.get_xlim()[0] < -60.0 and not axes.texts


def test_variants_look_the_same_everywhere_and_unlike_each_other() -> None:
    alone, together = styles(["mb"]), styles(["a", "grbal", "mb", "mb_de", "rebal", "b"])
    assert alone["mb"] == together["mb"]
    assert len({each.colour for each in together.values()}) == 6
    many = styles([f"v{i}" for i in range(12)])
    assert len(set(many.values())) == 12
