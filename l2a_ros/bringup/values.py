# SPDX-License-Identifier: Apache-2.0
"""Texts from the command line and from launch as values."""

from __future__ import annotations

import math
import re
from pathlib import Path

from l2a_ros.errors import UserError, unknown_name
from l2a_ros.learning.checkpoint_file import check_checkpoint, shipped_checkpoint

MAX_SEED = 2**31 - 1

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def known_name(kind: str, name: str, known: list[str]) -> str:
    """Return a name after checking that it is known.

    Raises:
        UserError: for anything else.
    """
    if name not in known:
        raise unknown_name(kind, name, known)
    return name


def number(name: str, text: str) -> float:
    """Read a finite number.

    Raises:
        UserError: for anything else.
    """
    try:
        number = float(text)
    except ValueError:
        raise UserError(f"{name} must be a number, not '{text}'") from None
    if not math.isfinite(number):
        raise UserError(f"{name} must be a finite number, not '{text}'")
    return number


def whole_number(name: str, text: str, low: int, high: int) -> int:
    """Read a whole number in a range.

    Raises:
        UserError: for anything else.
    """
    if not re.fullmatch(r"[0-9]+", text, re.ASCII) or not low <= int(text) <= high:
        raise UserError(f"{name} must be a whole number from {low} to {high}, not '{text}'")
    return int(text)


def seed_of(text: str) -> int:
    """Read a seed.

    Raises:
        UserError: for anything else.
    """
    return whole_number("seed", text, 0, MAX_SEED)


def boolean(name: str, text: str) -> bool:
    """Read a yes or no.

    Raises:
        UserError: for anything else.
    """
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise UserError(f"{name} must be true or false, not '{text}'")


def existing_file(name: str, text: str) -> Path:
    """Return the absolute path of a file that is there.

    Raises:
        UserError: for anything else.
    """
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise UserError(f"{name} {path} {'is not a file' if path.exists() else 'does not exist'}")
    return path


def folder_for(text: str) -> Path:
    """Return an absolute folder that is there, or can be made.

    Raises:
        UserError: for anything else.
    """
    path = Path(text).expanduser().absolute()
    for place in (path, *path.parents):
        if place.exists():
            if not place.is_dir():
                raise UserError(f"out {path} cannot be a folder: {place} is a file; name another")
            break
    return path


def checked_checkpoint(text: str, method: str) -> Path:
    """Return a checkpoint's file after checking it; empty means the one shipped for the method.

    Raises:
        UserError: for anything else.
    """
    path = existing_file("checkpoint", text) if text else shipped_checkpoint(method)
    check_checkpoint(path, method)
    return path
