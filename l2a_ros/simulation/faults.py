# SPDX-License-Identifier: Apache-2.0
"""Faults: what may break, how it is written (``NAME[:ARGUMENTS][@ONSET_S]``) and what it needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from l2a_ros.errors import UserError, unknown_name
from l2a_ros.robot.layout import LEGS, SIDES


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        name: kind of the fault.
        part: the leg or side it strikes.
        value: its number, if it takes one (``motor_gain``: factor on the motor's torque).
        onset: simulated time at which it begins, s.
        text: as the user wrote it.
    """

    name: str
    part: str
    value: float
    onset: float
    text: str


def _number(text: str, fault: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise UserError(f"fault '{fault}': '{text}' must be a number from {low:g} to {high:g}")
    return value


def _part(text: str, fault: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise UserError(f"fault '{fault}': unknown part '{text}'; known: {', '.join(known)}")
    return text


def _missing_leg(arguments: list[str], fault: str) -> tuple[str, float]:
    if len(arguments) != 1:
        raise UserError(f"fault '{fault}': write missing_leg:LEG with LEG one of {', '.join(LEGS)}")
    return _part(arguments[0], fault, LEGS), 0.0


def _motor_gain(arguments: list[str], fault: str) -> tuple[str, float]:
    if len(arguments) != 2:
        raise UserError(f"fault '{fault}': write motor_gain:SIDE,FACTOR, for example motor_gain:right,0.6")
    return _part(arguments[0], fault, SIDES), _number(arguments[1], fault, 0.0, 2.0)


def _dead_motor(arguments: list[str], fault: str) -> tuple[str, float]:
    if len(arguments) != 1:
        raise UserError(f"fault '{fault}': write dead_motor:SIDE with SIDE one of {', '.join(SIDES)}")
    return _part(arguments[0], fault, SIDES), 0.0


_KINDS: dict[str, Callable[[list[str], str], tuple[str, float]]] = {
    "missing_leg": _missing_leg, "motor_gain": _motor_gain, "dead_motor": _dead_motor}


def fault_names() -> list[str]:
    """Return the names of the known faults."""
    return sorted(_KINDS)


def parse_fault(text: str) -> Fault:
    """Parse one fault, for example ``missing_leg:front_right@5.0``.

    Raises:
        UserError: saying what is wrong with it and how it is written.
    """
    body, at, onset_text = text.strip().partition("@")
    onset = _number(onset_text, text, 0.0, 1e6) if at else 0.0
    name, _, arguments = body.partition(":")
    if name not in _KINDS:
        raise unknown_name("fault", name, fault_names())
    part, value = _KINDS[name]([item.strip() for item in arguments.split(",")] if arguments else [], text)
    return Fault(name=name, part=part, value=value, onset=onset, text=text.strip())
