# SPDX-License-Identifier: Apache-2.0
"""``l2a replay --compare``: one recording, several methods."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from l2a_ros.bringup.replay_settings import ReplaySettings
from l2a_ros.errors import UserError

if TYPE_CHECKING:
    from l2a_ros.training.method_comparison import Contender


def models(texts: Sequence[str]) -> list[tuple[str, str, Path]]:
    """Return label, method and checkpoint of each text ``METHOD`` or ``METHOD=FILE``.

    Raises:
        UserError: for an unknown method, a checkpoint that does not fit it, or the same one twice.
    """
    from l2a_ros.bringup.values import checked_checkpoint, known_name
    from l2a_ros.learning.methods import method_names

    found: list[tuple[str, str, Path]] = []
    for text in texts:
        method, _, file = text.partition("=")
        known_name("method", method, method_names())
        path = checked_checkpoint(file, method)
        label = f"{method} ({path.stem})" if file else method
        if label in [each[0] for each in found]:
            raise UserError(f"--compare {text} is there twice")
        found.append((label, method, path))
    return found


def run_compare(settings: ReplaySettings, texts: Sequence[str], future: int) -> int:
    """Compare methods on a recording, print the table and write the files; return the exit status.

    Raises:
        UserError: for what cannot be compared, or not be played.
    """
    import torch
    from tqdm import tqdm

    from l2a_ros.bringup.filter_texts import read_filter_settings
    from l2a_ros.estimation.state_estimator import StateEstimator
    from l2a_ros.experience.replay_log import as_csv
    from l2a_ros.experience.replay_plan import make_plan
    from l2a_ros.experience.replay_report import write_replay
    from l2a_ros.experience.replay_sources import MPC, SENSORS
    from l2a_ros.robot.calibration import load_calibration
    from l2a_ros.training.comparison_picture import draw_comparison
    from l2a_ros.training.comparison_report import comparison_figures, comparison_rows, comparison_table
    from l2a_ros.training.method_comparison import Comparison
    from l2a_ros.training.replayed_states import run_comparison

    torch.set_num_threads(1)
    named = models(texts)
    comparison = Comparison([_contender(*each, settings, MPC in settings.nodes) for each in named], future)
    period = comparison.control_period
    plan = make_plan(settings.topics, settings.source, period, settings.section)
    estimator = None
    if settings.source == SENSORS:
        estimator = StateEstimator(period, settings=read_filter_settings(str(settings.config))[0],
                                   mounting=load_calibration(settings.calibration).mounting)
    begin = time.monotonic()
    with tqdm(unit="tick", desc="compare", disable=None) as progress:
        without = run_comparison(plan, comparison, estimator, lambda _: progress.update())
    for line in plan.warnings:
        print(f"warning: {line}", file=sys.stderr)
    found = comparison_figures(comparison)
    content = {
        "replay": str(settings.topics.bag), "robot": settings.topics.robot, "from": settings.source,
        "planner": settings.planner if MPC in settings.nodes else None, "seed": settings.seed,
        "start": settings.section.start, "duration": settings.section.duration,
        "took_s": time.monotonic() - begin, "ticks_without_state": without, "warnings": plan.warnings, **found}
    title = f"{settings.topics.title}: {', '.join(each[0] for each in named)}"
    write_replay(settings.out, content, as_csv(comparison_rows(comparison.ticks)), draw_comparison(comparison, title))
    print("\n".join(comparison_table(found)))
    print(f"table, rows and picture: {settings.out}")
    return 0


def _contender(label: str, method: str, file: Path, settings: ReplaySettings, plans: bool) -> Contender:
    from l2a_ros.bringup.planner_texts import read_planner_settings
    from l2a_ros.learning.checkpoint import load_checkpoint
    from l2a_ros.learning.online import OnlineAdapter
    from l2a_ros.planning.line_follower import LineFollower
    from l2a_ros.robot.limits import LegRateLimits
    from l2a_ros.training.method_comparison import Contender

    checkpoint = load_checkpoint(file, method)
    adapter = OnlineAdapter(checkpoint, method)
    if not plans:
        return Contender(label, adapter)
    planning, period = read_planner_settings(settings.config, settings.planner), checkpoint.card.control_period
    terms = planning.build_terms({})
    return Contender(label, adapter, LineFollower(planning.build_engine(checkpoint, terms),
                                                  planning.build_planner(settings.seed, period), terms,
                                                  LegRateLimits(), period))
