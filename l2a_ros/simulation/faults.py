# SPDX-License-Identifier: Apache-2.0
"""Faults: what may break and how it is written (``NAME[:ARGUMENTS][@ONSET_S]``), as one table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from l2a_ros.errors import UserError, unknown_name
from l2a_ros.robot.layout import LEGS, SIDES

#: Latest onset and longest duration, s.
_LONGEST = 1e6


@dataclass(frozen=True)
class Number:
    """One number of a fault.

    Args:
        name: in the description of how the fault is written.
        low: smallest admissible value.
        high: largest admissible value.
        default: its value when it is left out; None if it must be given.
    """

    name: str
    low: float
    high: float
    default: float | None = None


@dataclass(frozen=True)
class FaultKind:
    """One line of the catalogue.

    Args:
        numbers: the arguments that are numbers, in order.
        parts: what the first argument may name; empty when there is no such argument.
        example: a good one.
        passes: whether it ends by itself after its first number, s.
        wire: whether it strikes the wire or the firmware behind it, so that only an emulated robot can have it.
    """

    numbers: tuple[Number, ...] = ()
    parts: tuple[str, ...] = ()
    example: str = ""
    passes: bool = False
    wire: bool = False


FAULT_KINDS: dict[str, FaultKind] = {
    "missing_leg": FaultKind(parts=LEGS, example="missing_leg:front_right"),
    "worn_leg": FaultKind((Number("SHARE", 0.0, 0.6),), LEGS, "worn_leg:middle_left,0.3"),
    "foot_grip": FaultKind((Number("FACTOR", 0.05, 3.0),), LEGS, "foot_grip:hind_right,0.3"),
    "payload": FaultKind((Number("KILOGRAMS", 0.001, 0.5),), example="payload:0.02"),
    "shell_weight": FaultKind((Number("GRAMS", 0.0, 500.0), Number("X", -0.1, 0.1, 0.0), Number("Y", -0.1, 0.1, 0.0),
                               Number("Z", -0.1, 0.1, 0.0125)), example="shell_weight:14.2,0.03,0.02"),
    "motor_gain": FaultKind((Number("FACTOR", 0.0, 2.0),), SIDES, "motor_gain:right,0.6"),
    "dead_motor": FaultKind(parts=SIDES, example="dead_motor:left"),
    "battery": FaultKind((Number("VOLTS", 2.5, 4.5),), example="battery:3.4"),
    "encoder_slip": FaultKind((Number("SHARE", -0.5, 0.9),), SIDES, "encoder_slip:left,0.1"),
    "pose_shift": FaultKind((Number("X", -1.0, 1.0), Number("Y", -1.0, 1.0), Number("YAW", -math.pi, math.pi)),
                            example="pose_shift:0.03,0,0.2"),
    "mocap_dropout": FaultKind((Number("SECONDS", 0.001, _LONGEST),), example="mocap_dropout:0.5@3.0", passes=True),
    "mocap_latency": FaultKind((Number("SECONDS", 0.0, 2.0),), example="mocap_latency:0.05"),
    "mocap_outlier": FaultKind((Number("PER_SECOND", 0.0, 100.0),), example="mocap_outlier:0.5"),
    "imu_bias": FaultKind((Number("X", -35.0, 35.0), Number("Y", -35.0, 35.0), Number("Z", -35.0, 35.0)),
                          example="imu_bias:0.1,-0.1,0.5"),
    "packet_loss": FaultKind((Number("SHARE", 0.0, 1.0),), example="packet_loss:0.2"),
    "stuck_encoder": FaultKind(parts=SIDES, example="stuck_encoder:left"),
    "wire_drop": FaultKind((Number("SHARE", 0.0, 1.0),), example="wire_drop:0.05", wire=True),
    "wire_corrupt": FaultKind((Number("SHARE", 0.0, 1.0),), example="wire_corrupt:0.01", wire=True),
    "wire_delay": FaultKind((Number("SECONDS", 0.0, 2.0),), example="wire_delay:0.02", wire=True),
    "wire_duplicate": FaultKind((Number("SHARE", 0.0, 1.0),), example="wire_duplicate:0.1", wire=True),
    "wire_reorder": FaultKind((Number("SHARE", 0.0, 1.0),), example="wire_reorder:0.01", wire=True),
    "silence": FaultKind((Number("SECONDS", 0.001, _LONGEST),), example="silence:0.5@3.0", passes=True, wire=True),
    "unplug": FaultKind((Number("SECONDS", 0.001, _LONGEST),), example="unplug:0.5@3.0", passes=True, wire=True),
    "reboot": FaultKind(example="reboot@3.0", wire=True),
    "wrong_firmware": FaultKind(example="wrong_firmware", wire=True),
}


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        name: kind of the fault, a key of ``FAULT_KINDS``.
        part: the leg or side it strikes; empty for the kinds that strike no part.
        values: its numbers, those left out filled in.
        onset: when it begins, s: of simulated time since the start, or since it was injected.
        text: as the user wrote it.
    """

    name: str
    part: str
    values: tuple[float, ...]
    onset: float
    text: str

    @property
    def duration(self) -> float:
        """Time after which it is over by itself, s; infinite for most kinds."""
        return self.values[0] if FAULT_KINDS[self.name].passes else math.inf


def fault_names() -> list[str]:
    """Return the names of the known faults."""
    return sorted(FAULT_KINDS)


def body_fault_names() -> list[str]:
    """Return the names of the faults that strike the robot itself, so that every simulation of it can have them."""
    return sorted(name for name, kind in FAULT_KINDS.items() if not kind.wire)


def parse_faults(texts: Iterable[str], has_wire: bool = True) -> list[Fault]:
    """Parse several faults; empty texts are left out.

    Args:
        texts: as the user wrote them.
        has_wire: whether there is a wire that could fail.

    Raises:
        UserError: for the first one that is not a fault, or that strikes a wire where there is none.
    """
    faults = [parse_fault(text) for text in texts if text.strip()]
    return faults if has_wire else without_wire(faults)


def without_wire(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults of a robot that is simulated without its wire and firmware.

    Raises:
        UserError: for the first one that strikes those.
    """
    checked = list(faults)
    for fault in checked:
        if FAULT_KINDS[fault.name].wire:
            raise UserError(f"fault '{fault.text}' strikes the wire or the firmware, which this simulation has not; "
                            "run l2a hardware --emulate")
    return checked


def parse_fault(text: str) -> Fault:
    """Parse one fault, for example ``missing_leg:front_right@5.0``.

    Raises:
        UserError: saying what is wrong with it and how it is written.
    """
    text = text.strip()
    body, at, onset_text = text.partition("@")
    onset = _number(onset_text, text, Number("", 0.0, _LONGEST)) if at else 0.0
    name, _, argument_text = body.partition(":")
    if name not in FAULT_KINDS:
        raise unknown_name("fault", name, fault_names())
    kind = FAULT_KINDS[name]
    arguments = [item.strip() for item in argument_text.split(",")] if argument_text else []
    parts, numbers = (arguments[:1], arguments[1:]) if kind.parts else ([], arguments)
    needed = sum(number.default is None for number in kind.numbers)
    if len(parts) != bool(kind.parts) or not needed <= len(numbers) <= len(kind.numbers):
        raise UserError(f"fault '{text}': write {_usage(name, kind)}, for example {kind.example}")
    for part in parts:
        if part not in kind.parts:
            raise UserError(f"fault '{text}': unknown part '{part}'; known: {', '.join(kind.parts)}")
    values = [_number(item, text, number) for item, number in zip(numbers, kind.numbers, strict=False)]
    values += [number.default for number in kind.numbers[len(numbers):] if number.default is not None]
    return Fault(name, "".join(parts), tuple(values), onset, text)


def _number(item: str, text: str, number: Number) -> float:
    try:
        value = float(item)
    except ValueError:
        value = math.nan
    if not number.low <= value <= number.high:
        raise UserError(f"fault '{text}': '{item}' must be a number from {number.low:g} to {number.high:g}")
    return value


def _usage(name: str, kind: FaultKind) -> str:
    word = {LEGS: "LEG", SIDES: "SIDE"}.get(kind.parts, "")
    needed = [word] * bool(word) + [number.name for number in kind.numbers if number.default is None]
    optional = "".join(f",{number.name}" for number in kind.numbers if number.default is not None)
    choice = f" with {word} one of {', '.join(kind.parts)}" if word else ""
    colon = ":" if needed or optional else ""
    return f"{name}{colon}{','.join(needed)}{f'[{optional}]' if optional else ''}{choice}"
