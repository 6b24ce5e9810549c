# SPDX-License-Identifier: Apache-2.0
"""A recording as pictures, and as the file of a viewer, read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from views.live_messages import write_walk

from l2a_ros.errors import UserError
from l2a_ros.views.live_drawings import Lines
from l2a_ros.views.live_lines import PATH, PLANS, TRACK
from l2a_ros.views.live_recording import choose_robot, pictures_of
from l2a_ros.views.live_scene import ERROR, ROBOT, STATUS, LiveScene


def test_everything_recorded_is_drawn(tmp_path: Path) -> None:
    bag = write_walk(tmp_path / "bag")
    pictures = list(pictures_of(bag, choose_robot(bag), LiveScene()))
    places = {drawing.place for picture in pictures for drawing in picture.drawings}
    assert {PATH, TRACK, ROBOT, ERROR, STATUS, *PLANS.values()} <= places
    assert pictures[-1].seconds == pytest.approx(3.9)


def test_one_robot_of_several_is_chosen(tmp_path: Path) -> None:
    bag = write_walk(tmp_path / "bag", 3, ("/one/", "/two/"))
    with pytest.raises(UserError, match=r"several robots; name one of /one/, /two/ with --robot"):
        choose_robot(bag)
    with pytest.raises(UserError, match=r"no robot 'three'; it has /one/, /two/"):
        choose_robot(bag, "three")
    assert choose_robot(bag, "two") == "/two/"
    assert list(pictures_of(bag, "/two/", LiveScene()))


def test_a_recording_without_a_robot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no messages on robot_state"):
        choose_robot(write_walk(tmp_path / "bag", 0))


def test_the_viewer_gets_the_same(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    from rerun.chunk import RrdReader

    from l2a_ros.views.live_rerun import LiveView, RerunSink

    bag, file = write_walk(tmp_path / "bag"), tmp_path / "bag.rrd"
    scene = LiveScene()
    view = LiveView(scene, RerunSink("walk", file=file))
    last: dict[str, Lines] = {}
    for picture in pictures_of(bag, "/", scene):
        view.show(picture)
        last |= {drawing.place: drawing for drawing in picture.drawings if isinstance(drawing, Lines)}
    view.close()
    reader = RrdReader(file)
    assert len(reader.blueprints()) == 2, "it is laid out at the beginning, and again once the path is known"
    tables: dict[str, list[dict[str, object]]] = {}
    for chunk in reader.stream():
        tables.setdefault(chunk.entity_path.lstrip("/"), []).extend(chunk.to_record_batch().to_pylist())
    for place in (PATH, TRACK, *PLANS.values()):
        row = max(tables[place], key=lambda each: each["time"])  # type: ignore[arg-type,return-value]
        strips = [np.array(strip) for strip in row["LineStrips3D:strips"]]  # type: ignore[attr-defined]
        assert len(strips) == len(last[place].strips)
        for strip, expected in zip(strips, last[place].strips, strict=True):
            assert strip == pytest.approx(expected, abs=1e-6)
    track = max(tables[TRACK], key=lambda each: each["time"])  # type: ignore[arg-type,return-value]
    colours = np.array(track["LineStrips3D:colors"], dtype=np.uint32)
    red = colours >> 24
    assert red == pytest.approx(255.0 * np.asarray(last[TRACK].colours)[:, 0], abs=1.0)
    assert red[-1] > red[0] + 50, "it strays more and more"
    assert len(tables[ERROR]) == 40 + 1, "every figure, and how they are called"
