# SPDX-License-Identifier: Apache-2.0
"""Where the files that are not Python lie: description, terrains, paths, settings, checkpoints.

The same code runs from a source checkout, from a pip installation and from a colcon workspace, so the places are
looked up here and nowhere else.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from l2a_ros.errors import UserError

PACKAGE = "l2a_ros"


def share_directory() -> Path:
    """Return the folder that holds ``config/``, ``urdf/``, ``launch/`` and ``checkpoints/``.

    A checkout wins over an installation, so that an edit is seen without installing again.

    Raises:
        UserError: if neither a checkout nor an installation has them.
    """
    here = Path(__file__).resolve()
    checkout = here.parents[2]
    if (checkout / "package.xml").is_file():
        return checkout
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    prefixes += [str(parent) for parent in here.parents]
    for prefix in prefixes:
        candidate = Path(prefix) / "share" / PACKAGE
        if prefix and (candidate / "package.xml").is_file():
            return candidate
    raise UserError(f"the shared files of {PACKAGE} were not found; install it with pip or colcon, or run a checkout")


def share_file(*parts: str) -> Path:
    """Return the path of one shared file.

    Raises:
        UserError: if it does not exist.
    """
    path = share_directory().joinpath(*parts)
    if not path.exists():
        raise UserError(f"{path} does not exist; install {PACKAGE} again or name another file")
    return path


def shared_names(folder: str, suffix: str) -> list[str]:
    """List the stems of the shared files of one kind, for example the terrains, sorted."""
    return sorted(path.stem for path in share_file(*folder.split("/")).glob(f"*{suffix}"))
