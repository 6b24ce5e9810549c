# SPDX-License-Identifier: Apache-2.0
"""Which serial port is the radio's, and in one line each why it cannot be used: asked before anything is started.

Nothing here opens a port that is not there or not allowed, and nothing is sent. The driver itself waits for a port
that is unplugged while it runs; at the start a wrong name must not look like a robot that is switched off.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import serial
from serial.tools import list_ports

from l2a_ros.errors import UserError

#: What the shipped udev rule calls the radio, whichever number it was given when it was plugged in.
DEFAULT_PORT = "/dev/velociroach"
#: Where the FTDI chip waits for more bytes before it hands them on, the wanted value, and the one it starts with, ms.
LATENCY_FILE, LATENCY, USUAL_LATENCY = "latency_timer", 1, 16

#: Vendor and product of the USB bridges that radios and wired robots come with.
BRIDGES = {
    (0x0403, 0x6001): "FTDI FT232R, as on XBee Explorers", (0x0403, 0x6015): "FTDI FT231X, as on newer XBee Explorers",
    (0x10C4, 0xEA60): "Silicon Labs CP210x", (0x1A86, 0x7523): "WCH CH340"}

#: What :func:`serial.tools.list_ports.comports` returns: objects with ``device``, ``vid``, ``pid`` and ``description``.
Listing = Callable[[], Iterable[Any]]


def is_url(port: str) -> bool:
    """Tell whether this is an address that pyserial knows, such as ``socket://host:4000``, and no file."""
    return "://" in port


def candidates(listing: Listing = list_ports.comports) -> list[str]:
    """Return the serial ports of this machine, known bridges first, each as ``DEVICE (what it is)``."""
    found = []
    for each in listing():
        known = BRIDGES.get((each.vid, each.pid))
        # Built-in ports that lead nowhere are always listed.
        rank = 0 if known else 1 if each.vid is not None else 2
        said = each.description if each.description not in (None, "", "n/a") else "unknown"
        found.append((rank, each.device, known or (said if rank < 2 else "built in")))
    return [f"{device} ({what})" for _, device, what in sorted(found)]


def address_problem(port: str, listing: Listing = list_ports.comports) -> str | None:
    """Return why there is no such port, with those that there are, or None."""
    if is_url(port):
        try:
            serial.serial_for_url(port, do_not_open=True)
        except (ValueError, serial.SerialException) as error:
            return f"port {port} is no address that pyserial knows: {' '.join(str(error).split())}"
        return None
    path = Path(port)
    if path.exists():
        return None if stat.S_ISCHR(path.stat().st_mode) else f"port {port} is not a serial port"
    found = candidates(listing)
    there = f"there are {', '.join(found)}" if found else "there is no serial port at all"
    if path.is_symlink():
        return f"port {port} points to {os.readlink(path)}, which is gone; plug in the radio ({there})"
    if port == DEFAULT_PORT:
        return f"port {port} does not exist; plug in the radio and install the udev rule, or name a port ({there})"
    return f"port {port} does not exist; plug in the radio, or name another port ({there})"


def permission_problem(port: str) -> str | None:
    """Return why this user may not open a port that is there, or None."""
    if is_url(port) or os.access(port, os.R_OK | os.W_OK):
        return None
    information = Path(port).stat()
    try:
        group = grp.getgrgid(information.st_gid).gr_name
    except KeyError:
        group = str(information.st_gid)
    if information.st_mode & (stat.S_IRGRP | stat.S_IWGRP) == stat.S_IRGRP | stat.S_IWGRP and information.st_gid:
        return (f"port {port} may not be opened: add yourself to its group (sudo usermod --append --groups {group} "
                "$USER) and log in again")
    return f"port {port} may not be opened, not even by its group; install the udev rule (docs/hardware.md)"


def use_problem(port: str) -> str | None:
    """Return who uses a port that may be opened, or None if nobody has claimed it."""
    if is_url(port):
        return None
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return _used(port)
        return f"port {port} cannot be opened: {error.strerror}"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _used(port)
    except OSError as error:
        return f"port {port} cannot be locked: {error.strerror}"
    finally:
        os.close(descriptor)
    return None


def _used(port: str) -> str:
    who = holders(port)
    return f"port {port} is in use by {', '.join(who) if who else 'another program'}; end that first"


def holders(port: str, proc: Path = Path("/proc")) -> list[str]:
    """Return the other programs that have a port open, claimed or not, each as ``NAME (PID)``.

    Those of other users are only seen by root.
    """
    target = os.path.realpath(port)
    found = []
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        if int(process.name) == os.getpid():
            continue
        try:
            if any(os.path.realpath(each) == target for each in (process / "fd").iterdir()):
                found.append(f"{_program(process)} ({process.name})")
        except OSError:
            continue
    return found


def _program(process: Path) -> str:
    """Return what a process runs: a node is more than its interpreter."""
    words = (process / "cmdline").read_text(errors="replace").split("\0")
    module = words.index("-m") + 1 if "-m" in words else len(words)
    return words[module] if module < len(words) else (process / "comm").read_text().strip()


def latency_timer(port: str, sysfs: Path = Path("/sys")) -> tuple[Path, int] | None:
    """Return the latency timer of a port's FTDI chip, its file and its value in ms; None where there is no such chip.

    Raises:
        UserError: if it cannot be read.
    """
    file = sysfs / "bus" / "usb-serial" / "devices" / Path(os.path.realpath(port)).name / LATENCY_FILE
    if is_url(port) or not file.is_file():
        return None
    try:
        return file, int(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None


def check_port(port: str, listing: Listing = list_ports.comports) -> None:
    """Refuse a port that cannot be used.

    Raises:
        UserError: if it is not there, may not be opened, or is in use.
    """
    problem = address_problem(port, listing) or permission_problem(port) or use_problem(port)
    if problem is not None:
        raise UserError(problem)
