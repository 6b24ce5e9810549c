# SPDX-License-Identifier: Apache-2.0
"""Experiments without a simulator: trials of a point that follows a path, written by the code of real trials."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from l2a_ros.planning.line_path import LinePath
from l2a_ros.robot.layout import STATE
from l2a_ros.trials.log import LoopTimes, TrialLog, TrialSettings
from l2a_ros.trials.paths import anchor, load_path
from l2a_ros.trials.report import build_report, write_trial

TENTH = 100_000_000
#: First stamp: the robot stood for half a second before.
START = 5 * TENTH


def write_sample(out: Path, variant: str, condition: str, seed: int, *, path: str = "straight", lateral: float = 0.03,
                 speed: float = 0.25, steps: int = 100, faults: tuple[str, ...] = (), duration: float = 20.0,
                 position: tuple[float, float] = (0.4, -0.3), yaw: float = 0.7, broken_at: int | None = None,
                 folder: Path | None = None, **changes: Any) -> Path:
    """Write the trial of a point at a fixed distance from a path, somewhere in the room; returns its folder.

    Args:
        lateral: m to the left, and a little by the seed.
        broken_at: step from which the state is not a number.
        changes: in the report.
    """
    points = anchor(load_path(path), np.array(position), yaw)
    line = LinePath(points)
    log = TrialLog(line, TrialSettings(path=path, method="grbal", planner="cem", terrain="carpet", faults=faults,
                                       seed=seed, checkpoint="some.safetensors", duration=duration, lockstep=True))
    offset = lateral + 0.002 * math.sin(5.0 * seed + 1.0)
    for k in range(steps + 1):
        state = pose_on(points, line, k * speed * 0.1, offset)
        if broken_at is not None and k >= broken_at:
            state = np.full_like(state, math.nan)
        if log.finished:
            break
        log.add_state(START + k * TENTH, state)
        log.add_command(START + k * TENTH, np.array([30.0, 31.0]))
    report = build_report(log, LoopTimes(0.1), 0, "the end was reached" if log.completed else "time is up")
    report |= {"experiment": {"variant": variant, "condition": condition, "seed": seed}} | changes
    place = folder or out / "trials" / variant.replace(" ", "_") / condition.replace(" ", "_") / str(seed)
    write_trial(place, log, report, pictures=False)
    return place


def pose_on(points: np.ndarray, line: LinePath, progress: float, lateral: float) -> np.ndarray:
    """The state at a progress (m) and a distance (m, left) from a path through points ``(n, 2)``."""
    ends = np.cumsum(line.segment_lengths)
    segment = min(int(np.searchsorted(ends, progress, side="right")), line.segments - 1)
    along = points[segment + 1] - points[segment]
    unit = along / np.hypot(*along)
    within = progress - (ends[segment] - line.segment_lengths[segment])
    place = points[segment] + within * unit + lateral * np.array([-unit[1], unit[0]])
    return STATE.vector(dict.fromkeys(STATE.names, 0.0) | {
        "position_x": place[0], "position_y": place[1], "yaw_cos": unit[0], "yaw_sin": unit[1],
        "left_leg_velocity": 30.0, "right_leg_velocity": -34.0})


def write_samples(out: Path, seeds: int = 4) -> Path:
    """Write a small experiment: two variants, two conditions, one of them with a fault at 3 s."""
    for seed in range(seeds):
        for variant, lateral in (("grbal", 0.01), ("mb", 0.05)):
            write_sample(out, variant, "carpet straight", seed, lateral=lateral)
            write_sample(out, variant, "carpet left & <fault>", seed, path="left", lateral=2 * lateral, steps=200,
                         faults=("missing_leg:front_right@3.0",))
    return out
