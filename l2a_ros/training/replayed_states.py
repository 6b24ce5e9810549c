# SPDX-License-Identifier: Apache-2.0
"""The states of a recording as the nodes would see them in a replay, without the nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from l2a_ros.errors import UserError
from l2a_ros.estimation.state_estimator import StateEstimator
from l2a_ros.experience.playback import Event, Kind
from l2a_ros.experience.replay_plan import ReplayPlan
from l2a_ros.experience.replay_topics import PATH
from l2a_ros.experience.sample_messages import recorded_sample
from l2a_ros.experience.tick_commands import NOTHING
from l2a_ros.robot.continuity import has_begun_again
from l2a_ros.training.method_comparison import Comparison

_SECOND = 1_000_000_000
_MAP = "map"


def run_comparison(plan: ReplayPlan, comparison: Comparison, estimator: StateEstimator | None,
                   on_tick: Callable[[int], None] = lambda stamp: None) -> int:
    """Play a recording to the contenders.

    Args:
        plan: what is played.
        comparison: of the methods; its ticks are filled.
        estimator: a new one, if sensors are played; None for recorded states.
        on_tick: called with the stamp of each tick, ns.

    Returns:
        Number of ticks without a state.

    Raises:
        UserError: if no tick has a state.
    """
    without, refused, newest = 0, 0, 0
    for event in plan.events():
        if event.kind is Kind.TICK:
            state = plan.states.get(event.time) if estimator is None else estimator.estimate(event.time).state
            in_force = plan.commands.at(event.time)
            on_tick(event.time)
            if state is None:
                without += 1
                continue
            comparison.tick(event.time, state, plan.commands.recorded(event.time),
                            NOTHING if in_force is None else in_force)
        elif event.kind is Kind.MESSAGE and event.name == PATH:
            _lay(event, comparison, plan.warnings)
        elif event.kind is Kind.MESSAGE and event.message is not None and estimator is not None:
            stamp = event.message.stamp or 0
            if has_begun_again(stamp, newest):
                estimator.reset()
                newest = stamp
            newest = max(newest, stamp)
            try:
                estimator.add(recorded_sample(event.name, event.message.type, stamp, event.message.message))
            except UserError as error:
                refused += 1
                if refused == 1:
                    plan.warnings.append(f"{plan.topics.bag}: {error}")
    if not comparison.ticks:
        status = "" if estimator is None else f" ({estimator.estimate(newest).status})"
        raise UserError(f"{plan.topics.bag} gives no state in the part that is played{status}")
    return without


def _lay(event: Event, comparison: Comparison, warnings: list[str]) -> None:
    assert event.message is not None
    path = event.message.message
    frames = {path.header.frame_id, *(pose.header.frame_id or path.header.frame_id for pose in path.poses)}
    points = np.array([[each.pose.position.x, each.pose.position.y] for each in path.poses]).reshape(-1, 2)
    if len(points) and frames != {_MAP}:
        warnings.append(f"reference_path is in frame {', '.join(sorted(frames - {_MAP}))}, not in {_MAP}: not followed")
        points = points[:0]
    try:
        comparison.set_path(points, event.message.stamp or 0)
    except UserError as error:
        warnings.append(f"reference_path is not followed: {error}")
        comparison.set_path(points[:0], 0)
