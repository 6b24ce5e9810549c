# SPDX-License-Identifier: Apache-2.0
"""The shipped models on a robot that breaks: adapted to some seconds, they predict the next 1.6 s better than mb."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.checkpoint import load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.training.evaluate import EvaluationSettings, evaluate, summarise
from l2a_ros.training.random_driving import RandomDriver

FIRST = 64


@functools.cache
def drive(fault: str, terrain: str = "carpet", ticks: int = 400) -> Transitions:
    """Drive at random; seeds that no training data has."""
    robot = InProcessRobot(load_terrain(terrain), 7, [parse_fault(fault)] if fault else [])
    driver = RandomDriver(7)
    states, actions = [robot.settle().state], []
    for _ in range(ticks):
        actions.append(driver())
        states.append(robot.tick(actions[-1]).state)
    assert all(state is not None for state in states)
    track = torch.as_tensor(np.array(states), dtype=torch.float32)
    return Transitions(track[:-1], torch.as_tensor(np.array(actions), dtype=torch.float32), track[1:])


def errors(method: str, fault: str, terrain: str = "carpet") -> tuple[float, float]:
    """Return the mean error on the transitions after each window, unadapted and adapted, in the units of mb."""
    units = load_checkpoint(shipped_checkpoint("mb")).outputs.std
    adapter = OnlineAdapter(load_checkpoint(shipped_checkpoint(method), method), method)
    found = list(evaluate(adapter, [[drive(fault, terrain)]], EvaluationSettings(first=FIRST), units))
    result = summarise(fault, method, [found])
    return result.before[0], result.after[0]


@pytest.mark.parametrize("fault", ["motor_gain:right,0.5", "dead_motor:left", "payload:0.03", "missing_leg:front_right",
                                   "missing_leg:middle_left"])
def test_adaptation_pays_on_a_broken_robot(fault: str) -> None:
    before, after = errors("grbal", fault)
    assert after < 0.975 * before
    assert after < 0.98 * errors("mb", fault)[1]


# grbal is trained with drifts: its steps are long, and where nothing is to be taken off they add some noise. It drives
# better for it (docs/results.md).
@pytest.mark.parametrize("method, worse", [("grbal", 1.04), ("rebal", 1.02)])
@pytest.mark.parametrize("terrain", ["carpet", "styrofoam", "turf"])
def test_adaptation_costs_little_on_a_healthy_robot(method: str, worse: float, terrain: str) -> None:
    assert errors(method, "", terrain)[1] < worse * errors("mb", "", terrain)[1]
