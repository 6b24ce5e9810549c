# SPDX-License-Identifier: Apache-2.0
"""The emulated firmware: what it answers, what it does with the motors, and what it does not do."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.driver import packets, units
from l2a_ros.driver.emulator.board import CALIBRATION_SAMPLES
from l2a_ros.driver.emulator.firmware import READ_BACK_MS, SECTOR_MS, Firmware, sent_record
from l2a_ros.driver.packets import Gains, Packet, decode_packet
from l2a_ros.driver.profiles import find_profile
from l2a_ros.driver.telemetry import TIME_WRAP, TelemetryRecord, unpack_record
from l2a_ros.robot.limits import REVOLUTION
from l2a_ros.simulation.faults import parse_faults
from l2a_ros.simulation.millirobot import Millirobot
from l2a_ros.simulation.sensors import Sensors
from l2a_ros.simulation.terrain import load_terrain

CARPET = load_terrain("carpet")
GBAC, MASTER = find_profile("velociroach_gbac"), find_profile("velociroach_master")
OPCODES = GBAC.opcodes
#: Counts per millisecond of 5 rev/s.
WALK = units.velocity_counts(5.0 * REVOLUTION)


class Bench:
    """A firmware on the bench, booted unless told otherwise."""

    def __init__(self, profile: str = "velociroach_gbac", faults: Sequence[str] = (), seed: int = 0,
                 boot: bool = True) -> None:
        self.profile = find_profile(profile)
        self.robot = Millirobot(CARPET, seed, parse_faults(faults))
        self.firmware = Firmware(self.profile, self.robot, Sensors(self.robot, seed), seed)
        if boot:
            self.wait(CALIBRATION_SAMPLES)

    def wait(self, milliseconds: int) -> list[Packet]:
        """Let time pass; return what is said unasked."""
        said = [answer for _ in range(milliseconds) for answer in self.firmware.step()]
        return [packet for packet in map(decode_packet, said) if packet is not None]

    def tell(self, *commands: Packet) -> list[Packet]:
        """Send packets, let a millisecond pass and return the answers."""
        answers = self.firmware.step([command.encode() for command in commands])
        return [packet for packet in map(decode_packet, answers) if packet is not None]

    def poll(self, left: int = 0, right: int = 0) -> TelemetryRecord:
        """Command velocities and return the record."""
        [answer] = self.tell(packets.set_velocity(OPCODES, left, right))
        assert answer.type == GBAC.telemetry_type
        record = unpack_record(answer.data)
        assert record is not None
        return record

    def ready(self) -> None:
        """Set gains and switch the motors on."""
        assert len(self.tell(packets.set_gains(self.profile.opcodes, self.profile.gains, self.profile.gains),
                             packets.start_motors(self.profile.opcodes))) == 1

    @property
    def walks(self) -> bool:
        return bool(np.abs(self.robot.crank_rates).min() > 1.0 * REVOLUTION)

    def turning(self, milliseconds: int = 500) -> np.ndarray:
        """Let time pass and return the legs' mean rates in it, rev/s."""
        before = self.robot.crank_angles.copy()
        self.wait(milliseconds)
        turned: np.ndarray = (self.robot.crank_angles - before) / REVOLUTION / (milliseconds / 1000.0)
        return turned

    @property
    def stands(self) -> bool:
        return bool(np.abs(self.robot.crank_rates).max() < 1.0)


# Boot ----------------------------------------------------------------------------------------------------------------


def test_it_is_silent_until_it_has_booted() -> None:
    bench = Bench(boot=False)
    for _ in range(CALIBRATION_SAMPLES):
        assert bench.tell(packets.who_am_i(OPCODES), packets.set_velocity(OPCODES, 0, 0)) == []
    assert bench.firmware.counters["deaf"] == 2 * CALIBRATION_SAMPLES
    [answer] = bench.tell(packets.who_am_i(OPCODES))
    assert packets.parse_version(answer).startswith("VelociRoACH")
    record = bench.poll()
    assert (record.index, record.duty) == (0, (0, 0))
    assert record.time_us == 1000 * (CALIBRATION_SAMPLES + 1)


def test_the_calibration_takes_the_offset_away_unless_the_robot_moved() -> None:
    still = Bench(seed=3)
    at_rest = np.mean([still.poll().gyro for _ in range(200)], axis=0) * units.GYRO_STEP
    assert np.abs(np.degrees(at_rest)).max() < 2.5, "what drifts after the calibration"
    drift = Sensors(still.robot, 3).gyro_bias
    assert np.abs(np.degrees(drift)).max() > 0.5
    # About the vertical it has turned a little while its legs settled.
    np.testing.assert_allclose(at_rest[:2], drift[:2], atol=np.radians(0.25))
    moved = Bench(seed=3, boot=False)
    for _ in range(CALIBRATION_SAMPLES):
        moved.robot.data.qvel[5] = 2.0
        moved.wait(1)
    moved.wait(500)
    wrong = np.mean([moved.poll().gyro for _ in range(200)], axis=0) * units.GYRO_STEP
    assert wrong[2] - at_rest[2] < -1.0
    moved.wait(2000)
    later = np.mean([moved.poll().gyro for _ in range(200)], axis=0) * units.GYRO_STEP
    np.testing.assert_allclose(later, wrong, atol=0.02), "it persists"


def test_gains_are_zero_and_motors_off_after_boot() -> None:
    bench = Bench()
    for _ in range(300):
        assert bench.poll(WALK, WALK).duty == (0, 0)
    bench.tell(packets.start_motors(OPCODES))
    for _ in range(300):
        assert bench.poll(WALK, WALK).duty == (0, 0)
    assert bench.stands
    bench.ready()
    bench.wait(500)
    assert bench.walks


def test_reboot_forgets_everything() -> None:
    bench = Bench(faults=["reboot@2.0"])
    bench.ready()
    bench.poll(WALK, WALK)
    bench.wait(2000 - bench.robot.elapsed_ms)
    assert bench.walks
    bench.wait(1)
    assert bench.firmware.is_booting
    bench.wait(CALIBRATION_SAMPLES)
    record = bench.poll(WALK, WALK)
    assert (record.index, record.duty, bench.firmware.boots) == (0, (0, 0), 2)
    assert record.time_us < 1_100_000
    assert all(0 <= position < units.COUNTS_PER_REVOLUTION for position in record.position)
    bench.wait(2000)
    assert bench.firmware.boots == 2


def test_wrong_firmware() -> None:
    bench = Bench(faults=["wrong_firmware"])
    [answer] = bench.tell(packets.who_am_i(OPCODES))
    assert not packets.parse_version(answer).startswith("VelociRoACH")
    assert bench.tell(packets.set_velocity(OPCODES, 0, 0)) == []
    assert bench.firmware.counters["unknown"] == 1


# Motion --------------------------------------------------------------------------------------------------------------


def test_it_moves_exactly_as_the_simulated_robot_does() -> None:
    bench, twin = Bench(seed=5), Millirobot(CARPET, 5)
    for motor in twin.motors:
        motor.fixed_duty = 0.0
    for _ in range(CALIBRATION_SAMPLES):
        twin.step((0.0, 0.0))
    np.testing.assert_array_equal(bench.robot.data.qpos, twin.data.qpos)
    counts = (WALK, WALK + 70)
    bench.tell(packets.set_gains(OPCODES, GBAC.gains, GBAC.gains), packets.start_motors(OPCODES),
               packets.set_velocity(OPCODES, *counts))
    for motor in twin.motors:
        motor.fixed_duty = None
    rates = [count * units.VELOCITY_STEP for count in counts]
    twin.step(rates)
    for _ in range(1500):
        bench.wait(1)
        twin.step(rates)
        assert np.array_equal(bench.robot.data.qpos, twin.data.qpos)
    assert bench.walks


def test_without_a_time_out_a_robot_whose_host_dies_walks_on() -> None:
    """That is what the published firmware does; drivers must not hope otherwise."""
    bench = Bench()
    bench.ready()
    bench.poll(WALK, WALK)
    bench.wait(10_000)
    assert bench.turning() == pytest.approx([5.0, 5.0], rel=0.2)


def test_with_a_time_out_it_stops_and_stays_off_until_it_is_started() -> None:
    bench = Bench()
    bench.ready()
    bench.tell(packets.set_timeout(OPCODES, 200))
    for _ in range(10):
        bench.poll(WALK, WALK)
        bench.wait(199)
    assert bench.walks, "it is fed in time"
    bench.poll(WALK, WALK)
    bench.wait(200)
    assert bench.firmware.motion.is_on
    bench.wait(1)
    assert not bench.firmware.motion.is_on
    assert bench.firmware.motion.timed_out == 1
    bench.wait(300)
    assert bench.stands
    for _ in range(300):
        assert bench.poll(WALK, WALK).duty == (0, 0), "a velocity alone does not switch the motors on"
    bench.tell(packets.start_motors(OPCODES))
    for _ in range(300):
        bench.poll(WALK, WALK)
    assert bench.walks
    bench.tell(packets.set_timeout(OPCODES, 0))
    bench.wait(1000)
    assert bench.walks, "zero is never"


def test_stop_motors() -> None:
    bench = Bench()
    bench.ready()
    bench.poll(WALK, WALK)
    bench.wait(500)
    assert bench.walks
    assert bench.tell(packets.stop_motors(OPCODES)) == []
    assert bench.poll(WALK, WALK).duty == (0, 0)
    bench.wait(300)
    assert bench.stands


@pytest.mark.parametrize("profile", ["velociroach_gbac", "velociroach_master"])
def test_timed_run_ends_by_itself(profile: str) -> None:
    bench = Bench(profile)
    opcodes = bench.profile.opcodes
    bench.tell(packets.set_gains(opcodes, bench.profile.gains, bench.profile.gains),
               packets.velocity_profile(opcodes, (200, 200)), packets.timed_run(opcodes, 700))
    bench.wait(699)
    assert bench.firmware.motion.is_on and bench.walks
    bench.wait(1)
    assert not bench.firmware.motion.is_on
    bench.wait(300)
    assert bench.stands


def test_velocity_profile_turns_each_leg_in_its_period() -> None:
    bench = Bench("velociroach_master")
    opcodes = MASTER.opcodes
    bench.tell(packets.set_gains(opcodes, MASTER.gains, MASTER.gains), packets.start_motors(opcodes),
               packets.velocity_profile(opcodes, (200, 250)))
    bench.wait(500)
    before = bench.robot.crank_angles.copy()
    bench.wait(2000)
    turned = (bench.robot.crank_angles - before) / REVOLUTION
    assert turned == pytest.approx([10.0, 8.0], rel=0.1)
    bench.tell(packets.velocity_profile(opcodes, (200, 0), once=True))
    before = bench.robot.crank_angles.copy()
    bench.wait(1500)
    turned = (bench.robot.crank_angles - before) / REVOLUTION
    assert turned == pytest.approx([1.0, 0.0], abs=0.25)


def test_thrust() -> None:
    bench = Bench()
    bench.tell(packets.start_motors(OPCODES))
    [answer] = bench.tell(packets.set_thrust(OPCODES, 1000, 5000))
    assert answer.type == GBAC.telemetry_type
    [answer] = bench.tell(packets.set_thrust(OPCODES, 1000, 5000))
    record = unpack_record(answer.data)
    assert record is not None
    assert record.duty == (1000, units.LARGEST_DUTY), "needs no gains, and is clipped"
    bench.tell(packets.stop_motors(OPCODES))
    bench.tell(Packet(OPCODES["set_thrust_open_loop"], struct.pack("<2h", 2, 900)))
    bench.tell(Packet(OPCODES["set_thrust_open_loop"], struct.pack("<2h", 3, 900)))
    assert bench.poll().duty == (0, 900), "one channel alone, the loops are off"
    bench.tell(packets.stop_motors(OPCODES))
    assert bench.poll().duty == (0, 0)
    bench.tell(Packet(OPCODES["set_motor_mode"], struct.pack("<2h", -500, 600)), packets.start_motors(OPCODES))
    bench.wait(2)
    assert [round(motor.duty * 4000) for motor in bench.robot.motors] == [-500, 600]


def test_phase_between_the_legs() -> None:
    bench = Bench()
    bench.ready()
    bench.tell(Packet(OPCODES["set_phase"], struct.pack("<i", 0x8000)))
    bench.wait(1500)
    left, right = bench.robot.crank_angles
    assert abs(np.remainder(left - right, 2.0 * np.pi) - np.pi) < 0.3


# Answers -------------------------------------------------------------------------------------------------------------


def test_record_says_what_the_robot_does() -> None:
    bench = Bench()
    bench.ready()
    last = bench.poll(WALK, WALK)
    for _ in range(20):
        bench.wait(49)
        robot = bench.robot
        record = bench.poll(WALK, WALK)
        assert record.index == last.index + 1
        assert record.time_us - last.time_us == 50_000
        assert all(position % units.ENCODER_STEP == 0 for position in record.position)
        last = record
    # A record is of the moment before the millisecond in which it is sent.
    before = robot.crank_angles.copy()
    emf, duty = [m.back_emf for m in robot.motors], [m.duty for m in robot.motors]
    battery, setpoints = robot.battery_voltage, [m.setpoint for m in robot.motors]
    record = bench.poll(WALK, WALK)
    for counts, angles in ((record.position, before), (record.commanded_position, setpoints)):
        # Revolutions count from the boot.
        difference = np.remainder(units.leg_angles(np.array(counts)) - angles + np.pi, 2.0 * np.pi) - np.pi
        assert np.abs(difference).max() < 4 * units.POSITION_STEP
    np.testing.assert_allclose(units.back_emf(np.array(record.back_emf)), emf, atol=units.BACK_EMF_STEP)
    np.testing.assert_allclose(units.duty(np.array(record.duty)), duty, atol=1.0 / units.FULL_DUTY)
    assert units.battery_voltage(record.battery) == pytest.approx(battery, abs=units.BATTERY_STEP)


def test_inertial_counts_at_rest() -> None:
    bench = Bench()
    force = np.mean([units.specific_force(np.array(bench.poll().acceleration)) for _ in range(300)], axis=0)
    assert np.linalg.norm(force) == pytest.approx(9.81, rel=0.05)


def test_time_wraps() -> None:
    bench = Bench()
    bench.firmware._now = TIME_WRAP // 1000
    assert bench.poll().time_us == 1000 * (TIME_WRAP // 1000)
    assert bench.poll().time_us == 1000 * (TIME_WRAP // 1000 + 1) - TIME_WRAP


def test_gains_are_echoed_and_count() -> None:
    bench = Bench()
    command = packets.set_gains(OPCODES, Gains(1, -2, 3, 4, 5), Gains(6, 7, 8, 9, 10))
    [answer] = bench.tell(command)
    assert answer == command
    weak = packets.set_gains(OPCODES, Gains(100, 0, 0), Gains(1800, 200, 100))
    bench.tell(weak, packets.start_motors(OPCODES))
    bench.wait(100)
    left, right = bench.poll(WALK, WALK).duty, bench.poll(WALK, WALK).duty
    assert abs(right[0]) < abs(right[1]), (left, right)


@pytest.mark.parametrize(("profile", "layout"), [("velociroach_gbac", "<3h"), ("velociroach_master", "<2i")])
def test_positions_and_their_zero(profile: str, layout: str) -> None:
    bench = Bench(profile)
    opcodes = bench.profile.opcodes
    [answer] = bench.tell(packets.get_positions(opcodes))
    positions = packets.parse_positions(answer)
    assert positions is not None
    [answer] = bench.tell(packets.zero_positions(opcodes))
    previous = struct.unpack(layout, answer.data)
    assert [each % 65536 for each in previous[:2]] == pytest.approx([each % 65536 for each in positions], abs=12)
    [answer] = bench.tell(packets.get_positions(opcodes))
    zeroed = packets.parse_positions(answer)
    assert zeroed is not None
    assert max(map(abs, zeroed)) <= 12


def test_the_published_firmware_knows_no_velocity() -> None:
    bench = Bench("velociroach_master")
    assert bench.tell(packets.set_velocity(OPCODES, WALK, WALK), packets.set_timeout(OPCODES, 100)) == []
    assert bench.firmware.counters["unknown"] == 2


@pytest.mark.parametrize("name", ["start_motors", "stop_motors", "set_timeout", "timed_run", "set_phase",
                                  "set_velocity_profile", "set_motor_mode", "start_telemetry"])
def test_most_commands_are_not_answered(name: str) -> None:
    sizes = {"set_timeout": 2, "timed_run": 2, "set_phase": 4, "set_velocity_profile": 24, "set_motor_mode": 4,
             "start_telemetry": 4}
    bench = Bench()
    assert bench.tell(Packet(OPCODES[name], bytes(sizes.get(name, 0)))) == []
    assert bench.firmware.commands == {name: 1}


# Flash ---------------------------------------------------------------------------------------------------------------


def test_it_is_deaf_while_the_flash_erases_and_the_motors_keep_their_duty() -> None:
    bench = Bench()
    bench.ready()
    bench.tell(packets.set_timeout(OPCODES, 100))
    bench.poll(WALK, WALK)
    bench.wait(99)
    erase = packets.erase_flash(OPCODES, 100)
    duty = [motor.duty for motor in bench.robot.motors]
    assert max(map(abs, duty)) > 0.05
    assert bench.tell(erase, packets.stop_motors(OPCODES)) == []
    for _ in range(SECTOR_MS - 1):
        assert bench.tell(packets.stop_motors(OPCODES), packets.who_am_i(OPCODES)) == []
        assert [motor.duty for motor in bench.robot.motors] == duty
    assert bench.tell() == [erase], "echoed when it is done"
    bench.wait(1)
    assert not bench.firmware.motion.is_on, "the time-out comes through at last"
    assert bench.firmware.motion.timed_out == 1, "it was not the command that came while it was deaf"


@pytest.mark.parametrize("profile", ["velociroach_gbac", "velociroach_master"])
def test_a_recording_is_read_back(profile: str) -> None:
    bench = Bench(profile)
    opcodes = bench.profile.opcodes
    bench.tell(packets.erase_flash(opcodes, 20))
    bench.wait(SECTOR_MS)
    bench.tell(packets.start_telemetry(opcodes, 20))
    bench.wait(25)
    bench.tell(packets.read_flash(opcodes, 20))
    said = bench.wait(READ_BACK_MS * 20)
    assert {packet.type for packet in said} == {opcodes["read_flash"]}
    records = [unpack_record(packet.data) for packet in said]
    assert [record.index for record in records if record] == list(range(20))
    assert {b.time_us - a.time_us for a, b in itertools.pairwise(records) if a and b} == {1000}
    assert len(bench.tell(packets.get_positions(opcodes))) == 1, "it hears again"


# Anything ------------------------------------------------------------------------------------------------------------


PAYLOADS = st.lists(st.binary(max_size=40) | st.builds(
    lambda kind, data: bytes([0, kind]) + data, st.sampled_from(sorted(OPCODES.values())), st.binary(max_size=30)),
    max_size=6)


@settings(max_examples=150)
@given(st.lists(PAYLOADS, max_size=5), st.sampled_from(["velociroach_gbac", "velociroach_master"]))
def test_any_payload_is_taken_and_counted(received: list[list[bytes]], profile: str) -> None:
    bench = _booted(profile)
    before = bench.firmware.counters.copy()
    for payloads in received:
        bench.firmware.step(payloads)
    counted = bench.firmware.counters - before
    assert sum(counted[reason] for reason in ("heard", "deaf", "unknown", "wrong_size", "too_short")) == sum(
        map(len, received))
    assert np.all(np.isfinite(bench.robot.data.qpos))


_BOOTED: dict[str, Bench] = {}


def _booted(profile: str) -> Bench:
    """Return a robot that is there already: what it went through does not matter."""
    if profile not in _BOOTED or _BOOTED[profile].robot.time > 30.0:
        _BOOTED[profile] = Bench(profile)
    return _BOOTED[profile]


def test_the_same_inputs_give_the_same_answers() -> None:
    def run(seed: int) -> list[bytes]:
        bench, answers = Bench(seed=seed), []
        bench.ready()
        for i in range(300):
            answers += bench.firmware.step([packets.set_velocity(OPCODES, WALK, WALK + i).encode()] * (i % 20 == 0))
        return answers

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_sent_record() -> None:
    bench = Bench()
    [answer] = bench.firmware.step([packets.set_velocity(OPCODES, 0, 0).encode()])
    assert sent_record(GBAC, answer) == answer[2:]
    assert sent_record(GBAC, answer[:-1]) is None
    assert sent_record(MASTER, answer) is None


def test_a_stuck_encoder_runs_away_until_the_motors_are_off() -> None:
    bench = Bench(faults=["stuck_encoder:left@1.5"])
    bench.ready()
    bench.poll(WALK, WALK)
    bench.wait(1000)
    first, second = bench.poll(WALK, WALK), bench.poll(WALK, WALK)
    assert first.position[0] == second.position[0]
    assert first.position[1] != second.position[1]
    assert bench.turning()[0] > 10.0, "the loop pushes as hard as it can"
    bench.poll(0, 0)
    assert bench.turning()[0] > 10.0, "a velocity of zero does not stop it"
    bench.tell(packets.stop_motors(OPCODES))
    bench.wait(500)
    assert bench.stands
