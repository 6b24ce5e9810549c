# SPDX-License-Identifier: Apache-2.0
"""The server of live views: its pages talk to nobody else, and nothing is left of it."""

from __future__ import annotations

import importlib.util
import socket
import urllib.request
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote

import psutil
import pytest

from l2a_ros.bringup import view_address
from l2a_ros.bringup.view_address import check_viewer, split_address
from l2a_ros.bringup.view_server import ViewServer
from l2a_ros.errors import UserError

needs_viewer = pytest.mark.skipif(importlib.util.find_spec("rerun") is None, reason="rerun-sdk is not installed")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:  # type: ignore[override]
        return None


def fetch(url: str, name: str = "") -> tuple[int, Message, bytes]:
    """Fetch a page as a browser that knows the machine under a name; redirections are not followed."""
    request = urllib.request.Request(url, headers={"Host": name} if name else {})
    try:
        with urllib.request.build_opener(_Stay, urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        return error.code, error.headers, b""


@needs_viewer
def test_pages_are_served_that_keep_to_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = set(psutil.Process().children())
    with ViewServer() as server:
        [child] = set(psutil.Process().children()) - before
        assert {each.laddr.ip for each in child.net_connections() if each.status == "LISTEN"} == {"127.0.0.1"}
        status, headers, _ = fetch(server.url, "robot.local:1234")
        port = server.data_url.rpartition(":")[2]
        assert (status, unquote(headers["Location"])) == (302, f"/?url=rerun+http://robot.local:{port}"), \
            "data come from where the page came from"
        status, headers, page = fetch(f"{server.url}?url=x")
        assert status == 200 and headers["Content-Type"].startswith("text/html")
        assert b"<canvas" in page and b"<link" in page and b"https://fonts" not in page
        policy = headers["Content-Security-Policy"]
        assert f"connect-src 'self' data: blob: http://*:{port.partition('/')[0]};" in policy
        assert fetch(f"{server.url}no_such_page")[0] == 404
        status, headers, program = fetch(f"{server.url}re_viewer.js")
        assert status == 200 and program and headers["Content-Security-Policy"] == policy
        assert '"analytics_enabled": false' in next(tmp_path.rglob("analytics.json")).read_text()
        assert server.is_alive()
        child.kill()
        child.wait(10)
        assert not server.is_alive()
    assert not list(tmp_path.iterdir()), "its settings are gone"
    assert set(psutil.Process().children()) == before


@needs_viewer
def test_an_address_that_cannot_be_used_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        before = set(psutil.Process().children())
        with pytest.raises(UserError, match=rf"cannot listen at 127.0.0.1:{port}: [Aa]ddress already in use"):
            ViewServer("127.0.0.1", port)
        if port > 1:
            with pytest.raises(UserError, match=rf"cannot listen at 127.0.0.1:{port}: .*[Aa]ddress already in use"):
                ViewServer("127.0.0.1", port - 1)
        assert set(psutil.Process().children()) == before
    with pytest.raises(UserError, match=r"cannot listen at 203\.0\.113\.1:0"):
        ViewServer("203.0.113.1")


@needs_viewer
def test_a_browser_is_opened_where_there_is_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) is None)
    with ViewServer() as server:
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        assert not server.open_browser()
        monkeypatch.setenv("DISPLAY", ":0")
        assert server.open_browser()
        assert opened == [server.url]


def test_without_the_viewer_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_address.importlib.util, "find_spec", lambda _: None)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"^the live view needs rerun-sdk; .* pip install 'l2a_ros\[view\]'$"):
        check_viewer()


@pytest.mark.parametrize(("text", "address"), [
    ("127.0.0.1:0", ("127.0.0.1", 0)), ("robot:8080", ("robot", 8080)), ("[::1]:80", ("::1", 80))])
def test_addresses_are_read(text: str, address: tuple[str, int]) -> None:
    assert split_address(text) == address


@pytest.mark.parametrize("text", ["", "8080", "robot", ":80", "robot:", "robot:65535", "robot:-1", "robot:http"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="view_address must be HOST:PORT"):
        split_address(text)
