# SPDX-License-Identifier: Apache-2.0
"""Checks of the line to the robot: the port, its rights, its user, its chip, and who is at the other end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from serial.tools import list_ports

from l2a_ros.bringup.findings import Finding, fail, ok, skipped, warn
from l2a_ros.driver import ports
from l2a_ros.driver.port import PortError
from l2a_ros.driver.probe import probe
from l2a_ros.driver.profiles import find_profile, profile_names
from l2a_ros.errors import UserError

PORT, RIGHTS, USE, LATENCY, FIRMWARE = "port", "rights", "use", "latency timer", "firmware"


def check_line(port: str, baud: int, profile: str) -> list[Finding]:
    """Check everything about a port; what follows from an earlier failure is not looked at.

    The robot is asked who it is, and stopped by the way.
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
    return findings


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
