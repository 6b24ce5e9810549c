# SPDX-License-Identifier: Apache-2.0
"""The learning methods by name: how each one is trained and how it adapts."""

from __future__ import annotations

from dataclasses import dataclass

from l2a_ros.errors import unknown_name


@dataclass(frozen=True)
class Method:
    """One method.

    Args:
        name: as written in flags, files and messages.
        adapts: whether it changes its weights while the robot walks.
        description: one line for people.
    """

    name: str
    adapts: bool
    description: str


_METHODS = {method.name: method for method in (
    Method("grbal", True, "gradient steps on the last M transitions, from the meta-trained weights each tick"),
    Method("mb", False, "one model for everything, trained by plain regression, never adapted"),
)}


def method_names() -> list[str]:
    """Return the names of the known methods."""
    return sorted(_METHODS)


def find_method(name: str) -> Method:
    """Return a method by name.

    Raises:
        UserError: listing the known ones.
    """
    if name not in _METHODS:
        raise unknown_name("method", name, method_names())
    return _METHODS[name]
