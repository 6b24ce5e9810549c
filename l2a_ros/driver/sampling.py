# SPDX-License-Identifier: Apache-2.0
"""Polls a robot for a moment, its motors off, to see what it measures at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from l2a_ros.driver.measurement import Measurement
from l2a_ros.driver.probe import converse
from l2a_ros.driver.profiles import Profile
from l2a_ros.driver.session import LegAngles, LinkSettings, Phase, Session
from l2a_ros.robot.calibration import Calibration


@dataclass
class Sampled:
    """What came of it.

    Args:
        phase: how far the start came.
        polls: questions asked.
        answers: measurements or leg angles that came.
        measurements: telemetry records, oldest first.
        gyro_bias: rad/s in the chip's axes ``(3,)``; None if it was not at rest for long enough.
    """

    phase: Phase
    polls: int = 0
    answers: int = 0
    measurements: list[Measurement] = field(default_factory=list)
    gyro_bias: np.ndarray | None = None


def sample(url: str, baud: int, profile: Profile, calibration: Calibration, clock: Callable[[], int],
           seconds: float) -> Sampled:
    """Return what the robot at a port measures. It is stopped all the while.

    Args:
        url: path or URL of the port.
        baud: bit/s.
        profile: of the firmware.
        calibration: of the robot.
        clock: monotonic, ns.
        seconds: how long, the start included.

    Raises:
        PortError: if the port cannot be opened, or is gone.
    """
    session = Session(profile, calibration, LinkSettings(baud=baud))
    session.is_wanted = True
    found = Sampled(session.phase)
    for events in converse(url, baud, session, clock, seconds):
        found.answers += sum(isinstance(event, Measurement | LegAngles) for event in events)
        found.measurements += [event for event in events if isinstance(event, Measurement)]
    found.phase, found.polls, found.gyro_bias = session.phase, session.figures.polls, session.converter.gyro_bias
    return found
