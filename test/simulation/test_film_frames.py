# SPDX-License-Identifier: Apache-2.0
"""What a film is made from comes back as it was recorded."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from simulation.filming import MILLISECOND, record

from l2a_ros.errors import UserError
from l2a_ros.simulation import frames as module
from l2a_ros.simulation.frames import FrameRecorder, load_frames
from l2a_ros.simulation.terrain import load_terrain
from l2a_ros.simulation.world import build_model

LINE = np.array([[0.0, 0.0], [1.0, 0.5]])


def test_poses_and_lines_come_back(tmp_path: Path) -> None:
    robot = record(tmp_path / "run.npz", 5, reference=LINE)
    frames = load_frames(tmp_path / "run.npz")
    assert len(frames) == 5
    np.testing.assert_allclose(frames.qpos[-1], robot.data.qpos, atol=1e-5)
    np.testing.assert_allclose(frames.elapsed, 0.04 * np.arange(5))
    np.testing.assert_allclose(frames.references[0], LINE)
    assert frames.texts == ["carpet"]
    assert list(frames.plans) == [1, 2, 3, 4, 4], "each plan is made for the moment of the picture before"
    assert all(points.shape == (5, 2) for points in frames.plan_points)
    assert (tmp_path / "run.npz").stat().st_size < 300_000


def test_what_is_broken_is_seen(tmp_path: Path) -> None:
    robot = record(tmp_path / "run.npz", 6, "missing_leg:front_right@0.1")
    frames = load_frames(tmp_path / "run.npz")
    leg = frames.models[0].geom_bodyid == robot.model.body("front_right_leg").id
    seen = []
    for i in (0, 1, 2, 5, 0):
        frames.dress(i)
        seen.append(bool(frames.models[0].geom_rgba[leg, 3].any()))
    assert seen == [True, True, False, False, True]


def test_a_pulled_payload_is_another_world(tmp_path: Path) -> None:
    robot = record(tmp_path / "run.npz", 5, "payload:0.02@0.1")
    frames = load_frames(tmp_path / "run.npz")
    assert list(frames.worlds) == [0, 0, 1, 1, 1]
    assert len(frames.qpos[-1]) == len(frames.qpos[0]) + 7
    np.testing.assert_allclose(frames.qpos[-1], robot.data.qpos, atol=1e-5)
    assert frames.models[1].body("sled").id > 0


def recorded(path: Path, events: list[tuple[str, int]]) -> module.Frames:
    """Record pictures and plans (which say when they were made) in an order of one's own; milliseconds."""
    recorder, model = FrameRecorder(), build_model(load_terrain("carpet"))
    recorder.set_reference(LINE)
    for what, ms in events:
        if what == "plan":
            recorder.add_plan(np.full((3, 2), ms), ms * MILLISECOND)
        elif what == "cut":
            recorder.cut()
        else:
            recorder.add_frame(model, model.qpos0, ms * MILLISECOND, ms)
    assert recorder.save(path)
    return load_frames(path)


def shown(frames: module.Frames) -> list[float | None]:
    return [frames.plan_points[plan][0, 0] if plan >= 0 else None for plan in frames.plans]


def test_plans_are_shown_by_their_stamps(tmp_path: Path) -> None:
    pictures = [("picture", 1000 + 40 * i) for i in range(10)]
    plans = [("plan", 1100 + 100 * i) for i in range(3)]
    expected = [None, None, None, 1100, 1100, 1200, 1200, 1200, 1300, 1300]
    assert shown(recorded(tmp_path / "run.npz", sorted(pictures + plans, key=lambda each: each[1]))) == expected
    random.Random(0).shuffle(plans)
    # Pictures keep their order, and plans come at any time between them.
    assert shown(recorded(tmp_path / "run.npz", pictures[:4] + plans + pictures[4:])) == expected


def test_old_plans_and_plans_from_before_a_reset_are_not_shown(tmp_path: Path) -> None:
    frames = recorded(tmp_path / "run.npz", [("plan", 0), ("picture", 40), ("picture", 1000), ("picture", 1040),
                                             ("plan", 2000), ("cut", 0), ("picture", 2000), ("plan", 2040),
                                             ("picture", 2040)])
    assert shown(frames) == [0, 0, None, None, 2040]
    assert list(frames.parts) == [0, 0, 0, 1, 1]
    np.testing.assert_allclose(frames.elapsed, [0.0, 0.96, 1.0, 0.0, 0.04])


def test_without_a_reference_there_is_nothing_to_film(tmp_path: Path) -> None:
    recorder, model = FrameRecorder(), build_model(load_terrain("carpet"))
    recorder.add_frame(model, model.qpos0, 0, 0)
    recorder.cut()
    assert not recorder.save(tmp_path / "run.npz")
    assert not (tmp_path / "run.npz").exists()
    recorder.set_reference(LINE)
    recorder.add_frame(model, model.qpos0, 0, 0)
    recorder.set_reference(np.zeros((0, 2)))
    recorder.add_frame(model, model.qpos0, 40, 40)
    assert len(recorder) == 1, "the trial is over"


def test_a_long_run_is_filmed_from_its_beginning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "MOST_FRAMES", 3)
    frames = recorded(tmp_path / "run.npz", [(kind, 40 * i) for i in range(10) for kind in ("plan", "picture")])
    assert len(frames) == 3
    assert len(frames.plan_points) == 3


@pytest.mark.parametrize("content", [b"", b"no pictures", b"PK\x03\x04broken"])
def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.npz").write_bytes(content)
    with pytest.raises(UserError, match="holds no recorded pictures") as caught:
        load_frames(tmp_path / "run.npz")
    assert "\n" not in str(caught.value)


def test_other_files_of_arrays_and_of_other_versions(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="holds no recorded pictures"):
        load_frames(tmp_path / "other.npz")
    record(tmp_path / "run.npz", 1)
    with np.load(tmp_path / "run.npz", allow_pickle=False) as file:
        data = dict(file) | {"mujoco": np.array("3.0.0")}
    np.savez(tmp_path / "old.npz", **data)
    with pytest.raises(UserError, match=r"recorded with MuJoCo 3\.0\.0 .* run the trial again"):
        load_frames(tmp_path / "old.npz")
    with pytest.raises(UserError, match="does not exist"):
        load_frames(tmp_path / "none.npz")
