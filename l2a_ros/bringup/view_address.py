# SPDX-License-Identifier: Apache-2.0
"""Where a live view listens, and whether there can be one."""

from __future__ import annotations

import importlib.util
import re

from l2a_ros.errors import UserError

#: This machine alone, any free port.
DEFAULT_ADDRESS = "127.0.0.1:0"


def check_viewer() -> None:
    """Refuse where there is no viewer.

    Raises:
        UserError: saying what to install.
    """
    if importlib.util.find_spec("rerun") is None or importlib.util.find_spec("rerun_cli") is None:
        raise UserError("the live view needs rerun-sdk; install it with pip install 'l2a_ros[view]'")


def split_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``.

    Raises:
        UserError: if it is something else.
    """
    host, separator, port = text.rpartition(":")
    if not (separator and host and re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65535):
        raise UserError(f"view_address must be HOST:PORT such as 127.0.0.1:0 or 0.0.0.0:8080, not '{text}'")
    return host.strip("[]"), int(port)
