# SPDX-License-Identifier: Apache-2.0
"""A serial port that can be waited for, and that says in one line why it cannot be opened or is gone."""

from __future__ import annotations

import errno
import os
import re
import select
import termios
from contextlib import suppress
from typing import Any

import serial

#: A port that takes no bytes for so long is broken, s.
WRITE_TIMEOUT = 0.2
#: A port without a file descriptor to wait for is looked at so often, s.
LOOK = 0.005
#: Most that is read at once, bytes.
_PIECE = 4096
_CLOSED = -1


class Alarm:
    """Ends the wait of another thread; outlives the ports that are waited for, so that it is never rung in vain."""

    def __init__(self) -> None:
        self.descriptor, self._bell = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._bell, False)

    def ring(self) -> None:
        """End the wait that is under way, or the next one. A bell that is full rings anyway."""
        with suppress(BlockingIOError):
            os.write(self._bell, b"\0")

    def close(self) -> None:
        """Give it back; it must not be rung any more."""
        os.close(self.descriptor)
        os.close(self._bell)

    def wait(self, seconds: float, descriptor: int | None = None) -> None:
        """Wait until it rings, the descriptor can be read, or the time is over."""
        waited = [self.descriptor, *([] if descriptor is None else [descriptor])]
        ready, _, _ = select.select(waited, [], [], max(0.0, seconds))
        if self.descriptor in ready:
            with suppress(BlockingIOError):
                os.read(self.descriptor, _PIECE)


class PortError(Exception):
    """The port cannot be opened, or is gone; the text says why, in one line."""


class Port:
    """An open port: a device, or a URL that pyserial knows, such as ``socket://host:4000`` or ``rfc2217://host:4000``.

    Opened for this process alone, with low latency where the driver of the device offers it.

    Args:
        url: path or URL.
        baud: bit/s.

    Raises:
        PortError: if it cannot be opened.
    """

    def __init__(self, url: str, baud: int) -> None:
        try:
            self._serial: Any = serial.serial_for_url(url, baudrate=baud, timeout=0.0, write_timeout=WRITE_TIMEOUT,
                                                      exclusive=True)
        except (serial.SerialException, OSError, ValueError, termios.error) as error:
            raise PortError(_why(url, error)) from None
        # Ports without it say so in several ways.
        with suppress(Exception):
            self._serial.set_low_latency_mode(True)
        with suppress(Exception):
            # What was on its way before is of another time.
            self._serial.reset_input_buffer()
        try:
            self._descriptor: int | None = self._serial.fileno()
        except Exception:  # noqa: BLE001 - every kind of port has its own way to say that it has none
            self._descriptor = None

    def wait(self, seconds: float, alarm: Alarm) -> None:
        """Wait until bytes came, the alarm rings, or the time is over.

        Raises:
            PortError: if the port is gone.
        """
        if self._descriptor == _CLOSED:
            raise PortError("was closed")
        try:
            alarm.wait(seconds if self._descriptor is not None else min(seconds, LOOK), self._descriptor)
        except (OSError, ValueError) as error:
            raise PortError(_gone(error)) from None

    def read(self) -> bytes:
        """Return what has come, without waiting.

        Raises:
            PortError: if the port is gone.
        """
        try:
            return bytes(self._serial.read(_PIECE))
        except (serial.SerialException, OSError, TypeError) as error:
            raise PortError(_gone(error)) from None

    def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            PortError: if the port is gone, or takes nothing.
        """
        try:
            self._serial.write(data)
        except serial.SerialTimeoutException:
            raise PortError(f"took no bytes for {WRITE_TIMEOUT:g} s") from None
        except (serial.SerialException, OSError, TypeError) as error:
            raise PortError(_gone(error)) from None

    def close(self) -> None:
        """Close it; may be called twice."""
        # The number may soon be that of another file.
        self._descriptor = _CLOSED
        with suppress(Exception):
            self._serial.close()


def _number(error: Exception) -> int | None:
    """Return the system's number of an error; pyserial keeps it in the text only."""
    number: int | None = getattr(error, "errno", None)
    found = re.search(r"(?:\[Errno |\()(\d+)[\],]", str(error))
    return int(found[1]) if number is None and found else number


def _gone(error: Exception) -> str:
    number = _number(error)
    if number in (errno.EIO, errno.ENXIO, errno.ENODEV, errno.EBADF) or "returned no data" in str(error):
        return "was unplugged"
    if number in (errno.EPIPE, errno.ECONNRESET) or "socket disconnected" in str(error):
        return "was closed at the other end"
    return " ".join(str(error).split())


def _why(url: str, error: Exception) -> str:
    """Return why a port cannot be opened and what to do about it."""
    number, text = _number(error), str(error)
    if number == errno.ENOENT or "No such file" in text:
        return f"port {url} does not exist; plug in the radio, or name another port"
    if number == errno.EACCES or "Permission denied" in text:
        return f"port {url} may not be opened; add yourself to the group dialout and log in again"
    if number in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EBUSY) or "exclusively lock" in text:
        return f"port {url} is in use by another program; end that first"
    if number in (errno.ENOTTY, errno.EISDIR):
        return f"port {url} is no serial port; name another"
    return f"port {url} cannot be opened: {' '.join(text.split())}"
