# SPDX-License-Identifier: Apache-2.0
"""The files of a replay: ``replay.json``, ``replay.csv`` and ``replay.png``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2a_ros.errors import UserError

JSON, CSV, PNG = "replay.json", "replay.csv", "replay.png"


def write_replay(folder: Path, content: Mapping[str, Any], table: str, picture: bytes) -> None:
    """Write the files of a replay into a folder, which is made.

    Args:
        folder: where to.
        content: of the JSON file.
        table: CSV.
        picture: PNG.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        (folder / CSV).write_text(table, encoding="utf-8")
        (folder / PNG).write_bytes(picture)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}; name another folder with out") from None
