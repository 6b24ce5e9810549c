# SPDX-License-Identifier: Apache-2.0
"""Bad input ends in one line and a non-zero exit before any process is started."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scenario import l2a

from l2a_ros.cli.main import main
from l2a_ros.learning.checkpoint_file import shipped_checkpoint


def altered_checkpoint(path: Path, **card: Any) -> Path:
    """Write the shipped checkpoint with other words on its card."""
    shipped = str(shipped_checkpoint("grbal"))
    with safe_open(shipped, framework="pt") as file:
        metadata = file.metadata()
    words = json.loads(metadata["l2a_ros"]) | card
    save_file(load_file(shipped), path, metadata={"l2a_ros": json.dumps(words)})
    return path


def bad_checkpoints(folder: Path) -> dict[str, tuple[Path, str]]:
    """Write checkpoints that will not do; return them with what must be said about them."""
    shipped = shipped_checkpoint("grbal").read_bytes()
    truncated, empty, text, foreign = (folder / f"{name}.safetensors" for name in ("trunc", "empty", "text", "foreign"))
    truncated.write_bytes(shipped[:len(shipped) // 2])
    empty.write_bytes(b"")
    text.write_text("this is no model")
    save_file({"weight": torch.zeros(3, 3)}, foreign)
    with safe_open(str(shipped_checkpoint("grbal")), framework="pt") as file:
        names = json.loads(file.metadata()["l2a_ros"])["state_names"]
    return {
        "missing": (folder / "nowhere.safetensors", "does not exist"),
        "a folder": (folder, "is not a file"),
        "truncated": (truncated, "damaged or truncated"),
        "empty": (empty, "damaged or truncated"),
        "text": (text, "damaged or truncated"),
        "foreign": (foreign, "not a checkpoint of l2a_ros"),
        "other layout": (altered_checkpoint(folder / "layout.safetensors", state_names=[*names[:-1], "tail_angle"]),
                         "tail_angle"),
        "layout in another order": (altered_checkpoint(folder / "order.safetensors", state_names=names[::-1]),
                                    "layout"),
        "other sizes": (altered_checkpoint(folder / "sizes.safetensors", hidden_sizes=[64, 64]), "does not fit"),
        "other format": (altered_checkpoint(folder / "format.safetensors", format=99), "format 99"),
        "other method": (shipped_checkpoint("mb"), "trained for method 'mb', not 'grbal'"),
    }


def assert_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: Path, message: str,
                    *arguments: object) -> None:
    """Run ``l2a sim``: it must say one line and start no process."""
    def no_process(*args: object, **_: object) -> None:
        pytest.fail(f"a process was started: {args}")

    monkeypatch.setattr(subprocess, "Popen", no_process)
    assert main(["sim", "--out", str(out), *map(str, arguments)]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("l2a: error: ")
    assert errors.count("\n") == 1, errors
    assert message in errors
    assert not out.exists(), "nothing is written either"


UNKNOWN_PATH = "unknown path 'spiral'; known: circle, drawn, figure8, left, right, straight, u_turn, zigzag"


@pytest.mark.parametrize(("arguments", "message"), [
    (("--path", "spiral"), UNKNOWN_PATH),
    (("--path", "none.yaml"), "none.yaml"),
    (("--terrain", "lava"), "unknown terrain 'lava'; known: carpet, carpet_to_turf, gravel"),
    (("--method", "magic"), "unknown method 'magic'; known: grbal, mb"),
    (("--planner", "crystal_ball"), "unknown planner 'crystal_ball'; known: cem, mppi, random_shooting"),
    (("--fault", "lost_head"), "unknown fault 'lost_head'; known: battery, dead_motor, "),
    (("--fault", "missing_leg:seventh"), "unknown part 'seventh'"),
    (("--fault", "motor_gain:right,strong"), "'strong' must be a number"),
    (("--fault", "missing_leg:front_right@soon"), "'soon' must be a number"),
    (("--clock", "sundial"), "clock must be real, lockstep or a factor"),
    (("--clock", "-1"), "clock"),
    (("--duration", "0"), "duration must be more than 0 s"),
    (("--duration", "nan"), "duration"),
    (("--seed", "-3"), "seed must be a whole number"),
    (("--record", "maybe"), "record must be true or false"),
    (("--config", "none.yaml"), "does not exist"),
])
def test_bad_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                   arguments: tuple[str, str], message: str) -> None:
    assert_one_line(monkeypatch, capsys, tmp_path / "out", message, *arguments)


def test_bad_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for path, message in bad_checkpoints(tmp_path).values():
        assert_one_line(monkeypatch, capsys, tmp_path / "out", message, "--checkpoint", path)


def test_bad_input_of_the_command(tmp_path: Path) -> None:
    done = l2a("sim", "--out", tmp_path / "out", "--path", "spiral")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"l2a: error: {UNKNOWN_PATH}\n"
