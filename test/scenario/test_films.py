# SPDX-License-Identifier: Apache-2.0
"""Trials that are filmed; one that is interrupted is in ``test_trials.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scenario import pictures, rows, sim
from simulation.filming import no_opengl

from l2a_ros.bringup.arguments import FRAMES
from l2a_ros.simulation.frames import load_frames

pytestmark = pytest.mark.skipif(bool(no_opengl()), reason=f"no OpenGL here: {no_opengl()}")
WALK = ("--path", "zigzag", "--method", "mb", "--clock", "lockstep", "--duration", 1)


def test_film_of_a_trial_shows_it_and_changes_nothing(tmp_path: Path) -> None:
    filmed, plain = tmp_path / "filmed", tmp_path / "plain"
    sim(filmed, *WALK, "--fault", "missing_leg:front_right@0.6", "--video")
    sim(plain, *WALK, "--fault", "missing_leg:front_right@0.6")
    for name in ("trial.csv", "report.json"):
        assert (filmed / name).read_bytes() == (plain / name).read_bytes()
    assert not {"trial.mp4", FRAMES, "trial_end.png"} & {file.name for file in plain.iterdir()}

    frames, table = load_frames(filmed / FRAMES), rows(filmed)
    assert pictures(filmed / "trial.mp4") == len(frames) >= 1000 // 40
    assert (filmed / "trial_end.png").read_bytes().startswith(b"\x89PNG")
    assert (frames.plans >= 0).mean() > 0.5, "plans are drawn"
    assert len(frames.references[0]) > 2, "zigzag"
    track = np.array([pose[:2] for pose in frames.qpos])
    for row in table:
        apart = np.hypot(*(track - [row["position_x"], row["position_y"]]).T)
        assert apart.min() < 0.03
    assert frames.texts == ["carpet", "carpet   missing_leg:front_right"]
