# SPDX-License-Identifier: Apache-2.0
"""The other end of a pseudo-terminal: a robot that lies still, just enough of it to be looked at."""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from typing import Self

from l2a_ros.driver.frames import FrameDecoder, Tx16, encode_rx16
from l2a_ros.driver.packets import Packet, decode_packet
from l2a_ros.driver.profiles import find_profile
from l2a_ros.driver.telemetry import TelemetryRecord


class FirmwareStub:
    """Use as a context; ``port`` is what the driver opens, ``heard`` the types of the packets that came.

    Args:
        version: what it says it is.
        deaf_to: commands that it does not answer.
        battery: counts; 1003 are 4.4 V.
        gyro: counts about x.
        forget: of so many polls one is answered.
    """

    def __init__(self, version: bytes = b"Roach 2017", deaf_to: tuple[str, ...] = (), battery: int = 900,
                 gyro: int = 20, forget: int = 1) -> None:
        self._version, self._deaf_to, self._battery, self._gyro, self._forget = version, deaf_to, battery, gyro, forget
        self._profile = find_profile("velociroach_gbac")
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.heard: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)

    def _run(self) -> None:
        decoder, profile, polls, begun = FrameDecoder(), self._profile, 0, time.monotonic()
        deaf_to = {profile.opcodes[name] for name in self._deaf_to}
        while not self._ended.is_set():
            if not select.select([self._master], [], [], 0.05)[0]:
                continue
            for frame in decoder.feed(os.read(self._master, 4096)):
                packet = decode_packet(frame.payload) if isinstance(frame, Tx16) else None
                if packet is None:
                    continue
                self.heard.append(packet.type)
                answer: Packet | None = None
                if packet.type in deaf_to:
                    continue
                if packet.type == profile.opcodes["who_am_i"]:
                    answer = Packet(packet.type, self._version)
                elif packet.type == profile.opcodes["set_gains"]:
                    answer = packet
                elif packet.type == profile.opcodes["set_velocity"]:
                    polls += 1
                    record = TelemetryRecord(
                        polls, round(1e6 * (time.monotonic() - begun)), (0, 0), (0, 0), (0, 0),
                        (self._gyro + polls % 2, polls % 3, 0), (0, polls % 2, 4000), (0, 0), self._battery)
                    answer = Packet(0x20, record.pack()) if polls % self._forget == 0 else None
                if answer is not None:
                    os.write(self._master, encode_rx16(profile.robot_address, 0x28, answer.encode()))
