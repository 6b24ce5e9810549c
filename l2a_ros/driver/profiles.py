# SPDX-License-Identifier: Apache-2.0
"""What differs between firmwares, as data: the meaning of packet types, addresses, framing, and what guards motion.

Packet types collide between firmwares (0x81, 0x85, 0x88, 0x8C to 0x8F, 0x91 to 0x97): none is used without a profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from l2a_ros.driver.packets import Gains
from l2a_ros.errors import unknown_name


class Framing(StrEnum):
    """How packets are wrapped on the serial line."""

    XBEE = "xbee"
    UART = "uart"


class MotionGuard(StrEnum):
    """What stops the legs when the host is gone; the firmware has no watchdog of its own accord.

    TIMEOUT: the firmware is told once to switch off when commands stay away. TIMED_RUN: motion is commanded in slices,
    each of which ends by itself.
    """

    TIMEOUT = "timeout"
    TIMED_RUN = "timed_run"


@dataclass(frozen=True)
class Profile:
    """One firmware.

    Args:
        name: as in the parameter ``profile``.
        description: one line.
        opcodes: packet types by the name of the command; a command that is not in it does not exist.
        robot_address: of the robot's radio.
        base_address: of the radio at the host.
        framing: on the serial line.
        motion_guard: what ends motion.
        version_prefix: what the version text begins with.
        telemetry_type: type of the packets that hold a telemetry record; None if there are none while it runs.
        gains: of each leg's loop, as published for this firmware.
    """

    name: str
    description: str
    opcodes: Mapping[str, int]
    robot_address: int
    base_address: int
    framing: Framing
    motion_guard: MotionGuard
    version_prefix: str
    telemetry_type: int | None
    gains: Gains


#: The published master firmware (VelociRoACH).
_MASTER = {
    "set_thrust_open_loop": 0x80, "start_motors": 0x81, "set_gains": 0x82, "get_positions": 0x84, "erase_flash": 0x8A,
    "read_flash": 0x8B, "set_velocity_profile": 0x8D, "who_am_i": 0x8E, "start_telemetry": 0x8F, "zero_positions": 0x90,
    "timed_run": 0x91, "stop_motors": 0x92, "set_phase": 0x93, "set_motor_mode": 0x94}
#: What the firmware of the experiments understands beyond it: its source is not public, the host's is.
_GBAC = {**_MASTER, "set_timeout": 0x85, "set_thrust": 0x95, "set_velocity": 0x96, "set_output_channel": 0x97}

#: Kp, Ki, Kd that the experiments used.
_EXPERIMENT_GAINS = Gains(1800, 200, 100)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (
    Profile("velociroach_gbac", "the experiments' firmware: every command is answered with telemetry", _GBAC,
            robot_address=0x0001, base_address=0x2051, framing=Framing.XBEE, motion_guard=MotionGuard.TIMEOUT,
            version_prefix="", telemetry_type=0x20, gains=_EXPERIMENT_GAINS),
    Profile("velociroach_master", "the published firmware: timed runs, positions on request", _MASTER,
            robot_address=0x2052, base_address=0x2051, framing=Framing.XBEE, motion_guard=MotionGuard.TIMED_RUN,
            version_prefix="", telemetry_type=None, gains=_EXPERIMENT_GAINS),
    Profile("velociroach_gbac_uart", "the experiments' firmware on the robot's wired UART", _GBAC,
            robot_address=0x0001, base_address=0x2051, framing=Framing.UART, motion_guard=MotionGuard.TIMEOUT,
            version_prefix="", telemetry_type=0x20, gains=_EXPERIMENT_GAINS),
)}


def profile_names() -> list[str]:
    """Return the names of the known profiles."""
    return sorted(PROFILES)


def find_profile(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        UserError: if there is none.
    """
    if name not in PROFILES:
        raise unknown_name("profile", name, profile_names())
    return PROFILES[name]
