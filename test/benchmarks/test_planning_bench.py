# SPDX-License-Identifier: Apache-2.0
"""The benchmark of planning: everybody plans the same thing, and the rows say what was measured."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch

from l2a_ros.benchmarks import planning
from l2a_ros.benchmarks.peers import PeerMissing
from l2a_ros.benchmarks.planning import Ours, Peak, Peer, busy_processes, make_model, make_window, operations
from l2a_ros.benchmarks.planning_peers import PlanningProblem
from l2a_ros.learning.adapted_model import AdaptationStatus
from l2a_ros.learning.checkpoint import Checkpoint
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.planning.costs import PathCost, make_terms
from l2a_ros.planning.engine_choice import Choice
from l2a_ros.planning.line_path import LinePath
from l2a_ros.planning.rollout import RolloutEngine
from l2a_ros.planning.start_up import typical_state
from l2a_ros.planning.torch_rollout import TorchRollout
from l2a_ros.robot.layout import Frame


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return make_model()


def choice() -> Choice:
    return Choice("torch", "float32", TorchRollout(Frame.MAP), None, float("nan"))


def test_the_model_has_the_size_that_is_promised_and_adapts(checkpoint: Checkpoint) -> None:
    assert [tuple(layer.weight.shape) for layer in checkpoint.weights] == [(512, 24), (512, 512), (512, 512), (24, 512)]
    adapted = OnlineAdapter(checkpoint).adapt(make_window(checkpoint), 0)
    assert adapted.model.status is AdaptationStatus.ADAPTED
    assert len(make_window(checkpoint)) == 16
    assert operations(checkpoint, 500, 10) == 2 * 5000 * (24 * 512 + 2 * 512 * 512 + 512 * 24)


class Recorder:
    """A planner of another library that keeps what it is given."""

    rollouts = 1

    def __init__(self, problem: PlanningProblem) -> None:
        self.problem = problem
        self.states: list[torch.Tensor] = []

    def plan(self, state: torch.Tensor) -> torch.Tensor:
        self.states.append(state)
        return self.problem.middle


def test_peers_plan_with_our_dynamics_and_our_cost(checkpoint: Checkpoint) -> None:
    made: list[Recorder] = []
    peer = Peer(checkpoint, lambda problem: made.append(Recorder(problem)) or made[-1], (7, 3))
    peer()
    [recorder] = made
    problem = recorder.problem
    assert (problem.samples, problem.horizon) == (7, 3)
    state, rng = typical_state(checkpoint), np.random.default_rng(0)
    np.testing.assert_allclose(recorder.states[0].numpy(), state, rtol=1e-6)

    actions = rng.uniform(problem.low.numpy(), problem.high.numpy(), (7, 3, 2)).astype(np.float32)
    engine = RolloutEngine(checkpoint)
    engine.set_change(OnlineAdapter(checkpoint).adapt(make_window(checkpoint), 0).model.change)
    expected = engine.rollout(state, actions)
    states, total = torch.from_numpy(state.astype(np.float32)).expand(7, -1), torch.zeros(7)
    with torch.inference_mode():
        for step in range(3):
            given = torch.from_numpy(actions[:, step])
            states = problem.dynamics(states, given)
            np.testing.assert_allclose(states.numpy(), expected[:, step], rtol=1e-3, atol=1e-4)
            total += problem.cost(states, given)
    terms = make_terms({"forward_speed": {"weight": 10.0, "target": 0.3}, "progress": {"weight": 0.0}})
    path = PathCost(LinePath(np.array([[-100.0, 0.0], [100.0, 0.0]])), terms)
    ours = path.at(path.start(np.zeros(2)), np.zeros(2))(expected, actions)
    np.testing.assert_allclose(total.numpy(), ours, rtol=1e-3)


def test_ours_and_the_peak_run(checkpoint: Checkpoint) -> None:
    ours = Ours(checkpoint, choice(), "cem", candidates=40, horizon=2, iterations=2)
    ours()
    ours()
    for precision in ("float32", "bfloat16"):
        Peak(precision)()


def test_busy_processes_are_busy_and_end() -> None:
    with busy_processes(1):
        time.sleep(0.3)
    with pytest.raises(RuntimeError), busy_processes(1):
        raise RuntimeError


def test_rows_compare_and_missing_peers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that gives every second call the same step makes all ratios one."""
    def missing(problem: PlanningProblem) -> Recorder:
        raise PeerMissing("it is not here: install it")

    monkeypatch.setattr(planning, "PEERS", {"pytorch-mppi": Recorder, "mbrl CEM": missing})
    monkeypatch.setattr(planning, "CEM_SIZE", (10, 2))
    monkeypatch.setattr(planning, "_BUSY_TICKS", 3)
    ticks = itertools.count()
    said: list[str] = []
    rows, notes = planning.planning_rows(lambda: float(next(ticks)), 1.0, said.append, [((12, 2), 2.5)])
    by_case = {row.case: row for row in rows}
    compared = by_case["adapt and plan, 12 x 2"]
    assert (compared.peer, compared.ratio, compared.met) == ("pytorch-mppi", 1.0, False)
    cem = by_case["adapt and plan, cem, 5 x 10 x 2"]
    assert (cem.peer, cem.theirs, cem.met) == ("mbrl CEM (missing)", None, None)
    assert "it is not here: install it" in notes
    assert by_case["adapt and plan, 12 x 2: p99 over median"].ours == 1.0
    assert len(said) >= 3
