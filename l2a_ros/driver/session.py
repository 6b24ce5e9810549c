# SPDX-License-Identifier: Apache-2.0
"""The link to one robot without any port: bytes and moments in, bytes and measurements out.

After every connection the robot is stopped, asked who it is, and given what it loses when it restarts (gains, the
time-out of its motors). Then it is polled: every poll carries the present command and is answered with telemetry.

A command moves the robot for a moment only: either the firmware switches the motors off when polls stay away, or motion
is commanded in slices that end by themselves. So a host that is gone, whatever became of it, stops the legs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from l2a_ros.driver import packets
from l2a_ros.driver.device_clock import DeviceClock
from l2a_ros.driver.frames import Frame, FrameDecoder, OtherFrame, Rx16, TxStatus, encode_tx16
from l2a_ros.driver.link_figures import LinkFigures
from l2a_ros.driver.measurement import Converter, Measurement
from l2a_ros.driver.packets import Packet, decode_packet
from l2a_ros.driver.plausibility import Plausibility, Verdict
from l2a_ros.driver.profiles import Framing, MotionGuard, Profile
from l2a_ros.driver.telemetry import RECORD_SIZE, unpack_record
from l2a_ros.driver.uart_frames import UartDecoder, encode_uart
from l2a_ros.driver.units import POSITION_STEP, VELOCITY_STEP
from l2a_ros.robot.calibration import Calibration

SECOND = 1_000_000_000
#: Time between two tries of a step of the start, ns.
RETRY = SECOND // 10
#: After so long without an answer the robot may be another one, or have been switched off, ns.
LOST = SECOND
#: An unfinished frame is given up when the line was quiet for so long, ns.
QUIET = SECOND // 50
#: The time-out is set again so often: it may have got lost, and nothing acknowledges it, ns.
REMIND = SECOND
#: What an answer takes beside its bytes: the firmware's loop and the radio, ns (assumed).
TURNAROUND = 2_000_000
#: Half of the range of the firmware's positions, rad: they wrap at 32 bits.
_HALF_WRAP = 2.0**31 * POSITION_STEP
#: Longest period of a velocity profile, ms.
_LONGEST_PERIOD = 32767


class Phase(StrEnum):
    """How far the start has come."""

    CLOSED = "no connection"
    IDENTIFYING = "asking who it is"
    IDENTIFIED = "knows who it is"
    PREPARING = "setting gains"
    READY = "ready"


@dataclass(frozen=True)
class LinkSettings:
    """How a robot is talked to.

    Args:
        poll_period: between two polls, ns.
        motion_timeout: after which the motors stop without a poll, ns.
        baud: of the line, bit/s: tells how long bytes are under way.
    """

    poll_period: int = SECOND // 50
    motion_timeout: int = SECOND // 5
    baud: int = 57600

    def wire_time(self, count: int) -> int:
        """Return how long so many bytes take, ns: ten bits each."""
        return count * 10 * SECOND // self.baud


@dataclass(frozen=True)
class Restarted:
    """The robot has begun again: what it was told is lost."""


@dataclass(frozen=True)
class LegAngles:
    """All that some firmwares say while they run: stamp ns, leg angles and rates ``(2,)``, rad and rad/s."""

    stamp: int
    angles: np.ndarray
    rates: np.ndarray | None


Event = Measurement | LegAngles | Restarted


class Session:
    """Talks to one robot.

    Times are ns of one monotonic clock. Order of calls: ``opened``, then ``receive`` whenever bytes came and ``poll``
    when ``next_poll`` has passed, then ``closed``.

    Args:
        profile: of its firmware.
        calibration: of the robot.
        settings: of the link.
    """

    def __init__(self, profile: Profile, calibration: Calibration, settings: LinkSettings) -> None:
        self.profile, self._settings = profile, settings
        self.figures = LinkFigures()
        self.plausibility = Plausibility()
        self.phase = Phase.CLOSED
        #: Whether the robot is to be prepared and polled; until then it is only known.
        self.is_wanted = False
        #: What the robot answered when it was asked who it is.
        self.version = ""
        self.next_poll = 0
        #: When the newest good answer arrived, ns; None before the first.
        self.heard_at: int | None = None
        self._decoder: FrameDecoder | UartDecoder = (
            FrameDecoder() if profile.framing is Framing.XBEE else UartDecoder())
        self.converter = Converter(calibration)
        answer = settings.wire_time(RECORD_SIZE + 2 + (9 if profile.framing is Framing.XBEE else 3))
        self._exchange = settings.wire_time(15) + answer + TURNAROUND
        self._clock = DeviceClock(answer + TURNAROUND)
        self._gains = packets.set_gains(profile.opcodes, profile.gains, profile.gains)
        self._last_angles: LegAngles | None = None
        self._begin_anew(0)

    @property
    def dropped(self) -> Counter[str]:
        """What the decoder lost, by reason."""
        return self._decoder.dropped

    @property
    def is_ready(self) -> bool:
        """Whether the robot is prepared, its gyroscope's bias is known, and it answers."""
        return self.phase is Phase.READY and (self.profile.telemetry_type is None
                                              or self.converter.gyro_bias is not None)

    def _begin_anew(self, now: int) -> None:
        self.next_poll = now
        self._last_byte, self._last_poll, self._reminded = now, -SECOND, -SECOND
        self._motors_on = False
        self._slice_until = 0
        self._last_rates = np.zeros(2)

    # The connection --------------------------------------------------------------------------------------------------

    def opened(self, now: int) -> None:
        """Take note that there is a connection."""
        self._decoder.reset()
        self.converter.forget()
        self._last_angles = None
        self._begin_anew(now)
        self.phase = Phase.IDENTIFYING

    def closed(self) -> None:
        """Take note that there is none any more."""
        self.phase = Phase.CLOSED

    # From the robot --------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: int) -> list[Event]:
        """Take bytes that arrived by now and return what the robot said."""
        self._last_byte = now
        self.figures.bytes_received += len(data)
        return [event for packet in self._unwrap(self._decoder.feed(data)) for event in self._take(packet, now)]

    def _unwrap(self, found: Sequence[Frame | bytes]) -> list[Packet]:
        payloads: list[bytes] = []
        for each in found:
            if isinstance(each, bytes):
                payloads.append(each)
            elif isinstance(each, Rx16):
                if each.source == self.profile.robot_address:
                    self.figures.rssi = each.rssi
                    payloads.append(each.payload)
                else:
                    self.figures.ignored["of another address"] += 1
            elif isinstance(each, TxStatus):
                self.figures.ignored["undelivered"] += each.status != 0
            elif isinstance(each, OtherFrame):
                self.figures.ignored["of another kind"] += 1
        packets_found = [decode_packet(payload) for payload in payloads]
        return [packet for packet in packets_found if packet is not None]

    def _take(self, packet: Packet, now: int) -> list[Event]:
        opcodes, profile = self.profile.opcodes, self.profile
        if packet.type == opcodes["who_am_i"]:
            if self.phase is Phase.IDENTIFYING:
                self.version = packets.parse_version(packet)
                self.phase = Phase.PREPARING if self.is_wanted else Phase.IDENTIFIED
                self.next_poll = now
        elif packet.type == opcodes["set_gains"]:
            if self.phase is Phase.PREPARING and packet.data == self._gains.data:
                self.phase = Phase.READY
                self.heard_at, self.next_poll = now, now
        elif packet.type == profile.telemetry_type:
            return self._take_record(packet, now)
        elif packet.type == opcodes["get_positions"]:
            return self._take_positions(packet, now)
        else:
            self.figures.ignored["of unknown type"] += 1
        return []

    def _take_record(self, packet: Packet, now: int) -> list[Event]:
        record = unpack_record(packet.data)
        if record is None or packet.status != 0:
            self.figures.ignored["of wrong size"] += 1
            return []
        verdict = self.plausibility.judge(record, now)
        if verdict in (Verdict.IMPLAUSIBLE, Verdict.REPEATED):
            return []
        events: list[Event] = []
        if verdict is Verdict.RESTARTED:
            events.append(self._restart(now))
        self.figures.answered(record.index, now)
        self.heard_at = now
        self._motors_on = any(record.duty)
        stamp = self._clock.stamp(record.time_us, now)
        return [*events, self.converter.convert(record, stamp)]

    def _take_positions(self, packet: Packet, now: int) -> list[Event]:
        counts = packets.parse_positions(packet)
        if counts is None or packet.status != 0:
            self.figures.ignored["of wrong size"] += 1
            return []
        self.figures.answered(None, now)
        self.heard_at = now
        # No time of the firmware: measured before the answer's way back.
        stamp, before, angles = now - TURNAROUND - self._settings.wire_time(19), self._last_angles, None
        angles = self.converter.angles(counts)
        rates = None
        if before is not None:
            stamp = max(stamp, before.stamp + 1)
            # Across the wrap of the firmware's positions the shorter way is the right one.
            turned = np.remainder(angles - before.angles + _HALF_WRAP, 2.0 * _HALF_WRAP) - _HALF_WRAP
            rates = turned / ((stamp - before.stamp) / SECOND)
        self._last_angles = LegAngles(stamp, angles, rates)
        return [self._last_angles]

    def _restart(self, now: int) -> Restarted:
        self.figures.restarts += 1
        self.converter.restart()
        self._clock.reset()
        self._begin_anew(now)
        self.phase = Phase.IDENTIFYING
        return Restarted()

    # To the robot ----------------------------------------------------------------------------------------------------

    def hurry(self, now: int) -> int:
        """Return when the next poll is due if it is to carry a new command: at once, unless one is under way."""
        if self.phase is Phase.READY:
            self.next_poll = min(self.next_poll, max(now, self._last_poll + self._exchange))
        return self.next_poll

    def poll(self, now: int, rates: np.ndarray, is_stop: bool) -> tuple[bytes, list[Event]]:
        """Return what to send now, and what was found behind a frame that never ended.

        Args:
            now: ns.
            rates: of the legs to command ``(2,)``, rad/s.
            is_stop: whether the motors must be off: not armed, or stopped.
        """
        events: list[Event] = []
        if now - self._last_byte > QUIET:
            events = [event for packet in self._unwrap(self._decoder.expire()) for event in self._take(packet, now)]
        if self.phase is Phase.READY and self.heard_at is not None and now - self.heard_at > LOST:
            self.phase = Phase.IDENTIFYING
            self.converter.forget()
        if self.phase is Phase.CLOSED:
            return b"", events
        if self.phase is Phase.IDENTIFIED and self.is_wanted:
            self.phase = Phase.PREPARING
        if self.phase is not Phase.READY:
            self.next_poll = now + RETRY
            return self._encode(self._start_packets()), events
        # Absolute: a poll that comes late does not delay those after it, one that was skipped is not made up for.
        period = self._settings.poll_period
        self.next_poll = now + period if now - self.next_poll > period else self.next_poll + period
        self.next_poll = max(self.next_poll, now + self._exchange)
        self._last_poll = now
        self.figures.polled(now)
        chosen = self._stop_packets(now) if is_stop else self._motion_packets(now, rates)
        return self._encode(chosen), events

    def _start_packets(self) -> list[Packet]:
        opcodes = self.profile.opcodes
        # The robot may still walk at the word of a driver that is gone.
        chosen = [packets.stop_motors(opcodes)]
        if self.phase is not Phase.PREPARING:
            return [*chosen, packets.who_am_i(opcodes)]
        return [*chosen, *self._guard(), self._gains]

    def _guard(self) -> list[Packet]:
        if self.profile.motion_guard is not MotionGuard.TIMEOUT:
            return []
        return [packets.set_timeout(self.profile.opcodes, self._settings.motion_timeout // 1_000_000)]

    def _stop_packets(self, now: int) -> list[Packet]:
        """Stop with every poll: nothing acknowledges it but the telemetry, and a stop is never once too often."""
        opcodes = self.profile.opcodes
        chosen = [packets.stop_motors(opcodes)]
        if self.profile.motion_guard is MotionGuard.TIMED_RUN:
            self._slice_until = 0
            return [*chosen, packets.get_positions(opcodes)]
        if now - self._reminded >= REMIND:
            self._reminded = now
            chosen += self._guard()
        return [*chosen, packets.set_velocity(opcodes, 0, 0)]

    def _motion_packets(self, now: int, rates: np.ndarray) -> list[Packet]:
        opcodes = self.profile.opcodes
        if self.profile.motion_guard is MotionGuard.TIMED_RUN:
            return self._slice(now, rates)
        chosen: list[Packet] = []
        if np.any(rates) and not self._motors_on:
            # Not acknowledged either: said until the telemetry shows that it was heard, and never without the time-out.
            chosen = [*self._guard(), packets.start_motors(opcodes)]
        elif now - self._reminded >= REMIND:
            self._reminded = now
            chosen = self._guard()
        return [*chosen, packets.set_velocity(opcodes, *self.converter.commanded_counts(rates))]

    def _slice(self, now: int, rates: np.ndarray) -> list[Packet]:
        """Command motion that ends by itself, again before it does."""
        opcodes, length = self.profile.opcodes, self._settings.motion_timeout
        chosen: list[Packet] = []
        if np.any(rates):
            if not np.array_equal(rates, self._last_rates):
                chosen.append(packets.velocity_profile(opcodes, self._periods(rates)))
            if chosen or now + length // 2 >= self._slice_until:
                self._slice_until = now + length
                chosen.append(packets.timed_run(opcodes, length // 1_000_000))
        elif self._slice_until:
            self._slice_until = 0
            chosen.append(packets.stop_motors(opcodes))
        self._last_rates = rates.copy()
        return [*chosen, packets.get_positions(opcodes)]

    def _periods(self, rates: np.ndarray) -> tuple[int, int]:
        """Return the periods of a revolution of each leg, ms, in the firmware's order; 0 stands.

        Profiles only go the firmware's way round: a leg that it counts backwards would have to be told otherwise.
        """
        first, second = (abs(count) * VELOCITY_STEP for count in self.converter.commanded_counts(rates))
        periods = [round(1000.0 * 2.0 * np.pi / rate) if rate else 0 for rate in (first, second)]
        left, right = (period if period <= _LONGEST_PERIOD else 0 for period in periods)
        return left, right

    def _encode(self, chosen: list[Packet]) -> bytes:
        if self.profile.framing is Framing.UART:
            return b"".join(encode_uart(packet.encode()) for packet in chosen)
        return b"".join(encode_tx16(self.profile.robot_address, packet.encode()) for packet in chosen)
