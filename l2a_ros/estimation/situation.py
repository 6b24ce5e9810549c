# SPDX-License-Identifier: Apache-2.0
"""All that the motion filter knows at one moment of its samples' time, and how one more sample changes it.

What is here is taken back when a late sample comes: a copy is a snapshot.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np

from l2a_ros.estimation.error_state import GYRO_BIAS, LONGEST_STEP, SENSORS, SIZE, FilterState
from l2a_ros.estimation.inertial import Differences, InertialModel, Reading
from l2a_ros.estimation.motion import ATTITUDE, POSITION, VELOCITY
from l2a_ros.estimation.pose_checks import (
    TURN_NOISE,
    WAY_NOISE,
    Pose,
    Predicted,
    Refusal,
    Track,
    distance,
    follow,
    goes_on,
    is_believed,
    turn_between,
)
from l2a_ros.estimation.quaternions import Vector, conjugate, matrix, product, rotation_vector, turned
from l2a_ros.estimation.rest_watch import DOUBT, SPREAD, RestWatch
from l2a_ros.estimation.settings import FilterSettings

_SECOND = 1e9
#: A bias that is so many standard deviations off was never believed.
FAR_BIAS = 4.0
#: A gyroscope that says so much more than its noise says that the robot moves, rad/s.
MOVING = 0.05
#: A prediction that is older (s) or less sure (m) judges poses no more: the gate would let the recorded jumps pass.
JUDGEMENT, JUDGEMENT_SPREAD = 1.0, 0.05
#: A reading that is older says no more whether the robot moves, s.
STALE = 0.2
#: As long as a pose may be so much late, s, many are refused that are good: that they go on says nothing.
TIMED = 0.002
#: Time over which the consistency of the innovations is averaged, in poses.
NIS_MEMORY = 100


class Situation:
    """See the module; :meth:`integrate` and :meth:`pass_pose` take samples in the order of their time.

    Args:
        settings: of the filter.
        model: of the inertial unit.
    """

    __slots__ = ("began", "bias_is_measured", "counts", "filter", "frozen", "last_good", "last_pose", "last_raw",
                 "model", "moving_square", "newest_pose", "next_pose", "next_reading", "nis", "readings", "rest",
                 "settings", "time", "track", "turn", "turn_from", "turn_spread")

    def __init__(self, settings: FilterSettings, model: InertialModel) -> None:
        self.settings, self.model = settings, model
        #: Moment up to which everything was taken in, ns.
        self.time = -(2**62)
        #: Numbers of the first reading and pose that were not.
        self.next_reading = self.next_pose = 0
        self.filter: FilterState | None = None
        self.readings = Differences()
        #: Moment since which it follows one track, ns.
        self.began = -(2**62)
        self.last_good, self.last_pose, self.newest_pose, self.last_raw = -(2**62), None, None, None
        self.frozen = False
        self.track: Track | None = None
        self.counts = {reason.value: 0 for reason in Refusal} | {"used": 0, "reacquired": 0}
        self.nis = 1.0
        self.rest: RestWatch | None = None
        self.bias_is_measured = False
        self.moving_square = 0.0
        #: Rate of turn by the poses alone, in base_link, rad/s; its spread; and the attitude that it counts from.
        self.turn: Vector = (0.0, 0.0, 0.0)
        self.turn_spread = math.inf
        self.turn_from: tuple[int, tuple[float, float, float, float]] | None = None

    newest_pose: Pose | None
    last_pose: Pose | None
    last_raw: tuple[float, ...] | None

    def copy(self) -> Situation:
        """Return a snapshot."""
        other = copy.copy(self)
        other.counts = dict(self.counts)
        if self.filter is not None:
            other.filter = self.filter.copy()
        return other

    # Motion ----------------------------------------------------------------------------------------------------------

    def integrate(self, readings: Sequence[Reading], start: int, until: int) -> None:
        """Go on to a moment (ns) by the readings, the first of which has the number ``start``."""
        state, model, longest = self.filter, self.model, self.settings.longest_imu_interval
        index, end = self.next_reading - start, len(readings)
        time = self.time
        while index < end and readings[index].stamp <= until:
            reading = readings[index]
            if state is not None and reading.stamp > time:
                beyond = readings[index + 1] if index + 1 < end else None
                state.advance(model.between(self.readings, reading, beyond, time, reading.stamp), reading.stamp)
                if state.seconds >= LONGEST_STEP:
                    state.catch_up(self.settings)
            time = max(time, reading.stamp)
            self._note(reading, longest)
            index += 1
        self.next_reading = index + start
        if time < until:
            if state is not None:
                last = self.readings.last
                if index < end:
                    beyond = readings[index + 1] if index + 1 < end else None
                    stretch = model.between(self.readings, readings[index], beyond, time, until)
                else:
                    # The newest reading holds for a while; behind it nothing is known.
                    held = time if last is None else min(until, last.stamp + round(longest * _SECOND))
                    if time < held < until:
                        state.advance(model.held(self.readings, time, held), held)
                        time = held
                    stretch = model.held(self.readings, time, until)
                state.advance(stretch, until)
                if state.seconds >= LONGEST_STEP:
                    state.catch_up(self.settings)
            time = until
        self.time = time

    def _note(self, reading: Reading, longest: float) -> None:
        self.readings = self.readings.after(reading, longest)
        x, y, z = rate = reading.values[:3]
        a, b, c = (0.0, 0.0, 0.0) if self.filter is None else self.filter.gyro_bias
        square = (x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2
        self.moving_square += 0.1 * (square - self.moving_square)
        if not self.bias_is_measured:
            self._watch_rest(reading.stamp, rate)

    def _watch_rest(self, stamp: int, rate: Sequence[float]) -> None:
        pose, rest = self.newest_pose, self.rest
        if pose is None or self.filter is None:
            return
        if rest is None or rest.has_failed(stamp):
            rest = RestWatch(stamp, pose.quaternion)
        self.rest = rest = rest.after(rate)
        if not rest.is_over(stamp):
            return
        self.rest = None
        bias = rest.bias(pose.quaternion, self.settings)
        if bias is not None:
            self.bias_is_measured = True
            self._take_bias(self.filter, bias, pose)

    def _take_bias(self, state: FilterState, bias: Vector, pose: Pose) -> None:
        state.catch_up(self.settings)
        if math.dist(bias, state.gyro_bias) > FAR_BIAS * math.sqrt(np.trace(state.covariance[GYRO_BIAS, GYRO_BIAS])):
            # So far off that the attitude is wrong by now.
            state.gyro_bias = bias
            state = self._begin(Track(pose, pose, 1, None, 0.0, pose), None)
        state.correct_gyro_bias(bias, DOUBT)

    def is_moving(self) -> bool:
        """Whether the gyroscope says so, however seldom it is read; without one, it may."""
        last = self.readings.last
        if last is None or self.time - last.stamp > STALE * _SECOND:
            return True
        return math.sqrt(self.moving_square) > SPREAD * self.settings.gyro_noise + MOVING

    def has_imu(self) -> bool:
        """Whether there were readings just before that follow each other fast enough to be integrated."""
        last = self.readings.last
        return (last is not None and self.readings.steps > 0
                and self.time - last.stamp <= 2.0 * self.settings.longest_imu_interval * _SECOND)

    # Poses -----------------------------------------------------------------------------------------------------------

    def pass_pose(self, pose: Pose, timing_spread: float) -> Refusal | None:
        """Take a pose of now, or say why it is refused.

        Args:
            pose: that passed the bounds.
            timing_spread: standard deviation of the moment at which it was taken, s.
        """
        reason = self._judge(pose, timing_spread)
        if reason is not None:
            self.counts[reason] += 1
        return reason

    def _judge(self, pose: Pose, timing_spread: float) -> Refusal | None:
        repeated = pose.raw == self.last_raw
        self.last_raw = pose.raw
        self.frozen = repeated and (self.frozen or self.is_moving())
        if self.frozen:
            # Not so a robot at rest, where poses have no noise.
            return Refusal.FROZEN
        self.newest_pose = pose
        state = self.filter
        if state is None:
            self.track = track = follow(self.track, pose, None, self.settings)
            if is_believed(track, None, 0.0, False, self.settings):
                self._begin(track, None)
            return None
        state.catch_up(self.settings)
        if not self.has_imu():
            # There is nothing that they could be late against.
            timing_spread = min(timing_spread, self.settings.mocap_jitter)
        innovation = state.innovation(pose.position, pose.quaternion, self._noise(timing_spread))
        since = (self.time - self.last_good) / _SECOND
        if self.can_judge() and innovation.distance <= self.settings.gate and self._is_reachable(pose, since):
            state.correct(innovation)
            self.nis += (innovation.distance / 6.0 - self.nis) / NIS_MEMORY
            self._believe(pose)
            return None
        has_imu = self.has_imu()
        predicted = Predicted(state.position, state.quaternion, float(np.trace(state.covariance[ATTITUDE, ATTITUDE])),
                              timing_spread * math.hypot(*self.rate()[0]) if has_imu else 0.0)
        self.track = track = follow(self.track, pose, predicted if has_imu else None, self.settings)
        if (is_believed(track, predicted, since, has_imu, self.settings)
                or timing_spread <= TIMED and goes_on(track, self.last_pose, predicted, has_imu, self.settings)):
            self.counts["reacquired"] += 1
            self._begin(track, self._noise(timing_spread))
            return None
        return Refusal.GATE

    def place(self, pose: Pose) -> None:
        """Begin at a place that somebody names: nobody has seen the robot there yet."""
        self.time = pose.stamp
        self._begin(Track(pose, pose, 1, None, 0.0, pose), None)
        self.last_good -= round((self.settings.maximum_coast + JUDGEMENT) * _SECOND)
        self.last_pose = None

    def can_judge(self) -> bool:
        """Whether one pose near the prediction is enough: it is neither old nor vague. Covariance caught up."""
        state = self.filter
        return state is not None and (self.time - self.last_good <= JUDGEMENT * _SECOND
                                      and state.position_spread() <= JUDGEMENT_SPREAD)

    def _is_reachable(self, pose: Pose, since: float) -> bool:
        last = self.last_pose
        return last is None or (
            distance(last.position, pose.position) <= self.settings.maximum_speed * since + WAY_NOISE
            and math.hypot(*turn_between(last.quaternion, pose.quaternion))
            <= self.settings.maximum_turn_rate * since + TURN_NOISE)

    def _noise(self, timing_spread: float) -> np.ndarray:
        s, state = self.settings, self.filter
        assert state is not None
        place, turn = s.mocap_position_noise**2, s.mocap_attitude_noise**2
        if timing_spread == 0.0:
            return np.diag([place] * 3 + [turn] * 3)
        # A moment too late is a place further on.
        (vx, vy, vz), (wx, wy, wz) = state.velocity, self.rate_in_map()
        vx, vy, vz = vx * timing_spread, vy * timing_spread, vz * timing_spread
        wx, wy, wz = wx * timing_spread, wy * timing_spread, wz * timing_spread
        return np.array([
            place + vx * vx, vx * vy, vx * vz, 0.0, 0.0, 0.0, vx * vy, place + vy * vy, vy * vz, 0.0, 0.0, 0.0,
            vx * vz, vy * vz, place + vz * vz, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, turn + wx * wx, wx * wy, wx * wz,
            0.0, 0.0, 0.0, wx * wy, turn + wy * wy, wy * wz, 0.0, 0.0, 0.0, wx * wz, wy * wz, turn + wz * wz,
        ]).reshape(6, 6)

    def _begin(self, track: Track, noise: np.ndarray | None) -> FilterState:
        """Put the filter at the end of a track; what is known of the biases stays.

        Args:
            track: of poses.
            noise: covariance of its last pose ``(6, 6)``; None for that of a body at rest.
        """
        s, pose, before = self.settings, track.last, self.filter
        self.began = self.time
        covariance = np.zeros((SIZE, SIZE))
        seconds = max(1e-3, (pose.stamp - track.middle.stamp) / _SECOND)
        speed = min(2.0 * (s.mocap_position_noise / seconds) ** 2 + s.motion_acceleration**2 * seconds,
                    (s.maximum_speed / 3.0) ** 2)
        for block, variance in ((POSITION, s.mocap_position_noise**2), (VELOCITY, speed),
                                (ATTITUDE, s.mocap_attitude_noise**2)):
            covariance[block, block] = np.eye(3) * variance
        if noise is not None:
            covariance[POSITION, POSITION], covariance[ATTITUDE, ATTITUDE] = noise[:3, :3], noise[3:, 3:]
        if before is None:
            covariance[SENSORS, SENSORS] = np.diag([s.gyro_bias_spread**2] * 3 + [s.accelerometer_bias_spread**2] * 3
                                                   + [s.accelerometer_scale_error**2] * 3)
            state = FilterState(self.time, pose.position, track.velocity(), pose.quaternion, covariance)
        else:
            covariance[SENSORS, SENSORS] = before.covariance[SENSORS, SENSORS]
            state = FilterState(self.time, pose.position, track.velocity(), pose.quaternion, covariance,
                                before.gyro_bias, before.force_bias, before.force_scale)
        self.filter, self.turn_from = state, None
        self._believe(pose)
        return state

    def _believe(self, pose: Pose) -> None:
        self.counts["used"] += 1
        self.last_good, self.last_pose, self.track = self.time, pose, None
        state = self.filter
        assert state is not None
        if self.turn_from is not None:
            seconds = (self.time - self.turn_from[0]) / _SECOND
            if 0.0 < seconds:
                x, y, z = rotation_vector(product(conjugate(self.turn_from[1]), state.quaternion))
                self.turn = (x / seconds, y / seconds, z / seconds)
                # Half of what it may change by over the span, for it is the mean of the span.
                self.turn_spread = math.hypot(1.5 * self.settings.mocap_attitude_noise / seconds,
                                              self.settings.motion_turning / math.sqrt(seconds))
        self.turn_from = (self.time, state.quaternion)

    # What turns ------------------------------------------------------------------------------------------------------

    def rate(self) -> tuple[Vector, Vector]:
        """Return the angular velocity in ``base_link`` (rad/s) and its standard deviation, by readings or by poses."""
        last, state = self.readings.last, self.filter
        assert state is not None
        longest = self.settings.longest_imu_interval * _SECOND
        if last is not None and self.time - last.stamp <= longest:
            x, y, z = last.values[:3]
            a, b, c = state.gyro_bias
            # It may have changed since the reading as it changes from reading to reading.
            before = self.readings.before
            interval = longest if before is None else last.stamp - before.stamp
            share = min(1.0, (self.time - last.stamp) / max(1, interval))
            diagonal = state.covariance.diagonal()[GYRO_BIAS].tolist()
            spread = [math.sqrt(self.settings.gyro_noise**2 + bias + share * share * change)
                      for bias, change in zip(diagonal, self.readings.first[:3], strict=True)]
            return (x - a, y - b, z - c), (spread[0], spread[1], spread[2])
        if self.turn_from is None or self.time - self.turn_from[0] > longest:
            return (0.0, 0.0, 0.0), (self.settings.maximum_turn_rate,) * 3
        return self.turn, (self.turn_spread,) * 3

    def rate_in_map(self) -> Vector:
        """Return the angular velocity about the axes of ``map``, rad/s."""
        assert self.filter is not None
        return turned(matrix(self.filter.quaternion), self.rate()[0])
