# SPDX-License-Identifier: Apache-2.0
"""What pyproject.toml cannot say: the files that ROS 2 looks for outside the Python package, and what colcon reads.

`colcon build --symlink-install` runs this file in a folder without pyproject.toml, so that packages, version and
console script must stand here. colcon evaluates the settings as Python literals, which a version range read from
pyproject.toml is not; so `python_requires` stands here too.
"""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import Distribution, Extension, find_packages, setup

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


def compiled_rollout() -> Extension:
    """Return the compiled part of planning; where there is no compiler it is left out, and PyTorch does its work."""
    folder = f"{PACKAGE}/planning/native"
    return Extension(f"{PACKAGE}.planning._rollout", [f"{folder}/rollout.c"], optional=True,
                     depends=[f"{folder}/{name}" for name in ("portable.inc", "avx512.inc")],
                     extra_compile_args=["-O3", "-std=c11", "-ffp-contract=fast", "-pthread"],
                     extra_link_args=["-pthread", "-lm"])


class EditableWithData(Distribution):
    """Lets `pip install -e` install the data files too: setuptools asks for this method, which it does not define."""

    def has_data(self) -> bool:
        """Tell whether there are data files."""
        return bool(self.has_data_files())


setup(
    distclass=EditableWithData,
    name=PACKAGE,
    version=ElementTree.parse(root / "package.xml").getroot().findtext("version"),
    python_requires=">=3.11",
    packages=find_packages(str(root), include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed", "experiments/*.jinja"]},
    ext_modules=[compiled_rollout()],
    entry_points={"console_scripts": ["l2a = l2a_ros.cli.main:main"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        # Where `ros2 run` and `ros2 launch` look for nodes; pip fills it in no other way.
        (f"lib/{PACKAGE}", sorted(str(file.relative_to(root)) for file in (root / "scripts" / "nodes").iterdir())),
        *shared_files(),
    ],
)
