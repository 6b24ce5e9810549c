# SPDX-License-Identifier: Apache-2.0
"""Checks of the line to the robot: the port, its rights, its user, its chip, who is at the other end, and how it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from serial.tools import list_ports

from l2a_ros.bringup.findings import Finding, fail, ok, skipped, warn
from l2a_ros.driver import ports
from l2a_ros.driver.port import PortError
from l2a_ros.driver.probe import probe
from l2a_ros.driver.profiles import find_profile, profile_names
from l2a_ros.driver.sampling import Sampled, sample
from l2a_ros.driver.session import Phase
from l2a_ros.errors import UserError
from l2a_ros.robot.calibration import load_calibration

PORT, RIGHTS, USE, LATENCY, FIRMWARE = "port", "rights", "use", "latency timer", "firmware"
TELEMETRY, BATTERY, INERTIAL = "telemetry", "battery", "inertial unit"
#: Unanswered polls that are worth a look, and that are too many, as a share.
POOR, BAD = 0.1, 0.5
#: Where the driver latches a stop by default, and where that will soon be, V.
EMPTY, LOW = 3.3, 3.6
#: What the firmware leaves of the gyroscope's zero when it starts at rest is less, rad/s (0.2 was measured).
LARGEST_BIAS = 0.35
#: How long the robot is looked at, s.
SAMPLE = 2.5
#: At rest; the measured robot shows 0.963 g, m/s^2.
GRAVITY, GRAVITY_TOLERANCE = 9.81, 1.0


def check_line(port: str, baud: int, profile: str, calibration: str = "") -> list[Finding]:
    """Check everything about a port; what follows from an earlier failure is not looked at.

    The robot is asked who it is and what it measures, and stopped by the way.
    """
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        (PORT, lambda: check_presence(port)), (RIGHTS, lambda: check_rights(port)), (USE, lambda: check_use(port)),
        (LATENCY, lambda: check_latency(port)), (FIRMWARE, lambda: check_firmware(port, baud, profile)))
    findings: list[Finding] = []
    needed = ""
    for name, check in checks:
        if needed:
            findings.append(skipped(name, f"not looked at, because of '{needed}'"))
            continue
        finding = check()
        findings.append(finding)
        if finding.level == "FAIL":
            needed = name
    if needed:
        return findings + [skipped(name, f"not looked at, because of '{needed}'")
                           for name in (TELEMETRY, BATTERY, INERTIAL)]
    try:
        return findings + check_robot(sample(port, baud, find_profile(profile), load_calibration(calibration),
                                             time.monotonic_ns, SAMPLE))
    except PortError as error:
        return [*findings, fail(TELEMETRY, " ".join(str(error).split()))]


def check_presence(port: str, listing: ports.Listing = list_ports.comports) -> Finding:
    """Check that there is such a port."""
    problem = ports.address_problem(port, listing)
    if problem is not None:
        return fail(PORT, problem)
    where = Path(port).resolve()
    return ok(PORT, port if ports.is_url(port) or str(where) == port else f"{port}, which is {where}")


def check_rights(port: str) -> Finding:
    """Check that this user may open it."""
    problem = ports.permission_problem(port)
    return ok(RIGHTS, "may be read and written") if problem is None else fail(RIGHTS, problem)


def check_use(port: str) -> Finding:
    """Check that no other program takes its bytes."""
    problem = ports.use_problem(port)
    if problem is not None:
        return fail(USE, problem)
    # Who runs an emulated robot holds both ends of its line.
    others = [] if ports.is_url(port) or str(Path(port).resolve()).startswith("/dev/pts/") else ports.holders(port)
    if others:
        return warn(USE, f"also open in {', '.join(others)}", "end that: it takes bytes away")
    return ok(USE, "no other program has it")


def check_latency(port: str, sysfs: Path = Path("/sys")) -> Finding:
    """Check that an FTDI chip hands bytes on at once."""
    try:
        found = ports.latency_timer(port, sysfs)
    except UserError as error:
        return warn(LATENCY, str(error))
    if found is None:
        return ok(LATENCY, "not an FTDI chip, nothing to set")
    file, value = found
    if value <= ports.LATENCY:
        return ok(LATENCY, f"{value} ms")
    return warn(LATENCY, f"{value} ms, so that every answer is up to {value} ms late",
                f"install config/99-velociroach.rules, or for now: echo {ports.LATENCY} | sudo tee {file}")


def check_firmware(port: str, baud: int, profile: str, seconds: float = 3.0) -> Finding:
    """Check that the robot answers, and is the one that the profile is for."""
    try:
        version = probe(port, baud, find_profile(profile), time.monotonic_ns, seconds)
    except PortError as error:
        return fail(FIRMWARE, " ".join(str(error).split()),
                    "is the robot switched on and charged, are address, channel and baud those of its radio? "
                    f"profile {profile} was assumed; known: {', '.join(profile_names())}")
    prefix = find_profile(profile).version_prefix
    if not version.startswith(prefix):
        return fail(FIRMWARE, f"the robot says it is '{version}', and {profile} begins with '{prefix}'",
                    f"give its profile; known: {', '.join(profile_names())}")
    return ok(FIRMWARE, f"'{version}' answers, taken for {profile}")


def check_robot(found: Sampled) -> list[Finding]:
    """Return what is to be said about a robot by what it measured at rest."""
    return [_telemetry(found), _battery(found), _inertial(found)]


def _telemetry(found: Sampled) -> Finding:
    if found.phase is not Phase.READY or not found.answers:
        return fail(TELEMETRY, f"none came ({found.phase})",
                    f"is the profile the robot's? known: {', '.join(profile_names())}")
    if not found.measurements:
        return warn(TELEMETRY, "this firmware tells leg positions only", "the planner needs a profile with telemetry")
    lost = max(0.0, 1.0 - found.answers / max(1, found.polls))
    text = f"{found.answers} of {found.polls} polls were answered"
    if lost > BAD:
        return fail(TELEMETRY, text, "move the radio, try another channel")
    return warn(TELEMETRY, text, "move the radio, try another channel") if lost > POOR else ok(TELEMETRY, text)


def _battery(found: Sampled) -> Finding:
    if not found.measurements:
        return skipped(BATTERY, "there is no telemetry")
    voltage = float(np.median([each.battery_voltage for each in found.measurements]))
    text = f"{voltage:.2f} V"
    if voltage < EMPTY:
        return fail(BATTERY, text, "charge it")
    return warn(BATTERY, text, "it will not last: charge it") if voltage < LOW else ok(BATTERY, text)


def _inertial(found: Sampled) -> Finding:
    if not found.measurements:
        return skipped(INERTIAL, "there is no telemetry")
    force = np.median([each.specific_force for each in found.measurements], axis=0)
    size = float(np.linalg.norm(force))
    if found.gyro_bias is None:
        return warn(INERTIAL, "the robot was not at rest", "keep it still; it cannot be armed before")
    bias = float(np.abs(found.gyro_bias).max())
    text = f"gyroscope off by {bias:.2f} rad/s, {size:.1f} m/s^2 at rest, {force[2]:+.1f} along z"
    if bias > LARGEST_BIAS:
        return warn(INERTIAL, text, "it was moved when it was switched on: switch it off and on, and do not touch it")
    if abs(size - GRAVITY) > GRAVITY_TOLERANCE or force[2] < 0.5 * GRAVITY:
        return warn(INERTIAL, text, "is it on its feet? else its calibration file says how the unit sits")
    return ok(INERTIAL, text)
