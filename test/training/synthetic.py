# SPDX-License-Identifier: Apache-2.0
"""A toy robot whose dynamics differ from recording to recording."""

from __future__ import annotations

import numpy as np
import torch

from l2a_ros.experience.transitions import Transitions
from l2a_ros.robot.frames import apply_change
from l2a_ros.robot.layout import ACTION, STATE


def recording(seed: int, length: int = 60, spread: float = 1.0) -> list[Transitions]:
    """One recording: legs turn as commanded, and how they move the robot is this recording's own.

    Args:
        seed: of everything.
        length: transitions.
        spread: how much recordings differ; 0 for one robot in one world.
    """
    rng = np.random.default_rng(seed)
    ahead, turn = 1.0 + spread * rng.uniform(-1.0, 1.0), 1.0 + spread * rng.uniform(-1.5, 1.5)
    upright = dict.fromkeys(STATE.names, 0.0) | {name: 1.0 for name in STATE.names if name.endswith("_cos")}
    state = torch.from_numpy(STATE.vector(upright)).float()
    states, actions = [state], []
    for _ in range(length):
        left, right = rng.uniform(13.0, 56.0, 2)
        change = torch.zeros(STATE.size)
        change[STATE.index("position_x")] = 0.001 * ahead * (left + right)
        change[STATE.index("velocity_x")] = 0.01 * ahead * (left + right) - state[STATE.index("velocity_x")]
        change[STATE.index("yaw_sin")] = 0.005 * turn * (right - left)
        change[STATE.index("left_leg_velocity")] = left - state[STATE.index("left_leg_velocity")]
        change[STATE.index("right_leg_velocity")] = right - state[STATE.index("right_leg_velocity")]
        state = apply_change(state, change)
        states.append(state)
        actions.append([left, right])
    track = torch.stack(states)
    return [Transitions(track[:-1], torch.tensor(actions, dtype=torch.float32).reshape(-1, ACTION.size), track[1:])]


def recordings(count: int, seed: int = 0, length: int = 60, spread: float = 1.0) -> list[list[Transitions]]:
    """Several recordings."""
    return [recording(1000 * seed + i, length, spread) for i in range(count)]
