# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a program can check."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "l2a_ros"
SOURCES = sorted(PACKAGE.rglob("*.py"))
ALL_SOURCES = sorted(
    file for folder in ("l2a_ros", "launch", "test") for file in (ROOT / folder).rglob("*.py")) + [ROOT / "setup.py"]
#: What the launch files share: installed, they can import it from nowhere else. Nothing else may import it.
LAUNCH_ONLY = "nodes/launch_nodes.py"
#: Folders that may read a clock: they talk to the outside world.
SHELLS = ("nodes", "cli", "bringup")
CLOCKS = {
    *(("time", name) for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
                                  "process_time", "sleep")),
    *(("datetime", name) for name in ("now", "utcnow", "today")), ("date", "today")}
PICKLES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def modules_imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def is_ros(module: str) -> bool:
    top = module.split(".")[0]
    return (top.endswith(("_msgs", "_srvs", "_interfaces"))
            or top in ("rclpy", "launch", "launch_ros", "tf2_ros", "ament_index_python"))


def clock_readings(tree: ast.AST) -> Iterator[str]:
    """Yield the calls of clocks, also through other names: ``from time import monotonic as now``."""
    renamed = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            renamed |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                renamed[alias.asname or alias.name] = alias.name
                if (node.module, alias.name) in CLOCKS:
                    yield f"from {node.module} import {alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if (renamed.get(name, name), node.attr) in CLOCKS:
                yield f"{name}.{node.attr}"


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_only_nodes_import_ros(file: Path) -> None:
    if file.relative_to(PACKAGE).parts[0] == "nodes":
        return
    assert not [module for module in modules_imported(ast.parse(file.read_text())) if is_ros(module)]


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_what_needs_launch_is_not_imported_where_there_may_be_none(file: Path) -> None:
    name = "l2a_ros." + LAUNCH_ONLY.removesuffix(".py").replace("/", ".")
    tree = ast.parse(file.read_text())
    assert name not in modules_imported(tree)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
                and name in (f"{node.module}.{alias.name}" for alias in node.names)]


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_pure_code_reads_no_clock(file: Path) -> None:
    if file.relative_to(PACKAGE).parts[0] in SHELLS:
        return
    assert not list(clock_readings(ast.parse(file.read_text())))


@pytest.mark.parametrize("file", ALL_SOURCES, ids=name_of)
def test_nothing_is_pickled(file: Path) -> None:
    tree = ast.parse(file.read_text())
    assert not [module for module in modules_imported(tree) if module.split(".")[0] in PICKLES]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func) in ("torch.load", "torch.save"):
            pytest.fail(f"line {call.lineno}: {ast.unparse(call.func)} pickles; use safetensors")
        allowed = [word for word in call.keywords if word.arg == "allow_pickle"]
        assert all(isinstance(word.value, ast.Constant) and word.value.value is False for word in allowed)


@pytest.mark.parametrize("file", ALL_SOURCES, ids=name_of)
def test_every_source_names_its_licence(file: Path) -> None:
    assert file.read_text().startswith("# SPDX-License-Identifier: Apache-2.0\n")


@pytest.mark.parametrize(("code", "expected"), [
    ("import time\ntime.monotonic()", True),
    ("from time import perf_counter as now\nnow()", True),
    ("import datetime\ndatetime.datetime.now()", True),
    ("import time as t\nt.time()", True),
    ("clock = time.monotonic", True),
    ("sample.time()\nself.now()", False),
])
def test_clock_readings_are_found(code: str, expected: bool) -> None:
    assert bool(list(clock_readings(ast.parse(code)))) is expected
