# SPDX-License-Identifier: Apache-2.0
"""The `l2a` command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from l2a_ros.cli import meta_train
from l2a_ros.cli.main import main, subcommands


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "l2a_ros.cli", *arguments], cwd=cwd, text=True, capture_output=True,
                          check=False)


def test_the_subcommands_are_found() -> None:
    assert {"record", "sim", "trial"} <= {module.__name__.rpartition(".")[2] for module in subcommands()}


def test_help_is_quick_because_nothing_heavy_is_imported(tmp_path: Path) -> None:
    code = ("import sys\ntry:\n    from l2a_ros.cli.main import main\n    main(['--help'])\nexcept SystemExit: pass\n"
            "heavy = {'torch', 'mujoco', 'rclpy', 'scipy', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(("arguments", "words"), [
    (["--path", "cirlce"], "unknown path 'cirlce'; known: "),
    (["--terrain", "lava"], "unknown terrain 'lava'; known: carpet"),
    (["--fault", "missing_leg:sixth"], "sixth"),
    (["--fault", "missing_leg:front_right", "--fault", "motor_gain:right"], "motor_gain:SIDE,FACTOR"),
    (["--clock", "fast"], "clock must be"),
    (["--checkpoint", "none.safetensors"], "does not exist"),
])
def test_bad_input_is_one_line_and_nothing_starts(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = run("sim", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("l2a: error: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_nobody_reads_on(tmp_path: Path) -> None:
    """As in ``l2a evaluate … | head -1``; a pipe that breaks elsewhere is an error like any other."""
    code = ("import argparse, sys\nfrom l2a_ros.cli import main\n"
            "main.make_parser = lambda: argparse.ArgumentParser()\n"
            "def lines(args):\n    while True: print('line')\n"
            "def elsewhere(args): raise BrokenPipeError('elsewhere')\n"
            "argparse.ArgumentParser.parse_args = lambda *_: argparse.Namespace(run={})\nsys.exit(main.main())")
    with subprocess.Popen([sys.executable, "-c", code.format("lines")], cwd=tmp_path, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
    other = subprocess.run([sys.executable, "-c", code.format("elsewhere")], cwd=tmp_path, text=True,
                           capture_output=True, check=False)
    assert other.returncode == 1
    assert "BrokenPipeError: elsewhere" in other.stderr


def test_what_was_asked_for_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's card keeps the command that made it, also of a training that an experiment begins."""
    seen: list[str] = []
    monkeypatch.setattr(meta_train, "run", lambda args: seen.append(args.command_line) or 0)
    monkeypatch.setattr(sys, "argv", ["l2a", "meta-train", "--bags", "my data", "--out", "a.safetensors"])
    assert main() == 0
    assert main(["meta-train", "--bags", "b", "--out", "c.safetensors", "--method", "mb"]) == 0
    assert seen == ["l2a meta-train --bags 'my data' --out a.safetensors",
                    "l2a meta-train --bags b --out c.safetensors --method mb"]


def test_a_bag_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "--out", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
