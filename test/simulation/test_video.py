# SPDX-License-Identifier: Apache-2.0
"""Pictures show what they should, and films can be played."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import matplotlib.image
import numpy as np
import pytest
from simulation.filming import no_opengl, record

from l2a_ros.errors import UserError
from l2a_ros.simulation.frames import load_frames
from l2a_ros.simulation.gl import choose_backend
from l2a_ros.simulation.video import FilmRenderer, check_film, write_film, write_still

SIZE = (320, 180)
needs_opengl = pytest.mark.skipif(bool(no_opengl()), reason=f"no OpenGL here: {no_opengl()}")


def pictures(path: Path, *which: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    frames = load_frames(path)
    with FilmRenderer(frames, size) as renderer:
        return [renderer.picture(range(len(frames))[i]) for i in which]


def masks(picture: np.ndarray) -> dict[str, np.ndarray]:
    red, green, blue = np.moveaxis(picture.astype(int), 2, 0)
    return {"reference": (blue > red + 60) & (blue > green + 30), "track": (red > green + 80) & (red > blue + 40),
            "plan": (green > red + 60) & (green > blue + 40)}


def middle(mask: np.ndarray) -> np.ndarray:
    """Return the mean column and row of what is true."""
    rows, columns = np.nonzero(mask)
    assert len(rows) > 15, "the line is not there"
    return np.array([columns.mean(), rows.mean()])


@needs_opengl
def test_lines_are_where_they_should_be(tmp_path: Path) -> None:
    # The camera looks along the reference: what is left of the robot is left in the picture, what is ahead is above.
    for y in (0.12, -0.12):
        record(tmp_path / "run.npz", 40, reference=np.array([[-1.0, y], [2.0, y]]))
        seen = masks(pictures(tmp_path / "run.npz", -1)[0])
        reference, track, plan = (middle(seen[name]) for name in ("reference", "track", "plan"))
        assert (reference[0] < track[0]) == (y > 0.0)
        assert (reference[0] < plan[0]) == (y > 0.0)
        assert plan[1] < SIZE[1] / 2 < track[1], "plan ahead, track behind"


@needs_opengl
def test_what_is_not_there_is_not_drawn(tmp_path: Path) -> None:
    record(tmp_path / "run.npz", 3, plan=False, reference=np.array([[50.0, 0.0], [51.0, 0.0]]))
    [picture] = pictures(tmp_path / "run.npz", -1)
    assert {name: int(mask.sum()) for name, mask in masks(picture).items() if name != "track"} == {
        "reference": 0, "plan": 0}
    assert picture.std() > 5.0, "but the robot and the ground are"


@needs_opengl
def test_robot_and_faults_are_seen(tmp_path: Path) -> None:
    record(tmp_path / "run.npz", 5, "missing_leg:front_right@0.1", "payload:0.05@0.18")
    frames = load_frames(tmp_path / "run.npz")
    with FilmRenderer(frames, SIZE) as renderer:
        there = renderer.picture(4)
        assert np.array_equal(there, renderer.picture(4)), "drawn again it is the same"
        first = renderer.picture(0)
        assert not np.array_equal(first, there)
        assert np.array_equal(there, renderer.picture(4)), "also after another world"
    brown = (there[..., 0].astype(int) - there[..., 2]) > 40
    assert brown.sum() > ((first[..., 0].astype(int) - first[..., 2]) > 40).sum() + 50, "the sled"


@needs_opengl
@pytest.mark.parametrize("terrain", ["gravel", "stairs_down", "slope:-20"])
def test_every_ground_is_seen(tmp_path: Path, terrain: str) -> None:
    record(tmp_path / "run.npz", 2, terrain=terrain)
    [picture] = pictures(tmp_path / "run.npz", -1)
    below = picture[2 * SIZE[1] // 3:].reshape(-1, 3).astype(int)
    assert (np.abs(below[:, 0] - below[:, 2]) < 60).mean() > 0.8
    assert 20 < below.mean() < 220, "neither dark nor sky"
    middle(masks(picture)["reference"])


@needs_opengl
def test_film_has_every_picture(tmp_path: Path) -> None:
    record(tmp_path / "run.npz", 7)
    frames = load_frames(tmp_path / "run.npz")
    with FilmRenderer(frames, SIZE) as renderer:
        drawn = [renderer.picture(i) for i in range(len(frames))]
    assert write_film(tmp_path / "film.mp4", iter(drawn), SIZE) == 7
    played = play(tmp_path / "film.mp4")
    assert len(played) == 7
    for shown, meant in zip(played, drawn, strict=True):
        assert np.abs(shown.astype(int) - meant).mean() < 8.0
    write_still(tmp_path / "still.png", drawn[-1])
    still = matplotlib.image.imread(tmp_path / "still.png")[..., :3]
    np.testing.assert_array_equal(np.round(255 * still), drawn[-1])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["film.mp4", "run.npz", "still.png"]


def play(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 25)
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]


def grey(count: int, interrupted: bool = False) -> Iterator[np.ndarray]:
    for i in range(count):
        yield np.full((64, 96, 3), 20 * i, np.uint8)
    if interrupted:
        raise KeyboardInterrupt


def test_interrupted_film_can_be_played(tmp_path: Path) -> None:
    assert write_film(tmp_path / "film.mp4", grey(5, interrupted=True), (96, 64)) == 5
    assert [round(picture.mean() / 20) for picture in play(tmp_path / "film.mp4")] == [0, 1, 2, 3, 4]


def test_film_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write .*film.mp4") as caught:
        write_film(tmp_path / "none" / "film.mp4", grey(1), (96, 64))
    assert "\n" not in str(caught.value)
    (tmp_path / "film.mp4").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        write_film(tmp_path / "film.mp4", grey(1), (96, 64))
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]


def test_no_opengl_is_one_line(tmp_path: Path) -> None:
    """The real thing: EGL without a driver."""
    record(tmp_path / "trial_frames.npz", 1)
    empty = tmp_path / "drivers"
    empty.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "l2a_ros.cli", "render", str(tmp_path)], capture_output=True, text=True, check=False,
        env={**os.environ, "MUJOCO_GL": "egl", "__EGL_VENDOR_LIBRARY_DIRS": str(empty),
             "__EGL_VENDOR_LIBRARY_FILENAMES": ""})
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("l2a: error: pictures need OpenGL, and egl does not work here")
    assert "apt install" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "trial.mp4").exists()


def test_missing_encoder_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for refused in (check_film, lambda: write_film(tmp_path / "film.mp4", grey(1), (96, 64))):
        with pytest.raises(UserError, match=r"pip install 'l2a_ros\[video\]'"):
            refused()


def test_what_opengl_is_reached_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert choose_backend() == "osmesa"
    monkeypatch.setenv("MUJOCO_GL", "off")
    with pytest.raises(UserError, match="MUJOCO_GL=off"):
        check_film()
    for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    libraries = {"EGL", "OSMesa"}
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: name if name in libraries else None)
    assert choose_backend() == "egl"
    libraries.remove("EGL")
    assert choose_backend() == "osmesa"
    libraries.clear()
    with pytest.raises(UserError, match="apt install libegl1"):
        choose_backend()
    monkeypatch.setenv("DISPLAY", ":0")
    assert choose_backend() == "glfw"
