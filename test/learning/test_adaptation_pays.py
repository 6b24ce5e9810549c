# SPDX-License-Identifier: Apache-2.0
"""The shipped GrBAL model on a robot that breaks: adapted to 1.6 s it predicts the next 1.6 s better than unadapted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from l2a_ros.experience.transitions import Transitions
from l2a_ros.learning.checkpoint import load_checkpoint
from l2a_ros.learning.checkpoint_file import shipped_checkpoint
from l2a_ros.learning.network import forward
from l2a_ros.learning.online import OnlineAdapter
from l2a_ros.robot.frames import model_input, state_change
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.training.random_driving import RandomDriver


def losses(fault: str, ticks: int = 400) -> tuple[float, float]:
    """Return the mean loss on the transitions after each window, unadapted and adapted, of random driving."""
    checkpoint = load_checkpoint(shipped_checkpoint("grbal"), "grbal")
    adapter, past = OnlineAdapter(checkpoint), checkpoint.card.past
    robot, driver = InProcessRobot(load_terrain("carpet"), 7, [parse_fault(fault)] if fault else []), RandomDriver(7)
    states, actions = [robot.settle().state], []
    for _ in range(ticks):
        actions.append(driver())
        states.append(robot.tick(actions[-1]).state)
    assert all(state is not None for state in states)
    seen = torch.as_tensor(np.array(states), dtype=torch.float32)
    done = torch.as_tensor(np.array(actions), dtype=torch.float32)
    before, after = [], []
    for i in range(0, ticks - 2 * past, 4):
        window = Transitions(seen[i:i + past], done[i:i + past], seen[i + 1:i + past + 1])
        change = adapter.adapt(window, i).model.change or None
        j, k = i + past, i + 2 * past
        inputs = checkpoint.inputs.normalise(model_input(seen[j:k], done[j:k]))
        targets = checkpoint.outputs.normalise(state_change(seen[j:k], seen[j + 1:k + 1]))
        with torch.no_grad():
            before.append(float((forward(checkpoint.weights, inputs) - targets).square().mean()))
            after.append(float((forward(checkpoint.weights, inputs, change) - targets).square().mean()))
    return float(np.mean(before)), float(np.mean(after))


@pytest.mark.parametrize("fault", ["motor_gain:right,0.5", "dead_motor:left", "payload:0.03"])
def test_adaptation_pays_on_a_broken_robot(fault: str) -> None:
    before, after = losses(fault)
    assert after < 0.98 * before


def test_adaptation_costs_little_on_a_healthy_robot() -> None:
    before, after = losses("")
    assert after < 1.02 * before
