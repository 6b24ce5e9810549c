# SPDX-License-Identifier: Apache-2.0
"""What a film of a run is made from: the world, the robot's poses 25 times a second, the lines, the faults.

Rendering may take longer than the run, so that it must not happen while the run goes on: a recorder only notes some
numbers per picture, and :mod:`l2a_ros.simulation.video` draws them later, as often as wanted.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.trials.report import write_file

#: Simulated time between two pictures, ms.
PICTURE_PERIOD_MS = 40
#: Longest film, pictures (ten minutes); a longer run is filmed from its beginning.
MOST_FRAMES = 15_000
#: A plan older than this is not shown, ns.
PLAN_AGE = 1_000_000_000

_FORMAT = 1
#: What of the world may change while it runs, and is seen.
_VISIBLE = ("geom_rgba", "geom_pos", "geom_size", "body_pos", "site_rgba", "tendon_rgba")


@dataclass(frozen=True)
class Frames:
    """A recorded run of ``n`` pictures.

    Args:
        models: the worlds; a fault may replace one by another.
        worlds: which of them holds, ``(n,)``.
        qpos: pose of everything in the world of the picture, ``(nq,)`` each.
        elapsed: since the beginning of its part of the run, ``(n,)``, s.
        parts: number of the part of the run that a picture belongs to, ``(n,)``; a new one begins with a new reference
            and with a reset.
        looks: which entry of ``visible`` holds, ``(n,)``.
        visible: changeable looks of the world, one entry per change.
        references: the reference of each part, ``(k, 2)`` each, m.
        plans: which entry of ``plan_points`` is shown, ``(n,)``; -1 for none.
        plan_points: predicted positions, ``(h, 2)`` each, m.
        captions: which entry of ``texts`` is shown, ``(n,)``.
        texts: what to write into the picture.
    """

    models: list[mujoco.MjModel]
    worlds: np.ndarray
    qpos: list[np.ndarray]
    elapsed: np.ndarray
    parts: np.ndarray
    looks: np.ndarray
    visible: list[np.ndarray]
    references: list[np.ndarray]
    plans: np.ndarray
    plan_points: list[np.ndarray]
    captions: np.ndarray
    texts: list[str]

    def __len__(self) -> int:
        return len(self.qpos)

    def dress(self, i: int) -> None:
        """Give the world of picture ``i`` the looks that it had then."""
        values, begin = self.visible[self.looks[i]], 0
        for name in _VISIBLE:
            field = getattr(self.models[self.worlds[i]], name)
            field[:] = values[begin:begin + field.size].reshape(field.shape)
            begin += field.size


class FrameRecorder:
    """Notes what a film needs while a run goes on."""

    def __init__(self) -> None:
        self._model: mujoco.MjModel | None = None
        self._models: list[np.ndarray] = []
        self._qpos: list[np.ndarray] = []
        self._rows: list[tuple[int, ...]] = []  # world, part, stamp, time in ms, look, caption
        self._visible: list[np.ndarray] = []
        self._references: list[np.ndarray] = []
        self._plans: list[tuple[int, int, np.ndarray]] = []  # part, stamp, points
        self._texts: list[str] = []
        self._filming = False

    def __len__(self) -> int:
        return len(self._rows)

    def set_reference(self, points: np.ndarray) -> None:
        """Begin a part of the film with this reference ``(k, 2)``, m; without points film no more."""
        self._filming = len(points) > 0
        if self._filming:
            self._references.append(np.array(points, np.float64))

    def cut(self) -> None:
        """Begin a part of the film with the same reference: the robot was put somewhere else."""
        if self._filming:
            self._references.append(self._references[-1])

    def add_plan(self, points: np.ndarray, stamp: int) -> None:
        """Take a plan ``(h, 2)``, m, made for the state with this stamp, ns."""
        if self._filming and len(self) < MOST_FRAMES:
            self._plans.append((len(self._references) - 1, stamp, np.array(points, np.float64)))

    def add_frame(self, model: mujoco.MjModel, qpos: np.ndarray, stamp: int, time_ms: int, caption: str = "") -> None:
        """Take a picture, if there is a reference.

        Args:
            model: the world.
            qpos: its pose.
            stamp: ns; on the clock of the plans' stamps.
            time_ms: simulated time.
            caption: to write into the picture.
        """
        if not self._filming or len(self) >= MOST_FRAMES:
            return
        visible = np.concatenate([getattr(model, name).ravel() for name in _VISIBLE])
        if model is not self._model:
            self._model = model
            self._models.append(np.zeros(mujoco.mj_sizeModel(model), np.uint8))
            mujoco.mj_saveModel(model, None, self._models[-1])
            self._visible.append(visible)
        elif not np.array_equal(visible, self._visible[-1]):
            self._visible.append(visible)
        if not self._texts or caption != self._texts[-1]:
            self._texts.append(caption)
        self._qpos.append(qpos.astype(np.float32))
        self._rows.append((len(self._models) - 1, len(self._references) - 1, stamp, time_ms, len(self._visible) - 1,
                           len(self._texts) - 1))

    def _shown_plans(self) -> np.ndarray:
        """Return which plan each picture shows: the newest of its part that was made for its moment or before."""
        shown = np.full(len(self._rows), -1, np.int64)
        # Not in the order of arrival: in lock-step a film is the same every time.
        plans = sorted((part, stamp, i) for i, (part, stamp, _) in enumerate(self._plans))
        newest = -1
        for row in sorted(range(len(self._rows)), key=lambda row: self._rows[row][1:3]):
            part, stamp = self._rows[row][1:3]
            while newest + 1 < len(plans) and plans[newest + 1][:2] <= (part, stamp):
                newest += 1
            if newest >= 0 and plans[newest][0] == part and stamp - plans[newest][1] <= PLAN_AGE:
                shown[row] = plans[newest][2]
        return shown

    def save(self, path: Path) -> bool:
        """Write the file; return whether there was anything to write.

        Raises:
            UserError: if it cannot be written.
        """
        if not self._rows:
            return False
        worlds, parts, _, times, looks, captions = np.array(self._rows, np.int64).T
        begins = {part: times[np.argmax(parts == part)] for part in np.unique(parts)}
        elapsed = (times - np.array([begins[part] for part in parts])) / 1000.0
        content = io.BytesIO()
        np.savez_compressed(
            content, format=np.array(_FORMAT), mujoco=np.array(mujoco.__version__), worlds=worlds, elapsed=elapsed,
            parts=parts, looks=looks, plans=self._shown_plans(), captions=captions, texts=np.array(self._texts),
            **_packed("model", self._models, np.uint8), **_packed("qpos", self._qpos, np.float32),
            **_packed("visible", self._visible, np.float32), **_packed("references", self._references, np.float64),
            **_packed("plan_points", [points for _, _, points in self._plans], np.float32))
        write_file(path, content.getvalue())
        return True


def load_frames(path: Path) -> Frames:
    """Read what :meth:`FrameRecorder.save` wrote.

    Raises:
        UserError: if it is not such a file, or of another version of MuJoCo.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
        version, written = str(data["mujoco"]), int(data["format"])
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the trial with video true") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or ["it is empty"])[0]
        raise UserError(f"{path} holds no recorded pictures: {reason}") from None
    if version != mujoco.__version__ or written != _FORMAT:
        raise UserError(f"{path} was recorded with MuJoCo {version} (format {written}); this is MuJoCo "
                        f"{mujoco.__version__} (format {_FORMAT}): run the trial again")
    models = [mujoco.MjModel.from_binary_path("world.mjb", {"world.mjb": binary.tobytes()})
              for binary in _unpacked("model", data)]
    return Frames(
        models=models, worlds=data["worlds"], qpos=[pose.astype(np.float64) for pose in _unpacked("qpos", data)],
        elapsed=data["elapsed"], parts=data["parts"], looks=data["looks"], visible=_unpacked("visible", data),
        references=[points.reshape(-1, 2) for points in _unpacked("references", data)], plans=data["plans"],
        plan_points=[points.reshape(-1, 2).astype(np.float64) for points in _unpacked("plan_points", data)],
        captions=data["captions"], texts=[str(text) for text in data["texts"]])


def _packed(name: str, pieces: Sequence[np.ndarray], kind: type[np.generic]) -> dict[str, Any]:
    """Return pieces of any length one after the other, and where each ends."""
    flat = np.concatenate([piece.ravel() for piece in pieces]) if pieces else np.zeros(0)
    return {name: flat.astype(kind), f"{name}_ends": np.cumsum([piece.size for piece in pieces], dtype=np.int64)}


def _unpacked(name: str, data: dict[str, np.ndarray]) -> list[np.ndarray]:
    ends = data[f"{name}_ends"]
    return np.split(data[name], ends[:-1]) if len(ends) else []
