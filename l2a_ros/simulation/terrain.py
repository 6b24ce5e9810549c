# SPDX-License-Identifier: Apache-2.0
"""Terrains as data: one YAML file each under ``urdf/terrains``."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from l2a_ros.errors import UserError, unknown_name
from l2a_ros.robot.share import share_file, shared_names


@dataclass(frozen=True)
class Terrain:
    """What the floor does to a foot.

    Args:
        name: file stem.
        description: one line for people.
        friction: sliding friction coefficient.
        contact_time: time constant of the contact, s.
        contact_damping: damping ratio of the contact.
        slope: inclination about +y, rad; positive is downhill along +x.
        color: red, green, blue, 0 to 1.
    """

    name: str
    description: str
    friction: float
    contact_time: float
    contact_damping: float
    slope: float
    color: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not 0.0 < self.friction <= 5.0:
            raise UserError(f"terrain {self.name}: friction must be above 0 and at most 5, not {self.friction}")
        if not 0.002 <= self.contact_time <= 0.2:
            raise UserError(f"terrain {self.name}: contact_time must be 0.002 to 0.2 s, not {self.contact_time}")
        if not 0.0 < self.contact_damping <= 10.0:
            raise UserError(f"terrain {self.name}: contact_damping must be above 0 and at most 10")
        if not abs(self.slope) < math.pi / 4:
            raise UserError(f"terrain {self.name}: slope must be under 45 degrees (0.785 rad), not {self.slope}")
        if not all(0.0 <= part <= 1.0 for part in self.color):
            raise UserError(f"terrain {self.name}: color must be three numbers from 0 to 1, not {self.color}")


def terrain_names() -> list[str]:
    """Return the names of the known terrains."""
    return shared_names("urdf/terrains", ".yaml")


def load_terrain(name: str) -> Terrain:
    """Load a terrain by name, or from the path of a YAML file.

    Raises:
        UserError: if it is unknown or its file is not a terrain.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if name not in terrain_names():
            raise unknown_name("terrain", name, terrain_names())
        path = share_file("urdf", "terrains", f"{name}.yaml")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"terrain file {path} cannot be read: {str(error).splitlines()[0]}") from None
    wanted = {field.name for field in fields(Terrain)} - {"name"}
    if not isinstance(data, dict) or set(data) != wanted:
        raise UserError(f"terrain file {path} must hold exactly: {', '.join(sorted(wanted))}")
    try:
        numbers = {key: float(data[key]) for key in wanted - {"description", "color"}}
        red, green, blue = (float(value) for value in data["color"])
    except (TypeError, ValueError):
        raise UserError(f"terrain file {path}: every value but the description must be a number") from None
    return Terrain(name=path.stem, description=str(data["description"]), color=(red, green, blue), **numbers)
