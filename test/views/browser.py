# SPDX-License-Identifier: Apache-2.0
"""A Chromium without a window, which shows a page and says what it sees and whom the page wants to talk to."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from matplotlib.image import imread
from websockets.sync.client import connect

_NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in _NAMES if (found := shutil.which(name))), None)
#: It draws with the processor: there need be no GPU.
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--disable-gpu-sandbox",
          "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking",
          "--remote-debugging-port=0")
PATIENCE = 30.0


class Browser:
    """One page in a browser. Use as a context.

    Args:
        width: of the page, pixels.
        height: of the page, pixels.
    """

    def __init__(self, width: int = 960, height: int = 600) -> None:
        assert BROWSER is not None
        self._folder = tempfile.TemporaryDirectory(prefix="browser_", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [BROWSER, *_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={self._folder.name}",
             "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._sent = 0
        #: What the page has asked for.
        self.requests: list[str] = []
        try:
            self._socket = connect(self._page(), max_size=None, open_timeout=PATIENCE)
            for domain in ("Network", "Page"):
                self._call(f"{domain}.enable")
            self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                       mobile=False)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _page(self) -> str:
        """Return where the devtools of the page are."""
        port_file, end = Path(self._folder.name) / "DevToolsActivePort", time.monotonic() + PATIENCE
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() < end:
            try:
                port = int(port_file.read_text().split()[0])
                with opener.open(f"http://127.0.0.1:{port}/json") as answer:
                    return next(str(each["webSocketDebuggerUrl"]) for each in json.load(answer)
                                if each["type"] == "page")
            except (OSError, ValueError, IndexError, StopIteration):
                time.sleep(0.1)
        raise TimeoutError("the browser does not start")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(timeout=4.0 * PATIENCE))
            if said.get("method") == "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])
            if said.get("id") == self._sent:
                return dict(said.get("result", {}))

    def open(self, url: str) -> None:
        """Go to a page."""
        self._call("Page.navigate", url=url)

    def screenshot(self) -> bytes:
        """Return what is to be seen, PNG; nothing while a page is only just coming."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png").get("data", ""))

    def see(self, what: Callable[[np.ndarray], bool], seconds: float) -> bytes:
        """Look until something is seen in the picture, ``(height, width, 3)`` from 0 to 255; return the PNG.

        It looks for so long at most, and returns what it sees then.
        """
        end = time.monotonic() + seconds
        while True:
            png = self.screenshot()
            if (png and what(np.round(255.0 * imread(io.BytesIO(png))[..., :3]))) or time.monotonic() > end:
                return png
            time.sleep(1.0)
