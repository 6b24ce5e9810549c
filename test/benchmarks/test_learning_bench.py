# SPDX-License-Identifier: Apache-2.0
"""The benchmark of learning, on a network small enough to be quick: what it says, not how fast it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.benchmarks import peers
from l2a_ros.benchmarks.learning import (
    AGREEMENT,
    ONLINE_TARGET,
    TARGETS,
    Problem,
    agreement_rows,
    learning_rows,
    online_row,
    precision_row,
    training_rows,
)
from l2a_ros.benchmarks.learning_peers import PEERS, Contestant, ours, torch_func
from l2a_ros.benchmarks.table import Row, table, write_json
from l2a_ros.cli import _learning
from l2a_ros.cli.main import main

SMALL = Problem(sizes=(5, 16, 16, 4), batch=4, past=3, future=2, outer_steps=5, threads=1)


class Ticking:
    """A clock that goes on by one second with every look, and so lets every measurement come to its end."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_every_window_is_a_task_of_its_own_and_comes_again(seed: int) -> None:
    windows, again, other = (SMALL.windows(i) for i in (seed, seed, seed + 1))
    assert windows.past_inputs.shape == (4, 3, 5) and windows.future_targets.shape == (4, 2, 4)
    assert torch.equal(windows.future_targets, again.future_targets)
    assert not torch.equal(windows.past_inputs, other.past_inputs)


def test_the_whole_run() -> None:
    rows, missing = learning_rows(Ticking(), 0.0, SMALL)
    cases = [row.case for row in rows]
    assert cases[0] == "online step on 3 transitions, 1 thread"
    assert {row.peer for row in rows if row.case == "outer step of 4 windows, 1 threads, float32"} == set(PEERS)
    agreed = [row for row in rows if row.case.startswith("difference from the gradient")]
    assert len(agreed) + len(missing) == len(PEERS), "every peer is there or its absence is told"
    assert all(row.met and row.ours <= AGREEMENT and row.target == AGREEMENT for row in agreed)
    for row in rows:
        assert row.ratio is None or row.ratio == pytest.approx(row.theirs / row.ours)
    assert len(table(rows)) == len(rows) + 1


def test_torch_func_is_always_there() -> None:
    row, = agreement_rows(SMALL, {"torch.func": torch_func(SMALL.weights(), SMALL.rate)})
    assert row.case == "difference from the gradient of torch.func" and row.met


def test_another_gradient_does_not_pass_for_ours() -> None:
    row, = agreement_rows(SMALL, {"another": torch_func(SMALL.weights(), 1.01 * SMALL.rate)})
    assert not row.met


def test_a_peer_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise AttributeError("module 'numpy' has no attribute 'bool8'\nmore")

    monkeypatch.setattr(peers.importlib, "import_module", absent)
    rows, missing = learning_rows(Ticking(), 0.0, SMALL)
    lost = {row.peer: row for row in rows if row.peer in ("higher", "learn2learn")}
    assert set(lost) == {"higher", "learn2learn"}
    for name, row in lost.items():
        assert (row.theirs, row.ratio, row.met, row.target) == (None, None, None, TARGETS[name])
    assert missing[0] == ("higher cannot be imported (module 'numpy' has no attribute 'bool8'): "
                          "pip install 'l2a_ros[bench]'")
    assert "build_ext" in missing[1]


def test_times_are_those_of_the_clock_and_threads_are_put_back() -> None:
    threads = torch.get_num_threads()
    rows = training_rows(SMALL, {}, 0.0, Ticking())
    step = next(row for row in rows if row.case == "outer step of 4 windows, 1 threads, bfloat16")
    assert (step.ours, step.theirs, step.unit, step.ratio, step.met) == (1000.0, 1000.0, "ms", 1.0, True)
    assert next(row for row in rows if row.case == "training, float32").ours == 4 * (3 + 2)
    online = online_row(SMALL, 0.0, Ticking())
    assert (online.ratio, online.target, online.met) == (1.0, ONLINE_TARGET, False)
    assert torch.get_num_threads() == threads


def test_precisions_are_trained_alike() -> None:
    row = precision_row(SMALL)
    assert row.met and row.ratio == pytest.approx(1.0, abs=0.02)


def test_contestants_start_alike_and_leave_the_weights_alone() -> None:
    weights = SMALL.weights()
    contestants: list[Contestant] = [make(weights, 0.1) for make in (ours, torch_func)]
    with torch.no_grad():
        contestants[0].parameters[0].zero_()
    assert contestants[1].parameters[0].any() and weights[0].weight.any()


@pytest.mark.parametrize(("met", "status"), [(True, 0), (None, 0), (False, 1)])
def test_the_command(met: bool | None, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                     capsys: pytest.CaptureFixture[str]) -> None:
    row = Row("online step", 1.0, "ms", "autograd", 2.0, 2.0, 3.0, met)
    monkeypatch.setattr(_learning, "learning_rows", lambda clock, seconds: ([row], [f"told after {seconds:g} s"]))
    file = tmp_path / "learning.json"
    assert main(["bench", "learning", "--seconds", "2", "--json", str(file)]) == status
    assert capsys.readouterr().out.splitlines()[-1] == "told after 2 s"
    content = json.loads(file.read_text())
    assert content["bench"] == "learning" and content["rows"][0]["peer"] == "autograd"


def test_no_time_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "learning", "--seconds", "0"]) == 2
    assert "more than 0" in capsys.readouterr().err


def test_rows_are_json(tmp_path: Path) -> None:
    rows, _ = learning_rows(Ticking(), 0.0, SMALL)
    write_json(tmp_path / "rows.json", "learning", rows)

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    assert len(json.loads((tmp_path / "rows.json").read_text(), parse_constant=refuse)["rows"]) == len(rows)
