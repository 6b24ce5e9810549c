# SPDX-License-Identifier: Apache-2.0
"""The emulated port, opened as any port is: with pyserial."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import serial

from l2a_ros.driver.emulator.pseudo_terminal import PseudoTerminal
from l2a_ros.errors import UserError

EVERY_BYTE = bytes(range(256))


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "robot"


def open_port(path: object) -> serial.Serial:
    return serial.Serial(str(path), 57600, timeout=5.0, write_timeout=5.0, exclusive=True)


def read(port: PseudoTerminal, count: int) -> bytes:
    """Return what the host wrote; it is there at once."""
    data = b""
    while len(data) < count and (piece := port.read()):
        data += piece
    return data


def test_every_byte_passes_both_ways(link: Path) -> None:
    port = PseudoTerminal(str(link))
    assert port.path == str(link)
    assert os.path.realpath(link) == port.device
    with open_port(link) as host:
        host.write(EVERY_BYTE)
        assert read(port, 256) == EVERY_BYTE
        assert port.read() == b"", "nothing is echoed, nobody waits"
        assert port.write(EVERY_BYTE) == 256
        assert host.read(256) == EVERY_BYTE
    with open_port(link) as host:
        assert port.write(b"\x03\x04\n") == 3
        assert host.read(3) == b"\x03\x04\n", "it stays raw when it was closed"
    port.unplug()


def test_it_is_raw_for_who_sets_nothing(link: Path) -> None:
    port = PseudoTerminal(str(link))
    host = os.open(link, os.O_RDWR | os.O_NOCTTY)
    os.write(host, b"\x03\r\n\x7f")
    assert read(port, 4) == b"\x03\r\n\x7f"
    port.write(b"\x04\r\x11")
    assert os.read(host, 10) == b"\x04\r\x11"
    os.close(host)
    port.unplug()


def test_unplugged_and_plugged_in_again(link: Path) -> None:
    port = PseudoTerminal(str(link))
    host = open_port(link)
    port.unplug()
    assert not port.is_plugged and not os.path.lexists(link)
    with pytest.raises(serial.SerialException):
        host.read(1)
    host.close()
    with pytest.raises(serial.SerialException):
        open_port(link)
    assert port.read() == b""
    assert port.write(b"abc") == 0
    port.unplug()
    port.replug()
    port.replug()
    with open_port(link) as host:
        port.write(b"again")
        assert host.read(5) == b"again"
    port.unplug()


def test_what_a_full_buffer_does_not_take_is_lost_and_counted(link: Path) -> None:
    port = PseudoTerminal(str(link))
    taken = sum(port.write(bytes(1000)) for _ in range(1000))
    assert 0 < taken < 1_000_000
    assert port.lost == 1_000_000 - taken
    port.unplug()


def test_link_of_another_robot_is_left_alone(link: Path) -> None:
    first = PseudoTerminal(str(link))
    second = PseudoTerminal(str(link))
    assert os.path.realpath(link) == second.device
    first.unplug()
    assert os.path.realpath(link) == second.device
    second.unplug()
    assert not os.path.lexists(link)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "robot").write_text("mine")
    with pytest.raises(UserError, match=r"robot cannot be made: there is a file of that name; name another path"):
        PseudoTerminal(str(tmp_path / "robot"))
    assert (tmp_path / "robot").read_text() == "mine"


def test_without_a_link() -> None:
    port = PseudoTerminal()
    assert port.path == port.device
    with open_port(port.path) as host:
        port.write(b"x")
        assert host.read(1) == b"x"
    port.unplug()
