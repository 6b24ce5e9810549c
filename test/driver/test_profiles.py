# SPDX-License-Identifier: Apache-2.0
"""Profiles against the published tables of both firmwares."""

from __future__ import annotations

import re

import pytest

from l2a_ros.driver.profiles import PROFILES, Framing, MotionGuard, find_profile, profile_names
from l2a_ros.errors import UserError

MASTER = {
    0x80: "set_thrust_open_loop", 0x81: "start_motors", 0x82: "set_gains", 0x84: "get_positions", 0x8A: "erase_flash",
    0x8B: "read_flash", 0x8D: "set_velocity_profile", 0x8E: "who_am_i", 0x8F: "start_telemetry",
    0x90: "zero_positions", 0x91: "timed_run", 0x92: "stop_motors", 0x93: "set_phase", 0x94: "set_motor_mode"}
ADDED = {0x85: "set_timeout", 0x95: "set_thrust", 0x96: "set_velocity", 0x97: "set_output_channel"}


def test_opcodes_of_the_published_firmware() -> None:
    assert {code: name for name, code in PROFILES["velociroach_master"].opcodes.items()} == MASTER


@pytest.mark.parametrize("name", ["velociroach_gbac", "velociroach_gbac_uart"])
def test_opcodes_of_the_experiments(name: str) -> None:
    assert {code: name for name, code in PROFILES[name].opcodes.items()} == MASTER | ADDED


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_every_profile(profile) -> None:  # type: ignore[no-untyped-def]
    assert find_profile(profile.name) is profile
    assert len(set(profile.opcodes.values())) == len(profile.opcodes)
    assert all(0 <= code <= 0xFF for code in profile.opcodes.values())
    # What the session says to every robot.
    assert {"who_am_i", "set_gains", "start_motors", "stop_motors"} <= profile.opcodes.keys()
    needed = ({"set_timeout", "set_velocity"} if profile.motion_guard is MotionGuard.TIMEOUT
              else {"timed_run", "set_velocity_profile", "get_positions"})
    assert needed <= profile.opcodes.keys()
    assert profile.telemetry_type not in profile.opcodes.values()
    assert profile.gains.values() == (1800, 200, 100, 0, 0)
    assert profile.description and "\n" not in profile.description


def test_addresses_and_framing() -> None:
    experiments, published = PROFILES["velociroach_gbac"], PROFILES["velociroach_master"]
    assert (experiments.robot_address, experiments.telemetry_type) == (0x0001, 0x20)
    assert (published.robot_address, published.base_address) == (0x2052, 0x2051)
    assert published.telemetry_type is None
    assert experiments.framing is published.framing is Framing.XBEE
    assert PROFILES["velociroach_gbac_uart"].framing is Framing.UART


@pytest.mark.parametrize("name", ["", "velociroach", "Velociroach_gbac", "octoroach"])
def test_unknown_profile(name: str) -> None:
    with pytest.raises(UserError, match=f"unknown profile '{re.escape(name)}'.*velociroach_gbac"):
        find_profile(name)


def test_names() -> None:
    assert profile_names() == sorted(PROFILES)
