# SPDX-License-Identifier: Apache-2.0
"""Asks who is at the other end of a port, without moving anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from l2a_ros.driver.port import Alarm, Port, PortError
from l2a_ros.driver.profiles import Profile
from l2a_ros.driver.session import SECOND, Event, LinkSettings, Phase, Session
from l2a_ros.robot.calibration import Calibration


def converse(url: str, baud: int, session: Session, clock: Callable[[], int], seconds: float) -> Iterator[list[Event]]:
    """Keep a session on a port for so long (s), the robot stopped; yield what it said, piece by piece.

    Args:
        url: path or URL of the port.
        baud: bit/s.
        session: not opened yet.
        clock: monotonic, ns.
        seconds: how long, the start included.

    Raises:
        PortError: if the port cannot be opened, or is gone.
    """
    port, alarm = Port(url, baud), Alarm()
    try:
        now = clock()
        end = now + round(seconds * SECOND)
        session.opened(now)
        while (now := clock()) < end:
            events: list[Event] = []
            if now >= session.next_poll:
                question, events = session.poll(now, np.zeros(2), True)
                port.write(question)
            port.wait((min(session.next_poll, end) - clock()) / SECOND, alarm)
            yield [*events, *session.receive(port.read(), clock())]
    finally:
        port.close()
        alarm.close()


def probe(url: str, baud: int, profile: Profile, clock: Callable[[], int], seconds: float = 3.0) -> str:
    """Return the version text of the robot at a port. The robot is stopped by the way.

    Args:
        url: path or URL of the port.
        baud: bit/s.
        profile: of the firmware that is expected.
        clock: monotonic, ns.
        seconds: how long the robot may take to answer.

    Raises:
        PortError: if the port cannot be opened, or nobody answers.
    """
    session = Session(profile, Calibration(), LinkSettings(baud=baud))
    for _ in converse(url, baud, session, clock, seconds):
        if session.phase is Phase.IDENTIFIED:
            return session.version
    raise PortError(f"nobody at address 0x{profile.robot_address:04x} answered for {seconds:g} s")
