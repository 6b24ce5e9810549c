# SPDX-License-Identifier: Apache-2.0
"""Finding the files that are not Python: from a checkout, from a pip and from a colcon installation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import l2a_ros
from l2a_ros.errors import UserError
from l2a_ros.robot.share import share_directory, share_file, shared_names

PACKAGE = Path(l2a_ros.__file__).parent
ASK = "from l2a_ros.robot.share import share_directory; print(share_directory())"


def install(prefix: Path, library: str) -> Path:
    """Copy what the look-up needs as an installer would; returns the folder for the Python path."""
    packages = prefix / library
    (packages / "l2a_ros" / "robot").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "robot/__init__.py", "robot/share.py"):
        shutil.copy(PACKAGE / name, packages / "l2a_ros" / name)
    return packages


def add_share(prefix: Path) -> Path:
    share = prefix / "share" / "l2a_ros"
    share.mkdir(parents=True)
    (share / "package.xml").write_text("<package/>")
    return share


def ask(packages: Path, ament: str = "") -> subprocess.CompletedProcess[str]:
    """Ask a new process that sees this installation only (-S: not the one that the tests run in)."""
    return subprocess.run([sys.executable, "-S", "-c", ASK], cwd=packages.anchor, capture_output=True, text=True,
                          check=False, env={**os.environ, "PYTHONPATH": str(packages), "AMENT_PREFIX_PATH": ament})


def test_checkout_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    add_share(tmp_path)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert share_directory() == PACKAGE.parent


def test_installation_below_a_prefix(tmp_path: Path) -> None:
    packages = install(tmp_path, "lib/python3/site-packages")
    share = add_share(tmp_path)
    assert ask(packages).stdout.strip() == str(share)


def test_sourced_workspace_of_several_prefixes(tmp_path: Path) -> None:
    packages = install(tmp_path / "elsewhere", "python")
    share = add_share(tmp_path / "second")
    (tmp_path / "first" / "share" / "l2a_ros").mkdir(parents=True)
    prefixes = os.pathsep.join(["", str(tmp_path / "first"), str(tmp_path / "second")])
    assert ask(packages, prefixes).stdout.strip() == str(share)


def test_nowhere_is_one_clear_line(tmp_path: Path) -> None:
    answer = ask(install(tmp_path, "python"))
    assert answer.returncode != 0
    assert "UserError: the shared files of l2a_ros were not found; install it" in answer.stderr.splitlines()[-1]


def test_file_that_does_not_exist() -> None:
    with pytest.raises(UserError, match=r"nothing\.yaml does not exist") as caught:
        share_file("config", "nothing.yaml")
    assert "\n" not in str(caught.value)


def test_names_are_sorted_stems() -> None:
    assert {"carpet", "styrofoam", "turf"} <= set(shared_names("urdf/terrains", ".yaml"))
    names = shared_names("config/paths", ".yaml")
    assert names == sorted(names)
    assert {"straight", "left", "right", "zigzag", "figure8"} <= set(names)
    assert shared_names("config/paths", ".nothing") == []
