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
        trained_as: the method that its checkpoints are trained by.
        adapts: whether it changes its model while the robot walks.
        carries_on: whether its model depends on more than the newest window: on every tick before, without a low rank.
        shortest: transitions from which on it adapts, however long its window is; 0 waits for the whole window.
        description: one line for people.
    """

    name: str
    trained_as: str
    adapts: bool
    description: str
    carries_on: bool = False
    shortest: int = 0


#: The gradient methods begin at once, so that they are compared by how they step and not by when they start.
_METHODS = {method.name: method for method in (
    # A step on eight transitions predicts far better than none, and is little worse than one on 32 (docs/results.md).
    Method("grbal", "grbal", True, "gradient steps on the last M transitions, from the meta-trained weights each tick",
           shortest=8),
    Method("rebal", "rebal", True, "a recurrent network reads the last M transitions; its state is part of the model"),
    Method("mb", "mb", False, "one model for everything, trained by plain regression, never adapted"),
    Method("mb_de", "mb", True, "dynamic evaluation of mb: gradient steps on the last M transitions that carry on",
           carries_on=True, shortest=8),
)}


def method_names() -> list[str]:
    """Return the names of the known methods."""
    return sorted(_METHODS)


def trained_methods() -> list[str]:
    """Return the names of the methods that checkpoints are trained by."""
    return sorted({method.trained_as for method in _METHODS.values()})


def find_method(name: str) -> Method:
    """Return a method by name.

    Raises:
        UserError: listing the known ones.
    """
    if name not in _METHODS:
        raise unknown_name("method", name, method_names())
    return _METHODS[name]
