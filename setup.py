# SPDX-License-Identifier: Apache-2.0
"""What pyproject.toml cannot say: the files that ROS 2 looks for outside the Python package."""

from pathlib import Path

from setuptools import setup

PACKAGE = "l2a_ros"
SHARED = ("launch", "config", "urdf", "checkpoints")

root = Path(__file__).resolve().parent


def shared_files() -> list[tuple[str, list[str]]]:
    """Return the shared files by the folder they are installed to, with their sub-folders."""
    by_folder: dict[str, list[str]] = {}
    for name in SHARED:
        for file in sorted((root / name).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                relative = file.relative_to(root)
                by_folder.setdefault(f"share/{PACKAGE}/{relative.parent}", []).append(str(relative))
    return list(by_folder.items())


setup(data_files=[
    ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
    (f"share/{PACKAGE}", ["package.xml"]),
    # Where `ros2 run` and `ros2 launch` look for nodes; pip fills it in no other way.
    (f"lib/{PACKAGE}", sorted(str(file.relative_to(root)) for file in (root / "scripts" / "nodes").iterdir())),
    *shared_files(),
])
