# SPDX-License-Identifier: Apache-2.0
"""Checks of the line, each good and bad, with a real pseudo-terminal and an end that answers."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import serial
from bringup.firmware_stub import FirmwareStub

from l2a_ros.bringup import port_checks
from l2a_ros.bringup.findings import Finding, Level
from l2a_ros.driver import profiles
from l2a_ros.driver.measurement import Measurement
from l2a_ros.driver.sampling import Sampled
from l2a_ros.driver.session import Phase

GBAC = "velociroach_gbac"


def levels(findings: list[Finding]) -> dict[str, Level]:
    return {finding.check: finding.level for finding in findings}


def test_a_line_with_a_robot_is_good() -> None:
    with FirmwareStub() as robot:
        findings = port_checks.check_line(robot.port, 57600, GBAC)
    assert set(levels(findings).values()) == {Level.OK}, [finding.line() for finding in findings]
    assert [finding.check for finding in findings] == [
        "port", "rights", "use", "latency timer", "firmware", "telemetry", "battery", "inertial unit"]
    assert "'Roach 2017' answers" in findings[4].text
    assert findings[6].text == "3.98 V"
    profile = profiles.find_profile(GBAC)
    moves = {profile.opcodes[name] for name in ("set_thrust", "start_motors", "timed_run")}
    assert not moves & set(robot.heard), "looking must not move it"


def test_what_follows_from_a_failure_is_not_looked_at() -> None:
    findings = port_checks.check_line("/dev/none", 57600, GBAC)
    assert levels(findings) == {"port": Level.FAIL, **dict.fromkeys(
        ["rights", "use", "latency timer", "firmware", "telemetry", "battery", "inertial unit"], Level.SKIPPED)}
    assert "because of 'port'" in findings[-1].text


def test_a_port_that_is_in_use() -> None:
    with FirmwareStub() as robot, serial.Serial(robot.port, exclusive=True):
        findings = port_checks.check_line(robot.port, 57600, GBAC)
    assert levels(findings)["use"] is Level.FAIL
    assert levels(findings)["firmware"] is Level.SKIPPED
    assert robot.heard == []


def test_who_listens_in_takes_bytes_away(tmp_path: Path) -> None:
    pipe = tmp_path / "port"
    pipe.write_text("")
    code = "import sys\nwith open(sys.argv[1]) as file:\n    print('ready', flush=True)\n    sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(pipe)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        finding = port_checks.check_use(str(pipe))
        other.communicate()
    assert finding.level is Level.WARN
    assert f"({other.pid})" in finding.text
    assert port_checks.check_use(str(pipe)).level is Level.OK


def test_a_robot_that_does_not_answer() -> None:
    with FirmwareStub(deaf_to=("who_am_i",)) as robot:
        finding = port_checks.check_firmware(robot.port, 57600, GBAC, seconds=0.3)
    assert finding.level is Level.FAIL
    assert "nobody at address 0x0001 answered" in finding.text
    assert "switched on" in finding.advice
    assert GBAC in finding.advice
    assert robot.heard


def test_another_firmware_than_the_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    strict = dataclasses.replace(profiles.PROFILES[GBAC], version_prefix="Roach 2018")
    monkeypatch.setitem(profiles.PROFILES, GBAC, strict)
    with FirmwareStub() as robot:
        finding = port_checks.check_firmware(robot.port, 57600, GBAC)
    assert finding.level is Level.FAIL
    assert "says it is 'Roach 2017'" in finding.text


def looked_at(robot: FirmwareStub) -> dict[str, Finding]:
    with robot:
        findings = port_checks.check_line(robot.port, 57600, GBAC)
    assert all("\n" not in finding.line() for finding in findings)
    return {finding.check: finding for finding in findings}


def test_a_firmware_that_does_not_know_the_commands() -> None:
    for command in ("set_gains", "set_velocity"):
        findings = looked_at(FirmwareStub(deaf_to=(command,)))
        assert findings["firmware"].level is Level.OK
        assert findings["telemetry"].level is Level.FAIL
        assert "is the profile the robot's?" in findings["telemetry"].advice
        assert findings["battery"].level is findings["inertial unit"].level is Level.SKIPPED


@pytest.mark.parametrize(("forget", "level"), [(1, Level.OK), (4, Level.FAIL)])
def test_a_bad_radio(forget: int, level: Level) -> None:
    finding = looked_at(FirmwareStub(forget=forget))["telemetry"]
    assert finding.level is level
    assert "polls were answered" in finding.text


@pytest.mark.parametrize(("counts", "level"), [(900, Level.OK), (800, Level.WARN), (730, Level.FAIL)])
def test_a_battery(counts: int, level: Level) -> None:
    assert looked_at(FirmwareStub(battery=counts))["battery"].level is level


def test_a_gyroscope_that_was_moved_when_it_was_switched_on() -> None:
    finding = looked_at(FirmwareStub(gyro=700))["inertial unit"]
    assert finding.level is Level.WARN
    assert "switch it off and on" in finding.advice


@pytest.mark.parametrize(("force", "bias", "level", "words"), [
    ((0.0, 0.0, 9.5), 0.1, Level.OK, ""), ((0.0, 9.8, 0.0), 0.1, Level.WARN, "on its feet"),
    ((0.0, 0.0, 5.0), 0.1, Level.WARN, "on its feet"), ((0.0, 0.0, 9.8), None, Level.WARN, "keep it still")])
def test_an_inertial_unit(force: tuple[float, ...], bias: float | None, level: Level, words: str) -> None:
    measured = Measurement(0, np.zeros(2), np.zeros(2), np.zeros(3), np.array(force), np.zeros(2), np.zeros(2), 3.9)
    found = Sampled(Phase.READY, 10, 10, [measured] * 10, None if bias is None else np.array([bias, 0.0, 0.0]))
    finding = port_checks.check_robot(found)[2]
    assert finding.level is level
    assert words in finding.advice


def test_positions_alone_are_not_enough() -> None:
    findings = port_checks.check_robot(Sampled(Phase.READY, 10, 10))
    assert [finding.level for finding in findings] == [Level.WARN, Level.SKIPPED, Level.SKIPPED]


@pytest.mark.parametrize(("value", "level"), [("1", Level.OK), ("16", Level.WARN), ("x", Level.WARN)])
def test_the_latency_timer(tmp_path: Path, value: str, level: Level) -> None:
    file = tmp_path / "bus" / "usb-serial" / "devices" / "ttyUSB0" / "latency_timer"
    file.parent.mkdir(parents=True)
    file.write_text(value)
    (tmp_path / "ttyUSB0").write_text("")
    finding = port_checks.check_latency(str(tmp_path / "ttyUSB0"), tmp_path)
    assert finding.level is level
    if value == "16":
        assert f"echo 1 | sudo tee {file}" in finding.advice


def test_a_link_is_followed(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        link = tmp_path / "velociroach"
        link.symlink_to(os.ttyname(slave))
        assert port_checks.check_presence(str(link)).text == f"{link}, which is {os.ttyname(slave)}"
        assert port_checks.check_rights(str(link)).level is Level.OK
    finally:
        os.close(master)
        os.close(slave)
