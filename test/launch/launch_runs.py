# SPDX-License-Identifier: Apache-2.0
"""The real `ros2 launch` on a launch file of ours; skips the tests that use it where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("launch_ros")
pytest.importorskip("ros2launch")

#: What is promised between a Ctrl-C and the end of the last process, seconds; a loaded machine gets some more.
GONE_WITHIN = 3.0 + 2.0
FOLDER = Path(__file__).parents[2] / "launch"


def start(file: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start it in a folder of its own."""
    environment = {**os.environ, "AMENT_PREFIX_PATH": os.environ.get("AMENT_PREFIX_PATH", sys.prefix),
                   "ROS_LOG_DIR": str(folder / "log"), "PYTHONUNBUFFERED": "1"}
    code = "import sys; from ros2cli.cli import main; sys.exit(main())"
    return subprocess.Popen([sys.executable, "-c", code, "launch", str(FOLDER / file), *arguments], cwd=folder,
                            env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def run(file: str, folder: Path, *arguments: str) -> tuple[int, str]:
    """Run it to its end; return its status and what it said."""
    process = start(file, folder, *arguments)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output
