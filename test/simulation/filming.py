# SPDX-License-Identifier: Apache-2.0
"""Short recorded runs, and whether pictures can be drawn here."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.frames import PICTURE_PERIOD_MS, FrameRecorder
from l2a_ros.simulation.gl import open_context
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.terrain import load_terrain

MILLISECOND = 1_000_000
RATES = np.array([30.0, 30.0])


@cache
def no_opengl() -> str:
    """Return why no picture can be drawn here; empty when one can."""
    try:
        open_context(64, 64).free()
    except UserError as error:
        return str(error)
    return ""


def record(path: Path, pictures: int, *faults: str, reference: np.ndarray | None = None, plan: bool = True,
           terrain: str = "carpet") -> Millirobot:
    """Write the file of a robot that walks a little; return the robot as it is at the end."""
    robot = Millirobot(load_terrain(terrain), 0, [parse_fault(fault) for fault in faults])
    recorder = FrameRecorder()
    recorder.set_reference(np.array([[0.0, 0.0], [1.0, 0.0]]) if reference is None else reference)
    for _ in range(pictures):
        if plan:
            ahead = robot.position[:2] + np.arange(1, 6)[:, None] * [0.04, 0.0]
            recorder.add_plan(ahead, robot.elapsed_ms * MILLISECOND)
        for _ in range(PICTURE_PERIOD_MS):
            robot.step(RATES)
        recorder.add_frame(robot.model, robot.data.qpos, robot.elapsed_ms * MILLISECOND, robot.elapsed_ms, terrain)
    assert recorder.save(path)
    return robot
