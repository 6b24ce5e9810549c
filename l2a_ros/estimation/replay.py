# SPDX-License-Identifier: Apache-2.0
"""The motion filter on samples of a recording, and what it said at each moment.

A sample reaches the filter when it was logged, as it would have while the robot moved. For a moment the filter is asked
as soon as the log times pass it: what was logged later is not known yet, whatever it is stamped. Where stamps and log
times are of different clocks (simulated time, a converted recording) stamps are taken for the times of arrival.
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections import deque
from dataclasses import dataclass

import numpy as np

from l2a_ros.estimation.motion import Health
from l2a_ros.estimation.motion_filter import MotionFilter
from l2a_ros.estimation.recorded_motion import Truth
from l2a_ros.estimation.refused_poses import RefusedPoses
from l2a_ros.estimation.trajectory_errors import Trajectory
from l2a_ros.robot.samples import ImuSample, PoseSample

_SECOND = 1_000_000_000
#: The truth may be logged so much later than what it is the truth of, ns: samples wait for it.
HOLD = _SECOND
#: Stamps and log times that are closer are of one clock, ns.
ONE_CLOCK = _SECOND
#: A longer step in time is taken for a gap, or for a wrong stamp until another one agrees, ns.
GAP = _SECOND
#: A velocity is the difference of true positions that are no further apart, ns.
LONGEST_DIFFERENCE = _SECOND // 4
#: How far a quaternion's length may be from one.
NORM_TOLERANCE = 0.01
#: Positions and velocities of the truth beyond are damaged messages, m, m/s.
ABSURD = 1e6
#: Poses that come this much faster than they are asked for are not left out.
_JITTER = 0.95
HEALTHS = tuple(Health)
#: Numbers kept of each moment: health, position, quaternion, velocity, angular velocity, nine spreads; the truth's
#: position, quaternion, velocity and difference of positions.
_ESTIMATED, _TRUE = 1 + 3 + 4 + 3 + 3 + 9, 3 + 4 + 3 + 3
_NO_VELOCITY = (math.nan,) * 3


@dataclass(frozen=True)
class Evaluated:
    """What the filter said, at rising stamps.

    Args:
        estimate: pose of ``base_link`` in ``map``.
        health: of :data:`HEALTHS`, by index ``(n,)``.
        velocity: in ``map`` ``(n, 3)``, m/s.
        angular_velocity: in ``base_link`` ``(n, 3)``, rad/s.
        spreads: standard deviations of position (m), velocity (m/s) and attitude (about the axes of ``map``, rad)
            ``(n, 9)``.
        truth: the true poses at the same stamps; None without.
        true_velocity: in the frame of the truth ``(n, 3)``, m/s, NaN where it is not known; None without truth.
        waiting: moments at which there was no estimate yet.
        bad_truths: true poses that are none: not finite, no attitude, no stamp.
        refused: poses that were refused: stamp (ns) and position (m) ``(m, 4)``.
        first, last: stamps of the first and last sample, ns.
    """

    estimate: Trajectory
    health: np.ndarray
    velocity: np.ndarray
    angular_velocity: np.ndarray
    spreads: np.ndarray
    truth: Trajectory | None
    true_velocity: np.ndarray | None
    waiting: int
    bad_truths: int
    refused: np.ndarray
    first: int
    last: int

    def is_live(self) -> np.ndarray:
        """Return at which moments the robot might move by the estimate ``(n,)``."""
        live: np.ndarray = np.array([each.is_live for each in HEALTHS])[self.health]
        return live


class _Clock:
    """Follows the time in a recording: one moment that is far from the others is not believed, two in a row are."""

    def __init__(self) -> None:
        self.now: int | None = None
        self._odd: int | None = None

    def is_far(self, moment: int) -> bool:
        """Tell whether a moment is far from the time (ns)."""
        return self.now is not None and abs(moment - self.now) > GAP

    def believes(self, moment: int) -> bool:
        """Tell whether a far moment is no stray one, or take notice of it."""
        odd, self._odd = self._odd, moment
        return odd is not None and abs(moment - odd) <= GAP

    def move(self, moment: int) -> None:
        """Go on to a moment; one that is not far and earlier does not turn back the time."""
        self.now = moment if self.now is None or self.is_far(moment) else max(self.now, moment)
        self._odd = None


class Replay:
    """Feeds a filter and asks it.

    Args:
        motion: a new filter.
        rate: moments per second, Hz; of the truth's stamps no more than so many.
        against_truth: whether it is asked at the truth's stamps.
    """

    def __init__(self, motion: MotionFilter, rate: float, against_truth: bool) -> None:
        self._motion = motion
        self._period = round(_SECOND / rate)
        self._against_truth = against_truth
        self._hold = HOLD if against_truth else 0
        self._held: deque[tuple[int, PoseSample | ImuSample]] = deque()
        self._newest_log = 0
        self._pending: list[tuple[int, int, Truth]] = []
        self._count = 0
        self._clock, self._truths_clock = _Clock(), _Clock()
        self._due: int | None = None
        self._stamps, self._numbers = array("q"), array("d")
        self._refused = RefusedPoses(motion)
        self._waiting = self._bad_truths = 0
        self._first: int | None = None
        self._last = 0
        # For velocities from differences: the last two true positions, and the row that waits for the next one.
        self._before: Truth | None = None
        self._last_truth: Truth | None = None
        self._open_row: int | None = None

    def add(self, log_time: int, sample: PoseSample | ImuSample | Truth) -> None:
        """Take the next thing that was logged (ns)."""
        self._newest_log = max(self._newest_log, log_time)
        if isinstance(sample, Truth):
            self._add_truth(sample)
        else:
            self._held.append((log_time, sample))
        while self._held and self._held[0][0] <= self._newest_log - self._hold:
            self._release(*self._held.popleft())

    def finish(self) -> Evaluated:
        """Take what is left and return everything."""
        self._release_all()
        if self._clock.now is not None:
            self._ask_until(self._clock.now + 1)
        return self._evaluated()

    def _add_truth(self, truth: Truth) -> None:
        clock = self._truths_clock
        if truth.stamp <= 0 or (clock.is_far(truth.stamp) and not clock.believes(truth.stamp)):
            self._bad_truths += 1
            return
        if clock.now is not None and truth.stamp < clock.now - GAP:
            # Time has begun again.
            self._release_all()
            if self._clock.now is not None:
                self._begin_again(self._clock.now)
            self._clock = _Clock()
        clock.move(truth.stamp)
        self._count += 1
        heapq.heappush(self._pending, (truth.stamp, self._count, truth))

    def _release_all(self) -> None:
        while self._held:
            self._release(*self._held.popleft())

    # Time ------------------------------------------------------------------------------------------------------------

    def _release(self, log_time: int, sample: PoseSample | ImuSample) -> None:
        arrival = log_time if abs(log_time - sample.stamp) < ONE_CLOCK else sample.stamp
        clock = self._clock
        is_far = clock.is_far(arrival)
        if not is_far or clock.believes(arrival):
            if is_far and clock.now is not None:
                self._ask_until(clock.now + GAP)
                if arrival < clock.now:
                    self._begin_again(clock.now)
                self._due = None
            clock.move(arrival)
            self._ask_until(arrival)
            self._first = sample.stamp if self._first is None else min(self._first, sample.stamp)
            self._last = max(self._last, sample.stamp)
        if isinstance(sample, ImuSample):
            self._motion.add_imu(sample)
            return
        self._motion.add_pose(sample)
        self._refused.add(sample)

    def _begin_again(self, end: int) -> None:
        """Ask what is left to ask of a time that ends (ns), and forget it."""
        self._ask_until(end + GAP)
        self._pending.clear()
        self._before = self._last_truth = self._due = self._open_row = None

    def _ask_until(self, moment: int) -> None:
        """Ask for all that is due before a moment (ns)."""
        if self._against_truth:
            while self._pending and self._pending[0][0] < moment:
                self._take_truth(heapq.heappop(self._pending)[2])
            return
        if self._due is None:
            self._due = moment
        while self._due < moment:
            self._ask(self._due, None)
            self._due += self._period

    # Moments ---------------------------------------------------------------------------------------------------------

    def _take_truth(self, truth: Truth) -> None:
        numbers = [*truth.position.tolist(), *truth.quaternion.tolist()]
        if not all(abs(each) < ABSURD for each in numbers) or abs(math.hypot(*numbers[3:]) - 1.0) > NORM_TOLERANCE:
            self._bad_truths += 1
            return
        last = self._last_truth
        if last is not None and truth.stamp <= last.stamp:
            return
        before = self._before
        if self._open_row is not None and before is not None and truth.stamp - before.stamp <= LONGEST_DIFFERENCE:
            difference = (truth.position - before.position) / ((truth.stamp - before.stamp) / _SECOND)
            end = (self._open_row + 1) * (_ESTIMATED + _TRUE)
            self._numbers[end - 3:end] = array("d", difference.tolist())
        self._before, self._last_truth, self._open_row = last, truth, None
        if self._due is None or truth.stamp >= self._due:
            self._due = truth.stamp + round(_JITTER * self._period)
            self._ask(truth.stamp, truth)

    def _ask(self, stamp: int, truth: Truth | None) -> None:
        estimate = self._motion.estimate(stamp)
        if estimate is None:
            self._waiting += 1
            return
        self._stamps.append(stamp)
        numbers = self._numbers
        numbers.append(HEALTHS.index(estimate.health))
        for values in (estimate.position, estimate.quaternion, estimate.velocity, estimate.angular_velocity,
                       np.sqrt(estimate.covariance.diagonal())):
            numbers.extend(values.tolist())
        if truth is not None:
            numbers.extend(truth.position.tolist())
            numbers.extend(truth.quaternion.tolist())
            told = _NO_VELOCITY if truth.velocity is None else truth.velocity.tolist()
            numbers.extend(told if all(abs(each) < ABSURD for each in told) else _NO_VELOCITY)
            numbers.extend(_NO_VELOCITY)
            self._open_row = len(self._stamps) - 1

    def _evaluated(self) -> Evaluated:
        width = _ESTIMATED + _TRUE * self._against_truth
        stamps = np.frombuffer(self._stamps, dtype=np.int64) if self._stamps else np.empty(0, dtype=np.int64)
        numbers = np.frombuffer(self._numbers, dtype=float).reshape(-1, width) if self._stamps else np.empty((0, width))
        if np.any(np.diff(stamps) <= 0):
            # Time has begun again: of several moments with one stamp the last counts.
            order = np.argsort(stamps, kind="stable")
            order = order[np.flatnonzero(np.append(np.diff(stamps[order]), 1))]
            stamps, numbers = stamps[order], numbers[order]
        truth = true_velocity = None
        if self._against_truth:
            true = numbers[:, _ESTIMATED:]
            truth = Trajectory(stamps, true[:, 0:3], true[:, 3:7])
            # Many publishers of odometry leave the twist empty.
            told = true[:, 7:10]
            true_velocity = told if np.any(np.nan_to_num(told)) else true[:, 10:13]
        return Evaluated(
            Trajectory(stamps, numbers[:, 1:4], numbers[:, 4:8]), numbers[:, 0].astype(np.int64), numbers[:, 8:11],
            numbers[:, 11:14], numbers[:, 14:23], truth, true_velocity, self._waiting, self._bad_truths,
            self._refused.found(), self._first or 0, self._last)
