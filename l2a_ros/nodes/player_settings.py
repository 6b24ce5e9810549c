# SPDX-License-Identifier: Apache-2.0
"""Parameters of the player of recordings, and the plan that they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2a_ros.experience.replay_plan import ReplayPlan, make_plan
from l2a_ros.experience.replay_sources import SENSORS, SOURCES, Section
from l2a_ros.experience.replay_topics import choose_replay_topics, find_bag
from l2a_ros.nodes.parameters import Parameter
from l2a_ros.timing.clock_mode import MAX_FACTOR

SCHEMA = (
    Parameter("bag", "", "the recording: a folder or file"),
    Parameter("source", SENSORS, "what is played of it", choices=SOURCES),
    Parameter("robot", "", "namespace of the robot in it; empty for the only one"),
    Parameter("mocap_topic", "", "recorded topic with the poses; empty for mocap/pose or the only one of such a type"),
    Parameter("without", [""], "topics that are left out"),
    Parameter("control_period", 0.1, "of the model, s", 0.005, 1.0),
    Parameter("rate", 1.0, "recorded seconds per second; 0 for as fast as the nodes answer", 0.0, MAX_FACTOR,
              is_dynamic=True),
    Parameter("start", 0.0, "where to begin, s after the beginning of the recording", 0.0, 1e6),
    Parameter("duration", 0.0, "how much to play, s of the recording; 0 for all", 0.0, 1e6),
    Parameter("loop", False, "begin again at the end"),
    Parameter("paused", False, "wait for bag_player/pause or bag_player/step before the first message"),
    Parameter("expected_nodes", ["state_estimator", "adaptation", "mpc"], "who answers, or listens"),
    Parameter("node_timeout", 90.0, "longest wait for them before the first message, s", 0.1, 3600.0),
    Parameter("out", "", "folder of the report; empty for none"),
    Parameter("method", "", "how the model adapts, for the report"),
    Parameter("planner", "", "how commands are chosen, for the report"),
    Parameter("checkpoint", "", "trained model, for the report"),
)


def replay_plan(values: Mapping[str, Any]) -> ReplayPlan:
    """Return what the parameters of ``SCHEMA`` make of the recording.

    Raises:
        UserError: for a recording that cannot be played.
    """
    topics = choose_replay_topics(find_bag(values["bag"]), values["source"], values["robot"], values["mocap_topic"],
                                  values["without"])
    return make_plan(topics, values["source"], values["control_period"], Section(values["start"], values["duration"]))
