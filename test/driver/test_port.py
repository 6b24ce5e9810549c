# SPDX-License-Identifier: Apache-2.0
"""Ports that are real pseudo-terminals and real sockets: what they carry, and what is said when they fail."""

from __future__ import annotations

import os
import socket
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from l2a_ros.driver.port import Alarm, Port, PortError

#: What must happen happens long before, s.
PATIENCE = 30.0


class Terminal:
    """A pseudo-terminal: the robot's end is ``master``."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)

    def unplug(self) -> None:
        for descriptor in (self.master, self._slave):
            with suppress(OSError):
                os.close(descriptor)
        self.master = self._slave = -1


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.unplug()


@pytest.fixture
def port(terminal: Terminal) -> Iterator[Port]:
    opened = Port(terminal.path, 57600)
    yield opened
    opened.close()


@pytest.fixture
def server() -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening, f"socket://127.0.0.1:{listening.getsockname()[1]}"


def read_exactly(port: Port, count: int) -> bytes:
    alarm, found = Alarm(), b""
    for _ in range(10_000):
        if len(found) >= count:
            break
        port.wait(PATIENCE / 1000, alarm)
        found += port.read()
    return found


def refused(url: str) -> str:
    with pytest.raises(PortError) as caught:
        Port(url, 57600)
    text = str(caught.value)
    assert "\n" not in text and url in text
    return text


def test_every_byte_passes_both_ways(terminal: Terminal, port: Port) -> None:
    everything = bytes(range(256)) * 4
    port.write(everything)
    heard = b""
    while len(heard) < len(everything):
        heard += os.read(terminal.master, 4096)
    assert heard == everything
    os.write(terminal.master, everything)
    assert read_exactly(port, len(everything)) == everything
    assert port.read() == b""


def test_what_came_before_it_was_opened_is_of_another_time(terminal: Terminal) -> None:
    os.write(terminal.master, b"old")
    port = Port(terminal.path, 57600)
    os.write(terminal.master, b"new")
    assert read_exactly(port, 3) == b"new"
    port.close()


def test_unplugged(terminal: Terminal, port: Port) -> None:
    terminal.unplug()
    port.wait(PATIENCE, Alarm())
    with pytest.raises(PortError, match="^was unplugged$"):
        port.read()
    with pytest.raises(PortError, match="^was unplugged$"):
        port.write(b"stop")


def test_unplugging_ends_the_wait(terminal: Terminal, port: Port) -> None:
    waiting = threading.Thread(target=port.wait, args=(10 * PATIENCE, Alarm()))
    waiting.start()
    terminal.unplug()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_a_port_that_takes_nothing(port: Port) -> None:
    with pytest.raises(PortError, match=r"took no bytes for 0\.2 s"):
        for _ in range(1000):
            port.write(b"\x7e" * 4096)


def test_it_is_opened_for_one_alone(terminal: Terminal, port: Port) -> None:
    assert "in use by another program" in refused(terminal.path)
    port.close()
    Port(terminal.path, 57600).close()


def test_missing(tmp_path: Path) -> None:
    assert "does not exist; plug in the radio" in refused(str(tmp_path / "velociroach"))


def test_link_to_what_was_unplugged(tmp_path: Path) -> None:
    link = tmp_path / "velociroach"
    link.symlink_to(tmp_path / "gone")
    assert "does not exist" in refused(str(link))


def test_through_a_link(tmp_path: Path, terminal: Terminal) -> None:
    link = tmp_path / "velociroach"
    link.symlink_to(terminal.path)
    port = Port(str(link), 57600)
    os.write(terminal.master, b"x")
    assert read_exactly(port, 1) == b"x"
    port.close()


def test_what_is_no_port(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("no port")
    for path in (str(file), str(tmp_path), "/dev/null"):
        assert "is no serial port" in refused(path)
    assert file.read_text() == "no port"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_forbidden(terminal: Terminal) -> None:
    os.chmod(terminal.path, 0)
    assert "dialout" in refused(terminal.path)


@pytest.mark.parametrize("url", ["", "nonsense://x", "socket://127.0.0.1", "socket://127.0.0.1:99999999",
                                 "socket://127.0.0.1:1?what=1", "hwgrep://no such thing at all"])
def test_bad_names(url: str) -> None:
    refused(url)


def test_bad_rate(terminal: Terminal) -> None:
    with pytest.raises(PortError, match="cannot be opened"):
        Port(terminal.path, -5)


def test_closed(port: Port) -> None:
    port.close()
    port.close()
    for use in (port.read, lambda: port.write(b"x"), lambda: port.wait(0.0, Alarm())):
        with pytest.raises(PortError):
            use()


def woken(wait: Callable[[], None], alarm: Alarm) -> bool:
    """Return whether a wait for ever ends when the alarm rings."""
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(0.05)
    was_waiting = thread.is_alive()
    alarm.ring()
    thread.join(PATIENCE)
    return was_waiting and not thread.is_alive()


def test_the_alarm_wakes_a_wait_and_outlives_ports() -> None:
    alarm = Alarm()
    for _ in range(2):
        terminal = Terminal()
        port = Port(terminal.path, 57600)
        assert woken(lambda port=port: port.wait(10 * PATIENCE, alarm), alarm)  # type: ignore[misc]
        port.close()
        terminal.unplug()
    assert woken(lambda: alarm.wait(10 * PATIENCE), alarm)


def test_an_alarm_that_rang_before_ends_the_next_wait_and_only_that() -> None:
    alarm = Alarm()
    for _ in range(3):
        alarm.ring()
    alarm.wait(10 * PATIENCE)
    assert woken(lambda: alarm.wait(10 * PATIENCE), alarm)


def test_an_alarm_may_ring_for_ever() -> None:
    alarm = Alarm()
    for _ in range(100_000):
        alarm.ring()
    alarm.wait(10 * PATIENCE)


def test_a_wait_of_no_or_negative_time_ends() -> None:
    Alarm().wait(0.0)
    Alarm().wait(-1.0)


def test_bytes_end_a_wait(terminal: Terminal, port: Port) -> None:
    thread = threading.Thread(target=port.wait, args=(10 * PATIENCE, Alarm()), daemon=True)
    thread.start()
    os.write(terminal.master, b"x")
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert port.read() == b"x"


def test_socket(server: tuple[socket.socket, str]) -> None:
    listening, url = server
    port = Port(url, 57600)
    robot, _ = listening.accept()
    with robot:
        port.write(b"\x7e\x00\xff")
        assert robot.recv(3, socket.MSG_WAITALL) == b"\x7e\x00\xff"
        assert port.read() == b""
        robot.sendall(b"\x11\x13\x7e")
        assert read_exactly(port, 3) == b"\x11\x13\x7e"
        alarm = Alarm()
        assert woken(lambda: port.wait(10 * PATIENCE, alarm), alarm)
        robot.sendall(b"last")
    # What was said before the end is still heard.
    assert read_exactly(port, 4) == b"last"
    port.wait(PATIENCE, Alarm())
    with pytest.raises(PortError, match="closed at the other end"):
        port.read()
    with pytest.raises(PortError, match="closed at the other end"):
        for _ in range(1000):
            port.write(b"x" * 1000)
    port.close()


def test_socket_that_takes_nothing(server: tuple[socket.socket, str]) -> None:
    listening, url = server
    port = Port(url, 57600)
    robot, _ = listening.accept()
    with robot, pytest.raises(PortError, match="took no bytes"):
        for _ in range(10_000):
            port.write(b"x" * 100_000)
    port.close()


def test_nobody_listens(server: tuple[socket.socket, str]) -> None:
    listening, url = server
    listening.close()
    assert "refused" in refused(url)


def test_without_a_descriptor() -> None:
    port, alarm = Port("loop://", 57600), Alarm()
    # It cannot be waited for, so it is looked at often: a long wait ends soon, with nothing or with what came.
    port.wait(10 * PATIENCE, alarm)
    assert port.read() == b""
    port.write(b"around")
    assert read_exactly(port, 6) == b"around"
    port.close()
