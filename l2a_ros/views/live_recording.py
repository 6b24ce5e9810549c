# SPDX-License-Identifier: Apache-2.0
"""A recording as pictures, in the order of its log times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_reader import read_bag, recorded_topics
from l2a_ros.safety.times import SECOND
from l2a_ros.views.live_drawings import Picture
from l2a_ros.views.live_scene import LiveScene

_STATES = "robot_state"


def robots_of(bag: Path) -> list[str]:
    """Return the namespaces of a recording's robots, each with a slash at the end."""
    names = [topic.name for topic in recorded_topics(bag) if topic.count]
    return [name.removesuffix(_STATES) for name in names if name.rsplit("/", 1)[-1] == _STATES]


def choose_robot(bag: Path, wanted: str = "") -> str:
    """Return the namespace of the robot to show, with a slash at the end.

    Args:
        bag: the recording.
        wanted: its name; empty means the only one.

    Raises:
        UserError: if there is none, or several to choose from, or not the one that is wanted.
    """
    robots = robots_of(bag)
    if wanted:
        name = f"/{wanted.strip('/')}/".replace("//", "/")
        if name not in robots:
            raise UserError(f"{bag} has no robot '{wanted}'; it has {', '.join(robots) or 'none'}")
        return name
    if not robots:
        raise UserError(f"{bag} has no messages on {_STATES}: there is no robot to show")
    if len(robots) > 1:
        raise UserError(f"{bag} has several robots; name one of {', '.join(robots)} with --robot")
    return robots[0]


def pictures_of(bag: Path, robot: str, scene: LiveScene,
                warn: Callable[[str], object] = lambda _: None) -> Iterator[Picture]:
    """Yield the pictures of a recording.

    Args:
        bag: the recording.
        robot: namespace with a slash at the end.
        scene: a new one.
        warn: is told at the end what could not be read.

    Raises:
        UserError: if nothing of the recording can be read.
    """
    # Diagnostics are everybody's.
    names = {f"{robot}{topic}": topic for topic in scene.topics} | {"/diagnostics": "diagnostics"}
    reader = read_bag(bag, list(names))
    for message in reader:
        moment = message.log_time / SECOND
        for picture in (scene.hear(names[message.topic], message.message, moment), scene.look(moment)):
            if picture is not None:
                yield picture
    for warning in reader.warnings:
        warn(warning)
