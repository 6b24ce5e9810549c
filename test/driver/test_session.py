# SPDX-License-Identifier: Apache-2.0
"""The link as a pure object against the emulated firmware and its wire, in simulated time: every run is the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.driver.emulator.firmware import Firmware, sent_record
from l2a_ros.driver.emulator.wire import Wire
from l2a_ros.driver.frames import FrameDecoder, Tx16, encode_rx16
from l2a_ros.driver.measurement import Measurement
from l2a_ros.driver.packets import Packet, decode_packet
from l2a_ros.driver.profiles import PROFILES
from l2a_ros.driver.session import SECOND, Event, LegAngles, LinkSettings, Phase, Restarted, Session
from l2a_ros.driver.telemetry import TelemetryRecord, unpack_record
from l2a_ros.robot.calibration import Calibration
from l2a_ros.robot.limits import REVOLUTION
from l2a_ros.simulation.faults import parse_faults
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.sensors import Sensors
from l2a_ros.simulation.terrain import load_terrain

WALK = np.array([5.0, 5.0]) * REVOLUTION
STAND = np.zeros(2)
MS = 1_000_000


class Bench:
    """A session, a wire and a robot that live millisecond by millisecond."""

    def __init__(self, profile: str = "velociroach_gbac", calibration: Calibration | None = None,
                 link: LinkSettings | None = None, seed: int = 0) -> None:
        self.now = 100 * SECOND
        self.robot = Millirobot(load_terrain("carpet"), seed)
        self.firmware = Firmware(PROFILES[profile], self.robot, Sensors(self.robot, seed), seed)
        self.wire = Wire(PROFILES[profile], 57600, self.robot.faults, seed)
        self.session = Session(PROFILES[profile], calibration or Calibration(), link or LinkSettings())
        self.session.is_wanted = True
        self.rates, self.is_stop = STAND, True
        self.events: list[Event] = []
        self.records: list[TelemetryRecord] = []
        self.sent: list[Packet] = []
        self.is_host_alive = True

    def open(self) -> None:
        self.session.opened(self.now)

    def live(self, seconds: float) -> list[Event]:
        """Let time pass and return what the robot said meanwhile."""
        begin = len(self.events)
        for _ in range(round(seconds * 1000)):
            self.now += MS
            if self.is_host_alive and self.session.phase is not Phase.CLOSED and self.now >= self.session.next_poll:
                data, late = self.session.poll(self.now, self.rates, self.is_stop)
                self.events += late
                self.sent += [packet for frame in FrameDecoder().feed(data) if isinstance(frame, Tx16)
                              for packet in [decode_packet(frame.payload)] if packet is not None]
                self.wire.receive(data, self.now)
            for answer in self.firmware.step(self.wire.commands(self.now)):
                record = sent_record(self.firmware.profile, answer)
                if record is not None:
                    found = unpack_record(record)
                    assert found is not None
                    self.records.append(found)
                self.wire.answer(answer, self.now)
            if data := self.wire.output(self.now):
                self.events += self.session.receive(data, self.now)
        return self.events[begin:]

    def until(self, condition: Callable[[], object], seconds: float = 10.0) -> float:
        """Let time pass until something is so; return how long that took, s."""
        begin = self.now
        while not condition():
            assert self.now - begin < seconds * SECOND, "waited in vain"
            self.live(0.005)
        return (self.now - begin) / SECOND

    def get_ready(self) -> None:
        self.open()
        self.until(lambda: self.session.is_ready)

    def walk(self, seconds: float = 0.5) -> list[Event]:
        self.rates, self.is_stop = WALK, False
        return self.live(seconds)

    def break_(self, *faults: str) -> None:
        self.robot.replace_faults(parse_faults(faults))

    @property
    def turns(self) -> bool:
        return bool(np.abs(self.robot.crank_rates).max() > REVOLUTION)


def test_it_is_ready_soon_after_the_robot_has_booted() -> None:
    bench = Bench()
    bench.open()
    assert bench.session.phase is Phase.IDENTIFYING
    bench.until(lambda: bench.session.phase is Phase.READY, 2.0)
    assert bench.session.version == "VelociRoACH gbac, emulated"
    assert not bench.session.is_ready, "the gyroscope is measured first"
    bench.until(lambda: bench.session.is_ready, 2.0)


def test_until_it_is_wanted_the_robot_is_only_known() -> None:
    bench = Bench()
    bench.session.is_wanted = False
    bench.open()
    bench.live(3.0)
    assert bench.session.phase is Phase.IDENTIFIED
    assert {packet.type for packet in bench.sent} == {0x92, 0x8E}, "stop, and who are you"
    bench.session.is_wanted = True
    bench.until(lambda: bench.session.phase is Phase.READY, 1.0)


def test_the_first_word_at_every_connection_is_a_stop() -> None:
    bench = Bench()
    bench.open()
    bench.live(0.001)
    assert bench.sent[0].type == 0x92


def test_it_polls_as_often_as_it_is_told_and_stamps_evenly() -> None:
    bench = Bench()
    bench.get_ready()
    told = [event for event in bench.live(2.0) if isinstance(event, Measurement)]
    assert len(told) == pytest.approx(100, abs=2)
    stamps = np.array([event.stamp for event in told])
    # Once a second the time-out is sent before the poll.
    np.testing.assert_allclose(np.diff(stamps), 20 * MS, atol=2.5 * MS)
    np.testing.assert_allclose(np.diff(stamps).mean(), 20 * MS, rtol=0.01)
    # A sample is from when the robot took it: its bytes were ten milliseconds under way.
    age = bench.now - stamps[-1]
    assert 9 * MS < age < 35 * MS


def test_a_measurement_is_what_the_robot_is() -> None:
    bench = Bench()
    bench.get_ready()
    at_rest = [event for event in bench.live(0.5) if isinstance(event, Measurement)]
    assert np.mean([event.specific_force[2] for event in at_rest]) == pytest.approx(9.8, abs=0.4)
    assert np.abs(np.mean([event.angular_velocity for event in at_rest], axis=0)).max() < 0.01
    told = [event for event in bench.walk(2.0) if isinstance(event, Measurement)]
    # The encoders are absolute within a revolution; how many there were is counted from where they began.
    ahead = bench.robot.encoder_angles - told[-1].angles
    assert np.abs(np.remainder(ahead + np.pi, REVOLUTION) - np.pi).max() < 1.5
    rates = np.mean([event.rates for event in told[-40:] if event.rates is not None], axis=0)
    np.testing.assert_allclose(rates, WALK, rtol=0.2)
    assert told[-1].battery_voltage == pytest.approx(bench.robot.battery_voltage, abs=0.3)
    assert np.mean([event.duty for event in told[-40:]]) > 0.05


def test_motion_needs_more_than_polls() -> None:
    """Stopped, the polls command zero and switch the motors off; the time-out is set before they are ever on."""
    bench = Bench()
    bench.get_ready()
    bench.rates, bench.is_stop = WALK, True
    bench.live(0.5)
    assert not bench.turns
    assert 0x81 not in {packet.type for packet in bench.sent}
    assert {packet.data for packet in bench.sent if packet.type == 0x96} == {bytes(4)}
    bench.walk()
    assert bench.turns
    kinds = [packet.type for packet in bench.sent]
    assert 0x85 in kinds[:kinds.index(0x81)]
    assert next(packet.data for packet in bench.sent if packet.type == 0x85) == (200).to_bytes(2, "little")


def test_a_new_command_does_not_wait_for_the_next_poll() -> None:
    bench = Bench()
    bench.get_ready()
    bench.walk()
    bench.live(0.017)
    before = len(bench.sent)
    bench.rates = WALK / 2
    due = bench.session.hurry(bench.now)
    assert due <= bench.now + 15 * MS
    bench.live((due - bench.now) / SECOND + 0.001)
    assert len(bench.sent) > before
    # However often it is asked to hurry, an answer has the time to arrive.
    count = len(bench.sent)
    for _ in range(100):
        bench.session.hurry(bench.now)
        bench.live(0.001)
    assert (len(bench.sent) - count) <= 100 / 14


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_host_that_is_gone_stops_the_legs(profile: str) -> None:
    bench = Bench(profile)
    bench.get_ready()
    bench.walk(1.0)
    assert bench.turns
    bench.is_host_alive = False
    bench.live(0.3)
    assert not bench.firmware.motion.is_on
    bench.live(1.0)
    assert not bench.turns


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_stop_is_said_until_it_is_heard(profile: str) -> None:
    bench = Bench(profile)
    bench.get_ready()
    bench.walk(0.5)
    bench.break_("wire_drop:0.7")
    bench.is_stop = True
    bench.live(1.0)
    assert not bench.firmware.motion.is_on
    assert not bench.turns


def test_a_start_is_said_until_it_is_heard() -> None:
    bench = Bench()
    bench.get_ready()
    bench.break_("wire_drop:0.7")
    bench.rates, bench.is_stop = WALK, False
    bench.until(lambda: bench.turns, 5.0)
    bench.break_()
    bench.live(0.5)
    assert bench.turns


def test_a_robot_that_restarts_is_noticed_and_prepared_again() -> None:
    bench = Bench()
    bench.get_ready()
    bias = bench.session.converter.gyro_bias
    bench.walk(0.5)
    bench.break_("reboot")
    events = bench.live(0.1)
    bench.is_stop = True
    bench.until(lambda: any(isinstance(event, Restarted) for event in bench.events), 4.0)
    assert not any(isinstance(event, Restarted) for event in events)
    bench.until(lambda: bench.session.is_ready, 4.0)
    assert bench.session.figures.restarts == 1
    assert bench.session.converter.gyro_bias is not bias, "its calibration was its own"
    stamps = [event.stamp for event in bench.events if isinstance(event, Measurement)]
    assert np.all(np.diff(stamps) > 0)
    bench.walk()
    assert bench.turns


def test_another_firmware_is_never_ready() -> None:
    bench = Bench()
    bench.break_("wrong_firmware")
    bench.open()
    bench.walk(5.0)
    assert not bench.session.is_ready
    assert not bench.turns


def test_plugged_in_again_it_is_ready_at_once() -> None:
    bench = Bench()
    bench.get_ready()
    bench.walk(0.5)
    bench.session.closed()
    bench.wire.disconnect()
    bench.live(1.0)
    assert not bench.turns
    bench.is_stop = True
    bench.open()
    assert bench.until(lambda: bench.session.is_ready, 2.0) < 0.5
    assert bench.session.figures.restarts == 0


def test_a_robot_that_was_silent_is_asked_again_who_it_is() -> None:
    bench = Bench()
    bench.get_ready()
    bench.break_("silence:1.5")
    bench.until(lambda: bench.session.phase is Phase.IDENTIFYING, 2.0)
    bench.until(lambda: bench.session.phase is Phase.READY, 2.0)
    bench.live(0.5)
    assert bench.session.figures.restarts == 0


def test_positions_alone() -> None:
    """The published firmware tells nothing but the legs' angles, and walks in slices that it ends by itself."""
    bench = Bench("velociroach_master")
    bench.get_ready()
    told = bench.walk(2.0)
    assert all(isinstance(event, LegAngles) for event in told)
    rates = np.mean([event.rates for event in told[-40:] if isinstance(event, LegAngles)], axis=0)
    np.testing.assert_allclose(rates, WALK, rtol=0.25)
    bench.rates = STAND
    bench.live(0.5)
    assert not bench.turns


def test_swapped_sides() -> None:
    bench = Bench(calibration=Calibration(swap_sides=True))
    bench.get_ready()
    bench.rates, bench.is_stop = np.array([8.0, 3.0]) * REVOLUTION, False
    told = [event for event in bench.live(1.5) if isinstance(event, Measurement)]
    assert bench.robot.crank_angles[1] > 1.8 * bench.robot.crank_angles[0]
    assert told[-1].angles[0] > 1.8 * told[-1].angles[1]


def test_bad_wire_for_minutes() -> None:
    """Corrupted, lost, doubled, late and swapped: what is taken was sent, and the robot is never lost for long."""
    bench = Bench(seed=3)
    bench.get_ready()
    bench.break_("wire_corrupt:0.01", "wire_drop:0.05", "wire_duplicate:0.05", "wire_delay:0.005")
    rng = np.random.default_rng(0)
    heard, longest = bench.now, 0
    for _ in range(60):
        bench.rates, bench.is_stop = REVOLUTION * rng.uniform(2.0, 9.0, 2), False
        for event in bench.live(1.0):
            assert isinstance(event, Measurement), "nobody has restarted"
            longest, heard = max(longest, event.stamp - heard), event.stamp
    assert longest < SECOND
    converter = bench.session.converter
    sent = {tuple(np.concatenate([converter.angles(record.position), np.array(record.back_emf)]))
            for record in bench.records}
    told = [event for event in bench.events if isinstance(event, Measurement)]
    assert len(told) > 60 * 50 * 0.3
    wrong = [event for event in told if tuple(np.concatenate(
        [event.angles, np.round(event.back_emf / 0.010097)])) not in sent]
    # One corrupted record of 256 has a valid checksum; of those only what is within every range is taken.
    assert len(wrong) <= 0.004 * len(told)
    assert bench.session.dropped["checksum"] > 500


@settings(max_examples=30)
@given(st.lists(st.one_of(
    st.binary(max_size=120),
    st.builds(lambda kind, data: encode_rx16(1, 40, Packet(kind, data).encode()), st.integers(0, 255),
              st.binary(max_size=60)),
    st.builds(lambda data: encode_rx16(1, 40, Packet(0x20, data).encode()), st.binary(min_size=46, max_size=46))),
    max_size=30))
def test_whatever_arrives_it_goes_on(pieces: list[bytes]) -> None:
    session, now = Session(PROFILES["velociroach_gbac"], Calibration(), LinkSettings()), SECOND
    session.is_wanted = True
    session.opened(now)
    for piece in pieces:
        now += 20 * MS
        for event in session.receive(piece, now):
            if isinstance(event, Measurement):
                assert np.all(np.isfinite([*event.angles, *event.specific_force, *event.duty]))
                assert np.abs(event.duty).max() <= 1.0
        data, _ = session.poll(now, STAND, True)
        assert isinstance(data, bytes)
        assert session.next_poll > now
