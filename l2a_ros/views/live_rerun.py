# SPDX-License-Identifier: Apache-2.0
"""Pictures for rerun's viewer (rerun-sdk, an extra): where they go, and how the viewer lays them out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from l2a_ros.views.live_drawings import Balls, Box, Drawing, Figures, Lines, Picture, Plot, Pose
from l2a_ros.views.live_scene import BODY, COST, ERROR, HERE, LEGS, LOSS, STATUS, LiveScene

APPLICATION, TIMELINE = "l2a_ros", "time"
#: What is drawn within so long goes to the viewer as one piece, s.
_FLUSH = 0.25
_BACKGROUND = (84, 90, 102)
#: Where the eyes are: over everything, as a part of its extent, and behind the robot, whom they follow, m.
_OVER, _BEHIND = (-0.2, -0.6, 0.9), (-0.32, -0.22, 0.22)
_LEAST_EXTENT = 0.6


class RerunSink:
    """Sends pictures to a server of viewers or into a file.

    Args:
        name: of the recording, as the viewer shows it.
        server: URL of the server, or
        file: a new ``.rrd`` file.
    """

    def __init__(self, name: str, server: str = "", file: Path | None = None) -> None:
        batches = rr.ChunkBatcherConfig()
        batches.flush_tick = _FLUSH
        self._stream = rr.RecordingStream(APPLICATION, batcher_config=batches)
        if file is not None:
            self._stream.save(file)
        else:
            self._stream.connect_grpc(server)
        self._stream.send_recording_name(name)
        self._seen: np.ndarray | None = None
        # The same one in each layout: an eye that begins to follow again would come too near.
        self._robot = _behind_the_robot()
        self.arrange(np.array([[-0.5, -0.5], [0.5, 0.5]]))

    def arrange(self, bounds: np.ndarray) -> None:
        """Lay the viewer out so that the ground within these bounds is seen, unless it is already.

        Args:
            bounds: the least and the greatest x and y, ``(2, 2)``, m.
        """
        if self._seen is None or np.any(bounds[0] < self._seen[0]) or np.any(bounds[1] > self._seen[1]):
            self._seen = bounds
            self._stream.send_blueprint(layout(bounds, self._robot))

    def furnish(self, drawings: Iterable[Drawing]) -> None:
        """Draw what stays."""
        self._stream.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        for drawing in drawings:
            self._stream.log(drawing.place, _archetype(drawing), static=True)

    def show(self, picture: Picture) -> None:
        """Draw what is new."""
        self._stream.set_time(TIMELINE, duration=picture.seconds)
        for drawing in picture.drawings:
            self._stream.log(drawing.place, _archetype(drawing))

    def close(self, patience: float) -> None:
        """Send what is left, for so many seconds at most."""
        try:
            self._stream.flush(timeout_sec=patience)
        except (RuntimeError, ValueError, TimeoutError):
            pass  # who should have it is gone
        self._stream.disconnect()


def layout(bounds: np.ndarray, robot: Any) -> Any:
    """Return the viewer's layout: the ground and the robot on the left, the status and the plots on the right.

    Args:
        bounds: of the ground that is seen: the least and the greatest x and y, ``(2, 2)``, m.
        robot: the view of the robot.
    """
    target = np.array([*np.mean(bounds, axis=0), 0.0])
    away = max(float(np.max(bounds[1] - bounds[0])), _LEAST_EXTENT)
    ground = rrb.Spatial3DView(
        origin="world", name="path, track and plans", background=_BACKGROUND, line_grid=_grid(0.5),
        eye_controls=rrb.EyeControls3D(kind=rrb.Eye3DKind.Orbital, position=target + away * np.array(_OVER),
                                       look_target=target))
    plots = [rrb.TimeSeriesView(origin=origin, name=name,
                                plot_legend=rrb.PlotLegend(rrb.Corner2D.LeftTop, visible=has_legend))
             for origin, name, has_legend in (
                 (ERROR, "lateral error (cm, left of the path is positive)", False),
                 (COST, "cost per step", False), (LOSS, "model's loss on the newest window", True),
                 (LEGS, "leg rates (revolutions/s)", True))]
    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Vertical(ground, robot, row_shares=[3, 2]),
            rrb.Vertical(rrb.TextDocumentView(origin=STATUS, name="status"), *plots,
                         row_shares=[1.8, 1, 1, 1, 1.2]),
            column_shares=[3, 2]),
        rrb.TimePanel(state="collapsed", timeline=TIMELINE, play_state="following"),
        rrb.BlueprintPanel(state="hidden"), rrb.SelectionPanel(state="hidden"), auto_views=False, auto_layout=False)


def _behind_the_robot() -> Any:
    """Return a view that follows the robot; it keeps the distance that it has to its target at first."""
    return rrb.Spatial3DView(
        origin="world", contents=["$origin/**", f"- {HERE}"], name="robot", background=_BACKGROUND,
        line_grid=_grid(0.1),
        eye_controls=rrb.EyeControls3D(kind=rrb.Eye3DKind.Orbital, position=_BEHIND, look_target=np.zeros(3),
                                       tracking_entity=BODY))


def _grid(spacing: float) -> Any:
    return rrb.LineGrid3D(visible=True, spacing=spacing, stroke_width=1.0, color=[255, 255, 255, 30])


def _archetype(drawing: Drawing) -> Any:
    """Return what rerun calls a drawing."""
    match drawing:
        case Lines():
            # Negative radii are in points of the screen.
            return rr.LineStrips3D(list(drawing.strips), radii=-drawing.radius if drawing.on_screen else drawing.radius,
                                   colors=_bytes(drawing.colours))
        case Balls():
            return rr.Points3D(drawing.centres, radii=-drawing.radius if drawing.on_screen else drawing.radius,
                               colors=_bytes(drawing.colour))
        case Box():
            return rr.Boxes3D(centers=[drawing.centre], half_sizes=[drawing.half_sides],
                              quaternions=[rr.Quaternion(xyzw=drawing.quaternion)], colors=_bytes(drawing.colour),
                              fill_mode="solid")
        case Pose():
            return rr.Transform3D(translation=drawing.translation, quaternion=rr.Quaternion(xyzw=drawing.quaternion))
        case Figures():
            return rr.Scalars(list(drawing.values))
        case Plot():
            return rr.SeriesLines(names=list(drawing.names), colors=_bytes(drawing.colours))
        case _:
            return rr.TextDocument(drawing.text, media_type=rr.MediaType.MARKDOWN)


def _bytes(colours: Any) -> np.ndarray:
    """Return colours as bytes, ``(n, 4)``."""
    return np.round(255.0 * np.asarray(colours, dtype=np.float64).reshape(-1, 4)).astype(np.uint8)


class LiveView:
    """A scene and where it is shown.

    Args:
        scene: a new one.
        sink: a new one.
    """

    def __init__(self, scene: LiveScene, sink: RerunSink) -> None:
        self._scene, self._sink = scene, sink
        sink.furnish(scene.furniture())

    def show(self, picture: Picture | None) -> None:
        """Draw what the scene says is new."""
        if self._scene.bounds is not None:
            self._sink.arrange(self._scene.bounds)
        if picture is not None:
            self._sink.show(picture)

    def hear(self, topic: str, message: Any, moment: float) -> None:
        """Take a message; see :meth:`~l2a_ros.views.live_LiveScene.hear`."""
        self.show(self._scene.hear(topic, message, moment))

    def look(self, moment: float) -> None:
        """Draw what time alone changes."""
        self.show(self._scene.look(moment))

    def close(self, patience: float = 60.0) -> None:
        """Send what is left, for so many seconds at most."""
        self._sink.close(patience)
