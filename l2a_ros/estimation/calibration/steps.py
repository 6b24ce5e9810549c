# SPDX-License-Identifier: Apache-2.0
"""The steps of a calibration: what to do with the robot, and what its sensors then say about the calibration file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from l2a_ros.errors import UserError
from l2a_ros.estimation.calibration.pivot import LEAST_LEVER, levers, measure_pivot
from l2a_ros.estimation.calibration.rest import GYRO_SPREAD, LARGE_BIAS, measure_rest
from l2a_ros.estimation.calibration.standing import LEAST_WAY, measure_standing
from l2a_ros.estimation.calibration.tracks import ImuTrack, PoseTrack, Stillness, imu_track, pose_track
from l2a_ros.estimation.calibration.turning import LEAST_TURN, measure_turning, turned_about
from l2a_ros.estimation.error_state import GRAVITY
from l2a_ros.robot.calibration import NOWHERE, Calibration
from l2a_ros.robot.samples import ImuSample, PoseSample

#: A bias left over that the driver should have taken off, rad/s.
LEFT_OVER = math.radians(1.0)
#: A robot that stands leans less, rad; more of it means that the axes of the readings are not those of the robot.
UPRIGHT = math.radians(15.0)
#: What is looked at while a robot should be still, ns.
WATCHED = 500_000_000
MOCAP, IMU = "mocap", "imu"


@dataclass(frozen=True)
class Heard:
    """What the sensors said meanwhile."""

    poses: Sequence[PoseSample] = ()
    readings: Sequence[ImuSample] = ()

    @property
    def origin(self) -> int:
        """First stamp, ns."""
        return min([each.stamp for each in self.poses[:1]] + [each.stamp for each in self.readings[:1]], default=0)

    def tracks(self) -> tuple[PoseTrack, ImuTrack]:
        """Return both as arrays."""
        return pose_track(self.poses, self.origin), imu_track(self.readings, self.origin)


@dataclass(frozen=True)
class Options:
    """What the person with the robot knows.

    Args:
        heading: which way the robot looks in the step ``mocap``, rad in ``map``; None if it is slid forward.
        pivot: the point of ``base_link`` that is held fixed in the step ``pivot`` ``(3,)``, m.
        reference: which rotation is right already: that of ``mocap``, so that turning the robot gives that of the
            inertial unit, or that of ``imu``.
    """

    heading: float | None = None
    pivot: Sequence[float] = NOWHERE
    reference: str = MOCAP


@dataclass(frozen=True)
class Result:
    """What a step found.

    Args:
        lines: for the person.
        changes: of fields of the calibration.
        problem: why it will not do; empty if it will.
    """

    lines: list[str]
    changes: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Step:
    """One step.

    Args:
        name: its word.
        sensors: that it listens to.
        seconds: how long it listens, unless told otherwise.
        say: what to do.
        watch: what to show meanwhile.
        measure: from the calibration that what was heard has been through, the one found so far, and the options.
    """

    name: str
    sensors: tuple[str, ...]
    seconds: float
    say: Callable[[Options], list[str]]
    watch: Callable[[Heard, Options], str]
    measure: Callable[[Heard, Calibration, Calibration, Options], Result]


def find_steps(names: Sequence[str]) -> list[Step]:
    """Return steps by their words, in the order in which they build on each other.

    Raises:
        UserError: for an unknown word.
    """
    for name in names:
        if name not in STEPS:
            raise UserError(f"there is no step '{name}'; known: {', '.join(STEPS)}")
    return [step for name, step in STEPS.items() if name in names]


# Rest ----------------------------------------------------------------------------------------------------------------

def _say_rest(_: Options) -> list[str]:
    return ["Put the robot on the floor, motors off, and let go of it."]


def _watch_rest(heard: Heard, _: Options) -> str:
    latest = [each for each in heard.readings[-1000:] if each.stamp > heard.readings[-1].stamp - WATCHED]
    rates = np.array([each.angular_velocity for each in latest]).reshape(-1, 3)
    if len(rates) < 5:
        return ""
    shaken = float(Stillness.of(rates, [slice(None)]).spreads.max())
    return f"{'still' if shaken <= GYRO_SPREAD else 'MOVING'}, gyroscope spreads by {math.degrees(shaken):.2f} deg/s"


def _measure_rest(heard: Heard, published: Calibration, current: Calibration, _: Options) -> Result:
    poses, readings = heard.tracks()
    found = measure_rest(_corrected(readings, published), poses)
    if not np.isfinite(found.force).all():
        return Result([], problem=found.problem)
    lines = [f"gyroscope: off by {_numbers(np.degrees(found.gyro_bias), 2)} deg/s "
             f"(+- {np.degrees(found.gyro_spread.max()):.2g})",
             f"accelerometer: {found.strength:.3f} m/s^2 instead of {GRAVITY:.3f}, factor {found.scale:.4f} "
             f"(+- {found.force_spread.max() / GRAVITY:.1g})",
             f"z of the readings is {math.degrees(found.lean):.1f} deg from up"]
    if found.problem:
        return Result(lines, problem=found.problem)
    if found.lean > UPRIGHT:
        lines.append("  is it level? else imu_rotation is not right yet: step imu finds it")
    changes: dict[str, Any] = {}
    largest = float(np.abs(found.gyro_bias).max())
    if published.driver_corrects_imu and published.gyro_bias is None:
        lines.append("  the driver measures this bias itself after every connection: not written")
        if largest > LEFT_OVER:
            lines.append("  and has not done so yet: leave the robot alone for some seconds after connecting")
    else:
        own = np.array(published.imu_rotation).T @ found.gyro_bias
        changes["gyro_bias"] = _vector(np.array(published.gyro_bias or NOWHERE) + own)
        if largest > LARGE_BIAS:
            lines.append("  that is a lot: was the robot moved when it was switched on? It holds until the next time")
    changes["acceleration_scale"] = _vector(np.array(published.acceleration_scale) * found.scale)
    return _checked(lines, current, changes)


# Mocap ---------------------------------------------------------------------------------------------------------------

def _say_mocap(options: Options) -> list[str]:
    if options.heading is not None:
        return [f"Put the robot level on the floor, belly down, looking {math.degrees(options.heading):.0f} deg from x "
                "of map to the left, and let go of it."]
    return ["Put the robot level on the floor, belly down, its side along a ruler, and let go of it for 2 s.",
            f"Then slide it {100 * LEAST_WAY:.0f} cm or more straight forward along the ruler, and let go of it again."]


def _watch_mocap(heard: Heard, options: Options) -> str:
    poses = pose_track(heard.poses)
    if not len(poses):
        return "no pose"
    way = poses.positions[-1] - poses.positions[0]
    return "" if options.heading is not None else (f"slid {100 * float(np.hypot(way[0], way[1])):.1f} of "
                                                   f"{100 * LEAST_WAY:.0f} cm")


def _measure_mocap(heard: Heard, _: Calibration, current: Calibration, options: Options) -> Result:
    found = measure_standing(heard.tracks()[0], options.heading)
    if found.problem:
        return Result([], problem=found.problem)
    lines = [f"tracked body: turned by {_turn(found.rotation)} against the robot "
             f"(+- {np.degrees(found.spread.max()):.2f} deg, and how straight it stood)"]
    if options.heading is None:
        lines.append(f"slid by {100 * found.way:.1f} cm, looking {math.degrees(found.heading):.1f} deg from x of map")
    return _checked(lines, current, {"mocap_rotation": _rows(found.rotation)})


# Imu -----------------------------------------------------------------------------------------------------------------

def _say_imu(_: Options) -> list[str]:
    return ["Take the robot into your hand, in sight of the cameras, and turn it there and back about all its axes:",
            "roll, pitch and yaw, 30 deg and more, about once a second, all the time."]


def _watch_imu(heard: Heard, _: Options) -> str:
    turned = turned_about(pose_track(heard.poses))
    return "turned about " + ", ".join(
        f"{axis} {min(100.0, 100.0 * angle / (2.0 * LEAST_TURN)):.0f} %" for axis, angle in zip("xyz", turned,
                                                                                              strict=True))


def _measure_imu(heard: Heard, published: Calibration, current: Calibration, options: Options) -> Result:
    poses, readings = heard.tracks()
    found = measure_turning(_corrected(readings, published), poses)
    if not np.isfinite(found.rotation).all():
        return Result([], problem=found.problem)
    lines = [f"turned about x, y, z of the tracked body: {_numbers(np.degrees(found.turned), 0)} deg",
             f"latency: poses show it {1e3 * found.latency:.1f} ms after the readings (+- "
             f"{1e3 * found.latency_spread:.1f}): parameter mocap_latency of state_estimator",
             f"what does not fit: {math.degrees(found.residual):.1f} deg/s; scale of the gyroscope {found.ratio:.3f}"]
    if found.problem:
        return Result(lines, problem=found.problem)
    spread = f"(+- {math.degrees(found.spread.max()):.2f} deg)"
    if options.reference == IMU:
        lines.append(f"tracked body: turned by {_turn(found.rotation.T)} against the robot {spread}")
        return _checked(lines, current, {"mocap_rotation": _rows(found.rotation.T)})
    left = np.array(current.mocap_rotation) @ found.rotation
    lines.append(f"readings: turned by {_turn(left)} against the robot so far {spread}")
    return _checked(lines, current, {"imu_rotation": _rows(left @ np.array(published.imu_rotation))})


# Pivot ---------------------------------------------------------------------------------------------------------------

def _say_pivot(options: Options) -> list[str]:
    return [f"Hold the point {_numbers(np.array(options.pivot), 3)} m of base_link fixed (a pin in a hole, a ball in a "
            "cup),", "and turn the robot about it all the time, leaning it by 20 deg and more to all sides."]


def _watch_pivot(heard: Heard, _: Options) -> str:
    poses = pose_track(heard.poses)
    if len(poses) < 2:
        return "no pose"
    return f"leaned {min(100.0, 100.0 * levers(poses.attitudes.as_matrix())[0] / (2.0 * LEAST_LEVER)):.0f} %"


def _measure_pivot(heard: Heard, _: Calibration, current: Calibration, options: Options) -> Result:
    found = measure_pivot(heard.tracks()[0])
    if not np.isfinite(found.point).all():
        return Result([], problem=found.problem)
    rotation = np.array(current.mocap_rotation)
    position = np.array(options.pivot) - rotation @ found.point
    spread = np.sqrt(np.diag(rotation @ np.diag(found.spread**2) @ rotation.T))
    lines = [f"tracked body: its origin is at {_numbers(1e3 * position, 1)} mm of base_link "
             f"(+- {1e3 * spread.max():.2f})",
             f"what does not fit: {1e3 * found.residual:.2f} mm"]
    if found.problem:
        return Result(lines, problem=found.problem)
    return _checked(lines, current, {"mocap_position": _vector(position)})


#: In the order in which they build on each other.
STEPS = {step.name: step for step in (
    Step("rest", (IMU,), 5.0, _say_rest, _watch_rest, _measure_rest),
    Step("mocap", (MOCAP,), 10.0, _say_mocap, _watch_mocap, _measure_mocap),
    Step("imu", (MOCAP, IMU), 20.0, _say_imu, _watch_imu, _measure_imu),
    Step("pivot", (MOCAP,), 20.0, _say_pivot, _watch_pivot, _measure_pivot))}


def _corrected(readings: ImuTrack, published: Calibration) -> ImuTrack:
    """Return readings in ``base_link`` as far as the calibration knows: the driver's work, if it does not do it."""
    if published.driver_corrects_imu:
        return readings
    rotation = np.array(published.imu_rotation)
    forces = (readings.forces - published.acceleration_bias) * published.acceleration_scale
    return replace(readings, rates=(readings.rates - (published.gyro_bias or NOWHERE)) @ rotation.T,
                   forces=forces @ rotation.T)


def _checked(lines: list[str], current: Calibration, changes: dict[str, Any]) -> Result:
    try:
        replace(current, **changes)
    except UserError as error:
        return Result(lines, problem=str(error))
    return Result(lines, changes)


def _vector(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(each) for each in values)


def _rows(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    # What was rounded in the file before is made a rotation again.
    return tuple(_vector(row) for row in Rotation.from_matrix(matrix).as_matrix())


def _numbers(values: np.ndarray, digits: int) -> str:
    return ", ".join(f"{each:.{digits}f}" for each in values)


def _turn(matrix: np.ndarray) -> str:
    """Return a rotation as angle and axis."""
    vector = Rotation.from_matrix(matrix).as_rotvec()
    angle = float(np.linalg.norm(vector))
    if angle < math.radians(0.05):
        return "0.0 deg"
    return f"{math.degrees(angle):.1f} deg about ({_numbers(vector / angle, 2)})"
