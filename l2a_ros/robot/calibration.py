# SPDX-License-Identifier: Apache-2.0
"""What is particular to one robot: which side is which, where its legs' zero is, how its sensors sit on the body.

One file per robot, for the driver and for the estimator. Whoever publishes the readings of the inertial unit corrects
them, if he knows this file, as our serial driver does; ``driver_corrects_imu: false`` is for one that does not: then
the estimator corrects them. :attr:`Calibration.mounting` is what is left for the estimator to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from l2a_ros.errors import UserError

Vector = tuple[float, ...]
Rows = tuple[tuple[float, ...], ...]
NOWHERE: Vector = (0.0, 0.0, 0.0)
UNTURNED: Rows = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
UNSCALED: Vector = (1.0, 1.0, 1.0)
#: Fields of :class:`Calibration` that are no plain list of numbers.
SWITCHES = ("swap_sides", "driver_corrects_imu")
ROTATIONS = ("imu_rotation", "mocap_rotation")


@dataclass(frozen=True)
class Mounting:
    """How the sensors sit on the body, as far as the estimator has to know it.

    Args:
        mocap_position: origin of the body that motion capture tracks, in ``base_link`` ``(3,)``, m.
        mocap_rotation: its axes are the columns, in ``base_link``: turns its vectors into ``base_link`` ``(3, 3)``.
        imu_position: of the inertial unit in ``base_link`` ``(3,)``, m.
        imu_rotation: turns published readings into ``base_link`` ``(3, 3)``.
        gyro_bias: to be taken off published readings first ``(3,)``, rad/s.
        acceleration_bias: likewise ``(3,)``, m/s^2.
        acceleration_scale: of what is left then ``(3,)``.
    """

    mocap_position: Vector = NOWHERE
    mocap_rotation: Rows = UNTURNED
    imu_position: Vector = NOWHERE
    imu_rotation: Rows = UNTURNED
    gyro_bias: Vector = NOWHERE
    acceleration_bias: Vector = NOWHERE
    acceleration_scale: Vector = UNSCALED


@dataclass(frozen=True)
class Calibration:
    """Of one robot; the defaults are those of a robot that is built as published.

    Args:
        swap_sides: whether the firmware's first motor is the right one ("order for wiring").
        leg_signs: of left and right leg: -1 where the firmware counts backwards.
        leg_zeros: readings of left and right leg when they are at zero, rad.
        imu_rotation: how the inertial unit sits: rows are x, y and z of ``base_link`` in its own axes ``(3, 3)``.
        gyro_bias: rad/s in the unit's own axes ``(3,)``; None to measure it at rest.
        acceleration_bias: m/s^2 in the unit's own axes ``(3,)``.
        acceleration_scale: factors on the unit's own axes ``(3,)``.
        driver_corrects_imu: whether published readings have been through the four above already.
        imu_position: of the inertial unit in ``base_link`` ``(3,)``, m.
        mocap_position: origin of the body that motion capture tracks, in ``base_link`` ``(3,)``, m.
        mocap_rotation: its axes are the columns, in ``base_link`` ``(3, 3)``.
    """

    swap_sides: bool = False
    leg_signs: tuple[float, ...] = (1.0, 1.0)
    leg_zeros: tuple[float, ...] = (0.0, 0.0)
    imu_rotation: Rows = UNTURNED
    gyro_bias: Vector | None = None
    acceleration_bias: Vector = NOWHERE
    acceleration_scale: Vector = UNSCALED
    driver_corrects_imu: bool = True
    imu_position: Vector = NOWHERE
    mocap_position: Vector = NOWHERE
    mocap_rotation: Rows = UNTURNED

    @property
    def mounting(self) -> Mounting:
        """What the estimator has to know of it."""
        placed = Mounting(self.mocap_position, self.mocap_rotation, self.imu_position)
        if self.driver_corrects_imu:
            return placed
        return replace(placed, imu_rotation=self.imu_rotation, gyro_bias=self.gyro_bias or NOWHERE,
                       acceleration_bias=self.acceleration_bias, acceleration_scale=self.acceleration_scale)

    def __post_init__(self) -> None:
        for name, count, low, high in (("leg_signs", 2, -1.0, 1.0), ("leg_zeros", 2, -10.0, 10.0),
                                       ("acceleration_bias", 3, -5.0, 5.0), ("acceleration_scale", 3, 0.8, 1.2),
                                       ("imu_position", 3, -1.0, 1.0), ("mocap_position", 3, -1.0, 1.0)):
            _check(name, getattr(self, name), count, low, high)
        if self.gyro_bias is not None:
            _check("gyro_bias", self.gyro_bias, 3, -2.0, 2.0)
        if any(abs(sign) != 1.0 for sign in self.leg_signs):
            raise UserError(f"calibration: leg_signs must be 1 or -1, not {list(self.leg_signs)}")
        for name in ROTATIONS:
            for row in getattr(self, name):
                _check(name, row, 3, -1.0, 1.0)
            rotation = np.array(getattr(self, name))
            if rotation.shape != (3, 3) or np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or (
                    np.linalg.det(rotation) < 0.0):
                raise UserError(f"calibration: {name} must be a rotation matrix of three rows")


def _check(name: str, values: Any, count: int, low: float, high: float) -> None:
    if len(values) != count or not all(
            isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
            for value in values):
        raise UserError(f"calibration: {name} must be {count} numbers from {low:g} to {high:g}, not {list(values)}")


def load_calibration(path: str) -> Calibration:
    """Read a calibration file: YAML with the fields of :class:`Calibration`, all optional; no path is the default.

    Raises:
        UserError: if it cannot be read, or holds something else.
    """
    if not path:
        return Calibration()
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"calibration {path} cannot be read: {error.strerror}; name another file, or none") from None
    except (ValueError, RuntimeError) as error:
        raise UserError(f"calibration {path} cannot be read: {error}; name another file, or none") from None
    try:
        content = yaml.safe_load(text)
    # PyYAML lets through what Python says of dates and numbers that are none.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"calibration {path} is not YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return Calibration()
    known = {field.name for field in fields(Calibration)}
    if not isinstance(content, Mapping):
        raise UserError(f"calibration {path} must hold names with values; known: {', '.join(sorted(known))}")
    if unknown := sorted(map(str, set(content) - known)):
        raise UserError(f"calibration {path}: unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    values = {name: value for name, value in content.items() if value is not None}
    for name, value in values.items():
        if name in SWITCHES:
            if not isinstance(value, bool):
                raise UserError(f"calibration {path}: {name} must be true or false")
            continue
        if not isinstance(value, list) or not value:
            raise UserError(f"calibration {path}: {name} must be a list")
        values[name] = tuple(tuple(row) if isinstance(row, list) else row for row in value)
    for name in ROTATIONS:
        if not all(isinstance(row, tuple) for row in values.get(name, ((),))):
            raise UserError(f"calibration {path}: {name} must be a list of three rows")
    try:
        return Calibration(**values)
    except UserError as error:
        raise UserError(f"{error} (in {path})") from None
