# SPDX-License-Identifier: Apache-2.0
"""From the host's port to the firmware and back: a serial line and a radio base station, or the wired UART alone.

Bytes and packets come in with a moment and go out when their time has come. The radio itself takes no time: what it
takes on the air is less than the bytes take on the line.
"""

from __future__ import annotations

from collections import Counter, deque

from l2a_ros.driver.emulator.line import CAPACITY, Line
from l2a_ros.driver.emulator.wire_faults import WireFaults
from l2a_ros.driver.frames import (
    AtCommand,
    Frame,
    FrameDecoder,
    Tx16,
    encode_at_response,
    encode_rx16,
    encode_tx_status,
)
from l2a_ros.driver.profiles import Framing, Profile
from l2a_ros.driver.uart_frames import UartDecoder, encode_uart
from l2a_ros.simulation.fault_schedule import FaultSchedule

#: Strength of the robot's signal, -dBm.
RSSI = 0x28
#: Channel and network of the lab's radios.
CHANNEL, NETWORK = 0x19, 0x2050
#: Answers of a radio: settings, and what became of a payload.
_OK, _INVALID_COMMAND, _INVALID_VALUE = 0, 2, 3
_DELIVERED, _NOT_ACKNOWLEDGED = 0, 1
#: Lengths of the values of its settings, bytes.
_SETTINGS = {"CH": 1, "ID": 2, "MY": 2}


class Wire:
    """All that is between the host's port and the firmware.

    Args:
        profile: of the firmware: framing and addresses.
        baud: of the line, bit/s.
        faults: of the robot, those of its wire among them.
        seed: of what the faults draw.
    """

    def __init__(self, profile: Profile, baud: int, faults: FaultSchedule, seed: int = 0) -> None:
        self._profile = profile
        self._in, self._out = Line(baud), Line(baud)
        self._to_robot, self._to_host = WireFaults(faults, seed, False), WireFaults(faults, seed, True)
        self._decoder: FrameDecoder | UartDecoder = (
            FrameDecoder() if profile.framing is Framing.XBEE else UartDecoder())
        self._settings = {"CH": CHANNEL, "ID": NETWORK, "MY": profile.base_address}
        #: Packets on their way: when they arrive, and the payload.
        self._commands: deque[tuple[int, bytes]] = deque()
        self._answers: deque[tuple[int, bytes]] = deque()
        #: Bytes and packets that went in and came out at either end, and what the base station did not pass on.
        self.counters: Counter[str] = Counter(bytes_in=0, bytes_out=0, frames_in=0, answers=0, other_address=0,
                                              other_frame=0, overflow=0)

    @property
    def frames_bad(self) -> int:
        """How many frames from the host were no good ones."""
        return sum(count for reason, count in self._decoder.dropped.items() if reason != "noise")

    @property
    def dropped(self) -> Counter[str]:
        """What the decoder of the bytes from the host lost, by reason."""
        return self._decoder.dropped

    @property
    def faults(self) -> dict[str, int]:
        """What the faults of the wire did, both directions together."""
        return dict(self._to_robot.counters + self._to_host.counters)

    @property
    def room(self) -> int:
        """How many bytes the line takes from the host now."""
        return CAPACITY - self._in.waiting

    # From the host ---------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: int) -> None:
        """Take what the host has written by a moment, ns."""
        self.counters["bytes_in"] += len(data)
        self.counters["overflow"] += len(self._in.put(data, now))

    def commands(self, now: int) -> list[bytes]:
        """Return the payloads that have reached the robot by a moment, ns."""
        for found in self._decoder.feed(self._to_robot.spoil(self._in.take(now))):
            self.counters["frames_in"] += 1
            if isinstance(found, bytes):
                self._send_to_robot(found, now)
            else:
                self._base_station(found, now)
        return _due(self._commands, now)

    def _base_station(self, frame: Frame, now: int) -> None:
        if isinstance(frame, Tx16):
            is_heard = (frame.destination == self._profile.robot_address and self._settings["CH"] == CHANNEL
                        and self._settings["ID"] == NETWORK)
            if not is_heard:
                self.counters["other_address"] += 1
            is_delivered = is_heard and self._send_to_robot(frame.payload, now)
            if frame.frame_id:
                self._write(encode_tx_status(frame.frame_id, _DELIVERED if is_delivered else _NOT_ACKNOWLEDGED), now)
        elif isinstance(frame, AtCommand):
            answer = self._setting(frame)
            if frame.frame_id:
                self._write(answer, now)
        else:
            self.counters["other_frame"] += 1

    def _setting(self, frame: AtCommand) -> bytes:
        length = _SETTINGS.get(frame.command)
        name = frame.command.encode("latin-1").decode("ascii", errors="replace").replace("\ufffd", "?")
        if length is None:
            return encode_at_response(frame.frame_id, name, _INVALID_COMMAND)
        if not frame.value:
            value = self._settings[frame.command].to_bytes(length, "big")
            return encode_at_response(frame.frame_id, name, _OK, value)
        if len(frame.value) > length:
            return encode_at_response(frame.frame_id, name, _INVALID_VALUE)
        self._settings[frame.command] = int.from_bytes(frame.value, "big")
        return encode_at_response(frame.frame_id, name, _OK)

    def _send_to_robot(self, payload: bytes, now: int) -> bool:
        copies = self._to_robot.copies()
        for _ in range(copies):
            self._commands.append((now + self._to_robot.delay, payload))
        return copies > 0

    # From the robot --------------------------------------------------------------------------------------------------

    def answer(self, payload: bytes, now: int) -> None:
        """Take the payload of a packet that the robot sends at a moment, ns."""
        self.counters["answers"] += 1
        for _ in range(self._to_host.copies()):
            self._answers.append((now + self._to_host.delay, payload))

    def output(self, now: int) -> bytes:
        """Return the bytes that have reached the host by a moment, ns."""
        # Not `now`: a packet whose time came between two looks goes on the line at its own time.
        while self._answers and self._answers[0][0] <= now:
            moment, payload = self._answers.popleft()
            self._write(encode_uart(payload) if self._profile.framing is Framing.UART
                        else encode_rx16(self._profile.robot_address, RSSI, payload), moment)
        data = self._out.take(now)
        self.counters["bytes_out"] += len(data)
        return data

    def _write(self, frame: bytes, moment: int) -> None:
        self.counters["overflow"] += len(self._out.put(self._to_host.spoil(frame), moment))

    # Time ------------------------------------------------------------------------------------------------------------

    def next_command(self) -> int | None:
        """Return when a payload may reach the robot, ns; None with nothing on the way."""
        moments = [self._in.empty_at, self._commands[0][0] if self._commands else None]
        return min((moment for moment in moments if moment is not None), default=None)

    def next_output(self) -> int | None:
        """Return when all bytes that are on the line will have reached the host, ns; None with nothing on the way."""
        moments = [self._out.empty_at, self._answers[0][0] if self._answers else None]
        return min((moment for moment in moments if moment is not None), default=None)

    def disconnect(self) -> None:
        """Lose what is on the line: the plug was pulled. What is on the air arrives."""
        self._in.clear()
        self._out.clear()
        self._decoder.reset()


def _due(queue: deque[tuple[int, bytes]], now: int) -> list[bytes]:
    due = []
    while queue and queue[0][0] <= now:
        due.append(queue.popleft()[1])
    return due
