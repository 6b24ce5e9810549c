# SPDX-License-Identifier: Apache-2.0
"""Serves the live view to browsers: rerun's server as a child process, and its pages, kept from talking to others.

By itself rerun's page asks other hosts for fonts, examples and news of releases, and tells them how it is used. The
pages as served here forbid the browser to talk to anybody but this server.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Self
from urllib.parse import quote

from l2a_ros.bringup.supervisor import die_with_parent
from l2a_ros.bringup.view_address import check_viewer
from l2a_ros.errors import UserError

#: Longest wait until rerun's server listens, s.
LONGEST_START = 20.0
POLL = 0.05
#: Somebody else may take a port between its choice and its use.
_TRIES = 5
_END = 1.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: Of the headers of rerun's pages, those that browsers need.
_PASSED = ("Content-Type", "rerun-final-length")
_OTHER_HOSTS = re.compile(rb"<link\b[^>]*https://[^>]*>")


class ViewServer:
    """A server of live views, until it is closed. Use as a context.

    Args:
        host: address to listen at; 127.0.0.1 is reached from this machine alone, 0.0.0.0 from everywhere.
        port: of the pages; the data come from the next one. 0 means any two that are free.
        memory: how much of the past is kept for browsers that come late, MB.

    Raises:
        UserError: if there is no viewer, or the address cannot be used.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, memory: int = 512) -> None:
        check_viewer()
        self._host, self._memory = host, memory
        self._folder = tempfile.TemporaryDirectory(prefix="l2a_view_")
        self._child: subprocess.Popen[bytes] | None = None
        try:
            self._pages = _Pages((host, port))
        except (OSError, OverflowError) as error:
            self._folder.cleanup()
            raise UserError(f"the live view cannot listen at {host}:{port}: {_reason(error)}") from None
        #: Port of the pages.
        self.port: int = self._pages.server_address[1]
        try:
            self._start(port + 1 if port else 0)
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._pages.serve_forever, args=(POLL,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """What to open in a browser on this machine."""
        return f"http://{_local(self._host)}:{self.port}/"

    @property
    def data_url(self) -> str:
        """Where pictures go."""
        return f"rerun+http://{_local(self._host)}:{self._pages.data_port}/proxy"

    def is_alive(self) -> bool:
        """Tell whether rerun's server still runs."""
        return self._child is not None and self._child.poll() is None

    def open_browser(self) -> bool:
        """Open the view in the default browser if there is a display; return whether there is."""
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            return False
        try:
            return webbrowser.open(self.url)
        except webbrowser.Error:
            return False

    def _start(self, data_port: int) -> None:
        for left in reversed(range(_TRIES)):
            self._pages.data_port = data_port or _free_port(self._host)
            self._pages.inner_port = _free_port(self._host)
            if self._launched():
                return
            if data_port or not left:
                raise UserError(f"the live view cannot listen at {self._host}:{self._pages.data_port}: "
                                f"{self._last_words()}")

    def _launched(self) -> bool:
        """Start rerun's server; return whether it listens."""
        package = importlib.util.find_spec("rerun_cli")
        folders = package.submodule_search_locations if package is not None else None
        command = [str(Path(folder) / "rerun") for folder in folders or ()][:1]
        command += ["--serve-web", "--bind", self._host, "--port", str(self._pages.data_port),
                    "--web-viewer-port", str(self._pages.inner_port), "--server-memory-limit", f"{self._memory}MB"]
        if self._host not in _LOOPBACK:  # under whatever name others know this machine
            command += ["--cors-allow-origin", f"http://*:{self.port}"]
        with self._log.open("wb") as log:
            # What runs between fork and exec takes no lock that a thread of this process could hold.
            self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                           env=self._environment(), preexec_fn=die_with_parent())  # noqa: PLW1509
        end = time.monotonic() + LONGEST_START
        while self.is_alive() and time.monotonic() < end:
            if all(_listens(_local(self._host), port) for port in (self._pages.data_port, self._pages.inner_port)):
                return self.is_alive()
            time.sleep(POLL)
        self._end_child()
        return False

    @property
    def _log(self) -> Path:
        return Path(self._folder.name) / "rerun.log"

    def _environment(self) -> dict[str, str]:
        """Return an environment in which rerun finds settings of its own, with its reports of usage switched off."""
        settings = Path(self._folder.name) / "rerun"
        settings.mkdir(exist_ok=True)
        (settings / "analytics.json").write_text(json.dumps({
            "analytics_enabled": False, "analytics_id": "", "metadata": {},
            "config_file_path": str(settings / "analytics.json"), "data_dir_path": str(settings / "analytics")}))
        return {**os.environ, "XDG_CONFIG_HOME": self._folder.name, "XDG_DATA_HOME": self._folder.name,
                "NO_COLOR": "1"}

    def _last_words(self) -> str:
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        if not lines:
            return "rerun's server does not start"
        # After the time, the level and the place in rerun's source.
        return re.sub(r"\x1b\[[0-9;]*m", "", lines[-1]).rpartition(": ")[2]

    def close(self) -> None:
        """End the server; browsers keep what they have."""
        with contextlib.suppress(OSError):
            if self._pages.is_serving:
                self._pages.shutdown()
            self._pages.server_close()
        self._end_child()
        self._folder.cleanup()

    def _end_child(self) -> None:
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(_END)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class _Pages(ThreadingHTTPServer):
    """Passes on the pages of rerun's own server."""

    daemon_threads = True
    data_port = inner_port = 0
    is_serving = False

    def __init__(self, address: tuple[str, int]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Page)

    def server_bind(self) -> None:
        """Take the address, without asking for its name, which takes long where nobody knows it."""
        TCPServer.server_bind(self)

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serve until shut down."""
        self.is_serving = True
        super().serve_forever(poll_interval)


class _Page(BaseHTTPRequestHandler):
    server: _Pages

    def do_GET(self) -> None:
        """Answer a browser."""
        host = self.server.server_address[0]
        if self.path == "/":
            # Under the name by which the browser has found this page it finds the data too.
            name = re.sub(r":[0-9]+$", "", self.headers.get("Host", "")) or _local(str(host))
            self.send_response(302)
            data = f"rerun+http://{name}:{self.server.data_port}/proxy"
            self.send_header("Location", f"/?url={quote(data, safe='')}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        url = f"http://{_local(str(host))}:{self.server.inner_port}{self.path}"
        try:
            with _OPENER.open(url, timeout=LONGEST_START) as answer:
                body, headers = answer.read(), answer.headers
        except (urllib.error.URLError, OSError, ValueError) as error:
            self.send_error(error.code if isinstance(error, urllib.error.HTTPError) else 502)
            return
        if headers.get_content_type() == "text/html":
            body = _OTHER_HOSTS.sub(b"", body)
        with contextlib.suppress(OSError):  # the browser may have gone
            self.send_response(200)
            for name in _PASSED:
                if name in headers:
                    self.send_header(name, headers[name])
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy",
                             f"connect-src 'self' data: blob: http://*:{self.server.data_port}; font-src 'self' data:; "
                             "img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; frame-src 'none'")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal is the trial's."""


#: Without proxies: it only ever asks this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _local(host: str) -> str:
    """Return the name under which this machine reaches its own server that listens at an address."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{name}]" if ":" in name else name


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host.strip("[]"), port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
