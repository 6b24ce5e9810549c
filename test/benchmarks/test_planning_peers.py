# SPDX-License-Identifier: Apache-2.0
"""The planners of other libraries, on a problem whose best answer is known: linear dynamics, quadratic cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from l2a_ros.benchmarks import planning_peers
from l2a_ros.benchmarks.peers import PeerMissing
from l2a_ros.benchmarks.planning_peers import PEERS, MbrlCem, Planner, PlanningProblem, PytorchMppi

MODULES = {"pytorch-mppi": "pytorch_mppi", "mbrl CEM": "mbrl.planning"}
# Goes away from zero by itself.
A = np.array([[1.0, 0.3], [-0.2, 1.1]])
B = np.array([[0.5, 0.0], [0.2, 0.5]])
#: Cost of the squares of the states (all alike) and of the actions.
OF_STATE, OF_ACTION = 1.0, 0.5
START = torch.tensor([1.5, -1.0])
STEPS, HORIZON = 10, 5
REACH = 4.0
#: Of the noise, over the reach; and the temperature that makes MPPI's own cost of actions, temperature / 2 times their
#: squares over the variance of the noise (Williams et al., ICRA 2017), the one above.
SPREAD = 0.25
TEMPERATURE = 2.0 * OF_ACTION * (SPREAD * REACH) ** 2


class Plant:
    """The problem, with actions counted from ``rest``; notes what it is asked for."""

    def __init__(self, rest: float = 0.0) -> None:
        self.rest = torch.tensor([rest, -rest])
        self.predicted = 0
        self.always_in_inference_mode = True
        self._a, self._b = (torch.tensor(matrix, dtype=torch.float32) for matrix in (A, B))

    def move(self, states: Tensor, actions: Tensor) -> Tensor:
        return states @ self._a.T + (actions - self.rest) @ self._b.T

    def dynamics(self, states: Tensor, actions: Tensor) -> Tensor:
        self.predicted += len(states)
        self.always_in_inference_mode &= torch.is_inference_mode_enabled()
        return self.move(states, actions)

    def cost_of_states(self, states: Tensor, actions: Tensor) -> Tensor:
        return OF_STATE * states.square().sum(1)

    def cost(self, states: Tensor, actions: Tensor) -> Tensor:
        return self.cost_of_states(states, actions) + OF_ACTION * (actions - self.rest).square().sum(1)

    def problem(self, samples: int = 500, seed: int = 0) -> PlanningProblem:
        return PlanningProblem(self.dynamics, self.cost, self.rest - REACH, self.rest + REACH, 2, samples, HORIZON,
                               seed)

    def cost_of_driving(self, planner: Planner) -> float:
        state, total = START, 0.0
        for _ in range(STEPS):
            action = planner.plan(state)
            assert action.shape == (2,) and bool(((action - self.rest).abs() <= REACH + 1e-4).all())
            state = self.move(state[None], action[None])[0]
            total += float(self.cost(state[None], action[None]))
        return total


class Riccati:
    """The best plan over the same horizon, by dynamic programming."""

    rollouts = 0

    def __init__(self) -> None:
        of_state, of_action = OF_STATE * np.eye(2), OF_ACTION * np.eye(2)
        value = of_state
        for _ in range(HORIZON):
            gain = np.linalg.solve(of_action + B.T @ value @ B, B.T @ value @ A)
            value = of_state + A.T @ value @ (A - B @ gain)
        self._gain = torch.tensor(gain, dtype=torch.float32)

    def plan(self, state: Tensor) -> Tensor:
        """Return the first action."""
        return -self._gain @ state


class Still:
    """Does nothing."""

    rollouts = 0

    def plan(self, state: Tensor) -> Tensor:
        """Return no action."""
        return torch.zeros(2)


def need(name: str) -> None:
    pytest.importorskip(MODULES[name], reason=f"{name} is not installed", exc_type=ImportError)


def make(name: str, problem: PlanningProblem) -> Planner:
    need(name)
    return PEERS[name](problem)


@pytest.fixture
def best() -> float:
    best = Plant().cost_of_driving(Riccati())
    assert Plant().cost_of_driving(Still()) > 20.0 * best, "it is no feat otherwise"
    return best


@pytest.mark.parametrize("rest", [0.0, 20.0], ids=["bounds around zero", "bounds around another point"])
@pytest.mark.parametrize(("iterations", "excess"), [(1, 0.15), (3, 0.05)])
def test_mppi_drives_nearly_as_well_as_is_possible(iterations: int, excess: float, rest: float, best: float) -> None:
    need("pytorch-mppi")
    plant = Plant(rest)
    problem = replace(plant.problem(), cost=plant.cost_of_states)
    planner = PytorchMppi(problem, temperature=TEMPERATURE, spread=SPREAD, iterations=iterations)
    assert plant.cost_of_driving(planner) <= (1.0 + excess) * best
    assert planner.rollouts == iterations * 500 and plant.predicted == STEPS * HORIZON * planner.rollouts


@pytest.mark.parametrize("rest", [0.0, 20.0], ids=["bounds around zero", "bounds around another point"])
def test_cem_drives_nearly_as_well_as_is_possible(rest: float, best: float) -> None:
    need("mbrl CEM")
    plant = Plant(rest)
    assert plant.cost_of_driving(MbrlCem(plant.problem())) <= 1.05 * best


@pytest.mark.parametrize("name", PEERS)
def test_predicts_what_it_says_and_records_nothing_for_gradients(name: str) -> None:
    plant = Plant()
    planner = make(name, plant.problem(samples=30))
    for _ in range(3):
        action = planner.plan(START)
    assert planner.rollouts == {"pytorch-mppi": 30, "mbrl CEM": 5 * 30}[name]
    assert plant.predicted == 3 * HORIZON * planner.rollouts
    assert plant.always_in_inference_mode and not action.is_inference(), "the action is an ordinary tensor"


@pytest.mark.parametrize("name", PEERS)
def test_draws_depend_on_the_seed_alone(name: str) -> None:
    def plans(seed: int, between: int) -> Tensor:
        planner = make(name, Plant().problem(samples=20, seed=seed))
        actions = []
        for _ in range(3):
            actions.append(planner.plan(START))
            torch.rand(between)
        return torch.stack(actions)

    first = plans(1, 0)
    assert torch.equal(first, plans(1, 7)) and not torch.equal(first, plans(2, 0))


@pytest.mark.parametrize("name", PEERS)
def test_the_generator_of_everybody_stays_as_it_was(name: str) -> None:
    planner = make(name, Plant().problem(samples=20))
    before = torch.get_rng_state()
    planner.plan(START)
    assert torch.equal(torch.get_rng_state(), before)


def test_mppi_refines_the_plan_of_now() -> None:
    need("pytorch-mppi")
    # What is wanted turns round with every step, so that a plan that was moved on is the wrong one.
    wanted = torch.tensor([1.0, -1.0]).repeat(HORIZON)
    problem = PlanningProblem(lambda states, actions: states + 1.0,
                              lambda states, actions: (actions[:, 0] - wanted[states[:, 0].long() - 1]).square(),
                              torch.tensor([-2.0]), torch.tensor([2.0]), 1, 500, HORIZON)
    planner = PytorchMppi(problem, temperature=0.1, spread=0.25, iterations=4)
    for step in range(4):
        assert float(planner.plan(torch.tensor([float(step)]))) == pytest.approx(float(wanted[step]), abs=0.3)


@pytest.mark.parametrize(("peer", "text"), [
    (PytorchMppi, "pytorch_mppi cannot be imported (broken): pip install 'l2a_ros[bench]'"),
    (MbrlCem, "mbrl.planning cannot be imported (broken): pip install 'l2a_ros[bench]', then pip install --no-deps "
              "mbrl==0.2.0, since the hydra-core that it asks for does not run on Python 3.11")])
def test_a_peer_that_is_not_there(peer: type[PytorchMppi | MbrlCem], text: str,
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ValueError("broken\nmore")

    monkeypatch.setattr(planning_peers.importlib, "import_module", absent)
    with pytest.raises(PeerMissing) as caught:
        peer(Plant().problem())
    assert str(caught.value) == text
