# SPDX-License-Identifier: Apache-2.0
"""Writing a calibration file: what is new is there, what was there stays, and nothing is ever half written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.robot import calibration_file
from l2a_ros.robot.calibration import Calibration, load_calibration
from l2a_ros.robot.calibration_file import save_calibration

TURNED = ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
OLD = """# robot 7, since March
leg_signs: [-1, 1]              # wired by me
imu_rotation:                   # rows
  - [1, 0, 0]
  - [0, 1, 0]
  - [0, 0, 1]
gyro_bias: null                 # at rest
swap_sides: yes
"""


def test_a_new_file(tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    after = save_calibration(file, "", {"gyro_bias": (0.1, -0.00001, -1e-9), "imu_rotation": TURNED})
    assert after == load_calibration(str(file)) == Calibration(gyro_bias=(0.1, -0.00001, 0.0), imu_rotation=TURNED)
    assert "docs/calibration.md" in file.read_text() and "rad/s in the unit's own axes" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_what_was_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(OLD)
    file.chmod(0o600)
    after = save_calibration(file, str(file), {"gyro_bias": (0.5, 0.0, 1.0), "mocap_position": (0.0, 0.01, 0.0)})
    assert after == load_calibration(str(file)) == Calibration(
        leg_signs=(-1, 1), swap_sides=True, gyro_bias=(0.5, 0.0, 1.0), mocap_position=(0.0, 0.01, 0.0))
    text = file.read_text()
    for kept in ("# robot 7, since March", "leg_signs: [-1, 1]              # wired by me", "# rows",
                 "# at rest", "swap_sides: yes"):
        assert kept in text
    assert file.stat().st_mode & 0o777 == 0o600


def test_into_another_file(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(OLD)
    save_calibration(tmp_path / "new.yaml", str(tmp_path / "old.yaml"), {"imu_rotation": TURNED})
    assert (tmp_path / "old.yaml").read_text() == OLD
    assert load_calibration(str(tmp_path / "new.yaml")).imu_rotation == TURNED


@pytest.mark.parametrize(("text", "kept"), [
    ("", ""), ("# mine\n", "# mine"), ("---\n# mine\n", "# mine"), ("{leg_signs: [1, -1]}", "leg_signs: [1, -1]"),
    ("leg_signs: &a [1, -1]\nleg_zeros: *a\n", "leg_zeros: *a"), ("null", ""), ("leg_zeros: [012, 1.50]", "012")])
def test_however_it_is_written(tmp_path: Path, text: str, kept: str) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(text)
    before = load_calibration(str(file))
    after = save_calibration(file, str(file), {"gyro_bias": (1.0, 0.0, 0.0)})
    assert kept in file.read_text()
    assert (after.leg_signs, after.leg_zeros, after.gyro_bias) == (before.leg_signs, before.leg_zeros, (1.0, 0.0, 0.0))


@pytest.mark.parametrize(("text", "changes", "says"), [
    ("leg_signs: [1, 1]\nleg_signs: [-1, 1]\n", {"gyro_bias": (1.0, 0.0, 0.0)}, "cannot be kept"),
    ("unknown: 1", {"gyro_bias": (1.0, 0.0, 0.0)}, "unknown unknown"),
    (OLD, {"gyro_bias": (9.0, 0.0, 0.0)}, "gyro_bias must be"),
    (OLD, {"mocap_rotation": ((1.0, 0.0, 0.0),) * 3}, "mocap_rotation must be a rotation")])
def test_refused_and_left_alone(tmp_path: Path, text: str, changes: dict[str, object], says: str) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        save_calibration(file, str(file), changes)
    assert "\n" not in str(caught.value)
    assert file.read_text() == text and list(tmp_path.iterdir()) == [file]


def test_what_would_be_read_as_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(OLD)
    monkeypatch.setattr(calibration_file, "_merged", lambda *_: OLD)
    with pytest.raises(UserError, match="cannot be kept as it is written"):
        save_calibration(file, str(file), {"gyro_bias": (1.0, 0.0, 0.0)})
    assert file.read_text() == OLD and list(tmp_path.iterdir()) == [file]


def test_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(OLD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device; name another file"):
        save_calibration(file, str(file), {"gyro_bias": (1.0, 0.0, 0.0)})
    assert file.read_text() == OLD and list(tmp_path.iterdir()) == [file]
    with pytest.raises(UserError, match="cannot be written: No such file"):
        save_calibration(tmp_path / "none" / "robot.yaml", "", {})


@settings(max_examples=30)
@given(st.tuples(*[st.floats(-2.0, 2.0)] * 3), st.tuples(*[st.floats(-1.0, 1.0)] * 3), st.booleans())
def test_any_value_comes_back(tmp_path_factory: pytest.TempPathFactory, bias: tuple[float, ...],
                              position: tuple[float, ...], corrects: bool) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    base = str(file) if file.exists() else ""
    save_calibration(file, base, {"gyro_bias": bias, "mocap_position": position, "driver_corrects_imu": corrects})
    after = load_calibration(str(file))
    assert after.gyro_bias == pytest.approx(bias, abs=1e-6)
    assert after.mocap_position == pytest.approx(position, abs=1e-6)
    assert after.driver_corrects_imu is corrects
