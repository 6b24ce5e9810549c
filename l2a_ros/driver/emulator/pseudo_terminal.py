# SPDX-License-Identifier: Apache-2.0
"""A serial port without a device: a pseudo-terminal behind a symbolic link, which can be unplugged and plugged in."""

from __future__ import annotations

import os
import tty
from contextlib import suppress
from pathlib import Path

from l2a_ros.errors import UserError

#: Most that is read at once, bytes.
_PIECE = 4096


class PseudoTerminal:
    """One port; plugged in from the start. Nothing ever blocks: what a full buffer does not take is lost.

    Args:
        link: path of the symbolic link to the port, there while it is plugged in; empty for none.

    Raises:
        UserError: if the link cannot be made.
    """

    def __init__(self, link: str = "") -> None:
        self._link = Path(link).expanduser().absolute() if link else None
        self._master = self._slave = -1
        #: The port's own name, another one after each ``replug``.
        self.device = ""
        #: Bytes to the host that were lost because it did not read.
        self.lost = 0
        self.replug()

    @property
    def path(self) -> str:
        """What a host opens: the link, or the port's own name without one."""
        return str(self._link) if self._link is not None else self.device

    @property
    def is_plugged(self) -> bool:
        """Whether there is a port."""
        return self._master >= 0

    @property
    def descriptor(self) -> int:
        """The descriptor that can be waited for, -1 while unplugged."""
        return self._master

    def replug(self) -> None:
        """Plug it in, if it is not."""
        if self.is_plugged:
            return
        self._master, self._slave = os.openpty()
        # This end stays open too: a port that nobody has opened is still there, and keeps its mode.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.device = os.ttyname(self._slave)
        if self._link is not None:
            try:
                self._make_link(self._link)
            except OSError as error:
                self.unplug()
                raise UserError(f"link {self._link} cannot be made: {error.strerror}; name another path") from None

    def _make_link(self, link: Path) -> None:
        if link.exists() and not link.is_symlink():
            raise FileExistsError(0, "there is a file of that name")
        link.parent.mkdir(parents=True, exist_ok=True)
        new = link.with_name(f".{link.name}.{os.getpid()}")
        new.unlink(missing_ok=True)
        new.symlink_to(self.device)
        # At once: who looks finds a link, old or new.
        new.replace(link)

    def unplug(self) -> None:
        """Pull the plug: the port is gone, for who has it open too."""
        if not self.is_plugged:
            return
        if self._link is not None:
            # Only if it is still ours.
            with suppress(OSError):
                if os.readlink(self._link) == self.device:
                    self._link.unlink()
        for descriptor in (self._slave, self._master):
            os.close(descriptor)
        self._master = self._slave = -1

    def read(self, most: int = _PIECE) -> bytes:
        """Return what the host has written, without waiting."""
        if not self.is_plugged or most <= 0:
            return b""
        try:
            return os.read(self._master, most)
        except (BlockingIOError, OSError):
            return b""

    def write(self, data: bytes) -> int:
        """Hand bytes to the host; return how many its buffer took."""
        taken = 0
        if self.is_plugged and data:
            with suppress(OSError):
                taken = os.write(self._master, data)
        self.lost += len(data) - taken
        return taken
