# SPDX-License-Identifier: Apache-2.0
"""The files of a replay: ``replay.json``, ``replay.csv`` and ``replay.png``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2a_ros.errors import UserError
from l2a_ros.experience.replay_log import ReplayLog
from l2a_ros.experience.replay_plan import ReplayPlan

JSON, CSV, PNG = "replay.json", "replay.csv", "replay.png"


def write_replay(folder: Path | str, content: Mapping[str, Any], table: str, picture: bytes) -> None:
    """Write the files of a replay into a folder, which is made.

    Args:
        folder: where to.
        content: of the JSON file.
        table: CSV.
        picture: PNG.

    Raises:
        UserError: if it cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        (folder / CSV).write_text(table, encoding="utf-8")
        (folder / PNG).write_bytes(picture)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}; name another folder with out") from None


def replay_content(plan: ReplayPlan, log: ReplayLog, values: Mapping[str, Any], ended: str, took: float, lost: float,
                   unwritable: int) -> dict[str, Any]:
    """Return the content of ``replay.json`` for a replay through the nodes.

    Args:
        plan: what was played.
        log: what was answered.
        values: parameters of the player.
        ended: how.
        took: s.
        lost: s by which the nodes were too slow for the rate.
        unwritable: recorded messages that could not be published.
    """
    return {
        "replay": str(plan.topics.bag), "robot": plan.topics.robot, "from": plan.source,
        "topics": {name: topic.name for name, topic in plan.topics.played.items()},
        **{name: values[name] for name in ("method", "planner", "checkpoint", "control_period", "start", "duration")},
        "ended": ended, "took_s": took, "behind_s": lost, "unwritable_messages": unwritable,
        "ticks_from": plan.ticks.source or "every control period", "warnings": plan.warnings, **log.summary()}
