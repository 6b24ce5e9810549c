# SPDX-License-Identifier: Apache-2.0
"""Other libraries that a benchmark compares with, where they are installed."""

from __future__ import annotations

import importlib
from typing import Any


class PeerMissing(Exception):
    """A peer cannot be imported; the text says why, and how to get it."""


def import_peer(name: str, how: str) -> Any:
    """Return a module of another library.

    Args:
        name: of the module.
        how: to get it.

    Raises:
        PeerMissing: it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - an old library may fail in any way on a new interpreter
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise PeerMissing(f"{name} cannot be imported ({first}): {how}") from None
