# SPDX-License-Identifier: Apache-2.0
"""What is said about motion capture, by what was heard."""

import math

import numpy as np
import pytest

from l2a_ros.bringup.findings import Finding, Level
from l2a_ros.bringup.mocap_check import SECOND, Heard, Pose, check_mocap
from l2a_ros.robot.mocap import MOCAP_TYPES

TYPE = MOCAP_TYPES["pose"]
UPRIGHT = np.array([0.0, 0.0, math.sin(0.4), math.cos(0.4)])


def heard(rate: float = 100.0, age: float = 0.005, *, gap: float = 0.0, z: float = 0.05,
          quaternion: np.ndarray = UPRIGHT, stamp: int | None = None) -> dict[str, Finding]:
    arrivals = [1_000 * SECOND + round(i * SECOND / rate) + (round(gap * SECOND) if i > 5 else 0) for i in range(100)]
    poses = [Pose(arrival - round(age * SECOND) if stamp is None else stamp, arrival, np.array([0.1, 0.2, z]),
                  quaternion) for arrival in arrivals]
    return by_check(check_mocap(Heard("/mocap/pose", TYPE, 2.0, poses, [TYPE])))


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    assert all("\n" not in finding.line() for finding in findings)
    return {finding.check: finding for finding in findings}


def test_a_good_one() -> None:
    findings = heard()
    assert [finding.level for finding in findings.values()] == [Level.OK] * 3
    assert findings["mocap rate"].text == "100 Hz, longest gap 10 ms"
    assert findings["mocap age"].text.startswith("5.0 ms")


@pytest.mark.parametrize(("rate", "gap", "level"), [
    (360.0, 0.0, Level.OK), (90.0, 0.0, Level.OK), (60.0, 0.0, Level.WARN), (15.0, 0.0, Level.FAIL),
    (100.0, 0.3, Level.WARN)])
def test_rates_and_gaps(rate: float, gap: float, level: Level) -> None:
    assert heard(rate, gap=gap)["mocap rate"].level is level


@pytest.mark.parametrize(("age", "level", "words"), [
    (0.0, Level.OK, ""), (0.02, Level.OK, ""), (-0.001, Level.OK, ""), (0.05, Level.WARN, "walked on"),
    (0.15, Level.FAIL, "no older than 100 ms"), (3600.0, Level.FAIL, "synchronise"),
    (-0.01, Level.WARN, "synchronise"), (-0.5, Level.FAIL, "synchronise")])
def test_ages(age: float, level: Level, words: str) -> None:
    finding = heard(age=age)["mocap age"]
    assert finding.level is level
    assert words in finding.advice


def test_stamps_that_are_none() -> None:
    assert heard(stamp=0)["mocap age"].text == "stamps are zero"


@pytest.mark.parametrize(("quaternion", "z", "level"), [
    (UPRIGHT, 0.05, Level.OK),
    (np.array([math.sin(0.2), 0.0, 0.0, math.cos(0.2)]), 0.05, Level.OK),
    # Y up: the body lies on its side for us.
    (np.array([math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]), 0.05, Level.WARN),
    (UPRIGHT, 1.3, Level.WARN), (UPRIGHT, -0.5, Level.WARN),
    (np.zeros(4), 0.0, Level.FAIL), (UPRIGHT, math.nan, Level.FAIL)])
def test_which_way_is_up(quaternion: np.ndarray, z: float, level: Level) -> None:
    assert heard(quaternion=quaternion, z=z)["mocap axes"].level is level


@pytest.mark.parametrize(("types", "others", "words"), [
    ([], [], "start the driver"), ([], ["/vrpn_mocap/robot/pose"], "give mocap_topic; there are /vrpn_mocap/robot"),
    (["nav_msgs/msg/Odometry"], [], "it has nav_msgs/msg/Odometry; give mocap_type"),
    ([TYPE], [], "is the body tracked")])
def test_silence(types: list[str], others: list[str], words: str) -> None:
    findings = by_check(check_mocap(Heard("/mocap/pose", TYPE, 3.0, [], types, others)))
    assert [finding.level for finding in findings.values()] == [Level.FAIL, Level.SKIPPED, Level.SKIPPED]
    assert words in findings["mocap rate"].advice
