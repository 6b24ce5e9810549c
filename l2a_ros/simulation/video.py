# SPDX-License-Identifier: Apache-2.0
"""Films and stills of a recorded run, rendered without a window."""

from __future__ import annotations

import importlib.util
import io
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter1d

from l2a_ros.errors import UserError
from l2a_ros.simulation.frames import PICTURE_PERIOD_MS, Frames
from l2a_ros.simulation.gl import choose_backend, open_context
from l2a_ros.simulation.overlay import Lines, Trace, draw_lines
from l2a_ros.trials.report import write_file

#: The files in the folder of a run.
FILM, STILL = "trial.mp4", "trial_end.png"
#: Width and height, pixels.
SIZE = (960, 540)
#: Most things in one picture.
_MOST_GEOMS = 3000
#: The camera looks at where the robot is on average over about so long, s, so that it does not sway with it.
_CALM = 0.6
#: Where the camera is: distance in m, angles in degrees; 0 is behind a robot that starts along the reference.
_DISTANCE, _AZIMUTH, _ELEVATION = 0.66, 28.0, -33.0
#: Height fields farther away than this are not drawn, m: they take longer than all the rest. The plane below is seen.
_FAR = 0.8
#: A height field with points closer than this is drawn from every second one, m.
_FINE = 0.015


def check_film() -> None:
    """Refuse to start a run that is to be filmed where no film can be made.

    Raises:
        UserError: saying what is missing.
    """
    _find_encoder()
    choose_backend()


def _find_encoder() -> None:
    if importlib.util.find_spec("av") is None:
        raise UserError("films need PyAV, which is missing; install it with pip install 'l2a_ros[video]'")


class FilmRenderer:
    """Draws the pictures of a recorded run. Use as a context.

    Args:
        frames: the run.
        size: width and height, pixels.

    Raises:
        UserError: if there is no OpenGL.
    """

    def __init__(self, frames: Frames, size: tuple[int, int] = SIZE) -> None:
        self._frames = frames
        self._size = size
        self._looked_at, self._azimuths = _camera_course(frames)
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._trace = Trace(frames.models[0])
        self._traced = -1
        self._world = -1
        self._context: Any = None
        self._gl = open_context(*size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._context is not None:
            self._context.free()
        self._gl.free()

    def _enter_world(self, world: int) -> None:
        """Load what one of the worlds consists of."""
        self._world = world
        self._model = model = self._frames.models[world]
        model.vis.global_.offwidth, model.vis.global_.offheight = self._size
        # Software rendering takes most of its time for these.
        model.vis.quality.shadowsize, model.vis.quality.offsamples = 2048, 4
        _coarsen(model)
        self._data = mujoco.MjData(model)
        self._trace.enter(model)
        self._scene = mujoco.MjvScene(model, _MOST_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_HAZE] = 0
        if self._context is not None:
            self._context.free()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)

    def picture(self, i: int) -> np.ndarray:
        """Return picture ``i`` of the run, ``(height, width, 3)``, 8 bit red, green, blue."""
        frames = self._frames
        if frames.worlds[i] != self._world:
            self._enter_world(int(frames.worlds[i]))
        model, data = self._model, self._data
        frames.dress(i)
        data.qpos[:] = frames.qpos[i]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        mujoco.mj_tendon(model, data)
        camera = self._camera
        camera.lookat[:] = self._looked_at[i]
        camera.distance, camera.azimuth, camera.elevation = _DISTANCE, self._azimuths[i], _ELEVATION
        self._hide_far_ground(camera.lookat)
        # An endless plane is drawn around where the camera was before.
        mujoco.mjv_updateCamera(model, data, camera, self._scene)
        mujoco.mjv_updateScene(model, data, self._option, None, camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene)
        draw_lines(self._scene, self._lines(i))
        view = mujoco.MjrRect(0, 0, *self._size)
        mujoco.mjr_render(view, self._scene, self._context)
        # The font has no other letters.
        caption = frames.texts[frames.captions[i]].encode("ascii", "replace").decode()
        mujoco.mjr_overlay(mujoco.mjtFont.mjFONT_NORMAL, mujoco.mjtGridPos.mjGRID_TOPLEFT, view,
                           f"{frames.elapsed[i]:.1f} s" + (f"   {caption}" if caption else ""), "", self._context)
        image = np.empty((self._size[1], self._size[0], 3), np.uint8)
        mujoco.mjr_readPixels(image, None, view, self._context)
        return np.ascontiguousarray(image[::-1])

    def _lines(self, i: int) -> Lines:
        frames, part = self._frames, self._frames.parts[i]
        if self._traced < 0 or i < self._traced or part != frames.parts[self._traced]:
            self._trace.begin(frames.references[part])
            self._traced = int(np.argmax(frames.parts == part)) - 1
        for row in range(self._traced + 1, i + 1):
            self._trace.follow(frames.qpos[row])
        self._traced = i
        plan = frames.plans[i]
        return self._trace.lines(frames.qpos[i], frames.plan_points[plan] if plan >= 0 else None)

    def _hide_far_ground(self, center: np.ndarray) -> None:
        """Make tiles of height fields that the camera cannot see invisible."""
        model, data = self._model, self._data
        fields = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_HFIELD)
        reach = model.hfield_size[model.geom_dataid[fields], :2]
        outside = np.maximum(np.abs(data.geom_xpos[fields, :2] - center[:2]) - reach, 0.0)
        model.geom_rgba[fields[np.hypot(*outside.T) > _FAR], 3] = 0.0


def _coarsen(model: mujoco.MjModel) -> None:
    """Draw height fields from every second of their points where these are close: that looks the same."""
    for field in range(model.nhfield):
        rows, columns = int(model.hfield_nrow[field]), int(model.hfield_ncol[field])
        spacing = 2.0 * float(model.hfield_size[field, 0]) / (columns - 1)
        if spacing < _FINE and rows % 2 and columns % 2:
            begin = int(model.hfield_adr[field])
            coarse = model.hfield_data[begin:begin + rows * columns].reshape(rows, columns)[::2, ::2].copy()
            model.hfield_nrow[field], model.hfield_ncol[field] = coarse.shape
            model.hfield_data[begin:begin + coarse.size] = coarse.ravel()


def _camera_course(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Return what the camera looks at, ``(n, 3)``, m, and from where, ``(n,)``, degrees."""
    looked_at, azimuths = np.array([pose[:3] for pose in frames.qpos]), np.zeros(len(frames))
    for part in np.unique(frames.parts):
        rows = frames.parts == part
        looked_at[rows] = gaussian_filter1d(looked_at[rows], _CALM * 1000.0 / PICTURE_PERIOD_MS, axis=0, mode="nearest")
        begin = frames.references[part][:2]
        ahead = begin[-1] - begin[0]
        azimuths[rows] = math.degrees(math.atan2(ahead[1], ahead[0])) + _AZIMUTH
    return looked_at, azimuths


def write_film(path: Path, pictures: Iterator[np.ndarray], size: tuple[int, int] = SIZE) -> int:
    """Encode pictures as an MP4 file (H.264) that runs in real time; return how many there were.

    A Ctrl-C ends the film early: what was drawn by then is a whole film.

    Args:
        path: the file; it appears once it is whole.
        pictures: each ``(height, width, 3)``.
        size: width and height, pixels, both even.

    Raises:
        UserError: if it cannot be written, or the encoder is missing.
    """
    _find_encoder()
    import av

    unfinished = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with av.open(str(unfinished), "w", format="mp4", options={"movflags": "faststart"}) as film:
            stream = film.add_stream("libx264", rate=1000 // PICTURE_PERIOD_MS)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "21", "preset": "veryfast"}
            with suppress(KeyboardInterrupt):
                for picture in pictures:
                    film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                    count += 1
            film.mux(stream.encode(None))
        os.replace(unfinished, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def write_still(path: Path, picture: np.ndarray) -> None:
    """Write one picture ``(height, width, 3)`` as PNG.

    Raises:
        UserError: if it cannot be written.
    """
    import matplotlib.image

    content = io.BytesIO()
    matplotlib.image.imsave(content, picture, format="png")
    write_file(path, content.getvalue())
