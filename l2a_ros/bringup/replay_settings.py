# SPDX-License-Identifier: Apache-2.0
"""The check of a replay's words before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from l2a_ros.bringup.arguments import read_clock, read_config
from l2a_ros.bringup.values import (
    boolean,
    checked_checkpoint,
    existing_file,
    folder_for,
    known_name,
    number,
    seed_of,
)
from l2a_ros.bringup.words import REPLAY, arguments_of
from l2a_ros.errors import UserError, unknown_name
from l2a_ros.experience.replay_sources import (
    ADAPTATION,
    ESTIMATOR,
    RECORDED_STATES,
    REPLAYED_NODES,
    SOURCES,
    Section,
)
from l2a_ros.learning.checkpoint_file import check_checkpoint
from l2a_ros.learning.methods import method_names
from l2a_ros.planning.planners import planner_names
from l2a_ros.robot.calibration import load_calibration

if TYPE_CHECKING:
    from l2a_ros.experience.replay_topics import ReplayTopics


@dataclass(frozen=True)
class ReplaySettings:
    """A checked replay.

    Args:
        topics: of the recording.
        source: ``sensors`` or ``robot_state``.
        nodes: who answers, of ``REPLAYED_NODES``.
        robot: as given.
        mocap_topic: as given.
        without: topics that are left out.
        method: how the model adapts.
        planner: how commands are chosen.
        checkpoint: file of the trained model.
        control_period: of the model, s.
        clock: ``real``, ``lockstep`` or a factor of real time as text.
        section: which part is played.
        loop: whether it begins again at the end.
        seed: of the planner's draws.
        out: absolute folder of the report.
        record: whether what the nodes say is recorded.
        config: ROS 2 parameter file.
        calibration: absolute file, or empty.
    """

    topics: ReplayTopics
    source: str
    nodes: tuple[str, ...]
    robot: str
    mocap_topic: str
    without: tuple[str, ...]
    method: str
    planner: str
    checkpoint: Path
    control_period: float
    clock: str
    section: Section
    loop: bool
    seed: int
    out: Path
    record: bool
    config: Path
    calibration: str

    @property
    def bag(self) -> Path:
        """Folder of what is recorded now."""
        return self.out / "bag"


def read_replay_settings(values: Mapping[str, str | Sequence[str]], now: datetime) -> ReplaySettings:
    """Check the words of a replay and fill in the defaults.

    Args:
        values: text by argument name; a repeatable argument may be a sequence of texts. Missing ones get their default.
        now: names the folder of the report when none is given.

    Raises:
        UserError: for the first word that will not do, or a recording that cannot be played.
    """
    from l2a_ros.experience.replay_topics import choose_replay_topics, find_bag

    known = [argument.name for argument in arguments_of(REPLAY)]
    for name in values:
        if name not in known:
            raise unknown_name("argument", name, known)
    text = {argument.name: argument.default for argument in arguments_of(REPLAY)}
    text |= {name: value for name, value in values.items() if isinstance(value, str)}
    without = split_words(values.get("without", ""))
    method = known_name("method", text["method"], method_names())
    source = known_name("source of a replay (from)", text["from"], list(SOURCES))
    nodes = _nodes(text["nodes"], source)
    planner = known_name("planner", text["planner"], planner_names())
    clock, section = read_clock(text["clock"]), _section(text)
    loop, record = boolean("loop", text["loop"]), boolean("record", text["record"])
    seed, config = seed_of(text["seed"]), read_config(text["config"])
    checkpoint = checked_checkpoint(text["checkpoint"], method)
    calibration = str(existing_file("calibration", text["calibration"])) if text["calibration"] else ""
    if calibration:
        load_calibration(calibration)
    out = folder_for(text["out"] or f"runs/{now:%Y%m%d_%H%M%S}_replay_{method}")
    topics = choose_replay_topics(find_bag(text["bag"]), source, text["robot"], text["mocap_topic"], without)
    settings = ReplaySettings(
        topics, source, nodes, text["robot"], text["mocap_topic"], without, method, planner, checkpoint,
        check_checkpoint(checkpoint).control_period, clock, section, loop, seed, out, record, config, calibration)
    if record and settings.bag.exists():
        raise UserError(f"{settings.bag} already holds a recording; name another folder with out")
    return settings


def split_words(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return the words of a repeatable argument, however they were separated."""
    texts = [given] if isinstance(given, str) else list(given)
    return tuple(word for text in texts for word in text.replace(";", " ").replace(",", " ").split())


def _nodes(text: str, source: str) -> tuple[str, ...]:
    named = split_words(text)
    for name in named:
        known_name("node of a replay", name, list(REPLAYED_NODES))
    chosen = [name for name in REPLAYED_NODES if name in named]
    if source == RECORDED_STATES:
        chosen = [name for name in chosen if name != ESTIMATOR]
    elif ESTIMATOR not in chosen:
        raise UserError("nodes: without the estimator there are no states; add it, or replay the recorded ones with "
                        "--from robot_state")
    if not chosen:
        raise UserError("nodes: nobody is left to answer; name adaptation, or adaptation,mpc")
    if chosen[-1] not in (ESTIMATOR, ADAPTATION) and ADAPTATION not in chosen:
        raise UserError("nodes: mpc plans with the model of adaptation; add adaptation")
    return tuple(chosen)


def _section(text: Mapping[str, str]) -> Section:
    start, duration = number("start", text["start"]), number("duration", text["duration"])
    if start < 0.0 or duration < 0.0:
        raise UserError("start and duration cannot be less than 0 s")
    return Section(start, duration)
