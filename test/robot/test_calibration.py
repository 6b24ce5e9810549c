# SPDX-License-Identifier: Apache-2.0
"""Calibration files: every field arrives; every bad file is one line that names it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2a_ros.errors import UserError
from l2a_ros.robot.calibration import Calibration, Mounting, load_calibration

ALL = """
swap_sides: true
leg_signs: [-1, 1.0]
leg_zeros: [0.25, -3]
imu_rotation:
  - [0, 1, 0]
  - [-1, 0, 0]
  - [0, 0, 1]
gyro_bias: [0.1, -0.2, 1.3]
acceleration_bias: [0.5, 0, -0.5]
acceleration_scale: [0.96, 1, 1.04]
driver_corrects_imu: false
imu_position: [0.01, 0, -0.02]
mocap_position: [0, 0.003, 0.04]
mocap_rotation: [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
"""
BAD = {
    "list": "- 1\n- 2", "word": "yes please", "number": "3", "unknown": "leg_sign: [1, 1]",
    "no name": "1: 2", "unfinished": "leg_signs: [1, 1", "tabs": "a:\n\t- b", "several": "---\na: 1\n---\nb: 2",
    "swap number": "swap_sides: 1", "swap text": "swap_sides: 'no'", "swap list": "swap_sides: [true]",
    "sign 0": "leg_signs: [0, 1]", "sign half": "leg_signs: [1, 0.5]", "sign 2": "leg_signs: [2, 1]",
    "one sign": "leg_signs: [1]", "three signs": "leg_signs: [1, 1, 1]", "sign alone": "leg_signs: 1",
    "sign truth": "leg_signs: [true, true]", "no signs": "leg_signs: []", "sign map": "leg_signs: {left: 1, right: 1}",
    "nested": "leg_zeros: [[1, 2], [3, 4]]", "zero text": "leg_zeros: [a, b]", "zero far": "leg_zeros: [0, 11]",
    "zero nan": "leg_zeros: [.nan, 0]", "zero inf": "leg_zeros: [0, -.inf]", "zero null": "leg_zeros: [null, 0]",
    "zero huge": f"leg_zeros: [0, 1{'0' * 400}]", "zero endless": f"leg_zeros: [0, 1{'0' * 5000}]",
    "date": "leg_zeros: [2024-13-45, 0]", "bias far": "gyro_bias: [0, 0, 2.1]", "bias two": "gyro_bias: [0, 0]",
    "bias text": "gyro_bias: none", "acceleration far": "acceleration_bias: [6, 0, 0]",
    "scale": "acceleration_scale: [1, 1, 1.3]", "scale zero": "acceleration_scale: [0, 1, 1]",
    "mirror": "imu_rotation: [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]",
    "skew": "imu_rotation: [[1, 0.1, 0], [0, 1, 0], [0, 0, 1]]", "flat": "imu_rotation: [1, 0, 0, 0, 1, 0, 0, 0, 1]",
    "two rows": "imu_rotation: [[1, 0, 0], [0, 1, 0]]", "short row": "imu_rotation: [[1, 0], [0, 1, 0], [0, 0, 1]]",
    "deep row": "imu_rotation: [[[1], 0, 0], [0, 1, 0], [0, 0, 1]]",
    "mixed rows": "imu_rotation: [[1, 0, 0], 5, [0, 0, 1]]", "four rows":
        "imu_rotation: [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]",
    "switch number": "driver_corrects_imu: 0", "far unit": "imu_position: [0, 0, 1.5]",
    "far body": "mocap_position: [-2, 0, 0]", "flat body": "mocap_position: [0, 0]",
    "mirrored body": "mocap_rotation: [[1, 0, 0], [0, 1, 0], [0, 0, -1]]", "body row": "mocap_rotation: [1, 0, 0]",
    "object": "leg_signs: !!python/object/apply:os.getcwd []", "abyss": "[" * 5000, "lines": '"a\\nb": 1',
}


def written(folder: Path, text: str | bytes) -> str:
    file = folder / "robot 7.yaml"
    if isinstance(text, str):
        file.write_text(text, encoding="utf-8")
    else:
        file.write_bytes(text)
    return str(file)


def refused(path: str) -> str:
    with pytest.raises(UserError) as caught:
        load_calibration(path)
    text = str(caught.value)
    assert "\n" not in text and path in text and "calibration" in text
    return text


def test_every_field(tmp_path: Path) -> None:
    assert load_calibration(written(tmp_path, ALL)) == Calibration(
        swap_sides=True, leg_signs=(-1, 1), leg_zeros=(0.25, -3), imu_rotation=((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
        gyro_bias=(0.1, -0.2, 1.3), acceleration_bias=(0.5, 0, -0.5), acceleration_scale=(0.96, 1, 1.04),
        driver_corrects_imu=False, imu_position=(0.01, 0, -0.02), mocap_position=(0, 0.003, 0.04),
        mocap_rotation=((0, 0, 1), (1, 0, 0), (0, 1, 0)))


def test_the_default_changes_nothing() -> None:
    default = Calibration()
    assert load_calibration("") == default
    assert default.leg_signs == (1, 1) and default.leg_zeros == (0, 0) and not default.swap_sides
    assert default.gyro_bias is None and default.acceleration_scale == (1, 1, 1)
    assert default.imu_rotation == ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def test_the_estimator_corrects_what_the_driver_does_not(tmp_path: Path) -> None:
    calibration = load_calibration(written(tmp_path, ALL))
    placed = Mounting((0, 0.003, 0.04), ((0, 0, 1), (1, 0, 0), (0, 1, 0)), (0.01, 0, -0.02))
    assert replace(calibration, driver_corrects_imu=True).mounting == placed
    assert calibration.mounting == replace(
        placed, imu_rotation=((0, 1, 0), (-1, 0, 0), (0, 0, 1)), gyro_bias=(0.1, -0.2, 1.3),
        acceleration_bias=(0.5, 0, -0.5), acceleration_scale=(0.96, 1, 1.04))
    assert replace(calibration, gyro_bias=None).mounting.gyro_bias == (0, 0, 0)
    assert Calibration().mounting == Mounting()


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "null", "---\n", "{}", "gyro_bias: null", "swap_sides:"])
def test_without_content(tmp_path: Path, text: str) -> None:
    assert load_calibration(written(tmp_path, text)) == Calibration()


def test_part_of_the_fields(tmp_path: Path) -> None:
    assert load_calibration(written(tmp_path, "leg_zeros: [1, 2]")) == Calibration(leg_zeros=(1, 2))


@pytest.mark.parametrize("name", BAD)
def test_bad_content(tmp_path: Path, name: str) -> None:
    refused(written(tmp_path, BAD[name]))


@pytest.mark.parametrize(("name", "says"), [
    ("unknown", "leg_sign;"), ("list", "must hold"), ("sign 0", "leg_signs must be 1 or -1"),
    ("zero far", "leg_zeros must be 2 numbers from -10 to 10"), ("mirror", "must be a rotation"),
    ("swap number", "swap_sides must be true or false"), ("unfinished", "is not YAML")])
def test_what_to_do(tmp_path: Path, name: str, says: str) -> None:
    assert says in refused(written(tmp_path, BAD[name]))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    refused(written(tmp_path, b"\xff\xfe\x00leg"))


def test_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refused(str(tmp_path / "none.yaml"))


def test_folder(tmp_path: Path) -> None:
    refused(str(tmp_path))


@pytest.mark.parametrize("path", ["~nobody_of_this_name/robot.yaml", "robot\0.yaml"])
def test_path_that_is_none(path: str) -> None:
    refused(path)


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path, "swap_sides: true")
    assert load_calibration("~/robot 7.yaml").swap_sides


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(sorted(
    Calibration.__dataclass_fields__)).flatmap(lambda name: st.text("[]{}-:.0123456789 ,'\"!&*?|>e\n", max_size=40).map(
        lambda text: f"{name}: {text}")))
def test_any_text_is_a_calibration_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = written(tmp_path_factory.getbasetemp(), text)
    try:
        assert isinstance(load_calibration(path), Calibration)
    except UserError as error:
        assert path in str(error)
