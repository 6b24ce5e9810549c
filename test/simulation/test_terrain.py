# SPDX-License-Identifier: Apache-2.0
"""Terrain files: the shipped ones, how they are asked for, and every way to write a bad one."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.simulation.terrain import (
    Steps,
    Terrain,
    Zone,
    absolute_terrain,
    load_terrain,
    terrain_label,
    terrain_names,
)

SHIPPED = ["carpet", "carpet_to_turf", "gravel", "slope", "stairs_down", "stairs_up", "styrofoam", "turf"]
GOOD: dict[str, Any] = {"description": "moss", "friction": 0.7, "contact_time": 0.01, "contact_damping": 1.0,
                        "slope": 0.0, "color": [0.5, 0.5, 0.5]}


def write(path: Path, **change: Any) -> Path:
    path.write_text(yaml.safe_dump({key: value for key, value in {**GOOD, **change}.items() if value != "left out"}))
    return path


def refusal(path: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        load_terrain(str(path))
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# The shipped ones ----------------------------------------------------------------------------------------------------


def test_shipped_terrains() -> None:
    assert terrain_names() == SHIPPED
    terrains = {name: load_terrain(name) for name in SHIPPED}
    assert all(terrain.name == name and terrain.description for name, terrain in terrains.items())
    trained = [terrains[name] for name in ("carpet", "styrofoam", "turf")]
    assert all(terrain.slope == 0.0 and not terrain.steps and not terrain.zones for terrain in trained)
    assert len({surface(terrain) for terrain in trained}) == 3
    assert terrains["gravel"].roughness > 0.0
    assert terrains["slope"].slope > 0.1
    down, up = terrains["stairs_down"].steps, terrains["stairs_up"].steps
    assert down and up and down.rise < 0.0 < up.rise
    zones = terrains["carpet_to_turf"].zones
    assert zones[0].surface == terrains["turf"]
    # Another terrain's surface is taken from it, so that a calibration reaches all of them.
    for name in ("slope", "stairs_down", "stairs_up", "carpet_to_turf"):
        assert surface(terrains[name]) == surface(terrains["carpet"])


def surface(terrain: Terrain) -> tuple[float, ...]:
    return (terrain.friction, terrain.contact_time, terrain.contact_damping, terrain.roughness,
            terrain.roughness_length)


# How they are asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "angle", "direction"), [
    ("carpet:10", 10.0, 0.0), ("slope:15,90", 15.0, 90.0), ("slope:0", 0.0, 0.0), ("turf:-40,-180", -40.0, -180.0),
    ("gravel: 7.5 , 1e1", 7.5, 10.0), ("stairs_down:5,45", 5.0, 45.0),
])
def test_slope_in_the_name(text: str, angle: float, direction: float) -> None:
    terrain = load_terrain(text)
    plain = load_terrain(text.split(":")[0])
    assert math.degrees(terrain.slope) == pytest.approx(angle)
    assert math.degrees(terrain.slope_direction) == pytest.approx(direction)
    assert terrain.name == text
    assert dataclasses.replace(terrain, name=plain.name, slope=plain.slope, slope_direction=0.0) == plain


def test_slope_of_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "a:5"
    folder.mkdir()
    path = write(folder / "moss.yaml", slope=0.1, slope_direction=1.0)
    assert load_terrain(str(path)).slope == 0.1
    steeper = load_terrain(f"{path}:20")
    assert (steeper.slope, steeper.slope_direction) == (math.radians(20.0), 1.0), "the file's direction is kept"
    assert steeper.name == "moss:20"
    assert load_terrain(f"{path}:20,30").slope_direction == math.radians(30.0)


def test_slope_that_begins_on_the_way(tmp_path: Path) -> None:
    terrain = load_terrain("slope:10,90,0.8")
    assert (terrain.name, terrain.slope_begin) == ("slope:10,90,0.8", 0.8)
    assert dataclasses.replace(terrain, name="slope:10,90", slope_begin=None) == load_terrain("slope:10,90")
    assert terrain.attitude == (1.0, 0.0, 0.0, 0.0), "it starts on level ground"
    path = write(tmp_path / "hill.yaml", slope=0.1, slope_begin=1.5)
    assert load_terrain(str(path)).slope_begin == load_terrain(f"{path}:5,20").slope_begin == 1.5
    assert load_terrain(f"{path}:5,20,2").slope_begin == 2.0


@pytest.mark.parametrize(("text", "expected"), [
    ("slope:", "write NAME:ANGLE[,DIRECTION[,BEGIN]]"), ("slope:steep", "write NAME:ANGLE"),
    ("slope:1,2,3,4", "write NAME:ANGLE"), ("slope:1,", "write NAME:ANGLE"), ("slope:1 2", "write NAME:ANGLE"),
    ("slope:41", "the angle must be -40 to 40 degrees, not 41"), ("slope:-41", "angle"), ("slope:nan", "angle"),
    ("slope:inf", "angle"), ("slope:1,361", "the direction must be -360 to 360 degrees"), ("slope:1,nan", "direction"),
    ("slope:1,2,0", "slope_begin must be 0.1 to 9 m, not 0.0"), ("slope:1,2,10", "slope_begin must be 0.1 to 9 m"),
    ("slope:1,2,nan", "slope_begin"), ("slope:1,2,", "write NAME:ANGLE"), ("slope:1,,3", "write NAME:ANGLE"),
    ("stairs_up:5,0,1", "a slope that begins on the way cannot have steps or zones"),
    ("carpet_to_turf:5,0,1", "cannot have steps or zones"),
    ("lava:5", "unknown terrain 'lava'"), (":5", "unknown terrain ''"), ("slope:5:5", "unknown terrain 'slope:5'"),
    ("nothing.yaml:5", "cannot be read"),
])
def test_bad_arguments(text: str, expected: str) -> None:
    assert expected in refusal(text)


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text(":,.0123456789-+enai/yml ", max_size=12)
       .map("slope:".__add__))
def test_any_text_is_a_terrain_or_one_line(text: str) -> None:
    try:
        terrain = load_terrain(text)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert abs(terrain.slope) <= math.radians(40.0)


def test_written_for_other_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "moss.yaml")
    for text in ("carpet", "slope:15,90", "slope:10,90,0.8"):
        assert absolute_terrain(text) == text
    assert absolute_terrain("moss.yaml") == str(tmp_path / "moss.yaml")
    assert absolute_terrain("moss.yaml:5") == f"{tmp_path}/moss.yaml:5"
    assert load_terrain(absolute_terrain("moss.yaml:5")) == load_terrain("moss.yaml:5")


@pytest.mark.parametrize(("text", "expected"), [
    ("carpet", "carpet"), ("slope:15,90", "slope_15_90"), ("slope:-7.5", "slope_-7.5"), ("/a/b c.yaml", "b_c"),
    ("slope:10,90,0.8", "slope_10_90_0.8"), ("/a/moss.yaml:5", "moss_5"),
])
def test_label(text: str, expected: str) -> None:
    assert terrain_label(text) == expected


@pytest.mark.parametrize("name", ["", "moss", "Carpet", "carpet.txt", "../terrains/carpet", "carpet/"])
def test_unknown_name(name: str) -> None:
    assert refusal(name) == f"unknown terrain '{name}'; known: {', '.join(SHIPPED)}"


# Files ---------------------------------------------------------------------------------------------------------------


def test_terrain_of_a_file(tmp_path: Path) -> None:
    for name in ("moss.yaml", "moss.yml"):
        terrain = load_terrain(str(write(tmp_path / name, slope=0.2, friction="0.9")))
        assert terrain == Terrain("moss", "moss", 0.9, 0.01, 1.0, 0.2, (0.5, 0.5, 0.5))


def test_optional_keys(tmp_path: Path) -> None:
    terrain = load_terrain(str(write(tmp_path / "moss.yaml", slope="left out", color="left out")))
    assert terrain == Terrain("moss", "moss", 0.7, 0.01, 1.0)
    assert (terrain.slope, terrain.roughness, terrain.steps, terrain.zones) == (0.0, 0.0, None, ())
    full = load_terrain(str(write(
        tmp_path / "moss.yaml", roughness=0.002, roughness_length=0.04, slope_direction=-1.0,
        steps={"rise": -0.01, "run": 0.1, "count": 3, "start": 0.5},
        zones=[{"from": 0.3, "terrain": "turf"}, {"from": 1, "terrain": "gravel"}])))
    assert (full.roughness, full.roughness_length, full.slope_direction) == (0.002, 0.04, -1.0)
    assert full.steps == Steps(-0.01, 0.1, 3, 0.5)
    assert full.zones == (Zone(0.3, load_terrain("turf")), Zone(1.0, load_terrain("gravel")))
    assert hash(full) is not None


def test_levels_and_surfaces_along_the_way(tmp_path: Path) -> None:
    terrain = load_terrain(str(write(tmp_path / "moss.yaml",
                                     steps={"rise": -0.01, "run": 0.1, "count": 3, "start": 0.5},
                                     zones=[{"from": 0.3, "terrain": "turf"}, {"from": 1, "terrain": "gravel"}])))
    assert [round(terrain.level(x), 9) for x in (-1.0, 0.49, 0.5, 0.59, 0.61, 0.71, 5.0)] == [
        0.0, 0.0, -0.01, -0.01, -0.02, -0.03, -0.03]
    assert [terrain.surface(x).name for x in (-1.0, 0.29, 0.3, 0.9, 1.0, 5.0)] == [
        "moss", "moss", "turf", "turf", "gravel", "gravel"]


def test_like_another(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", roughness=0.001, slope=0.3, zones=[{"from": 0.3, "terrain": "turf"}])
    path = tmp_path / "moss.yaml"
    path.write_text("description: wet\nlike: base.yaml\nfriction: 0.3\n")
    terrain = load_terrain(str(path))
    assert terrain == Terrain("moss", "wet", 0.3, 0.01, 1.0, 0.0, (0.5, 0.5, 0.5), 0.001), "the surface and no more"
    path.write_text("description: wet\nlike: turf\nzones: [{from: 1, terrain: base.yaml}]\n")
    assert "base cannot be a zone" in refusal(path)
    write(tmp_path / "base.yaml")
    assert load_terrain(str(path)).zones[0].surface.name == "base", "seen from the folder of the file"


@pytest.mark.parametrize("text", ["like: moss.yaml", "like: turf\nzones: [{from: 1, terrain: moss.yaml}]",
                                  "like: other.yaml", "like: turf\nzones: [{from: 1, terrain: other.yaml}]"])
def test_files_in_a_circle(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.yaml").write_text("description: other\nlike: moss.yaml\n")
    (tmp_path / "moss.yaml").write_text(f"description: moss\n{text}\n")
    assert "refers to itself" in refusal(tmp_path / "moss.yaml")


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
    broken.write_text("- " * 5000)
    assert "cannot be read" in refusal(broken)
    for text in ("", "carpet", "[1, 2]"):
        broken.write_text(text)
        assert "must hold keys and values: description, friction" in refusal(broken)
    broken.write_text("1: 2")
    assert "unknown 1; known: description, friction" in refusal(broken)
    broken.write_text("? [a]\n: 3")
    assert "cannot be read" in refusal(broken)


STEPS = {"rise": 0.01, "run": 0.1, "count": 3, "start": 0.5}
ZONE = {"from": 0.5, "terrain": "turf"}


@pytest.mark.parametrize(("change", "expected"), [
    ({"friction": "left out"}, "lacks: friction (or 'like: NAME'"),
    ({"friction": "left out", "description": "left out"}, "lacks: description, friction"),
    ({"name": "moss"}, "unknown name; known: description"), ({"gravity": 1.6, "wind": 3}, "unknown gravity, wind;"),
    ({"like": "lava"}, "unknown terrain 'lava'"), ({"like": 5}, "like must be the name of a terrain or a YAML file"),
    ({"like": ["turf"]}, "like must be"),
    ({"friction": "grippy"}, "friction must be a number, not grippy"), ({"friction": None}, "must be a number"),
    ({"friction": True}, "must be a number"), ({"friction": 10**400}, "must be a number"),
    ({"friction": [0.7]}, "must be a number"), ({"color": [0.5, 0.5]}, "color must be a list of three numbers"),
    ({"color": [0.5] * 4}, "color must be a list"), ({"color": "red"}, "color must be a number, not r"),
    ({"color": 0.5}, "color must be a list"), ({"color": ["a", "b", "c"]}, "color must be a number"),
    ({"color": [0.5, 1.5, 0.5]}, "color"), ({"color": [0.5, -0.5, 0.5]}, "color"),
    ({"color": [0.5, math.nan, 0.5]}, "color"),
    ({"friction": 0.0}, "friction must be above 0"), ({"friction": -1.0}, "friction must be above 0"),
    ({"friction": 5.1}, "friction must be above 0 and at most 5"), ({"friction": math.nan}, "friction"),
    ({"contact_time": 0.001}, "contact_time must be 0.002 to 0.2 s, not 0.001"), ({"contact_time": 1.0}, "contact_tim"),
    ({"contact_time": math.nan}, "contact_time"), ({"contact_damping": 0.0}, "contact_damping"),
    ({"contact_damping": 11.0}, "contact_damping"), ({"contact_damping": math.nan}, "contact_damping"),
    ({"slope": 0.8}, "slope must be under 45 degrees"), ({"slope": -0.8}, "slope must be under 45 degrees"),
    ({"slope": math.nan}, "slope"), ({"slope": math.inf}, "slope"),
    ({"slope_direction": 7.0}, "slope_direction must be -6.28319 to 6.28319 rad"),
    ({"slope_direction": "up"}, "slope_direction must be a number"),
    ({"roughness": -0.001}, "roughness must be 0 to 0.02 m"), ({"roughness": 0.021}, "roughness must be"),
    ({"roughness": math.nan}, "roughness must be"), ({"roughness_length": 0.019}, "roughness_length must be 0.02 to 1"),
    ({"roughness_length": 0}, "roughness_length must be"),
    ({"steps": 5}, "steps must hold exactly: rise, run, count, start"), ({"steps": {}}, "steps must hold exactly"),
    ({"steps": {**STEPS, "width": 1}}, "steps must hold exactly"), ({"steps": {**STEPS, "rise": 0}}, "steps: rise"),
    ({"steps": {**STEPS, "rise": -0.06}}, "steps: rise must be 0.001 to 0.05 m (negative goes down), not -0.06"),
    ({"steps": {**STEPS, "rise": None}}, "steps: rise must be a number"), ({"steps": {**STEPS, "run": 0.01}}, "run"),
    ({"steps": {**STEPS, "count": 2.5}}, "count must be a whole number"), ({"steps": {**STEPS, "count": 0}}, "count"),
    ({"steps": {**STEPS, "count": math.inf}}, "count"), ({"steps": {**STEPS, "start": 0.05}}, "steps: start must be"),
    ({"steps": {**STEPS, "run": 2.0, "count": 10}}, "start + count * run must be at most 10 m"),
    ({"slope_begin": 0.0}, "slope_begin must be 0.1 to 9 m, not 0.0"), ({"slope_begin": "far"}, "must be a number"),
    ({"slope_begin": math.nan}, "slope_begin must be"), ({"slope_begin": 1.0, "steps": STEPS}, "cannot have steps"),
    ({"slope_begin": 1.0, "zones": [ZONE]}, "cannot have steps or zones"),
    ({"zones": 5}, "zones must be a list of {from: METRES, terrain: NAME}"), ({"zones": [5]}, "zones must be a list"),
    ({"zones": [{"from": 1}]}, "zones must be a list"), ({"zones": [{**ZONE, "to": 1}]}, "zones must be a list"),
    ({"zones": [{**ZONE, "from": "here"}]}, "zones: from must be a number"),
    ({"zones": [{**ZONE, "terrain": 5}]}, "zones: terrain must be the name"),
    ({"zones": [{**ZONE, "terrain": "lava"}]}, "unknown terrain 'lava'"),
    ({"zones": [{**ZONE, "terrain": "slope:5"}]}, "unknown terrain 'slope:5'"),
    ({"zones": [{**ZONE, "terrain": "stairs_up"}]}, "stairs_up cannot be a zone"),
    ({"zones": [{**ZONE, "terrain": "carpet_to_turf"}]}, "carpet_to_turf cannot be a zone"),
    ({"zones": [ZONE, ZONE]}, "each one after the one before"), ({"zones": [{**ZONE, "from": 10}]}, "within 10 m"),
    ({"zones": [{**ZONE, "from": math.nan}]}, "within 10 m"),
    ({"zones": [{**ZONE, "from": i / 10} for i in range(51)]}, "at most 50 zones"),
], ids=str)
def test_bad_values(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    assert expected in refusal(write(tmp_path / "bad.yaml", **change))


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from([*GOOD, "roughness", "roughness_length", "slope_direction", "steps", "zones",
                                        "slope_begin", "like"]),
                       st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
                       | st.sampled_from(["turf", [ZONE], STEPS, [0.1, 0.2, 0.3]])))
def test_any_value_is_good_or_one_line(tmp_path_factory: pytest.TempPathFactory, change: dict[str, Any]) -> None:
    path = write(tmp_path_factory.mktemp("any") / "bad.yaml", **change)
    try:
        terrain = load_terrain(str(path))
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(math.isfinite(value) for value in vars(terrain).values() if isinstance(value, float))
