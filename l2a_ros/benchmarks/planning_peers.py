# SPDX-License-Identifier: Apache-2.0
"""Planners of other libraries on the same dynamics and cost, each set up as its authors do.

They run in inference mode, on as many threads as torch has been given, and draw from torch's global generator, which
is lent to them with a state of their own: a seed gives the same plans whatever else draws in between.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import torch
from torch import Tensor

from l2a_ros.benchmarks.peers import import_peer

#: Of states ``(n, s)`` and actions ``(n, a)``.
Step = Callable[[Tensor, Tensor], Tensor]

#: How to get what is not on the machine.
_HOW = {
    "pytorch_mppi": "pip install 'l2a_ros[bench]'",
    "mbrl.planning": "pip install 'l2a_ros[bench]', then pip install --no-deps mbrl==0.2.0, since the hydra-core that "
                     "it asks for does not run on Python 3.11",
}


@dataclass(frozen=True)
class PlanningProblem:
    """What is planned, in single precision on the processor.

    Args:
        dynamics: returns the next states, ``(n, s)``.
        cost: of a step, ``(n,)``, from the states that it ended in and the actions that led there.
        low: smallest actions, ``(a,)``.
        high: largest actions, ``(a,)``.
        state_size: s.
        samples: action sequences per iteration.
        horizon: steps per sequence.
        seed: of the draws.
    """

    dynamics: Step
    cost: Step
    low: Tensor
    high: Tensor
    state_size: int
    samples: int = 500
    horizon: int = 10
    seed: int = 0

    @property
    def middle(self) -> Tensor:
        """The middle of the bounds, ``(a,)``."""
        return (self.low + self.high) / 2.0


class Planner(Protocol):
    """A planner that goes on from its plan of one step before."""

    #: Action sequences that are predicted for one plan.
    rollouts: int

    def plan(self, state: Tensor) -> Tensor:
        """Return the first action, ``(a,)``, of a plan from a state ``(s,)``."""


class _Draws:
    """The global generator with a state of one's own; a matter of microseconds."""

    def __init__(self, seed: int) -> None:
        self._own = torch.Generator().manual_seed(seed).get_state()

    def __enter__(self) -> None:
        self._others = torch.get_rng_state()
        torch.set_rng_state(self._own)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._own = torch.get_rng_state()
        torch.set_rng_state(self._others)


class PytorchMppi:
    """``MPPI`` of pytorch-mppi.

    Beside the cost it counts the actions' squares over the variance of the noise, times half the temperature, and it
    fills the end of the horizon with zeros. Where zero is not the middle of the bounds, it therefore gets to plan
    distances from the middle.

    Args:
        problem: what is planned.
        temperature: lambda; its notes say that less than 1, its default, is generally better.
        spread: standard deviation of the noise, over half the range of each action.
        iterations: per plan; after the first one without moving the previous plan on.

    Raises:
        PeerMissing: it cannot be imported.
    """

    def __init__(self, problem: PlanningProblem, temperature: float = 1.0, spread: float = 0.5,
                 iterations: int = 1) -> None:
        library = import_peer("pytorch_mppi", _HOW["pytorch_mppi"])
        self.rollouts = iterations * problem.samples
        self._draws, self._middle, self._refinements = _Draws(problem.seed), problem.middle, iterations - 1
        half = problem.high - self._middle
        self._control = library.MPPI(
            self._moved(problem.dynamics), self._moved(problem.cost), problem.state_size,
            torch.diag((spread * half) ** 2), num_samples=problem.samples, horizon=problem.horizon,
            lambda_=temperature, u_min=-half, u_max=half, U_init=torch.zeros(problem.horizon, len(half)))

    def _moved(self, step: Step) -> Step:
        middle = self._middle
        return (lambda states, actions: step(states, actions + middle)) if middle.any() else step

    def plan(self, state: Tensor) -> Tensor:
        """Return the first action, ``(a,)``, of a plan from a state ``(s,)``."""
        with self._draws, torch.inference_mode():
            action: Tensor = self._control.command(state)
            for _ in range(self._refinements):
                action = self._control.command(state, shift_nominal_trajectory=False)
        return action + self._middle


class MbrlCem:
    """``CEMOptimizer`` of mbrl in its ``TrajectoryOptimizer``, with the settings of its PETS examples.

    Every iteration predicts the whole population, so that a plan takes ``iterations`` times ``samples`` predicted
    sequences. They are evaluated as its ``ModelEnv`` does it, less what only several particles, early ends of an
    episode and arrays of NumPy need.

    Args:
        problem: what is planned.
        iterations: per plan.

    Raises:
        PeerMissing: it cannot be imported.
    """

    def __init__(self, problem: PlanningProblem, iterations: int = 5) -> None:
        library = import_peer("mbrl.planning", _HOW["mbrl.planning"])
        settings = importlib.import_module("omegaconf").OmegaConf
        self.rollouts = iterations * problem.samples
        self._problem, self._draws = problem, _Draws(problem.seed)
        self._optimizer = library.TrajectoryOptimizer(
            settings.create({
                "_target_": "mbrl.planning.CEMOptimizer", "num_iterations": iterations, "elite_ratio": 0.1,
                "population_size": problem.samples, "alpha": 0.1, "lower_bound": "???", "upper_bound": "???",
                "return_mean_elites": True, "device": "cpu", "clipped_normal": False}),
            problem.low.numpy(), problem.high.numpy(), planning_horizon=problem.horizon)

    def plan(self, state: Tensor) -> Tensor:
        """Return the first action, ``(a,)``, of a plan from a state ``(s,)``."""
        with self._draws, torch.inference_mode():
            sequence = self._optimizer.optimize(lambda sequences: self._returns(state, sequences))
        return torch.from_numpy(sequence[0])

    def _returns(self, state: Tensor, sequences: Tensor) -> Tensor:
        states, total = state.expand(len(sequences), -1), torch.zeros(len(sequences))
        for actions in sequences.unbind(1):
            states = self._problem.dynamics(states, actions)
            total -= self._problem.cost(states, actions)
        return total


#: By name, as in the table.
PEERS: dict[str, Callable[[PlanningProblem], Planner]] = {"pytorch-mppi": PytorchMppi, "mbrl CEM": MbrlCem}
