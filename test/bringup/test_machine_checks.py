# SPDX-License-Identifier: Apache-2.0
"""Checks of the computer, each good and bad."""

import resource
import sys
from pathlib import Path

import pytest

from l2a_ros.bringup import machine_checks as machine
from l2a_ros.bringup.findings import Finding, Level, as_json, fail, has_failed, ok, skipped, warn
from l2a_ros.robot.share import share_file

GRBAL = share_file("checkpoints", "millirobot_grbal.safetensors")


def one_line(finding: Finding) -> Finding:
    assert "\n" not in finding.line()
    return finding


@pytest.mark.parametrize(("code", "level"), [
    ("print('yes')", Level.OK), ("print('no')", Level.WARN), ("raise SystemExit(1)", Level.SKIPPED)])
def test_the_clock(code: str, level: Level) -> None:
    assert one_line(machine.check_clock([sys.executable, "-c", code])).level is level


def test_a_system_without_timedatectl() -> None:
    assert machine.check_clock(["/none/timedatectl"]).level is Level.SKIPPED
    assert machine.check_clock().level in (Level.OK, Level.WARN, Level.SKIPPED)


@pytest.mark.parametrize(("environment", "level", "words"), [
    ({}, Level.OK, "only nodes of this machine"),
    ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "ROS_DOMAIN_ID": "7"}, Level.OK, "domain 7; hears nodes of other"),
    ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, Level.FAIL, "do not find each other"),
    ({"ROS_DOMAIN_ID": "seven"}, Level.FAIL, "ROS_DOMAIN_ID is 'seven'"),
    ({"ROS_DOMAIN_ID": "233"}, Level.FAIL, "ROS_DOMAIN_ID is '233'"),
    ({"FASTDDS_DEFAULT_PROFILES_FILE": "/none.xml"}, Level.FAIL, "/none.xml, which is not there")])
def test_ros(environment: dict[str, str], level: Level, words: str) -> None:
    finding = one_line(machine.check_ros(environment))
    assert finding.level is level
    assert words in finding.text


def test_a_checkpoint_that_loads() -> None:
    finding = one_line(machine.check_checkpoint(GRBAL, "grbal"))
    assert finding.level is Level.OK
    assert finding.text.startswith("millirobot_grbal.safetensors, grbal, every 0.1 s")


def test_checkpoints_that_will_not_do(tmp_path: Path) -> None:
    assert one_line(machine.check_checkpoint(GRBAL, "rebal")).level is Level.FAIL
    assert one_line(machine.check_checkpoint(tmp_path / "none.safetensors", "grbal")).level is Level.FAIL
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(GRBAL.read_bytes()[:-100])
    assert "cut.safetensors" in one_line(machine.check_checkpoint(cut, "grbal")).text


@pytest.mark.parametrize(("parameters", "level", "words"), [
    (["planner:=random_shooting", "candidates:=10", "horizon:=5", "plan_budget:=1.0"], Level.OK, "of 1000 ms"),
    (["planner:=random_shooting", "candidates:=400", "horizon:=5", "plan_budget:=0.001"], Level.FAIL,
     "planning with 400"),
    (["horizon:=-1"], Level.FAIL, "parameter horizon")])
def test_the_budget_of_plans(parameters: list[str], level: Level, words: str) -> None:
    arguments = [text for each in ["checkpoint:=" + str(GRBAL), *parameters] for text in ("-p", f"mpc:{each}")]
    finding = one_line(machine.check_budget(arguments))
    assert finding.level is level
    assert words in finding.text


def test_rights() -> None:
    infinite = resource.RLIM_INFINITY
    assert machine.check_privileges(lambda _: (infinite, infinite)).level is Level.OK
    finding = machine.check_privileges(lambda kind: (0 if kind == resource.RLIMIT_RTPRIO else 65536, 0))
    assert finding.level is Level.WARN
    assert "priority and locked memory" in finding.text
    assert machine.check_privileges(lambda kind: (49 if kind == resource.RLIMIT_RTPRIO else 65536, 0)).text == (
        "no right to locked memory")


def test_the_governor(tmp_path: Path) -> None:
    assert machine.check_governor(tmp_path).level is Level.SKIPPED
    for i, name in enumerate(["performance", "performance"]):
        file = tmp_path / "devices" / "system" / "cpu" / f"cpu{i}" / "cpufreq" / "scaling_governor"
        file.parent.mkdir(parents=True)
        file.write_text(name + "\n")
    assert machine.check_governor(tmp_path).level is Level.OK
    file.write_text("powersave\n")
    finding = machine.check_governor(tmp_path)
    assert finding.level is Level.WARN
    assert "powersave on 1 CPUs" in finding.text


def test_only_a_failure_counts() -> None:
    findings = [ok("a", "good"), skipped("b", "not looked at"), warn("c", "so so", "do this")]
    assert not has_failed(findings)
    assert as_json(findings) == {"ok": True, "checks": [
        {"check": "a", "level": "ok", "text": "good", "advice": ""},
        {"check": "b", "level": "skipped", "text": "not looked at", "advice": ""},
        {"check": "c", "level": "warn", "text": "so so", "advice": "do this"}]}
    findings.append(fail("d", "bad", "do that"))
    assert has_failed(findings)
    assert as_json(findings)["ok"] is False
    assert findings[-1].line(4) == "FAIL  d     bad: do that"
