# SPDX-License-Identifier: Apache-2.0
"""`l2a view`: what it writes, serves and refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from views.live_messages import write_walk

from l2a_ros.cli.main import main
from l2a_ros.views.live_recording import choose_robot

pytest.importorskip("rerun", reason="rerun-sdk is not installed")


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run it with words that will not do; return what it says."""
    assert main(["view", *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = write_walk(tmp_path / "runs" / "one", 2), write_walk(tmp_path / "runs" / "two", 2)
    assert choose_robot(one) == choose_robot(two) == "/"
    assert "does not exist" in refused(capsys, str(tmp_path / "nothing"))
    assert "holds 2 recordings; name one, such as" in refused(capsys, str(tmp_path / "runs"))
    assert "no robot 'x'; it has /" in refused(capsys, str(one), "--robot", "x")
    assert "must be HOST:PORT" in refused(capsys, str(one), "--view_address", "x")
    assert "frame_rate must be from" in refused(capsys, str(one), "--frame_rate", "0")
    assert "out must be a .rrd file" in refused(capsys, str(one), "--out", str(tmp_path / "x.mp4"))
    assert "cannot be written" in refused(capsys, str(one), "--out", str(tmp_path / "nowhere" / "x.rrd"))


def test_a_file_for_the_viewer_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag, file = write_walk(tmp_path / "run" / "bag", 10), tmp_path / "walk.rrd"
    assert main(["view", str(bag.parent), "--out", str(file)]) == 0
    assert capsys.readouterr().out.startswith(f"{file}: ")
    assert file.stat().st_size > 1000


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_page_is_served_until_it_is_told_to_end(tmp_path: Path, number: signal.Signals, status: int) -> None:
    bag = write_walk(tmp_path / "bag", 5)
    process = subprocess.Popen([sys.executable, "-m", "l2a_ros.cli", "view", str(bag), "--headless"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**os.environ, "TMPDIR": str(tmp_path)})
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20) as page:
        assert b"<canvas" in page.read()
    assert "all of it is there" in process.stdout.readline()
    assert list(tmp_path.glob("l2a_view_*"))
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (status, "")
    assert not list(tmp_path.glob("l2a_view_*"))
