# SPDX-License-Identifier: Apache-2.0
"""Checks of the line, each good and bad, with a real pseudo-terminal and an end that answers."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import serial
from bringup.firmware_stub import FirmwareStub

from l2a_ros.bringup import port_checks
from l2a_ros.bringup.findings import Finding, Level
from l2a_ros.driver import profiles

GBAC = "velociroach_gbac"


def levels(findings: list[Finding]) -> dict[str, Level]:
    return {finding.check: finding.level for finding in findings}


def test_a_line_with_a_robot_is_good() -> None:
    with FirmwareStub() as robot:
        findings = port_checks.check_line(robot.port, 57600, GBAC)
    assert set(levels(findings).values()) == {Level.OK}, [finding.line() for finding in findings]
    assert [finding.check for finding in findings] == ["port", "rights", "use", "latency timer", "firmware"]
    assert "'Roach 2017' answers" in findings[-1].text
    profile = profiles.find_profile(GBAC)
    moves = {profile.opcodes[name] for name in ("set_velocity", "set_thrust", "start_motors", "timed_run")}
    assert not moves & set(robot.heard), "looking must not move it"


def test_what_follows_from_a_failure_is_not_looked_at() -> None:
    findings = port_checks.check_line("/dev/none", 57600, GBAC)
    assert levels(findings) == {"port": Level.FAIL, **dict.fromkeys(
        ["rights", "use", "latency timer", "firmware"], Level.SKIPPED)}
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
    with FirmwareStub(silent=True) as robot:
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
