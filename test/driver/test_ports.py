# SPDX-License-Identifier: Apache-2.0
"""Serial ports before anything is started: what is refused, and whether it says what to do."""

import fcntl
import os
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import serial

from l2a_ros.driver import ports
from l2a_ros.errors import UserError

RADIO = SimpleNamespace(device="/dev/ttyUSB1", vid=0x0403, pid=0x6001, description="FT232R USB UART")
MODEM = SimpleNamespace(device="/dev/ttyACM0", vid=0x2341, pid=0x0043, description="some board")
BUILT_IN = SimpleNamespace(device="/dev/ttyS0", vid=None, pid=None, description="n/a")


@pytest.fixture
def pty() -> Iterator[str]:
    master, slave = os.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    yield name
    os.close(master)


def nothing() -> list[SimpleNamespace]:
    return []


def test_a_port_that_can_be_used_is_passed(pty: str, tmp_path: Path) -> None:
    ports.check_port(pty)
    link = tmp_path / "velociroach"
    link.symlink_to(pty)
    ports.check_port(str(link))
    assert ports.holders(pty) == []
    with serial.Serial(pty, exclusive=True):
        pass  # the check has kept nothing


def test_known_radios_come_first() -> None:
    assert ports.candidates(lambda: [BUILT_IN, MODEM, RADIO]) == [
        "/dev/ttyUSB1 (FTDI FT232R, as on XBee Explorers)", "/dev/ttyACM0 (some board)", "/dev/ttyS0 (built in)"]
    assert isinstance(ports.candidates(), list)


@pytest.mark.parametrize(("port", "listing", "words"), [
    ("/dev/none", nothing, "port /dev/none does not exist; plug in the radio, or name another port (there is no"),
    ("/dev/none", lambda: [RADIO], "(there are /dev/ttyUSB1 (FTDI FT232R"),
    ("/dev/velociroach", nothing, "install the udev rule, or name a port"),
])
def test_a_port_that_is_not_there(port: str, listing: ports.Listing, words: str) -> None:
    with pytest.raises(UserError) as error:
        ports.check_port(port, listing)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_link_to_a_port_that_is_gone(tmp_path: Path) -> None:
    link = tmp_path / "velociroach"
    link.symlink_to("/dev/ttyUSB77")
    assert "points to /dev/ttyUSB77, which is gone; plug in the radio" in str(ports.address_problem(str(link), nothing))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_port(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    path.write_text("") if kind == "file" else path.mkdir()
    with pytest.raises(UserError, match="is not a serial port"):
        ports.check_port(str(path))


def test_addresses_of_the_network() -> None:
    ports.check_port("socket://127.0.0.1:4000")
    assert ports.latency_timer("socket://127.0.0.1:4000") is None
    with pytest.raises(UserError, match="is no address that pyserial knows: .*sockt") as error:
        ports.check_port("sockt://127.0.0.1:4000")
    assert "\n" not in str(error.value)


# Rights: root has all, so somebody else asks. ------------------------------------------------------------------------

ASK = ("import os, sys\nfrom l2a_ros.driver.ports import permission_problem\n"
       "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
       "print(permission_problem(sys.argv[1]))")


def ask_as_nobody(port: Path) -> str:
    return subprocess.run([sys.executable, "-c", ASK, str(port)], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def place() -> Iterator[Path]:
    # pytest's own folders are closed to others.
    file = Path("/tmp") / f"l2a_ros_port_{os.getpid()}"
    file.write_text("")
    yield file
    file.unlink()


def test_a_port_of_a_group(place: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a file to the group")
    os.chown(place, 0, 20)
    place.chmod(0o660)
    answer = ask_as_nobody(place)
    assert "may not be opened: add yourself to its group (sudo usermod --append --groups " in answer
    assert "log in again" in answer
    place.chmod(0o600)
    assert "install the udev rule" in ask_as_nobody(place)
    place.chmod(0o666)
    assert ask_as_nobody(place) == "None\n"


def test_a_port_that_is_closed_to_all(place: Path) -> None:
    place.chmod(0)
    assert "install the udev rule" in ask_as_nobody(place)


# In use --------------------------------------------------------------------------------------------------------------

HOLD = ("import fcntl, os, sys, termios\nfd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)\n"
        "if sys.argv[2] == 'lock': fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "print('ready', flush=True)\nsys.stdin.read()")


@pytest.mark.parametrize("how", ["lock", "open"])
def test_who_has_it_open_is_named(pty: str, how: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, pty, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        assert [text.endswith(f"({other.pid})") for text in ports.holders(pty)] == [True]
        problem = ports.use_problem(pty)
        other.communicate()
    if how == "lock":
        assert problem is not None
        assert problem.startswith(f"port {pty} is in use by ")
        assert f"({other.pid}); end that first" in problem
    else:
        assert problem is None, "only a claim is refused: an emulated robot holds both ends"
    assert ports.holders(pty) == []
    ports.check_port(pty)


def test_a_node_is_named_by_its_module(pty: str, tmp_path: Path) -> None:
    (tmp_path / "holder.py").write_text(HOLD)
    with subprocess.Popen([sys.executable, "-m", "holder", pty, "open"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, cwd=tmp_path) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert ports.holders(pty) == [f"holder ({other.pid})"]
        other.communicate()


def test_a_port_that_this_process_has_claimed(pty: str) -> None:
    with serial.Serial(pty, exclusive=True), pytest.raises(UserError, match="is in use by another program; end that"):
        ports.check_port(pty)


def test_a_port_that_may_not_be_opened_twice(pty: str) -> None:
    if os.getuid() == 0:
        pytest.skip("root may")
    descriptor = os.open(pty, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.ioctl(descriptor, termios.TIOCEXCL)
        assert "is in use by" in str(ports.use_problem(pty))
    finally:
        os.close(descriptor)


# The latency timer ---------------------------------------------------------------------------------------------------

def test_the_latency_timer_of_the_chip(tmp_path: Path) -> None:
    folder = tmp_path / "bus" / "usb-serial" / "devices" / "ttyUSB1"
    folder.mkdir(parents=True)
    device = tmp_path / "ttyUSB1"
    device.write_text("")
    link = tmp_path / "velociroach"
    link.symlink_to(device)
    assert ports.latency_timer(str(link), tmp_path) is None, "another chip has none"
    file = folder / "latency_timer"
    file.write_text("16\n")
    assert ports.latency_timer(str(link), tmp_path) == (file, 16)
    file.write_text("soon\n")
    with pytest.raises(UserError, match="latency_timer cannot be read"):
        ports.latency_timer(str(link), tmp_path)


def test_the_shipped_rule_names_the_port_and_sets_the_timer() -> None:
    rule = (Path(__file__).parents[2] / "config" / "99-velociroach.rules").read_text()
    active = [line for line in rule.splitlines() if line and not line.startswith("#")]
    named = [line for line in active if 'SUBSYSTEM=="tty"' in line]
    assert len(named) == 1
    assert f'SYMLINK+="{Path(ports.DEFAULT_PORT).name}"' in named[0]
    assert 'GROUP="dialout", MODE="0660"' in named[0]
    assert any(f'ATTR{{latency_timer}}="{ports.LATENCY}"' in line for line in active)
    for vendor, product in ((0x0403, 0x6001), (0x0403, 0x6015), (0x10C4, 0xEA60)):
        assert (vendor, product) in ports.BRIDGES
        assert f'ATTRS{{idVendor}}=="{vendor:04x}", ATTRS{{idProduct}}=="{product:04x}"' in rule
