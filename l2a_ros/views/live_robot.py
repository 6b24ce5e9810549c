# SPDX-License-Identifier: Apache-2.0
"""The robot's body for a live view, from its one description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.robot.description import coupled_joints, robot_urdf
from l2a_ros.views.live_drawings import Balls, Box, Colour, Drawing, Lines

ROOT = "base_link"
_GREY: Colour = (0.6, 0.6, 0.6, 1.0)


@dataclass(frozen=True)
class _Part:
    """One visual of a link: its shape's numbers as URDF has them, where it is in the link, its colour."""

    kind: str
    numbers: tuple[float, ...]
    position: np.ndarray
    rotation: Rotation
    colour: Colour


@dataclass(frozen=True)
class _Joint:
    name: str
    parent: str
    position: np.ndarray
    rotation: Rotation
    axis: np.ndarray


class RobotShape:
    """The boxes, cylinders and spheres of a URDF; boxes only of the root link, which is all that this robot has.

    Args:
        place: in the tree of drawings; its pose is that of ``base_link``.
        urdf: text; None: the shipped robot.
    """

    def __init__(self, place: str, urdf: str | None = None) -> None:
        document = ElementTree.fromstring(urdf or robot_urdf())
        self._place = place
        self._followed = coupled_joints()
        self._colours = {each.attrib["name"]: _colour(each) for each in document.findall("material")}
        self._parts = {link.attrib["name"]: [self._part(visual) for visual in link.findall("visual")]
                       for link in document.findall("link")}
        self._joints = {_attribute(joint, "child", "link"): _joint(joint) for joint in document.findall("joint")}

    def _part(self, visual: ElementTree.Element) -> _Part:
        shape = visual.find("geometry/*")
        if shape is None:
            raise ValueError("a visual of the description has no geometry")
        text = {"box": "size", "sphere": "radius"}
        numbers = (_vector(shape.attrib[text[shape.tag]]) if shape.tag in text
                   else np.array([float(shape.attrib["radius"]), float(shape.attrib["length"])]))
        material = visual.find("material")
        colour = self._colours.get(material.attrib["name"], _GREY) if material is not None else _GREY
        return _Part(shape.tag, tuple(float(each) for each in numbers), *_origin(visual), colour)

    def body(self) -> list[Drawing]:
        """Return what does not move in ``base_link``."""
        drawings: list[Drawing] = []
        for i, part in enumerate(self._parts[ROOT]):
            place = f"{self._place}/body/{i}"
            if part.kind == "box":
                drawings.append(Box(place, part.position, np.array(part.numbers) / 2.0, part.rotation.as_quat(),
                                    part.colour))
            elif part.kind == "sphere":
                drawings.append(Balls(place, part.position[None], part.numbers[0], part.colour))
        return drawings

    def legs(self, angles: Mapping[str, float]) -> list[Drawing]:
        """Return what moves, for these angles of the motors' joints, rad."""
        drawings: list[Drawing] = []
        cylinders: list[tuple[_Part, np.ndarray]] = []
        spheres: list[tuple[_Part, np.ndarray]] = []
        for link, parts in self._parts.items():
            if link == ROOT or not parts:
                continue
            position, rotation = self._pose(link, angles)
            for part in parts:
                centre = position + rotation.apply(part.position)
                if part.kind == "cylinder":
                    half = (rotation * part.rotation).apply([0.0, 0.0, part.numbers[1] / 2.0])
                    cylinders.append((part, np.stack([centre - half, centre + half])))
                elif part.kind == "sphere":
                    spheres.append((part, centre))
        if cylinders:
            drawings.append(Lines(f"{self._place}/legs", [strip for _, strip in cylinders],
                                  np.array([part.colour for part, _ in cylinders]), cylinders[0][0].numbers[0], False))
        if spheres:
            drawings.append(Balls(f"{self._place}/feet", np.array([centre for _, centre in spheres]),
                                  spheres[0][0].numbers[0], spheres[0][0].colour))
        return drawings

    def _pose(self, link: str, angles: Mapping[str, float]) -> tuple[np.ndarray, Rotation]:
        """Return position and attitude of a link in ``base_link``."""
        joint = self._joints.get(link)
        if joint is None:
            return np.zeros(3), Rotation.identity()
        position, rotation = self._pose(joint.parent, angles)
        angle = angles.get(self._followed.get(joint.name, joint.name), 0.0)
        return (position + rotation.apply(joint.position),
                rotation * joint.rotation * Rotation.from_rotvec(angle * joint.axis))


def _joint(joint: ElementTree.Element) -> _Joint:
    axis = joint.find("axis")
    return _Joint(joint.attrib["name"], _attribute(joint, "parent", "link"), *_origin(joint),
                  _vector("1 0 0" if axis is None else axis.attrib["xyz"]))


def _origin(element: ElementTree.Element) -> tuple[np.ndarray, Rotation]:
    origin = element.find("origin")
    text = {} if origin is None else origin.attrib
    return _vector(text.get("xyz", "0 0 0")), Rotation.from_euler("xyz", _vector(text.get("rpy", "0 0 0")))


def _attribute(element: ElementTree.Element, tag: str, name: str) -> str:
    found = element.find(tag)
    if found is None:
        raise ValueError(f"the description has a {element.tag} without {tag}")
    return found.attrib[name]


def _colour(material: ElementTree.Element) -> Colour:
    red, green, blue, opacity = _vector(_attribute(material, "color", "rgba"))
    return float(red), float(green), float(blue), float(opacity)


def _vector(text: str) -> np.ndarray:
    return np.array([float(each) for each in text.split()])
