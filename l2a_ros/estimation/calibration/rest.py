# SPDX-License-Identifier: Apache-2.0
"""What the inertial unit says of a robot at rest: bias of the gyroscope, scale of the accelerometer, where up is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from l2a_ros.estimation.calibration.tracks import ImuTrack, Outcome, PoseTrack, Stillness, blocks, turns
from l2a_ros.estimation.error_state import GRAVITY

#: Least length, s, and readings: their mean is then better than a sixth of one reading's noise.
LEAST_SECONDS, LEAST_READINGS = 2.0, 20
#: Length of a piece in which the robot must be as still as between them, s: shorter than a hand's touch.
PIECE = 0.5
#: At rest the gyroscope spreads by 0.12 deg/s, the accelerometer by 0.05 m/s^2 (measured): five times that is a hand.
GYRO_SPREAD, FORCE_SPREAD = math.radians(0.6), 0.25
#: Medians of pieces differ by less than 0.2 deg/s and 0.06 m/s^2 by noise; 0.15 m/s^2 is a lean by one degree.
GYRO_WAY, FORCE_WAY = math.radians(0.5), 0.15
#: Motion capture of a body at rest spreads by 0.2 mm and 0.1 deg.
POSITION_SPREAD, TURN_SPREAD = 0.001, math.radians(0.5)
POSITION_WAY, TURN_WAY = 0.002, math.radians(0.5)
#: Range of a factor for the accelerometer: the data sheet says 3 % and a bias of 8 %; beyond it is another unit.
LEAST_SCALE, LARGEST_SCALE = 0.85, 1.15
#: The unit's data sheet: 20 deg/s. More has been seen of robots that were moved when they were switched on.
LARGE_BIAS = math.radians(20.0)


@dataclass(frozen=True)
class Rest(Outcome):
    """Of a robot at rest, in the axes of the readings.

    Args:
        gyro_bias: ``(3,)``, rad/s.
        gyro_spread: its standard error ``(3,)``, rad/s.
        force: mean specific force ``(3,)``, m/s^2.
        force_spread: its standard error ``(3,)``, m/s^2.
    """

    gyro_bias: np.ndarray
    gyro_spread: np.ndarray
    force: np.ndarray
    force_spread: np.ndarray

    @property
    def strength(self) -> float:
        """Length of the specific force, m/s^2."""
        return float(np.linalg.norm(self.force))

    @property
    def scale(self) -> float:
        """What the accelerometer is to be multiplied with to show standard gravity."""
        return GRAVITY / self.strength if self.strength > 0.0 else math.inf

    @property
    def lean(self) -> float:
        """Angle between z of the readings and up, rad."""
        return math.acos(max(-1.0, min(1.0, self.force[2] / self.strength))) if self.strength > 0.0 else math.nan


def measure_rest(readings: ImuTrack, poses: PoseTrack | None = None) -> Rest:
    """Measure a robot at rest.

    Args:
        readings: of the inertial unit, 2 s or more of them.
        poses: of the same time, if there are any: they tell of a motion that is too even for the gyroscope to show.
    """
    nothing = np.full(3, math.nan)
    pieces = blocks(readings.seconds, PIECE)
    if len(readings) < LEAST_READINGS or _length(readings) < LEAST_SECONDS or len(pieces) < 2:
        return Rest(nothing, nothing, nothing, nothing,
                    problem=f"only {len(readings)} readings of the inertial unit in {_length(readings):.1f} s; "
                            f"{LEAST_READINGS} in {LEAST_SECONDS:g} s are needed")
    gyro_bias, gyro_spread = _mean(readings.rates, pieces)
    force, force_spread = _mean(readings.forces, pieces)
    found = Rest(gyro_bias, gyro_spread, force, force_spread)
    problem = _motion(readings, pieces) or (motion_of(poses) if poses is not None and len(poses) else "")
    if not problem and not LEAST_SCALE <= found.scale <= LARGEST_SCALE:
        problem = (f"the accelerometer shows {found.strength:.2f} m/s^2 at rest instead of {GRAVITY:.2f}: does it "
                   f"publish m/s^2, gravity included (REP-145)?")
    return Rest(gyro_bias, gyro_spread, force, force_spread, problem=problem)


def motion_of(poses: PoseTrack) -> str:
    """Return what motion capture saw move, empty if nothing did."""
    pieces = blocks(poses.seconds, PIECE)
    if not pieces:
        return "too few poses to tell whether it is at rest"
    for name, unit, factor, values, spread, way in (
            ("moved along", "mm", 1e3, poses.positions, POSITION_SPREAD, POSITION_WAY),
            ("turned about", "deg", math.degrees(1.0), turns(poses.attitudes), TURN_SPREAD, TURN_WAY)):
        still = Stillness.of(values, pieces)
        block, axis = still.worst_spread()
        widest, by = still.widest()
        if still.spreads[block, axis] > spread or by > way:
            axis = widest if by > way else axis
            seen = max(by, float(still.spreads[block, axis]))
            return f"it {name} {'xyz'[axis]} of map by {factor * seen:.1f} {unit}; leave it alone"
    return ""


def _motion(readings: ImuTrack, pieces: list[slice]) -> str:
    """Return what the unit saw move, empty if nothing did."""
    for name, unit, factor, values, spread, way in (
            ("gyroscope", "deg/s", math.degrees(1.0), readings.rates, GYRO_SPREAD, GYRO_WAY),
            ("accelerometer", "m/s^2", 1.0, readings.forces, FORCE_SPREAD, FORCE_WAY)):
        still = Stillness.of(values, pieces)
        block, axis = still.worst_spread()
        shaken = float(still.spreads[block, axis])
        if shaken > spread:
            when = readings.seconds[pieces[block].start] - readings.seconds[0]
            return (f"it moved: {'xyz'[axis]} of the {name} shook by {factor * shaken:.2g} {unit} after {when:.1f} s "
                    f"(at rest less than {factor * spread:.2g}); leave it alone")
        axis, by = still.widest()
        if by > way:
            return (f"it moved: {'xyz'[axis]} of the {name} wandered by {factor * by:.2g} {unit} "
                    f"(at rest less than {factor * way:.2g}); leave it alone")
    return ""


def _length(readings: ImuTrack) -> float:
    return float(readings.seconds[-1] - readings.seconds[0]) if len(readings) else 0.0


def _mean(values: np.ndarray, pieces: list[slice]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean ``(3,)`` and its standard error by the means of pieces; damaged readings count little."""
    low, middle, high = np.percentile(values, [25.0, 50.0, 75.0], axis=0)
    # One good reading in 10^7 is further from the median than four times the distance between the quartiles.
    reach = 4.0 * (high - low)
    kept = np.clip(values, middle - reach, middle + reach)
    means = np.array([kept[each].mean(axis=0) for each in pieces])
    return kept.mean(axis=0), means.std(axis=0, ddof=1) / math.sqrt(len(means))
