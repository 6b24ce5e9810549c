# SPDX-License-Identifier: Apache-2.0
"""Writes what was measured into a robot's calibration file; all else in it stays as it is, comments too."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from l2a_ros.errors import UserError
from l2a_ros.robot.calibration import Calibration, load_calibration

#: Of what is written: a micrometre, a 5000th of a degree.
DECIMALS = 6
#: Of a file that is made anew.
_TITLE = "What is particular to this robot (docs/calibration.md). All of it is optional.\n"
#: Above a field that was not there before.
_COMMENTS = {
    "imu_rotation": "rows: x (forward), y (left), z (up) of base_link in the inertial unit's own axes",
    "gyro_bias": "rad/s in the unit's own axes; null: the driver measures it at rest after every connection",
    "acceleration_scale": "per axis of the unit: what its readings are multiplied with",
    "driver_corrects_imu": "false: the driver publishes the unit's own readings, the estimator corrects them",
    "mocap_position": "m: origin of the tracked body in base_link",
    "mocap_rotation": "columns: x, y, z of the tracked body in base_link",
}


def save_calibration(out: Path, base: str, changes: Mapping[str, Any]) -> Calibration:
    """Write a calibration file; who reads it meanwhile sees the old one or the new one, whole.

    Args:
        out: the file to write.
        base: the file whose content is kept, which may be the same; empty for none.
        changes: fields of :class:`Calibration` with their values.

    Returns:
        What the file now says.

    Raises:
        UserError: if ``base`` cannot be read, a value will not do, or ``out`` cannot be written.
    """
    changes = {name: _rounded(value) for name, value in changes.items()}
    wanted = replace(load_calibration(base), **changes)
    text = _merged(base, changes)
    try:
        handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # Whatever was in the old text, the new one has to be read as what was measured.
            if load_calibration(name) != wanted:
                raise UserError(f"{base} cannot be kept as it is written; leave out what is special of its YAML "
                                "(anchors, merges), or give another --out and no --calibration")
            os.chmod(name, out.stat().st_mode if out.exists() else 0o644)
            os.replace(name, out)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}; name another file with --out") from None
    return wanted


def _merged(base: str, changes: Mapping[str, Any]) -> str:
    text = Path(base).expanduser().read_text(encoding="utf-8") if base else ""
    yaml = YAML()
    yaml.width = 120
    yaml.Representer = _Representer
    yaml.indent(sequence=4, offset=2)
    try:
        content = yaml.load(text)
    except YAMLError as error:
        # Stricter than PyYAML: a name that is there twice, for one.
        raise UserError(f"calibration {base} cannot be kept: {' '.join(str(error).split())}") from None
    if content is None:
        # Nothing, or nothing but comments.
        content = CommentedMap()
        comments = [line for line in text.splitlines() if line.lstrip().startswith("#")]
        content.yaml_set_start_comment("\n".join([*comments, ""]) if comments else _TITLE)
    for name, value in changes.items():
        is_new = name not in content
        content[name] = _plain(value)
        if is_new and name in _COMMENTS:
            content.yaml_set_comment_before_after_key(name, before=_COMMENTS[name])
    written = io.StringIO()
    yaml.dump(content, written)
    return written.getvalue()


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_rounded, value))
    # Adding zero turns -0.0 into 0.0.
    return round(value, DECIMALS) + 0.0 if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    """Return a value as YAML has it: numbers in one line, rows below each other."""
    if not isinstance(value, tuple):
        return value
    sequence = CommentedSeq(_plain(each) for each in value)
    if not any(isinstance(each, tuple) for each in value):
        sequence.fa.set_flow_style()
    return sequence


class _Representer(RoundTripRepresenter):
    """Writes numbers without an exponent: PyYAML reads 1e-05 as a text."""


def _write_number(representer: _Representer, value: float) -> Any:
    text = f"{value:.{DECIMALS}f}".rstrip("0")
    return representer.represent_scalar("tag:yaml.org,2002:float", f"{text}0" if text.endswith(".") else text)


_Representer.add_representer(float, _write_number)
