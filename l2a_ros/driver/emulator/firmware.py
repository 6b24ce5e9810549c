# SPDX-License-Identifier: Apache-2.0
"""The robot's firmware, emulated: payloads of packets in and out, a millisecond at a time, around a simulated robot.

It does what the published firmware does, its omissions too: no watchdog unless it was given a time-out, no answer to
most commands, deaf while it boots and while it handles the flash. Only what would be undefined there, data of a wrong
size, is ignored and counted here.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence

from l2a_ros.driver.emulator.board import Board
from l2a_ros.driver.emulator.motion import Motion
from l2a_ros.driver.packets import Packet, decode_packet
from l2a_ros.driver.profiles import Profile
from l2a_ros.driver.telemetry import RECORD_SIZE
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.sensors import Sensors

#: Version text of the experiments' and the published firmware, and of one that is none of them.
VERSIONS = {True: b"VelociRoACH gbac, emulated", False: b"VelociRoACH master, emulated"}
WRONG_VERSION = b"OctoRoACH, emulated"
#: Time that erasing a sector takes, ms, and the samples that it holds (data sheet of the AT45 flash: 256 pages).
SECTOR_MS, SECTOR_SAMPLES = 700, 2816
#: Time between two packets of a recording that is read back, ms.
READ_BACK_MS = 5
#: The flash holds no more samples than this.
FLASH_SAMPLES = 15 * SECTOR_SAMPLES


class Firmware:
    """One robot with its firmware; it has just been switched on.

    Args:
        profile: which firmware.
        robot: its body; its faults ``reboot`` and ``wrong_firmware`` are the firmware's.
        sensors: of the body.
        seed: of what differs between boards.
    """

    def __init__(self, profile: Profile, robot: Millirobot, sensors: Sensors, seed: int = 0) -> None:
        self.profile, self.robot = profile, robot
        self._board, self.motion = Board(robot, sensors, seed), Motion(robot)
        self._names = {opcode: name for name, opcode in profile.opcodes.items()}
        self._has_velocity = "set_velocity" in profile.opcodes
        motion = self.motion
        #: Commands without an answer: the layout of their data, if they look at it, and what they do with it.
        self._orders: dict[str, tuple[str, Callable[..., None]]] = {
            "start_motors": ("", lambda: motion.start(self._now)), "stop_motors": ("", motion.stop),
            "timed_run": ("<H", lambda run_ms: motion.start(self._now, run_ms)),
            "set_timeout": ("<h", self._set_timeout), "set_phase": ("<i", motion.set_phase),
            "set_velocity_profile": ("<12h", lambda *values: motion.set_profile(values)),
            "set_thrust_open_loop": ("<2h", motion.set_single_thrust),
            "set_motor_mode": ("<2h", lambda *duties: motion.set_thrust(duties, self._now)),
            "start_telemetry": ("<I", self._start_telemetry), "erase_flash": ("<I", self._erase)}
        self._questions: dict[str, Callable[[Packet], bytes | None]] = {
            "who_am_i": self._who_am_i, "set_gains": self._set_gains, "get_positions": self._get_positions,
            "zero_positions": self._zero_positions, "set_velocity": self._set_velocity, "set_thrust": self._set_thrust,
            "read_flash": self._read_flash}
        #: Packets heard and answered, and those that were not: by the reason, and by the name of the command.
        self.counters: Counter[str] = Counter(heard=0, answered=0, deaf=0, unknown=0, wrong_size=0, too_short=0)
        self.commands: Counter[str] = Counter()
        self.boots = 0
        self._reboots_seen = 0
        self._restart()

    def _restart(self) -> None:
        self.boots += 1
        #: Milliseconds since it was switched on.
        self._now = 0
        self._index = 0
        self.is_booting = True
        self._busy_until: int | None = None
        self._answer_when_done: bytes | None = None
        self._to_record, self._flash = 0, list[bytes]()
        self._read_back: list[bytes] = []
        self._board.restart()
        self.motion.restart()

    @property
    def is_deaf(self) -> bool:
        """Whether it hears nothing: it boots, or is busy with the flash."""
        return self.is_booting or self._busy_until is not None

    @property
    def records_sent(self) -> int:
        """How many records it has answered since it was switched on: the next one's index."""
        return self._index

    def step(self, payloads: Sequence[bytes] = ()) -> list[bytes]:
        """Live a millisecond, body and all; return the payloads of the answers.

        Args:
            payloads: of the packets that have arrived since the last millisecond.
        """
        reboots = len(self.robot.faults.values("reboot"))
        if reboots > self._reboots_seen:
            self._restart()
        self._reboots_seen = reboots
        answers: list[bytes] = []
        if self.is_booting:
            self.is_booting = not self._board.calibrate()
            self.counters["deaf"] += len(payloads)
        elif self._busy_until is not None:
            self.counters["deaf"] += len(payloads)
            answers = self._work()
        else:
            for payload in payloads:
                if self.is_deaf:
                    self.counters["deaf"] += 1
                else:
                    answers += self._hear(payload)
        if self._to_record and not self.is_deaf:
            self._to_record -= 1
            self._flash.append(self._board.record(len(self._flash), 1000 * self._now).pack())
        # No loop runs while interrupts are off.
        rates = self.motion.freeze() if self._busy_until is not None else self.motion.step(self._now)
        self.robot.step(rates)
        self._now += 1
        self.counters["answered"] += len(answers)
        return answers

    def _hear(self, payload: bytes) -> list[bytes]:
        packet = decode_packet(payload)
        if packet is None:
            self.counters["too_short"] += 1
            return []
        name = self._names.get(packet.type, "")
        if self.robot.faults.values("wrong_firmware") and name in ("set_velocity", "set_thrust"):
            name = ""
        answer: bytes | None = None
        try:
            if name in self._orders:
                layout, order = self._orders[name]
                # What needs no data gets some from the lab's scripts, and does not look at it.
                order(*(_read(layout, packet) if layout else ()))
            elif name in self._questions:
                answer = self._questions[name](packet)
            else:
                self.counters["unknown"] += 1
                return []
        except struct.error:
            # The real one would take what lies behind the packet in its memory for data.
            self.counters["wrong_size"] += 1
            return []
        self.counters["heard"] += 1
        self.commands[name] += 1
        if answer is None:
            return []
        is_telemetry = name in ("set_velocity", "set_thrust")
        kind = self.profile.telemetry_type if is_telemetry else packet.type
        return [] if kind is None else [Packet(kind, answer).encode()]

    # Commands: each returns the data of its answer -------------------------------------------------------------------

    def _who_am_i(self, _: Packet) -> bytes:
        is_wrong = bool(self.robot.faults.values("wrong_firmware"))
        return WRONG_VERSION if is_wrong else VERSIONS[self._has_velocity]

    def _set_gains(self, packet: Packet) -> bytes:
        self.motion.set_gains(_read("<10h", packet))
        return packet.data

    def _get_positions(self, _: Packet) -> bytes:
        return struct.pack("<2i", *self._board.positions())

    def _zero_positions(self, _: Packet) -> bytes:
        positions = self._board.positions()
        self._board.zero_positions()
        if not self._has_velocity:
            return struct.pack("<2i", *positions)
        # Three integers there; which ones is not published.
        low = [(each + 2**15) % 2**16 - 2**15 for each in positions]
        return struct.pack("<3h", *low, 0)

    def _set_velocity(self, packet: Packet) -> bytes:
        self.motion.set_velocity(_read("<2h", packet), self._now)
        return self._telemetry()

    def _set_thrust(self, packet: Packet) -> bytes:
        self.motion.set_thrust(_read("<2h", packet), self._now)
        return self._telemetry()

    def _telemetry(self) -> bytes:
        record = self._board.record(self._index, 1000 * self._now)
        self._index += 1
        return record.pack()

    def _set_timeout(self, milliseconds: int) -> None:
        self.motion.timeout_ms = milliseconds

    def _start_telemetry(self, samples: int) -> None:
        self._to_record = min(samples, FLASH_SAMPLES - len(self._flash))

    # The flash -------------------------------------------------------------------------------------------------------

    def _erase(self, samples: int) -> None:
        sectors = -(-min(samples, FLASH_SAMPLES) // SECTOR_SAMPLES)
        self._flash, self._to_record = [], 0
        self._busy_until = self._now + sectors * SECTOR_MS
        self._answer_when_done = Packet(self.profile.opcodes["erase_flash"], struct.pack("<I", samples)).encode()

    def _read_flash(self, packet: Packet) -> None:
        # The experiments' firmware takes the index of the first sample too.
        layout = "<2I" if self._has_velocity and len(packet.data) == 8 else "<I"
        samples, first = (*_read(layout, packet), 0)[:2]
        self._read_back = [Packet(packet.type, each).encode() for each in self._flash[first:first + samples]]
        if self._read_back:
            self._busy_until = self._now + READ_BACK_MS * len(self._read_back)

    def _work(self) -> list[bytes]:
        """Go on with the flash by a millisecond."""
        assert self._busy_until is not None
        answers: list[bytes] = []
        left = self._busy_until - self._now
        if self._read_back and left <= READ_BACK_MS * (len(self._read_back) - 1):
            answers.append(self._read_back.pop(0))
        if left <= 0:
            self._busy_until = None
            if self._answer_when_done is not None:
                answers.append(self._answer_when_done)
                self._answer_when_done = None
        return answers


def _read(layout: str, packet: Packet) -> tuple[int, ...]:
    """Return the integers in a packet.

    Raises:
        struct.error: if its data has another size.
    """
    return struct.unpack(layout, packet.data)


def sent_record(profile: Profile, payload: bytes) -> bytes | None:
    """Return the telemetry record in an answer, None if it is another one."""
    packet = decode_packet(payload)
    if packet is None or packet.type != profile.telemetry_type or len(packet.data) != RECORD_SIZE:
        return None
    return packet.data
