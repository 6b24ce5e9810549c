# SPDX-License-Identifier: Apache-2.0
"""Names of what may be played and of who may answer, without anything that is slow to import."""

from __future__ import annotations

from dataclasses import dataclass

#: What a replay may begin with: the sensors, which are estimated again, or the recorded states.
SENSORS, RECORDED_STATES = "sensors", "robot_state"
SOURCES = (SENSORS, RECORDED_STATES)
#: Who may answer, each by means of those before it; and the nodes behind the words.
ESTIMATOR, ADAPTATION, MPC = "estimator", "adaptation", "mpc"
REPLAYED_NODES = (ESTIMATOR, ADAPTATION, MPC)


@dataclass(frozen=True)
class Section:
    """Which part of a recording is played.

    Args:
        start: s after its beginning.
        duration: s; 0 for until the end.
    """

    start: float = 0.0
    duration: float = 0.0
