# SPDX-License-Identifier: Apache-2.0
"""The parameters of the driver of the real robot, and what is built from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2a_ros.driver.profiles import find_profile, profile_names
from l2a_ros.driver.session import SECOND, LinkSettings, Session
from l2a_ros.errors import UserError
from l2a_ros.nodes import interfaces as names
from l2a_ros.nodes.limits import ACCELERATION, LIMITS_SCHEMA
from l2a_ros.nodes.parameters import Parameter
from l2a_ros.robot.calibration import load_calibration
from l2a_ros.safety.guard import Monitors, RobotGuard
from l2a_ros.safety.monitors import BatteryMonitor, Geofence, LinkWatchdog, StallMonitor, TiltMonitor
from l2a_ros.safety.motor_gate import MotorGate
from l2a_ros.safety.readiness import Readiness
from l2a_ros.safety.stop_check import StopCheck

#: Longest poll on the wire: two short packets, the command, and the telemetry that answers it, bytes.
_EXCHANGE = 11 + 13 + 15 + 57

SCHEMA = (
    Parameter("control_period", 0.1, "time between commands, s", 0.005, 1.0),
    Parameter("lockstep", False, "set by clock; a real robot does not wait"),
    Parameter("port", "/dev/velociroach", "serial port of the radio: a device or a URL such as socket://host:4000"),
    Parameter("port_wait", 0.0, "how long to wait for the port to appear at the start, s", 0.0, 600.0),
    Parameter("baud", 57600, "of the port, bit/s", 1200, 4_000_000),
    Parameter("profile", "velociroach_gbac", "firmware of the robot", choices=profile_names()),
    Parameter("calibration", "", "file with what is particular to this robot; empty for a robot as published"),
    Parameter("identify_timeout", 5.0, "how long the robot may take to answer at the start, s", 0.1, 600.0),
    Parameter("poll_rate", 50.0, "how often commands are sent and answered with telemetry, Hz", 5.0, 500.0),
    Parameter("motion_timeout", 0.2, "the robot's motors stop without a poll for so long, s", 0.05, 2.0),
    Parameter("command_timeout", 0.25, "the robot stands when the newest command is older, s", 0.01, 10.0),
    Parameter("link_timeout", 0.4, "a stop is latched when no telemetry came for so long while armed, s", 0.05, 10.0),
    Parameter("stop_patience", 1.0, "a stop must show in the telemetry within so long, s", 0.05, 10.0),
    Parameter("arm_requires", [names.ROBOT_STATE.name, names.MOTOR_COMMANDS.name],
              "topics that must be live before the robot may be armed: robot_state, motor_commands"),
    Parameter("input_timeout", 0.5, "a topic is live while its newest message is younger, s", 0.05, 10.0),
    Parameter("geofence.x_min", -10.0, "a stop is latched beyond, m in map", -1000.0, 1000.0),
    Parameter("geofence.x_max", 10.0, "a stop is latched beyond, m in map", -1000.0, 1000.0),
    Parameter("geofence.y_min", -10.0, "a stop is latched beyond, m in map", -1000.0, 1000.0),
    Parameter("geofence.y_max", 10.0, "a stop is latched beyond, m in map", -1000.0, 1000.0),
    Parameter("maximum_tilt", 1.05, "a stop is latched when the body leans further, rad", 0.1, 3.2),
    Parameter("tilt_time", 0.3, "for so long, s", 0.0, 10.0),
    Parameter("minimum_battery", 3.3, "a stop is latched when the battery is below, V", 2.0, 5.0),
    Parameter("battery_time", 1.0, "for so long, s", 0.0, 60.0),
    Parameter("stall_time", 1.0, "a stop is latched when a leg does not turn at full duty for so long, s", 0.1, 60.0),
    *LIMITS_SCHEMA,
    ACCELERATION,
)


def build_session(settings: Mapping[str, Any]) -> Session:
    """Return the session that the parameters ask for.

    Raises:
        UserError: for a profile or a calibration that will not do, or a poll rate that the wire does not carry.
    """
    link = LinkSettings(round(SECOND / settings["poll_rate"]), round(settings["motion_timeout"] * SECOND),
                        settings["baud"])
    fastest = SECOND / link.wire_time(_EXCHANGE)
    if settings["poll_rate"] > fastest:
        raise UserError(f"a poll rate of {settings['poll_rate']:g} Hz does not fit {settings['baud']} bit/s; "
                        f"at most {fastest:.0f} Hz does")
    if link.motion_timeout < 3 * link.poll_period:
        raise UserError(f"motion_timeout must be at least three polls ({3 / settings['poll_rate']:.2f} s), or single "
                        "losses stop the robot")
    return Session(find_profile(settings["profile"]), load_calibration(settings["calibration"]), link)


def build_guard(settings: Mapping[str, Any], gate: MotorGate) -> RobotGuard:
    """Return the guard that the parameters ask for.

    Raises:
        UserError: for a geofence without room, or an input that the driver does not hear.
    """
    known = (names.ROBOT_STATE.name, names.MOTOR_COMMANDS.name)
    for name in settings["arm_requires"]:
        if name not in known:
            raise UserError(f"arm_requires: the driver does not hear '{name}'; known: {', '.join(known)}")
    return RobotGuard(gate, Monitors(
        Geofence(*(settings[f"geofence.{side}"] for side in ("x_min", "x_max", "y_min", "y_max"))),
        TiltMonitor(settings["maximum_tilt"], settings["tilt_time"]),
        BatteryMonitor(settings["minimum_battery"], settings["battery_time"]),
        StallMonitor(settings["stall_time"]),
        LinkWatchdog(settings["link_timeout"]),
        StopCheck(settings["stop_patience"]),
        Readiness(dict.fromkeys(settings["arm_requires"], settings["input_timeout"]))))
