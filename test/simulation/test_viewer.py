# SPDX-License-Identifier: Apache-2.0
"""The window, on a virtual display where there is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from l2a_ros.errors import UserError
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.simulation.viewer import Viewer

WALK = """
import threading
import numpy as np
from l2a_ros.simulation.faults import parse_fault
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.simulation.viewer import Viewer

robot = Millirobot(load_terrain("carpet"), 0, [parse_fault("payload:0.02@0.1")])
viewer = Viewer(robot)
counts = []
for ms in range(200):
    if ms == 40:
        viewer.set_reference(np.array([[0.0, 0.0], [0.38, 0.0]]))
    if ms == 80:
        viewer.set_plan(np.array([[0.03, 0.0], [0.06, 0.0]]), 80, 100)
    if ms % 40 == 0:
        viewer.show(ms)
        counts.append(viewer._window.user_scn.ngeom)
    robot.step([30.0, 30.0])
assert viewer._window.m.nbody == robot.model.nbody, "the window shows the sled too"
viewer.close()
print(counts, threading.active_count())
"""


def test_no_display_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError, match="no display for the viewer"):
        Viewer(Millirobot(load_terrain("carpet")))


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="no xvfb-run for a virtual display")
def test_window_shows_the_lines_and_closes(tmp_path: Path) -> None:
    done = subprocess.run(["xvfb-run", "-a", "-s", "-screen 0 640x480x24", sys.executable, "-c", WALK],
                          capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path,
                          env={name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"})
    assert done.returncode == 0, done.stderr
    counts, threads = done.stdout.strip().rsplit(" ", 1)
    before, reference, plan, later, _ = json.loads(counts)
    assert before <= 1, "a track of one step at most"
    assert 10 <= reference <= 12
    assert plan >= reference + 2
    assert later < plan, "an old plan is gone"
    assert threads == "1", "the window's thread has ended"
