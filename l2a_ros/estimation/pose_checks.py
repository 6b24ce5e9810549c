# SPDX-License-Identifier: Apache-2.0
"""Which poses can be the robot's at all, and when a track of refused poses is believed after all.

Motion capture lies in ways that recordings of the robot hold: jumps of 0.3 to 0.5 m for some samples, another body's
pose for a whole run, one frozen sample, zeros. A gate on the innovation catches a jump; a constant wrong body needs
bounds, and the question whether it moves as the inertial unit says.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple

from l2a_ros.estimation.quaternions import Quaternion, Vector, conjugate, product, rotation_vector
from l2a_ros.estimation.settings import FilterSettings
from l2a_ros.robot.samples import PoseSample

_SECOND = 1e9
#: How far a quaternion's length may be from one.
NORM_TOLERANCE = 0.01
#: What noise may add to the way between two poses, m and rad.
WAY_NOISE, TURN_NOISE = 0.01, 0.05
#: A body that turned by so much was seen to move, rad.
SEEN_TO_TURN = 0.1
#: Turns of a track and of the inertial unit agree within so much, rad, and three standard deviations of the latter.
TURN_TOLERANCE = 0.1
#: A track that is near the prediction goes on from it: within this distance, m, more for every second since (m/s), up
#: to a limit, m; and this turn, rad.
NEAR, NEAR_SPEED, NEAR_LIMIT, NEAR_TURN = 0.05, 1.0, 0.5, 0.5
#: A track that goes on from the last good pose may begin so much later than the estimate is given up, s.
GAP_SLACK = 0.2
#: A track that is not near must have been seen to move so much longer.
FAR_PATIENCE = 3.0


class Refusal(StrEnum):
    """Why a pose was not used."""

    NOT_FINITE = "not finite"
    NO_ATTITUDE = "no attitude"
    OUT_OF_BOUNDS = "out of bounds"
    DUPLICATE = "duplicate"
    LATE = "late"
    FROZEN = "frozen"
    GATE = "far from the prediction"
    TIME = "of another time"


class Pose(NamedTuple):
    """A pose that passed the bounds: of ``base_link``, as plain numbers.

    Args:
        stamp: of the message, ns.
        position: of the inertial unit in ``map``, m.
        quaternion: attitude of ``base_link`` in ``map``.
        raw: the message's seven numbers, to know a repeated one.
    """

    stamp: int
    position: Vector
    quaternion: Quaternion
    raw: tuple[float, ...]


def check_bounds(sample: PoseSample, settings: FilterSettings) -> Refusal | None:
    """Say why a pose cannot be the robot's, by itself."""
    position, quaternion = sample.position.tolist(), sample.quaternion.tolist()
    if not all(map(math.isfinite, position)) or not all(map(math.isfinite, quaternion)):
        return Refusal.NOT_FINITE
    x, y, z, w = quaternion
    square = x * x + y * y + z * z + w * w
    if abs(math.sqrt(square) - 1.0) > NORM_TOLERANCE:
        return Refusal.NO_ATTITUDE
    # Third row, third column of the rotation matrix: how far the body's z points up.
    up = 1.0 - 2.0 * (x * x + y * y) / square
    if not settings.lowest <= position[2] <= settings.highest or up < math.cos(settings.maximum_tilt):
        return Refusal.OUT_OF_BOUNDS
    return None


def turn_between(first: Quaternion, second: Quaternion) -> Vector:
    """Return the turn from one attitude to another about the axes of ``map``, rad."""
    return rotation_vector(product(second, conjugate(first)))


def distance(first: Vector, second: Vector) -> float:
    """Return the distance of two points."""
    return math.dist(first, second)


class Predicted(NamedTuple):
    """Where the filter believes the robot to be when a pose comes.

    Args:
        position: m.
        quaternion: attitude.
        turn_variance: of the attitude, rad^2.
        timing: how far it turns in the time by which the pose may be late, rad.
    """

    position: Vector
    quaternion: Quaternion
    turn_variance: float
    timing: float


class Track(NamedTuple):
    """Poses that were not used but follow each other as one body's could.

    Args:
        first: pose.
        last: pose.
        length: number of poses.
        begin: what the filter predicted at the first pose; None before it knows anything.
        turned: largest turn since the first pose, rad.
        middle: a pose from the way, for the velocity.
    """

    first: Pose
    last: Pose
    length: int
    begin: Predicted | None
    turned: float
    middle: Pose

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.last.stamp - self.first.stamp) / _SECOND

    def velocity(self) -> Vector:
        """Return the mean velocity over its newer part, m/s."""
        seconds = (self.last.stamp - self.middle.stamp) / _SECOND
        if seconds <= 0.0:
            return 0.0, 0.0, 0.0
        (ax, ay, az), (bx, by, bz) = self.middle.position, self.last.position
        return (bx - ax) / seconds, (by - ay) / seconds, (bz - az) / seconds


def follow(track: Track | None, pose: Pose, predicted: Predicted | None, settings: FilterSettings) -> Track:
    """Return the track with one more pose, or a new one where that cannot follow or turns otherwise than predicted.

    Args:
        track: so far; None to begin one.
        pose: of now.
        predicted: where the filter believes the robot to be now; None if it cannot tell.
        settings: of the filter.
    """
    if track is None:
        return Track(pose, pose, 1, predicted, 0.0, pose)
    seconds = (pose.stamp - track.last.stamp) / _SECOND
    turn = math.hypot(*turn_between(track.last.quaternion, pose.quaternion))
    if (distance(track.last.position, pose.position) > settings.maximum_speed * seconds + WAY_NOISE
            or turn > settings.maximum_turn_rate * seconds + TURN_NOISE or seconds > settings.maximum_coast):
        return Track(pose, pose, 1, predicted, 0.0, pose)
    way = turn_between(track.first.quaternion, pose.quaternion)
    if track.begin is not None and predicted is not None:
        believed = turn_between(track.begin.quaternion, predicted.quaternion)
        grown = math.sqrt(max(0.0, predicted.turn_variance - track.begin.turn_variance))
        if math.dist(way, believed) > TURN_TOLERANCE + 3.0 * (grown + track.begin.timing + predicted.timing):
            return Track(pose, pose, 1, predicted, 0.0, pose)
    # The velocity is that of the last 30 ms or so.
    middle = track.last if pose.stamp - track.middle.stamp > 0.03 * _SECOND else track.middle
    return Track(track.first, pose, track.length + 1, track.begin, max(track.turned, math.hypot(*way)), middle)


def is_believed(track: Track, predicted: Predicted | None, since: float, has_imu: bool,
                settings: FilterSettings) -> bool:
    """Tell whether a track is the robot.

    Args:
        track: of poses that agree with each other and with the inertial unit.
        predicted: where the filter believes the robot to be; None if it knows nothing.
        since: time since the last pose that was used, s.
        has_imu: whether there is an inertial unit to agree with.
        settings: of the filter.
    """
    if predicted is None:
        return track.length >= 3
    if track.seconds < settings.reacquire_time or track.length < 3:
        return False
    reach = NEAR + min(NEAR_SPEED * since, NEAR_LIMIT)
    is_near = distance(predicted.position, track.last.position) <= reach
    if is_near and has_imu:
        is_near = math.hypot(*turn_between(predicted.quaternion, track.last.quaternion)) <= (
            NEAR_TURN + 3.0 * predicted.timing)
    if is_near:
        return True
    # Somewhere else: it was carried there if it moves as the robot does, and is another body if it stands.
    has_moved = track.turned > SEEN_TO_TURN or (
        not has_imu and distance(track.first.position, track.last.position) > NEAR)
    return has_moved and track.seconds >= FAR_PATIENCE * settings.reacquire_time


def goes_on(track: Track, last: Pose | None, predicted: Predicted, has_imu: bool, settings: FilterSettings) -> bool:
    """Tell whether a track goes on from the last pose that was used: then what is wrong is the prediction.

    A hit far beyond the range of the unit throws it off, and between slow readings a hit is not seen at all.
    """
    if last is None or track.length < 3:
        return False
    gap = (track.first.stamp - last.stamp) / _SECOND
    if not 0.0 < gap <= settings.maximum_coast + GAP_SLACK or (
            distance(last.position, track.first.position) > NEAR_SPEED * gap + WAY_NOISE):
        return False
    if has_imu:
        turn = math.hypot(*turn_between(predicted.quaternion, track.last.quaternion))
        return turn <= TURN_TOLERANCE + 3.0 * math.sqrt(predicted.turn_variance)
    turn = math.hypot(*turn_between(last.quaternion, track.first.quaternion))
    return turn <= settings.maximum_turn_rate * gap + TURN_NOISE
