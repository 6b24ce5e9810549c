# SPDX-License-Identifier: Apache-2.0
"""The live view in a real browser: what is drawn is seen, and the page asks nobody but this machine.

Skipped where there is no Chromium. ``L2A_ROS_SCREENSHOT=FILE`` keeps what was seen.
"""

from __future__ import annotations

import importlib.util
import io
import os
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from matplotlib.image import imread
from views.live_messages import write_walk

from l2a_ros.views.colours import error_colours
from l2a_ros.views.live_lines import WORST
from l2a_ros.views.live_recording import pictures_of
from l2a_ros.views.live_scene import LiveScene

if importlib.util.find_spec("rerun") is None or importlib.util.find_spec("websockets") is None:
    pytest.skip("rerun-sdk or websockets is not installed", allow_module_level=True)

from views.browser import BROWSER, Browser

from l2a_ros.bringup.view_server import ViewServer
from l2a_ros.views.live_rerun import LiveView, RerunSink

#: Loading and drawing without a GPU on a busy machine.
LONGEST = 150.0
#: What the plots, the path, the plan and the track are drawn in; lines have soft edges, so some pixels must be right.
PLAN, PATH, ERROR_PLOT = (26, 102, 255), (204, 209, 222), (153, 102, 242)
GOOD, BAD = (tuple(np.round(255.0 * each)) for each in error_colours(np.array([0.0, WORST]), WORST))
NEAR, ENOUGH = 40.0, 12


def pixels(picture: np.ndarray, colour: object) -> int:
    """How many pixels of a picture are about of a colour."""
    return int((np.linalg.norm(picture - np.asarray(colour, dtype=np.float64), axis=-1) < NEAR).sum())


def is_whole(picture: np.ndarray) -> bool:
    """Tell whether everything that should be seen is."""
    return all(pixels(picture, colour) >= ENOUGH for colour in (PLAN, PATH, ERROR_PLOT, GOOD, BAD))


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.timeout(400)
def test_a_run_is_seen_in_a_browser(tmp_path: Path) -> None:
    bag = Path(os.environ["L2A_ROS_BAG"]) if "L2A_ROS_BAG" in os.environ else write_walk(tmp_path / "bag")
    width, height = (1440, 900) if "L2A_ROS_SCREENSHOT" in os.environ else (960, 600)
    with ViewServer() as server, Browser(width, height) as browser:
        scene = LiveScene()
        view = LiveView(scene, RerunSink("walk", server.data_url))
        for picture in pictures_of(bag, "/", scene):
            view.show(picture)
        view.close()
        browser.open(server.url)
        png = browser.see(is_whole, LONGEST)
        kept = os.environ.get("L2A_ROS_SCREENSHOT")
        if kept:
            Path(kept).write_bytes(png)
        seen = np.round(255.0 * imread(io.BytesIO(png))[..., :3])
        found = {str(colour): pixels(seen, colour) for colour in (PLAN, PATH, ERROR_PLOT, GOOD, BAD)}
        assert is_whole(seen), f"pixels by colour: {found}"
        hosts = {urlsplit(url).hostname for url in browser.requests if url.startswith("http")}
        assert hosts == {"127.0.0.1"}
