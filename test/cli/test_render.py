# SPDX-License-Identifier: Apache-2.0
"""`l2a render`: the film of a recorded run, after it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
from simulation.filming import no_opengl, record

from l2a_ros.bringup.arguments import FRAMES
from l2a_ros.cli.main import main
from l2a_ros.cli.render import film_of_run

needs_opengl = pytest.mark.skipif(bool(no_opengl()), reason=f"no OpenGL here: {no_opengl()}")
#: Deadline of a wait: far more than needed, so that only what never comes fails.
PATIENCE = 60.0


def play(film: Path) -> tuple[int, int, int]:
    """Return width, height and number of pictures."""
    with av.open(str(film)) as opened:
        stream = opened.streams.video[0]
        return stream.width, stream.height, sum(1 for _ in opened.decode(stream))


@needs_opengl
def test_film_and_still_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / FRAMES, 3)
    assert main(["render", str(tmp_path), "--size", "160x96"]) == 0
    assert play(tmp_path / "trial.mp4") == (160, 96, 3)
    assert (tmp_path / "trial_end.png").read_bytes().startswith(b"\x89PNG")
    output = capsys.readouterr().out
    assert str(tmp_path / "trial.mp4") in output
    assert "cut short" not in output


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "no film: "), (["--size", "big"], "size must be WIDTHxHEIGHT"), (["--size", "161x96"], "both even"),
    (["--size", "16x16"], "from 64 to 4096"), (["--size", "160"], "size must be")])
def test_what_will_not_do_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str],
                                      words: str) -> None:
    assert main(["render", str(tmp_path), *arguments]) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.count("\n") == 1


@needs_opengl
def test_under_launch_it_waits_for_the_end_of_the_run(tmp_path: Path) -> None:
    old = tmp_path / "trial.mp4"
    old.write_text("of another run")
    with subprocess.Popen([sys.executable, "-m", "l2a_ros.cli", "render", "--wait", "--size", "160x96", str(tmp_path)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            end = time.monotonic() + PATIENCE
            while old.exists():
                assert time.monotonic() < end
                time.sleep(0.02)
            # The simulator writes its file when it is told to end, a moment after everybody is.
            process.send_signal(signal.SIGINT)
            record(tmp_path / FRAMES, 3)
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
    assert process.returncode == 0, errors
    assert play(old) == (160, 96, 3)


def test_the_end_of_a_run_says_why_there_is_no_film(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = tmp_path / FRAMES
    assert film_of_run(frames, 2) == 2
    assert capsys.readouterr().err == "", "the failed node has said why"
    frames.write_bytes(b"broken")
    assert film_of_run(frames, 128 + signal.SIGTERM) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == f"no film yet: l2a render {tmp_path} makes it\n"
    assert film_of_run(frames, 130) == 130
    errors = capsys.readouterr().err
    assert "holds no recorded pictures" in errors
    assert errors.count("\n") == 1
