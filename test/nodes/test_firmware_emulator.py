# SPDX-License-Identifier: Apache-2.0
"""The emulated robot as a process: a host that is no more than pyserial talks to it over its pseudo-terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serial
from nodes.support import PATIENCE, ROOT, NodeProcess, Peer, assert_refused, environment, until

from l2a_ros.bringup.arguments import read_settings
from l2a_ros.bringup.words import HARDWARE, SIM
from l2a_ros.driver import packets, units
from l2a_ros.driver.frames import FrameDecoder, Rx16, encode_tx16
from l2a_ros.driver.packets import Packet, decode_packet
from l2a_ros.driver.profiles import find_profile
from l2a_ros.driver.telemetry import TelemetryRecord, unpack_record
from l2a_ros.driver.uart_frames import UartDecoder, encode_uart
from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.messages import named_values
from l2a_ros.robot.limits import REVOLUTION

GBAC = find_profile("velociroach_gbac")
OPCODES = GBAC.opcodes
WALK = units.velocity_counts(5.0 * REVOLUTION)
FIRMWARE, TRUTH = "firmware_emulator: firmware", "firmware_emulator: truth"


class Host:
    """Somebody with a serial port, and nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        until(path.exists, "there is no port")
        self.serial = serial.Serial(str(path), 57600, timeout=0.02, write_timeout=5.0, exclusive=True)
        self.decoder = FrameDecoder()

    def send(self, *commands: Packet) -> None:
        self.serial.write(b"".join(encode_tx16(GBAC.robot_address, each.encode()) for each in commands))

    def hear(self) -> list[Packet]:
        frames = self.decoder.feed(self.serial.read(200))
        heard = [decode_packet(frame.payload) for frame in frames if isinstance(frame, Rx16)]
        return [packet for packet in heard if packet is not None]

    def ask(self, command: Packet, kind: int) -> Packet:
        """Ask until there is an answer."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.send(command)
            for _ in range(5):
                for packet in self.hear():
                    if packet.type == kind:
                        return packet
        raise AssertionError(f"no answer of type {kind:#x}")

    def poll(self, left: int = 0, right: int = 0) -> TelemetryRecord:
        record = unpack_record(self.ask(packets.set_velocity(OPCODES, left, right), 0x20).data)
        assert record is not None
        return record

    def walk(self) -> None:
        """Let it walk."""
        self.ask(packets.set_gains(OPCODES, GBAC.gains, GBAC.gains), OPCODES["set_gains"])
        self.send(packets.start_motors(OPCODES))
        self.poll(WALK, WALK)


class Robot:
    """The process, and what it publishes."""

    def __init__(self, peer: Peer, path: Path) -> None:
        self.peer, self.path = peer, path
        peer.listen(names.EMULATOR_TRUTH, names.EMULATOR_RECORDS, names.MOCAP_POSE)
        until(lambda: peer.of(names.EMULATOR_TRUTH), "it says no truth")

    def truth(self) -> dict[str, float]:
        return named_values(self.peer.of(names.EMULATOR_TRUTH)[-1])

    @property
    def walks(self) -> bool:
        truth = self.truth()
        return min(truth["left_leg_rate"], truth["right_leg_rate"]) > 2.5 * REVOLUTION

    @property
    def stands(self) -> bool:
        recent = [named_values(each) for each in self.peer.of(names.EMULATOR_TRUTH)[-20:]]
        return all(abs(each[f"{side}_leg_rate"]) < 1.25 for each in recent for side in ("left", "right"))

    def break_(self, *faults: str) -> str:
        return str(self.peer.set_parameters("firmware_emulator", {"faults": list(faults) or [""]}))

    def records(self) -> list[bytes]:
        return [bytes(each.data) for each in self.peer.of(names.EMULATOR_RECORDS)]


@contextmanager
def robot(tmp_path: Path, **parameters: Any) -> Iterator[Robot]:
    link = tmp_path / "robot"
    with NodeProcess("firmware_emulator", link=str(link), **parameters), Peer() as peer:
        yield Robot(peer, link)
    assert not os.path.lexists(link), "the link is taken away"


def test_it_answers_walks_and_walks_on_without_its_host(tmp_path: Path) -> None:
    with robot(tmp_path) as emulated:
        host = Host(emulated.path)
        version = packets.parse_version(host.ask(packets.who_am_i(OPCODES), OPCODES["who_am_i"]))
        assert version.startswith("VelociRoACH")
        first = host.poll()
        assert host.poll().index > first.index
        # The published frame, byte for byte: the answer is a frame of 57 bytes with a record.
        host.serial.write(bytes.fromhex("7e000b01000001000096890189 0153"))
        host.serial.timeout = PATIENCE
        answer = host.serial.read(57)
        host.serial.timeout = 0.02
        assert answer.startswith(bytes.fromhex("7e003581000128000020"))
        assert unpack_record(answer[10:56]) is not None
        until(lambda: emulated.truth()["commanded_left"] == pytest.approx(6.0 * REVOLUTION, rel=1e-3))
        host.walk()
        until(lambda: emulated.walks, "it does not walk")
        assert emulated.truth()["motors_on"] == 1.0
        last = host.poll(WALK, WALK)
        until(lambda: last.pack() in emulated.records(), "the record that was sent is not told")
        host.serial.close()
        steps = len(emulated.peer.of(names.EMULATOR_TRUTH))
        until(lambda: len(emulated.peer.of(names.EMULATOR_TRUTH)) > steps + 200)
        truths = [named_values(each) for each in emulated.peer.of(names.EMULATOR_TRUTH)[-100:]]
        assert np.mean([each["left_leg_rate"] for each in truths]) > 3.0 * REVOLUTION, "no watchdog stops it"
        assert len({each["replies_sent"] for each in truths}) == 1, "it says nothing unasked"
        # Another host takes over.
        host = Host(emulated.path)
        host.send(packets.stop_motors(OPCODES))
        until(lambda: emulated.stands)
        until(lambda: emulated.peer.status(FIRMWARE).message == "ready, motors off")
        assert len(emulated.peer.of(names.MOCAP_POSE)) > 50


def test_with_a_time_out_it_stops_without_its_host(tmp_path: Path) -> None:
    with robot(tmp_path) as emulated:
        host = Host(emulated.path)
        host.poll()
        host.send(packets.set_timeout(OPCODES, 200))
        host.walk()
        until(lambda: (host.poll(WALK, WALK), emulated.walks)[1], "it does not walk")
        host.serial.close()
        until(lambda: emulated.stands and not emulated.truth()["motors_on"])
        assert emulated.peer.figure(FIRMWARE, "boots") == 1
        until(lambda: emulated.peer.figure(FIRMWARE, "motors timed out") == 1)


def test_unplugged_it_is_gone_walks_on_and_comes_back(tmp_path: Path) -> None:
    with robot(tmp_path) as emulated:
        host = Host(emulated.path)
        host.poll()
        host.walk()
        until(lambda: emulated.walks)
        device = os.path.realpath(emulated.path)
        assert emulated.break_("unplug:0.7") == ""
        until(lambda: not emulated.truth()["plugged"])
        assert not os.path.lexists(emulated.path)
        with pytest.raises(serial.SerialException):
            for _ in range(1000):
                host.serial.read(100)
        host.serial.close()
        until(lambda: emulated.truth()["plugged"], "it does not come back")
        again = Host(emulated.path)
        record = again.poll(WALK, WALK)
        assert record.index > 0, "only the plug was pulled, the firmware lived on"
        assert any(record.duty)
        assert os.path.exists(device) or os.path.realpath(emulated.path) != device


def test_faults_come_and_go_while_it_runs(tmp_path: Path) -> None:
    with robot(tmp_path) as emulated:
        host = Host(emulated.path)
        host.poll()
        assert "strikes" not in emulated.break_("wire_drop:1")
        received = emulated.truth()["replies_sent"]
        for _ in range(10):
            host.send(packets.set_velocity(OPCODES, 0, 0))
            assert host.hear() == []
        assert emulated.truth()["replies_sent"] == received
        until(lambda: emulated.peer.figure(TRUTH, "wire: dropped") >= 5)
        assert emulated.break_() == ""
        index = host.poll().index
        assert emulated.break_("reboot") == ""
        until(lambda: host.poll().index < index, "it does not begin again")
        assert emulated.peer.figure(FIRMWARE, "boots") >= 1
        assert emulated.break_("wrong_firmware") == ""
        until(lambda: not packets.parse_version(host.ask(packets.who_am_i(OPCODES), OPCODES["who_am_i"])).startswith(
            "VelociRoACH"))
        assert "unknown fault 'flat_tyre'" in emulated.break_("flat_tyre")


def test_anything_on_the_port_leaves_it_alive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with robot(tmp_path) as emulated:
        host = Host(emulated.path)
        host.poll()
        for _ in range(20):
            host.serial.write(rng.integers(0, 256, 300, dtype=np.uint8).tobytes())
        # What began a frame is over after the longest one.
        host.serial.write(bytes(200))
        host.poll()
        assert emulated.truth()["frames_bad"] > 0


def test_on_a_wire_instead_of_the_radio(tmp_path: Path) -> None:
    profile = find_profile("velociroach_gbac_uart")
    with robot(tmp_path, profile=profile.name, baud=1_000_000) as emulated:
        host, decoder = Host(emulated.path), UartDecoder()

        def answers() -> list[bytes]:
            host.serial.write(encode_uart(packets.who_am_i(profile.opcodes).encode()))
            return decoder.feed(host.serial.read(100))

        [payload, *_] = until(answers)
        assert payload[:2] == bytes([0, profile.opcodes["who_am_i"]])


@pytest.mark.parametrize(("parameters", "message"), [
    ({"profile": "nokia"}, "unknown profile 'nokia'; known: velociroach_gbac"),
    ({"faults": ["flat_tyre"]}, "unknown fault 'flat_tyre'"), ({"terrain": "the moon"}, "the moon"),
    ({"lockstep": True}, "set lockstep to false"), ({"baud": 1}, "parameter baud is out of range"),
    ({"link": "/proc/robot"}, "link /proc/robot cannot be made"),
])
def test_refused(parameters: dict[str, Any], message: str) -> None:
    assert_refused("firmware_emulator", message, **parameters)


def test_a_simulation_without_a_wire_refuses_its_faults() -> None:
    assert_refused("mujoco_sim", "fault 'wire_drop:0.1' strikes the wire or the firmware", faults=["wire_drop:0.1"])


def test_a_run_without_a_wire_refuses_them_before_it_starts() -> None:
    with pytest.raises(UserError, match="run l2a hardware --emulate"):
        read_settings({"fault": "unplug:1"}, datetime(2026, 1, 1), SIM)
    settings = read_settings({"fault": "unplug:1", "emulate": "true"}, datetime(2026, 1, 1), HARDWARE)
    assert settings.faults == ("unplug:1",)


# The command ---------------------------------------------------------------------------------------------------------


def test_l2a_emulate_says_what_to_give_to_the_driver(tmp_path: Path) -> None:
    link = tmp_path / "robot"
    process = subprocess.Popen(
        [sys.executable, "-m", "l2a_ros.cli", "emulate", "--link", str(link), "--fault", "payload:0.01"],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"port: {link}\n"
        assert f"l2a hardware --port {link} " in process.stdout.readline()
        host = Host(link)
        assert host.poll().index >= 0
    finally:
        process.send_signal(2)
        assert process.wait(PATIENCE) == 0
        process.stdout.close()
    assert not os.path.lexists(link)


@pytest.mark.parametrize(("words", "message"), [
    (["--profile", "nokia"], "unknown profile"), (["--fault", "flat_tyre"], "unknown fault"),
    (["--seed", "-1"], "seed must be 0 or more"), (["--terrain", "the moon"], "the moon")])
def test_l2a_emulate_refuses(words: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, "-m", "l2a_ros.cli", "emulate", *words], cwd=ROOT, env=environment(),
                          capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
