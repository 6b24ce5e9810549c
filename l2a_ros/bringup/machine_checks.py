# SPDX-License-Identifier: Apache-2.0
"""Checks of the computer: its clock, its ROS, its model, whether it plans in time, and what it allows."""

from __future__ import annotations

import importlib.util
import resource
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from l2a_ros.bringup.findings import Finding, fail, ok, skipped, warn
from l2a_ros.errors import UserError

CLOCK, ROS, CHECKPOINT, BUDGET, PRIVILEGES, GOVERNOR = (
    "clock", "ROS 2", "checkpoint", "plan budget", "real-time rights", "CPU governor")
#: Domain ids whose ports Linux gives to no other program.
HIGHEST_DOMAIN = 101
_ASK_CLOCK = ("timedatectl", "show", "--property=NTPSynchronized", "--value")
_PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def check_clock(command: Sequence[str] = _ASK_CLOCK) -> Finding:
    """Check that the clock follows a time server, so that the stamps of another machine mean the same here."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5.0, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return skipped(CLOCK, "the system does not say whether it follows a time server")
    if answer == "yes":
        return ok(CLOCK, "follows a time server")
    return warn(CLOCK, "follows no time server", "matters if motion capture stamps on another machine: run chrony on "
                                                 "both, one as the server of the other")


def check_ros(environment: Mapping[str, str]) -> Finding:
    """Check that nodes can run and will find each other."""
    if importlib.util.find_spec("rclpy") is None:
        return fail(ROS, "rclpy is missing", "source a ROS 2 installation, or pip install 'l2a_ros[ros]'")
    domain = environment.get("ROS_DOMAIN_ID") or "0"
    if not domain.isascii() or not domain.isdigit() or int(domain) > HIGHEST_DOMAIN:
        return fail(ROS, f"ROS_DOMAIN_ID is '{domain}'", f"set a number from 0 to {HIGHEST_DOMAIN}")
    for name in _PROFILES:
        file = environment.get(name)
        if file and not Path(file).is_file():
            return fail(ROS, f"{name} names {file}, which is not there", "name a file or unset it")
    # The same default as the nodes get.
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE") or "LOCALHOST"
    if reach == "OFF":
        return fail(ROS, "ROS_AUTOMATIC_DISCOVERY_RANGE is OFF, so that nodes do not find each other",
                    "set it to LOCALHOST or SUBNET")
    rmw = environment.get("RMW_IMPLEMENTATION") or "the default middleware"
    heard = "only nodes of this machine" if reach == "LOCALHOST" else "nodes of other machines too"
    return ok(ROS, f"{environment.get('ROS_DISTRO') or 'wheels'}, {rmw}, domain {domain}; hears {heard} ({reach})")


def check_checkpoint(path: Path, method: str) -> Finding:
    """Check that the model can be loaded and is for this robot's state."""
    from l2a_ros.learning.checkpoint import load_checkpoint

    try:
        checkpoint = load_checkpoint(path, method)
    except UserError as error:
        return fail(CHECKPOINT, str(error))
    card = checkpoint.card
    return ok(CHECKPOINT, f"{path.name}, {card.method}, every {card.control_period:g} s, adapts on {card.past} "
                          "transitions")


def check_budget(arguments: Sequence[str]) -> Finding:
    """Check that this machine plans in time, with the ROS arguments of the planning node."""
    from l2a_ros.nodes.plan_budget import plan_budget

    try:
        found = plan_budget(arguments)
    except UserError as error:
        return fail(BUDGET, str(error))
    if found.advice is not None:
        return fail(BUDGET, found.advice, "end what else the machine does, or set one of these (docs/planning.md)")
    return ok(BUDGET, f"{found.engine}: 9 of 10 plans take at most {1e3 * found.plan_p90:.0f} ms of "
                      f"{1e3 * found.budget:.0f} ms")


def check_privileges(limit: Callable[[int], tuple[int, int]] = resource.getrlimit) -> Finding:
    """Check whether nodes would get a real-time priority and locked memory, if they ask."""
    priority, memory = limit(resource.RLIMIT_RTPRIO)[0], limit(resource.RLIMIT_MEMLOCK)[0]
    missing = ["priority"] * (priority == 0) + ["locked memory"] * (memory != resource.RLIM_INFINITY)
    if missing:
        return warn(PRIVILEGES, f"no right to {' and '.join(missing)}",
                    "wanted only if the machine does other work too; docs/realtime.md gives it")
    return ok(PRIVILEGES, "there, if nodes ask for them")


def check_governor(sysfs: Path = Path("/sys")) -> Finding:
    """Check that the CPUs do not save power while the robot walks."""
    found: dict[str, int] = {}
    for file in sorted((sysfs / "devices" / "system" / "cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")):
        try:
            name = file.read_text().strip()
        except OSError:
            continue
        found[name] = found.get(name, 0) + 1
    if not found:
        return skipped(GOVERNOR, "the system does not say")
    if set(found) == {"performance"}:
        return ok(GOVERNOR, "performance")
    return warn(GOVERNOR, ", ".join(f"{name} on {count} CPUs" for name, count in found.items()),
                "sudo cpupower frequency-set -g performance")
