# SPDX-License-Identifier: Apache-2.0
"""Where the faults of a run are written: flags and launch arguments, a YAML file of faults, the parameter file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from l2a_ros.errors import UserError
from l2a_ros.simulation.faults import parse_faults

_FILES = (".yaml", ".yml")
#: Last words of the names under which a parameter file may hold the simulated robot's parameters.
_NODES = ("**", "*", "mujoco_sim", "firmware_emulator")


def read_faults(given: str | Sequence[str]) -> tuple[str, ...]:
    """Split and check fault texts; within one text several are separated by ``;`` or white space.

    A text that ends in ``.yaml`` or ``.yml`` is a file with a list of them under the key ``faults``.

    Raises:
        UserError: for a fault that does not parse, or a file that cannot be used.
    """
    faults: list[str] = []
    for text in [given] if isinstance(given, str) else given:
        # A file's name may hold a space.
        words = [text.strip()] if text.strip().endswith(_FILES) and Path(text.strip()).is_file() else (
            re.split(r"[;\s]+", text))
        for word in words:
            faults += _read_file(Path(word)) if word.endswith(_FILES) else [word] * bool(word)
    parse_faults(faults)
    return tuple(faults)


def config_faults(*configs: Path) -> tuple[str, ...]:
    """Return the faults that parameter files give the simulated robot; more than one place, and the last one counts.

    Raises:
        UserError: for what is not a list of faults.
    """
    faults: list[str] = []
    for config in configs:
        for parameters in _sections(yaml.safe_load(config.read_text(encoding="utf-8")), ""):
            if "faults" in parameters:
                faults = _texts(parameters["faults"], config)
        try:
            parse_faults(faults)
        except UserError as error:
            raise UserError(f"config {config}: {error}") from None
    return tuple(faults)


def _read_file(path: Path) -> list[str]:
    path = path.expanduser()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"fault file {path} is not YAML: {error}") from None
    except OSError as error:
        raise UserError(f"fault file {path} cannot be read: {error.strerror}") from None
    if not isinstance(content, dict) or "faults" not in content:
        raise UserError(f"fault file {path} must hold a list of faults under the key 'faults'")
    return _texts(content["faults"], path)


def _texts(value: Any, path: Path) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UserError(f"{path}: faults must be a list of texts such as 'missing_leg:front_right@5.0'")
    return [item.strip() for item in value if item.strip()]


def _sections(content: Any, name: str) -> Iterator[dict[str, Any]]:
    """Yield the parameters of every section that is the simulated robot's, in the order of the file."""
    if not isinstance(content, dict):
        return
    for key, inner in content.items():
        if key == "ros__parameters":
            if name.split("/")[-1] in _NODES and isinstance(inner, dict):
                yield inner
        else:
            yield from _sections(inner, str(key))
