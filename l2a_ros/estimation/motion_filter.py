# SPDX-License-Identifier: Apache-2.0
"""Motion capture and an inertial unit, fused to the motion of the body.

Samples may come late, twice, in any order, and wrong. Each takes effect at its own moment: a pose at its stamp less
the latency of motion capture. A sample older than what was taken in already takes the filter back to a snapshot before
it, and what followed is done again; so the estimate is a function of the samples, not of the order in which they
arrived. An estimate for a moment goes on from the newest snapshot before it, without changing the filter.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from typing import NamedTuple

import numpy as np

from l2a_ros.estimation.error_state import ACCELEROMETER_BIAS, ACCELEROMETER_SCALE, GYRO_BIAS
from l2a_ros.estimation.inertial import InertialModel, Reading
from l2a_ros.estimation.motion import Health, MotionEstimate
from l2a_ros.estimation.mounting import MountedSensors
from l2a_ros.estimation.pose_checks import Pose, Refusal, check_bounds
from l2a_ros.estimation.pose_timing import PoseTiming
from l2a_ros.estimation.settings import FilterSettings
from l2a_ros.estimation.situation import Situation
from l2a_ros.robot.calibration import Mounting
from l2a_ros.robot.samples import ImuSample, PoseSample

_SECOND = 1_000_000_000
#: A sample may come so late, s.
HISTORY = 0.5
#: Snapshots are so far apart, ns: going back costs what happened since.
SNAPSHOTS = _SECOND // 50
#: Readings wait so long before they are taken in for good, ns: a pose may come that is older.
PATIENCE = 3_000_000
#: A sample so far from the others is of another time, ns; so many of them in a row, and that is the time.
FAR, FAR_COUNT = _SECOND, 3
#: So many poses are known again by their stamps.
REMEMBERED = 400
#: A reading that is so many times beyond the unit's range is damaged.
ABSURD = 100.0
#: Poses come at least so often, s, or the estimate is said to coast.
TRACKED = 0.1


class _Timed(NamedTuple):
    """A pose with the moment at which it takes effect (ns), and how sure that is (s)."""

    moment: int
    pose: Pose
    spread: float


def _moment(timed: _Timed) -> tuple[int, int]:
    return timed.moment, timed.pose.stamp


def _stamp(reading: Reading) -> int:
    return reading.stamp


class MotionFilter:
    """See the module.

    Args:
        settings: what is believed of sensors, robot and room.
        mounting: how the sensors sit on the body.
        history: samples may come so late, and moments so far back be asked for, s.
    """

    def __init__(self, settings: FilterSettings | None = None, mounting: Mounting | None = None,
                 history: float = HISTORY) -> None:
        self._settings = settings or FilterSettings()
        self._history = round(history * _SECOND)
        self._mounting = MountedSensors(mounting or Mounting())
        self._model = InertialModel(self._settings)
        self._refused = {reason.value: 0 for reason in Refusal}
        self._refused_readings = {reason.value: 0 for reason in (Refusal.NOT_FINITE, Refusal.DUPLICATE, Refusal.LATE,
                                                                Refusal.TIME)}
        self._totals: dict[str, int] = {}
        self.resets = 0
        self._start()

    def _start(self) -> None:
        self._timing = PoseTiming(self._settings)
        self._readings: list[Reading] = []
        self._poses: list[_Timed] = []
        #: Numbers of the first in each list: those before were forgotten.
        self._first_reading = self._first_pose = 0
        self._now = Situation(self._settings, self._model)
        self._snapshots = deque([self._now.copy()])
        self._newest: int | None = None
        self._far = 0
        #: Stamps of the poses that were taken, in order of arrival.
        self._raw_stamps: dict[int, None] = {}
        self._refusals: dict[int, Refusal] = {}

    def reset(self) -> None:
        """Forget the motion and all samples."""
        if self._newest is None:
            return
        for name, count in self._now.counts.items():
            self._totals[name] = self._totals.get(name, 0) + count
        self.resets += 1
        self._start()

    # Samples ---------------------------------------------------------------------------------------------------------

    def add_imu(self, sample: ImuSample) -> None:
        """Take a reading."""
        rate, force = sample.angular_velocity.tolist(), sample.specific_force.tolist()
        # Written so that NaN is none.
        if not (max(map(abs, rate)) < ABSURD * self._settings.gyro_range and sum(rate) == sum(rate)
                and max(map(abs, force)) < ABSURD * self._settings.accelerometer_range and sum(force) == sum(force)):
            self._refused_readings[Refusal.NOT_FINITE] += 1
            return
        stamp = sample.stamp
        if self._is_of_another_time(stamp):
            self._refused_readings[Refusal.TIME] += 1
            return
        reading = Reading(stamp, self._mounting.reading(rate, force))
        readings = self._readings
        place = len(readings) if not readings or stamp > readings[-1].stamp else bisect.bisect_left(
            readings, stamp, key=_stamp)
        if place < len(readings) and readings[place].stamp == stamp:
            self._refused_readings[Refusal.DUPLICATE] += 1
            return
        # What was taken in behind the reading before knew less of the time since than it does now; if that was cut off,
        # so does what was taken in behind the one before it.
        place_before = place - 1
        if place_before > 0 and self._model.is_cut_off(readings[place_before]):
            place_before -= 1
        before = readings[place_before].stamp if place else stamp - 1
        if before < self._now.time and not self._go_back(before + 1):
            self._refused_readings[Refusal.LATE] += 1
            return
        readings.insert(place, reading)
        self._timing.add_reading(reading)
        self._take_in()

    def add_pose(self, sample: PoseSample) -> None:
        """Take a pose."""
        reason = check_bounds(sample, self._settings)
        stamp = sample.stamp
        if reason is None:
            if self._is_of_another_time(stamp):
                reason = Refusal.TIME
            elif stamp in self._raw_stamps:
                reason = Refusal.DUPLICATE
        if reason is not None:
            self._refuse(stamp, reason)
            return
        pose = self._mounting.pose(sample)
        latency, spread = self._timing.of_pose(pose)
        timed = _Timed(stamp - latency, pose, spread)
        if timed.moment <= self._now.time and not self._go_back(timed.moment):
            self._refuse(stamp, Refusal.LATE)
            return
        self._raw_stamps[stamp] = None
        if len(self._raw_stamps) > REMEMBERED:
            del self._raw_stamps[next(iter(self._raw_stamps))]
        bisect.insort(self._poses, timed, key=_moment)
        self._take_in()

    def _refuse(self, stamp: int, reason: Refusal) -> None:
        self._refused[reason] += 1
        # The first of two with one stamp may be good.
        if reason is not Refusal.DUPLICATE:
            self._refusals[stamp] = reason

    def set_pose(self, stamp: int, position: np.ndarray, quaternion: np.ndarray) -> None:
        """Begin again at a place that somebody names, as with RViz's 2D Pose Estimate.

        Args:
            stamp: ns.
            position: of ``base_link`` in ``map`` ``(3,)``, m.
            quaternion: attitude ``(4,)``, x y z w.

        The next poses must be near there, within 0.55 m.
        """
        sample = PoseSample(stamp, np.asarray(position, dtype=float), np.asarray(quaternion, dtype=float))
        pose = self._mounting.base_pose(sample)
        self.reset()
        self._now.place(pose)
        self._snapshots = deque([self._now.copy()])

    def _is_of_another_time(self, stamp: int) -> bool:
        newest = self._newest
        if newest is None or abs(stamp - newest) <= FAR:
            self._newest = stamp if newest is None or stamp > newest else newest
            self._far = 0
            return False
        self._far += 1
        if self._far < FAR_COUNT or stamp <= 0:
            return True
        # Not a stray one: time has begun again, or nothing came for long.
        self.reset()
        self._newest = stamp
        return False

    # Order -----------------------------------------------------------------------------------------------------------

    def _go_back(self, stamp: int) -> bool:
        """Go back to before a moment; return False if that is too long ago."""
        if self._snapshots[0].time >= stamp:
            return False
        while self._snapshots[-1].time >= stamp:
            self._snapshots.pop()
        self._now = self._snapshots[-1].copy()
        return True

    def _take_in(self) -> None:
        """Take in for good what can be."""
        horizon = self._now.time
        if self._readings:
            horizon = self._readings[-1].stamp
        wait = round(self._settings.longest_imu_interval * _SECOND)
        if self._poses and self._poses[-1].moment > horizon + wait:
            horizon = self._poses[-1].moment
        self._pass_poses(self._now, horizon, True)
        settled = horizon - PATIENCE - self._timing.latency
        # At a reading: an interval that is cut would be integrated otherwise than a whole one.
        last = bisect.bisect_right(self._readings, settled, key=_stamp) - 1
        if last >= 0 and self._readings[last].stamp > self._now.time:
            self._now.integrate(self._readings, self._first_reading, self._readings[last].stamp)
            if self._now.time - self._snapshots[-1].time >= SNAPSHOTS:
                self._snap()

    def _pass_poses(self, situation: Situation, until: int, for_good: bool) -> None:
        poses, readings = self._poses, self._readings
        while (index := situation.next_pose - self._first_pose) < len(poses) and poses[index].moment <= until:
            timed = poses[index]
            situation.integrate(readings, self._first_reading, timed.moment)
            reason = situation.pass_pose(timed.pose, timed.spread)
            situation.next_pose += 1
            if not for_good:
                continue
            # Done again, it may end otherwise.
            if reason is None:
                self._refusals.pop(timed.pose.stamp, None)
            else:
                self._refusals[timed.pose.stamp] = reason
            if situation.time - self._snapshots[-1].time >= SNAPSHOTS:
                self._snap()

    def _snap(self) -> None:
        snapshots, now = self._snapshots, self._now
        snapshots.append(now.copy())
        while len(snapshots) > 2 and snapshots[1].time < now.time - self._history:
            snapshots.popleft()
        oldest = snapshots[0]
        if oldest.next_reading - self._first_reading > 256:
            del self._readings[:oldest.next_reading - self._first_reading - 1]
            self._first_reading = oldest.next_reading - 1
        if oldest.next_pose - self._first_pose > 64:
            del self._poses[:oldest.next_pose - self._first_pose]
            self._first_pose = oldest.next_pose
            self._refusals = {stamp: reason for stamp, reason in self._refusals.items()
                              if stamp >= oldest.time - self._history}

    # Answers ---------------------------------------------------------------------------------------------------------

    def _situation(self, stamp: int) -> Situation:
        """Return what is known of a moment by all samples up to it; nothing of one that is too long ago."""
        start = self._now
        if stamp < start.time:
            start = next((each for each in reversed(self._snapshots) if each.time <= stamp),
                         Situation(self._settings, self._model))
            if start.filter is None:
                return start.copy()
        situation = start.copy()
        self._pass_poses(situation, stamp, False)
        if stamp > situation.time:
            situation.integrate(self._readings, self._first_reading, stamp)
        return situation

    def estimate(self, stamp: int) -> MotionEstimate | None:
        """Return the motion at a moment (ns), predicted from the samples up to it; None before the first good pose."""
        situation = self._situation(stamp)
        state = situation.filter
        if state is None:
            return None
        state.catch_up(self._settings)
        rate, rate_spread = situation.rate()
        position, velocity, covariance = self._mounting.base_motion(state, rate)
        return MotionEstimate(
            stamp, position, np.array(state.quaternion), velocity, np.array(rate), covariance, np.array(rate_spread),
            np.array(state.gyro_bias), np.array(state.force_bias), self._health(situation), situation.began)

    def _health(self, situation: Situation) -> Health:
        if situation.filter is None:
            return Health.WAITING
        silent = situation.time - situation.last_good
        if (silent > self._settings.maximum_coast * _SECOND + self._timing.latency
                or situation.filter.position_spread() > self._settings.maximum_position_spread):
            return Health.LOST
        return Health.TRACKING if silent <= TRACKED * _SECOND + self._timing.latency else Health.COASTING

    def status(self, stamp: int) -> str:
        """Return ``tracking``, or one line that says what is wrong."""
        situation = self._situation(stamp)
        state = situation.filter
        if state is None:
            return "no mocap/pose yet" if not self._poses else "mocap/pose jumps about: no two poses agree"
        state.catch_up(self._settings)
        health = self._health(situation)
        if health is Health.TRACKING:
            return health.value
        silent = (situation.time - situation.last_good) / _SECOND
        if situation.frozen:
            cause = f"mocap/pose is frozen for {silent:.2f} s while the robot moves"
        elif situation.track is not None:
            cause = (f"mocap/pose contradicts the robot's motion for {silent:.2f} s: another body? If it is the robot, "
                     "call state_estimator/reset")
        elif silent > TRACKED:
            cause = f"mocap/pose is {silent:.2f} s old"
        else:
            cause = f"not sure of the position ({1e3 * state.position_spread():.0f} mm)"
        return f"{health.value}: {cause}"

    def age(self, stamp: int) -> float:
        """Return how long ago the newest pose was taken that was used, s; infinite if none was."""
        if self._now.filter is None:
            return math.inf
        return (stamp - self._situation(stamp).last_good) / _SECOND

    def refusals(self) -> dict[int, Refusal]:
        """Return stamps of the poses that were refused lately, ns, and why."""
        return dict(self._refusals)

    def report(self) -> dict[str, float]:
        """Return figures for diagnostics and plots."""
        now = self._now if self._newest is None else self._situation(self._newest)
        counts = {name: now.counts[name] + self._totals.get(name, 0) for name in now.counts}
        figures: dict[str, float] = {"poses used": counts["used"], "times reacquired": counts["reacquired"]}
        figures |= {f"poses refused: {reason}": counts[reason] + self._refused[reason] for reason in self._refused}
        figures |= {f"readings refused: {reason}": count for reason, count in self._refused_readings.items()}
        figures |= {"mocap latency (s)": self._timing.latency / _SECOND,
                    "mocap latency spread (s)": self._timing.spread,
                    "consistency of poses (1 is right)": now.nis, "resets": self.resets,
                    "gyro bias measured at rest": float(now.bias_is_measured)}
        if now.filter is not None:
            diagonal = np.sqrt(now.filter.covariance.diagonal())
            for name, unit, values, block in (
                    ("gyro bias", "rad/s", now.filter.gyro_bias, GYRO_BIAS),
                    ("accelerometer bias", "m/s^2", now.filter.force_bias, ACCELEROMETER_BIAS),
                    ("accelerometer scale error", "1", now.filter.force_scale, ACCELEROMETER_SCALE)):
                for axis, value, spread in zip("xyz", values, diagonal[block], strict=True):
                    figures[f"{name} {axis} ({unit})"] = value
                    figures[f"{name} {axis} spread ({unit})"] = float(spread)
        return figures
