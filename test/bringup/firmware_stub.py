# SPDX-License-Identifier: Apache-2.0
"""The other end of a pseudo-terminal, which answers WHO_AM_I and nothing else."""

from __future__ import annotations

import os
import select
import threading
import tty
from typing import Self

from l2a_ros.driver.frames import FrameDecoder, Tx16, encode_rx16
from l2a_ros.driver.packets import Packet, decode_packet
from l2a_ros.driver.profiles import find_profile


class FirmwareStub:
    """Use as a context; ``port`` is what the driver opens, ``heard`` the types of the packets that came."""

    def __init__(self, version: bytes = b"Roach 2017", silent: bool = False) -> None:
        self._version, self._silent = version, silent
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
        decoder, who = FrameDecoder(), self._profile.opcodes["who_am_i"]
        while not self._ended.is_set():
            if not select.select([self._master], [], [], 0.05)[0]:
                continue
            for frame in decoder.feed(os.read(self._master, 4096)):
                packet = decode_packet(frame.payload) if isinstance(frame, Tx16) else None
                if packet is None:
                    continue
                self.heard.append(packet.type)
                if packet.type == who and not self._silent:
                    answer = Packet(who, self._version).encode()
                    os.write(self._master, encode_rx16(self._profile.robot_address, 0x28, answer))
