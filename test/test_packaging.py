# SPDX-License-Identifier: Apache-2.0
"""What pip and colcon install: nodes that can be executed, and the files they need."""

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

import l2a_ros

ROOT = Path(__file__).parents[1]
SHARED = ("launch", "config", "urdf", "checkpoints")
NODES = sorted(file.name for file in (ROOT / "scripts" / "nodes").iterdir())
#: The compiled rollout, and what it is made from.
LIBRARY = f"l2a_ros/planning/_rollout{sysconfig.get_config_var('EXT_SUFFIX')}"
NATIVE_SOURCES = {f"l2a_ros/planning/native/{name}" for name in ("rollout.c", "portable.inc", "avx512.inc")}
#: Says where the package is, and what it can compute with.
ASK_KERNELS = ("import l2a_ros; from l2a_ros.planning.native_rollout import native_kernels; "
               "print(l2a_ros.__file__); print([kernel.name for kernel in native_kernels()])")
has_compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) is not None
needs_compiler = pytest.mark.skipif(not has_compiler, reason="there is no C compiler")


def environment() -> dict[str, str]:
    """This interpreter's environment as if it were activated and its ROS wheels sourced."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "AMENT_PREFIX_PATH": sys.prefix, "COLCON_DEFAULTS_FILE": os.devnull}


def run(*command: str, cwd: Path, **options: str) -> str:
    result = subprocess.run(command, cwd=cwd, env={**environment(), **options}, text=True, check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout[-4000:]
    return result.stdout


def export(destination: Path) -> Path:
    """Copy what belongs to the repository and nothing that was built in it."""
    shutil.copytree(ROOT, destination, symlinks=True, ignore=shutil.ignore_patterns(
        ".*", "*.egg-info", "__pycache__", "build", "install", "log", "dist", "runs", "data", "*.so"))
    return destination


def shared_files() -> set[str]:
    return {str(file.relative_to(ROOT)) for folder in SHARED for file in (ROOT / folder).rglob("*")
            if file.is_file() and "__pycache__" not in file.parts}


def build_wheel(source: Path, folder: Path, **options: str) -> Path:
    """Build the wheel of a source tree into a folder."""
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir",
        str(folder), str(source), cwd=folder, **options)
    [wheel] = folder.glob("*.whl")
    return wheel


def from_wheel(wheel: Path, folder: Path, code: str) -> list[str]:
    """Run code with the package as a wheel holds it; returns the lines that it prints."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return run(sys.executable, "-c", code, cwd=folder, PYTHONPATH=str(folder)).splitlines()


def wheel_data(folder: Path) -> dict[str, zipfile.ZipInfo]:
    """The data files of the one wheel in a folder, by their path in the installation."""
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {file.filename.partition(".data/data/")[2]: file for file in archive.infolist()
                if ".data/data/" in file.filename}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    return build_wheel(export(folder / "source"), folder)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colcon workspace that holds this repository, built."""
    folder = tmp_path_factory.mktemp("workspace")
    export(folder / "src" / "l2a_ros")
    run(sys.executable, "-m", "colcon", "--log-level", "error", "build", cwd=folder)
    return folder


def test_the_versions_agree() -> None:
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert package.findtext("version") == l2a_ros.__version__
    assert package.findtext("name") == "l2a_ros"


def test_ros_is_an_extra_and_torch_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "torch==2.13.0" in project["dependencies"]
    assert not [name for name in project["dependencies"] if name.startswith("ros-")]
    assert any(name.startswith("ros-rclpy==") for name in project["optional-dependencies"]["ros"])


def test_there_is_an_executable_for_every_node_and_all_are_the_same() -> None:
    assert len({(ROOT / "scripts" / "nodes" / name).read_bytes() for name in NODES}) == 1
    for name in NODES:
        assert (ROOT / "l2a_ros" / "nodes" / f"{name}.py").is_file()
        assert os.access(ROOT / "scripts" / "nodes" / name, os.X_OK)


def test_a_wheel_holds_the_nodes_with_their_mode_and_all_shared_files(wheel: Path) -> None:
    data = wheel_data(wheel.parent)
    modules = set(zipfile.ZipFile(wheel).namelist())
    for name in NODES:
        assert (data[f"lib/l2a_ros/{name}"].external_attr >> 16) & stat.S_IXUSR, name
    assert shared_files() <= {name.removeprefix("share/l2a_ros/") for name in data}
    assert {"share/l2a_ros/package.xml", "share/ament_index/resource_index/packages/l2a_ros"} <= set(data)
    assert "l2a_ros/py.typed" in modules
    assert {str(file.relative_to(ROOT)) for file in (ROOT / "l2a_ros").rglob("*.py")} <= modules


@needs_compiler
def test_a_wheel_holds_the_compiled_rollout_and_it_works(wheel: Path, tmp_path: Path) -> None:
    assert LIBRARY in zipfile.ZipFile(wheel).namelist()
    where, kernels = from_wheel(wheel, tmp_path, ASK_KERNELS)
    assert where == str(tmp_path / "l2a_ros" / "__init__.py")
    assert "PORTABLE" in kernels


def test_without_a_compiler_it_installs_all_the_same_and_pytorch_computes(tmp_path: Path) -> None:
    wheel = build_wheel(export(tmp_path / "source"), tmp_path, CC="/bin/false")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    code = f"""
from l2a_ros.learning.checkpoint import load_checkpoint
from l2a_ros.planning.engine_choice import EngineSettings, choose
checkpoint = load_checkpoint({str(ROOT / "checkpoints" / "millirobot_mb.safetensors")!r})
print(choose(checkpoint, EngineSettings(device="cpu"), [], None).name)
try:
    choose(checkpoint, EngineSettings(engine="native"), [], None)
except ValueError as error:
    print(error)
"""
    where, kernels, chosen, error = from_wheel(wheel, tmp_path / "content", f"{ASK_KERNELS}\n{code}")
    assert where == str(tmp_path / "content" / "l2a_ros" / "__init__.py")
    assert kernels == "[]"
    assert chosen == "torch cpu float32"
    assert "install a C compiler" in error


def test_a_library_of_another_machine_is_as_good_as_none(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    for content in (b"not a library", b"\x7fELF" + bytes(60)):
        (tmp_path / LIBRARY).write_bytes(content)
        output = run(sys.executable, "-c", ASK_KERNELS, cwd=tmp_path, PYTHONPATH=str(tmp_path)).splitlines()
        assert output == [str(tmp_path / "l2a_ros" / "__init__.py"), "[]"]


def test_the_sources_hold_what_the_compiler_needs(tmp_path: Path) -> None:
    source = export(tmp_path / "source")
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    run(sys.executable, "-c", build, cwd=source)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        names = {name.partition("/")[2] for name in sources.getnames()}
        sources.extractall(tmp_path / "unpacked", filter="data")
    assert NATIVE_SOURCES <= names
    assert {str(file.relative_to(ROOT)) for file in (ROOT / "l2a_ros").rglob("*.py")} <= names
    assert shared_files() <= names
    assert not [name for name in names if name.endswith(".so")]
    [unpacked] = (tmp_path / "unpacked").iterdir()
    wheel = build_wheel(unpacked, tmp_path)
    assert {f"lib/l2a_ros/{name}" for name in NODES} <= set(wheel_data(tmp_path))
    assert not has_compiler or LIBRARY in zipfile.ZipFile(wheel).namelist()


def test_an_editable_wheel_holds_the_nodes_too(tmp_path: Path) -> None:
    source = export(tmp_path / "source")
    # The step of `pip install -e` that makes the wheel: installing it would replace the installation under test.
    build = f"from setuptools import build_meta; build_meta.build_editable({str(tmp_path)!r})"
    run(sys.executable, "-c", build, cwd=source)
    data = wheel_data(tmp_path)
    assert {f"lib/l2a_ros/{name}" for name in NODES} <= set(data)
    assert all((data[f"lib/l2a_ros/{name}"].external_attr >> 16) & stat.S_IXUSR for name in NODES)
    assert "share/l2a_ros/package.xml" in data


def test_colcon_installs_the_nodes_and_all_shared_files(workspace: Path) -> None:
    prefix = workspace / "install" / "l2a_ros"
    for name in NODES:
        assert os.access(prefix / "lib" / "l2a_ros" / name, os.X_OK), name
    share = prefix / "share" / "l2a_ros"
    assert shared_files() <= {str(file.relative_to(share)) for file in share.rglob("*")}
    assert (prefix / "share" / "ament_index" / "resource_index" / "packages" / "l2a_ros").is_file()


@needs_compiler
def test_colcon_compiles_and_installs_the_rollout(workspace: Path, tmp_path: Path) -> None:
    prefix = workspace / "install" / "l2a_ros"
    assert len(list(prefix.rglob(Path(LIBRARY).name))) == 1
    assert not list((workspace / "src").rglob("*.so")), "nothing is built among the sources"
    output = run("bash", "-c", f'. "{workspace}/install/setup.bash" && python3 -c "{ASK_KERNELS}"', cwd=tmp_path)
    where, kernels = output.splitlines()
    assert where.startswith(str(prefix))
    assert "PORTABLE" in kernels


def test_a_sourced_workspace_runs_its_own_code_with_its_own_files(workspace: Path, tmp_path: Path) -> None:
    setup = workspace / "install" / "setup.bash"
    where = ("import l2a_ros; from l2a_ros.robot.share import share_directory; "
             "print(l2a_ros.__file__); print(share_directory())")
    output = run("bash", "-c", f'. "{setup}" && l2a --version && python3 -c "{where}"', cwd=tmp_path).splitlines()
    assert output[0] == f"l2a_ros {l2a_ros.__version__}"
    assert all(line.startswith(str(workspace / "install")) for line in output[1:]), output


def test_a_node_of_a_sourced_workspace_starts_by_its_executable(workspace: Path, tmp_path: Path) -> None:
    setup = workspace / "install" / "setup.bash"
    executable = workspace / "install" / "l2a_ros" / "lib" / "l2a_ros" / "mpc"
    # A bad value: the node reads its parameters and refuses, which needs no other node.
    output = run("bash", "-c", f'. "{setup}"; "{executable}" --ros-args -p method:=nonsense; test $? -eq 2',
                 cwd=tmp_path)
    assert "mpc: error: " in output


def test_symlinks_work_too(tmp_path: Path) -> None:
    export(tmp_path / "src" / "l2a_ros")
    run(sys.executable, "-m", "colcon", "--log-level", "error", "build", "--symlink-install", cwd=tmp_path)
    prefix = tmp_path / "install" / "l2a_ros"
    assert all(os.access(prefix / "lib" / "l2a_ros" / name, os.X_OK) for name in NODES)
    assert os.access(prefix / "bin" / "l2a", os.X_OK)
    assert (prefix / "share" / "l2a_ros" / "package.xml").is_file()
    output = run("bash", "-c", f'. "{tmp_path}/install/setup.bash" && python3 -c "{ASK_KERNELS}"', cwd=tmp_path)
    where, kernels = output.splitlines()
    assert where.startswith(str(tmp_path))
    assert not has_compiler or "PORTABLE" in kernels
