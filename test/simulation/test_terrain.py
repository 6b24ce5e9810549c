# SPDX-License-Identifier: Apache-2.0
"""Terrain files: the shipped ones, and every way to write a bad one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from l2a_ros.errors import UserError
from l2a_ros.simulation.terrain import Terrain, load_terrain, terrain_names

GOOD: dict[str, Any] = {"description": "gravel", "friction": 0.7, "contact_time": 0.01, "contact_damping": 1.0,
                        "slope": 0.0, "color": [0.5, 0.5, 0.5]}


def write(path: Path, **change: Any) -> Path:
    path.write_text(yaml.safe_dump({key: value for key, value in {**GOOD, **change}.items() if value != "left out"}))
    return path


def refusal(path: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        load_terrain(str(path))
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_shipped_terrains() -> None:
    assert terrain_names() == ["carpet", "styrofoam", "turf"]
    terrains = [load_terrain(name) for name in terrain_names()]
    assert [terrain.name for terrain in terrains] == terrain_names()
    assert all(terrain.description for terrain in terrains)
    assert all(terrain.slope == 0.0 for terrain in terrains)
    assert len({(terrain.friction, terrain.contact_time) for terrain in terrains}) == 3


def test_terrain_of_a_file(tmp_path: Path) -> None:
    for name in ("gravel.yaml", "gravel.yml"):
        terrain = load_terrain(str(write(tmp_path / name, slope=0.2, friction="0.9")))
        assert terrain == Terrain("gravel", "gravel", 0.9, 0.01, 1.0, 0.2, (0.5, 0.5, 0.5))


@pytest.mark.parametrize("name", ["", "gravel", "Carpet", "carpet.txt", "../terrains/carpet", "carpet/"])
def test_unknown_name(name: str) -> None:
    assert refusal(name) == f"unknown terrain '{name}'; known: carpet, styrofoam, turf"


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "nothing.yaml")
    (tmp_path / "folder.yaml").mkdir()
    assert "cannot be read" in refusal(tmp_path / "folder.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(bytes(range(256)))
    assert "cannot be read" in refusal(binary)
    broken = tmp_path / "broken.yaml"
    broken.write_text("friction: [1, 2\nslope: {")
    assert "cannot be read" in refusal(broken)
    for text in ("", "carpet", "[1, 2]", "1: 2", "? [a]\n: 3"):
        broken.write_text(text)
        assert "must hold exactly: color, contact_damping" in refusal(broken) or "cannot be read" in refusal(broken)


@pytest.mark.parametrize(("change", "expected"), [
    ({"friction": "left out"}, "must hold exactly: color, contact_damping, contact_time, description, friction, slope"),
    ({"name": "gravel"}, "must hold exactly"), ({"gravity": 1.6}, "must hold exactly"),
    ({"friction": "grippy"}, "must be a number"), ({"friction": None}, "must be a number"),
    ({"friction": [0.7]}, "must be a number"), ({"color": [0.5, 0.5]}, "must be a number"),
    ({"color": [0.5] * 4}, "must be a number"), ({"color": "red"}, "must be a number"),
    ({"color": 0.5}, "must be a number"), ({"color": ["a", "b", "c"]}, "must be a number"),
    ({"color": [0.5, 1.5, 0.5]}, "color"), ({"color": [0.5, -0.5, 0.5]}, "color"),
    ({"color": [0.5, math.nan, 0.5]}, "color"),
    ({"friction": 0.0}, "friction must be above 0"), ({"friction": -1.0}, "friction must be above 0"),
    ({"friction": 5.1}, "friction must be above 0 and at most 5"), ({"friction": math.nan}, "friction"),
    ({"contact_time": 0.001}, "contact_time must be 0.002 to 0.2"), ({"contact_time": 1.0}, "contact_time"),
    ({"contact_time": math.nan}, "contact_time"), ({"contact_damping": 0.0}, "contact_damping"),
    ({"contact_damping": 11.0}, "contact_damping"), ({"contact_damping": math.nan}, "contact_damping"),
    ({"slope": 0.8}, "slope must be under 45 degrees"), ({"slope": -0.8}, "slope must be under 45 degrees"),
    ({"slope": math.nan}, "slope"), ({"slope": math.inf}, "slope"),
], ids=str)
def test_bad_values(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    assert expected in refusal(write(tmp_path / "bad.yaml", **change))
