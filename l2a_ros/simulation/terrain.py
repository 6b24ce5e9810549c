# SPDX-License-Identifier: Apache-2.0
"""Terrains as data: one YAML file each under ``urdf/terrains``."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from l2a_ros.errors import UserError, unknown_name
from l2a_ros.robot.share import share_file, shared_names

#: Steps and zones reach this far from the start, m; beyond is a plane.
REACH = 10.0
#: No step begins nearer to the start than this, m: the robot starts on level ground.
FIRST_STEP = 0.1
#: Steepest slope that arguments may ask for, degrees.
STEEPEST = 40.0
_MAX_CHANGES = 50
_SUFFIXES = (".yaml", ".yml")
_ARGUMENTS = "write NAME:ANGLE[,DIRECTION[,BEGIN]] in degrees and m, for example slope:15,90 or slope:10,90,0.8"


@dataclass(frozen=True)
class Steps:
    """Stairs across x.

    Args:
        rise: height of one step, m; negative goes down.
        run: length of one step, m.
        count: how many.
        start: where the first one is, m.
    """

    rise: float
    run: float
    count: int
    start: float

    def __post_init__(self) -> None:
        _check("steps: rise", abs(self.rise), 0.001, 0.05, "m (negative goes down)", self.rise)
        _check("steps: run", self.run, 0.02, 2.0, "m")
        _check("steps: count", self.count, 1, _MAX_CHANGES)
        _check("steps: start", self.start, FIRST_STEP, REACH, "m")
        if not self.start + self.count * self.run <= REACH:
            raise UserError(f"steps: start + count * run must be at most {REACH:g} m")


@dataclass(frozen=True)
class Zone:
    """From a place on, the ground is another one.

    Args:
        begin: where along x, m.
        surface: what the ground is there.
    """

    begin: float
    surface: Terrain


@dataclass(frozen=True)
class Terrain:
    """What the floor does to a foot.

    Args:
        name: file stem, with arguments as written.
        description: one line for people.
        friction: sliding friction coefficient.
        contact_time: time constant of the contact, s.
        contact_damping: damping ratio of the contact.
        slope: inclination, rad; positive is downhill along ``slope_direction``.
        color: red, green, blue, 0 to 1.
        roughness: RMS height of the bumps, m; 0 is smooth.
        roughness_length: distance over which the height of the bumps is alike (correlation length), m.
        slope_direction: heading, rad; 0 is +x.
        steps: stairs on the way.
        zones: where the ground changes, in the order of x.
        slope_begin: the slope begins at this x, m, after level ground; None: it is everywhere.
    """

    name: str
    description: str
    friction: float
    contact_time: float
    contact_damping: float
    slope: float = 0.0
    color: tuple[float, float, float] = (0.5, 0.5, 0.5)
    roughness: float = 0.0
    roughness_length: float = 0.05
    slope_direction: float = 0.0
    steps: Steps | None = None
    zones: tuple[Zone, ...] = ()
    slope_begin: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.friction <= 5.0:
            raise UserError(f"terrain {self.name}: friction must be above 0 and at most 5, not {self.friction}")
        _check(f"terrain {self.name}: contact_time", self.contact_time, 0.002, 0.2, "s")
        if not 0.0 < self.contact_damping <= 10.0:
            raise UserError(f"terrain {self.name}: contact_damping must be above 0 and at most 10")
        if not abs(self.slope) < math.pi / 4:
            raise UserError(f"terrain {self.name}: slope must be under 45 degrees (0.785 rad), not {self.slope}")
        _check(f"terrain {self.name}: slope_direction", self.slope_direction, -2.0 * math.pi, 2.0 * math.pi, "rad")
        _check(f"terrain {self.name}: roughness", self.roughness, 0.0, 0.02, "m")
        _check(f"terrain {self.name}: roughness_length", self.roughness_length, 0.02, 1.0, "m")
        if not all(0.0 <= part <= 1.0 for part in self.color):
            raise UserError(f"terrain {self.name}: color must be three numbers from 0 to 1, not {self.color}")
        begins = [zone.begin for zone in self.zones]
        if not all(abs(begin) < REACH for begin in begins) or begins != sorted(set(begins)):
            raise UserError(f"terrain {self.name}: zones must begin within {REACH:g} m, each one after the one before")
        if len(begins) > _MAX_CHANGES:
            raise UserError(f"terrain {self.name}: at most {_MAX_CHANGES} zones")
        for zone in self.zones:
            if zone.surface.slope or zone.surface.steps or zone.surface.zones:
                raise UserError(f"terrain {self.name}: {zone.surface.name} cannot be a zone: "
                                "it has a slope, steps or zones of its own")
        if self.slope_begin is not None:
            _check(f"terrain {self.name}: slope_begin", self.slope_begin, FIRST_STEP, REACH - 1.0, "m")
            if self.steps or self.zones:
                raise UserError(f"terrain {self.name}: a slope that begins on the way cannot have steps or zones")

    @property
    def attitude(self) -> tuple[float, float, float, float]:
        """Rotation from ``map`` to the ground at the start, w x y z: about the horizontal axis across the slope."""
        half = self.slope / 2.0 if self.slope_begin is None else 0.0
        return (math.cos(half), -math.sin(half) * math.sin(self.slope_direction),
                math.sin(half) * math.cos(self.slope_direction), 0.0)

    def level(self, x: float) -> float:
        """Return the height of the ground at a place along x without bumps and slope, m."""
        if self.steps is None or x < self.steps.start:
            return 0.0
        return self.steps.rise * min(math.floor((x - self.steps.start) / self.steps.run) + 1, self.steps.count)

    def surface(self, x: float) -> Terrain:
        """Return what the ground is at a place along x."""
        return next((zone.surface for zone in reversed(self.zones) if x >= zone.begin), self)


def terrain_names() -> list[str]:
    """Return the names of the known terrains."""
    return shared_names("urdf/terrains", ".yaml")


def load_terrain(text: str) -> Terrain:
    """Load a terrain as it is written everywhere: ``NAME[:ANGLE[,DIRECTION[,BEGIN]]]``.

    Args:
        text: a known name or the path of a YAML file; then, if wanted, the slope that replaces the file's, in degrees,
            the heading in which it goes downhill, in degrees (0 is +x, ahead of the robot; 90 is to its left), and
            the x at which it begins, m.

    Raises:
        UserError: if it is unknown, its file is not a terrain, or the arguments are not such angles.
    """
    name, arguments = _split(text)
    terrain = _load(_terrain_file(name), ())
    if arguments is None:
        return terrain
    try:
        angle, *more = (float(part) for part in arguments.split(","))
        if len(more) > 2:
            raise ValueError
    except ValueError:
        raise UserError(f"terrain '{text}': {_ARGUMENTS}") from None
    _check(f"terrain '{text}': the angle", angle, -STEEPEST, STEEPEST, "degrees")
    change = {"slope": math.radians(angle)}
    if more:
        _check(f"terrain '{text}': the direction", more[0], -360.0, 360.0, "degrees")
        change["slope_direction"] = math.radians(more[0])
    if len(more) > 1:
        change["slope_begin"] = more[1]
    return dataclasses.replace(terrain, name=f"{terrain.name}:{arguments}", **change)  # type: ignore[arg-type]


def absolute_terrain(text: str) -> str:
    """Return the same terrain written so that it holds in every folder."""
    name, arguments = _split(text)
    place = name if name in terrain_names() else str(Path(name).absolute())
    return place if arguments is None else f"{place}:{arguments}"


def terrain_label(text: str) -> str:
    """Return a terrain as part of a file name: ``slope:15,90`` is ``slope_15_90``."""
    name, arguments = _split(text)
    return re.sub(r"[^\w.-]+", "_", Path(name).stem if arguments is None else f"{Path(name).stem}_{arguments}")


def _split(text: str) -> tuple[str, str | None]:
    """Split a name, which may be a path with colons, from its arguments."""
    name, colon, arguments = text.rpartition(":")
    if not colon or "/" in arguments or arguments.endswith(_SUFFIXES):
        return text, None
    return name, arguments


def _terrain_file(name: str) -> Path:
    if name.endswith(_SUFFIXES):
        return Path(name)
    if name not in terrain_names():
        raise unknown_name("terrain", name, terrain_names())
    return share_file("urdf", "terrains", f"{name}.yaml")


def _load(path: Path, users: tuple[Path, ...]) -> Terrain:
    """Load a terrain file on behalf of the files that refer to it."""
    path = path.absolute()
    data = _merged(path, users)
    numbers = {key: _number(path, key, value) for key, value in data.items() if key not in _OTHERS}
    try:
        color = {"color": tuple(_number(path, "color", part) for part in data["color"])} if "color" in data else {}
        if any(len(parts) != 3 for parts in color.values()):
            raise TypeError
    except TypeError:
        raise UserError(f"terrain file {path}: color must be a list of three numbers") from None
    try:
        return Terrain(name=path.stem, description=str(data["description"]), steps=_steps(path, data.get("steps")),
                       zones=_zones(path, data.get("zones"), (*users, path)), **color, **numbers)  # type: ignore[arg-type]
    except UserError as error:
        # Errors of the steps do not know whose they are.
        text = str(error)
        raise error if text.startswith("terrain ") else UserError(f"terrain file {path}: {text}") from None


def _merged(path: Path, users: tuple[Path, ...]) -> dict[str, Any]:
    """Read a file; what it does not say about the surface is that of the terrain it is like."""
    if path in users:
        raise UserError(f"terrain file {path} refers to itself through like or zones")
    data = _read(path)
    unknown = [str(key) for key in data if key not in _KNOWN]
    if unknown:
        raise UserError(f"terrain file {path}: unknown {', '.join(unknown)}; known: {', '.join(_KNOWN)}")
    if "like" in data:
        base = _merged(_reference(path, "like", data.pop("like")), (*users, path))
        data = {key: value for key, value in base.items() if key in _SURFACE} | data
    missing = [key for key in _REQUIRED if key not in data]
    if missing:
        raise UserError(f"terrain file {path} lacks: {', '.join(missing)} (or 'like: NAME' to take them from another)")
    return data


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"terrain file {path} cannot be read: {(str(error) or 'no reason').splitlines()[0]}") from None
    if not isinstance(data, dict):
        raise UserError(f"terrain file {path} must hold keys and values: {', '.join(_REQUIRED)}, ...")
    return data


def _steps(path: Path, data: object) -> Steps | None:
    if data is None:
        return None
    keys = [part.name for part in dataclasses.fields(Steps)]
    if not isinstance(data, dict) or set(data) != set(keys):
        raise UserError(f"terrain file {path}: steps must hold exactly: {', '.join(keys)}")
    rise, run, count, start = (_number(path, f"steps: {key}", data[key]) for key in keys)
    if not count.is_integer():
        raise UserError(f"terrain file {path}: steps: count must be a whole number, not {count}")
    return Steps(rise, run, int(count), start)


def _zones(path: Path, data: object, users: tuple[Path, ...]) -> tuple[Zone, ...]:
    if data is None:
        return ()
    if not isinstance(data, list) or not all(isinstance(zone, dict) and set(zone) == {"from", "terrain"}
                                             for zone in data):
        raise UserError(f"terrain file {path}: zones must be a list of {{from: METRES, terrain: NAME}}")
    return tuple(Zone(_number(path, "zones: from", zone["from"]),
                      _load(_reference(path, "zones: terrain", zone["terrain"]), users)) for zone in data)


def _reference(path: Path, key: str, name: object) -> Path:
    """Find the file that another one names: a known terrain, or a file seen from the folder of the other."""
    if not isinstance(name, str):
        raise UserError(f"terrain file {path}: {key} must be the name of a terrain or a YAML file")
    return (path.parent / _terrain_file(name)).absolute()


def _number(path: Path, key: str, value: object) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"terrain file {path}: {key} must be a number, not {value}") from None


def _check(what: str, value: float, low: float, high: float, unit: str = "", shown: float | None = None) -> None:
    if not low <= value <= high:
        raise UserError(f"{what} must be {low:g} to {high:g}{' ' + unit if unit else ''}, "
                        f"not {value if shown is None else shown}")


_FIELDS = tuple(part.name for part in dataclasses.fields(Terrain) if part.name != "name")
_REQUIRED = ("description", "friction", "contact_time", "contact_damping")
_KNOWN = (*_FIELDS, "like")
_SURFACE = ("friction", "contact_time", "contact_damping", "roughness", "roughness_length", "color")
#: Keys that are not one number.
_OTHERS = ("description", "color", "steps", "zones")
