# SPDX-License-Identifier: Apache-2.0
"""Ten minutes of random driving on flat ground: the legs always turn as commanded, and the robot always gets on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from l2a_ros.robot.layout import STATE
from l2a_ros.simulation.in_process import InProcessRobot
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.training.random_driving import RandomDriver

#: Control periods over which a stall would show (2 s).
WINDOW = 20


@pytest.mark.parametrize("terrain", ["carpet", "styrofoam", "turf"])
def test_no_stall(terrain: str) -> None:
    """A third of the ten minutes on the flat surface of each terrain that was calibrated."""
    flat = replace(load_terrain(terrain), roughness=0.0)
    robot, driver = InProcessRobot(flat, seed=11), RandomDriver(11)
    robot.settle()
    angles, commands, places, upright = [robot.robot.crank_angles.copy()], [], [robot.robot.position], []
    for _ in range(2000):
        commands.append(driver())
        estimate = robot.tick(commands[-1])
        assert estimate.state is not None, estimate.status
        named = STATE.named(estimate.state)
        upright.append(min(named["roll_cos"], named["pitch_cos"]))
        angles.append(robot.robot.crank_angles.copy())
        places.append(robot.robot.position)
    turned = np.diff(np.array(angles)[::WINDOW], axis=0)
    asked = np.array(commands).reshape(-1, WINDOW, 2).sum(axis=1) * 0.1
    assert (turned / asked).min() > 0.7, "a side stalls"
    walked = np.hypot(*np.diff(np.array(places)[:, :2], axis=0).T).reshape(-1, WINDOW).sum(axis=1)
    assert walked.min() > 0.1, "the robot does not get on"
    assert min(upright) > 0.3, "it falls over"
