# SPDX-License-Identifier: Apache-2.0
"""What a stretch of time between readings of the inertial unit says of the motion, and how well.

A body with legs is hit by the ground in milliseconds. A unit that is read a thousand times a second sees that; one that
is read fifty times a second sees momentary values which say little of what happened in between. How little is measured
by the readings themselves: for a signal that they resolve their second difference is small, for one that they do not it
is as large as the signal. The filter takes ``SAMPLING`` of its root mean square for the error of the mean between two
readings: sqrt(1/2)/sqrt(6) of white noise, and 0.17 to 0.34 measured on the simulated robot at 1 to 100 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from l2a_ros.estimation.quaternions import Vector
from l2a_ros.estimation.settings import FilterSettings

#: Error of the trapezoid rule, as a share of the second difference of the readings.
SAMPLING = 0.29
#: How much worse an error of the readings is than one of the belief that nothing happens: the sum of many of the former
#: grows without end, but a body that shakes stays where it is.
CAUTION = 4.0
#: Error of a reading that is held until the next one, as a share of the first difference.
HOLDING = 0.7
#: A hit of a millisecond may fall between two readings that are both calm: this share of the speed that the body can
#: gain may always be hidden between readings that are so far apart (s), less between closer ones.
HIDDEN, HIDING = 0.05, 0.01
#: A squared difference that is more than so many times the mean counts instead of it, by what is more.
BURST = 3.0
#: Time over which the differences are averaged, s.
MEMORY = 0.2
#: What a reading at the end of its range leaves out on average, and the standard deviation of that, as shares of the
#: range: not knowing the reading after it, if that is within the range, and if that is cut off too. Measured on the
#: walking simulated robot at 1 kHz; hits are spread exponentially.
CUT_OFF_UNKNOWN, CUT_OFF_ONCE, CUT_OFF_AGAIN = (0.3, 0.3), (0.18, 0.14), (0.6, 0.36)
_SECOND = 1e9
Six = tuple[float, float, float, float, float, float]


class Reading(NamedTuple):
    """One reading in ``base_link`` axes: stamp (ns), angular velocity (rad/s) and specific force (m/s^2) in one row."""

    stamp: int
    values: Six


class Differences(NamedTuple):
    """Mean squares of the first and second differences of successive readings, and the readings they go on from."""

    last: Reading | None = None
    before: Reading | None = None
    first: Six = (0.0,) * 6
    second: Six = (0.0,) * 6
    steps: int = 0

    def after(self, reading: Reading, longest: float) -> Differences:
        """Return what is known after one more reading; over a gap longer than ``longest`` (s) nothing is compared."""
        last, before = self.last, self.before
        if last is None:
            return Differences(reading)
        interval = (reading.stamp - last.stamp) / _SECOND
        if interval > longest:
            return Differences(reading)
        count = self.steps + 1
        # The first few are plain means.
        share = max(min(1.0, interval / MEMORY), 1.0 / count)
        new, old = reading.values, last.values
        first = tuple([a + share * ((n - o) * (n - o) - a) for a, n, o in zip(self.first, new, old, strict=True)])
        if before is None:
            return Differences(reading, last, first, self.second, count)  # type: ignore[arg-type]
        share = max(min(1.0, interval / MEMORY), 1.0 / (count - 1))
        second = tuple([a + share * ((n - 2.0 * o + p) ** 2 - a)
                        for a, n, o, p in zip(self.second, new, old, before.values, strict=True)])
        return Differences(reading, last, first, second, count)  # type: ignore[arg-type]


class Stretch(NamedTuple):
    """Mean motion over a stretch of time.

    Args:
        seconds: its length.
        rate: angular velocity ``(3,)``, rad/s.
        force: specific force ``(3,)``, m/s^2.
        rate_trust: how much of the rate counts ``(3,)``, 0 to 1: the rest is taken for no motion.
        force_trust: the same of the acceleration.
        turn_variance: of the rotation over the stretch ``(3,)``, rad^2.
        gain_variance: of the gain in velocity ``(3,)``, m^2/s^2.
        memory: how long a velocity lasts where the force is not trusted, s.
    """

    seconds: float
    rate: Vector
    force: Vector
    rate_trust: Vector
    force_trust: Vector
    turn_variance: Vector
    gain_variance: Vector
    memory: float


_ZERO: Vector = (0.0, 0.0, 0.0)


class InertialModel:
    """Turns readings into stretches.

    Args:
        settings: what is believed of the unit.
    """

    def __init__(self, settings: FilterSettings) -> None:
        self._s = settings
        self._turning, self._accelerating = settings.motion_turning**2, settings.motion_acceleration**2
        self._priors = (self._turning,) * 3 + (self._accelerating,) * 3
        self._ranges = (settings.gyro_range,) * 3 + (settings.accelerometer_range,) * 3
        self._noises = (settings.gyro_noise**2,) * 3 + (settings.accelerometer_noise**2,) * 3
        self._scales = (settings.gyro_scale_error**2,) * 3 + (0.0,) * 3

    def is_cut_off(self, reading: Reading) -> bool:
        """Whether a reading is at the end of its range on some axis."""
        return any(abs(value) >= largest for value, largest in zip(reading.values, self._ranges, strict=True))

    def between(self, known: Differences, following: Reading, beyond: Reading | None, start: int,
                end: int) -> Stretch:
        """Return the stretch from ``start`` to ``end``, between the last reading and the one that follows it.

        Args:
            known: the last readings.
            following: the one that follows.
            beyond: the one after that, if it is known.
            start: ns.
            end: ns.
        """
        last = known.last
        seconds = (end - start) / _SECOND
        if last is None:
            return self.unknown(seconds)
        interval = (following.stamp - last.stamp) / _SECOND
        if interval <= self._s.imu_averaging:
            return self._stretch(seconds, interval, following.values, None, beyond)
        if interval > self._s.longest_imu_interval:
            return self.unknown(seconds)
        part = (0.5 * (start + end) - last.stamp) / (following.stamp - last.stamp)
        values = tuple([a + part * (b - a) for a, b in zip(last.values, following.values, strict=True)])
        if known.before is not None:
            # A robot that has just begun to move is not yet in the mean.
            spread = [SAMPLING * SAMPLING * max(mean, (c - 2.0 * b + a) ** 2 / BURST) for mean, a, b, c in zip(
                known.second, known.before.values, last.values, following.values, strict=True)]
        else:
            # At the very beginning only the first difference is there.
            spread = [0.25 * (a - b) ** 2 for a, b in zip(last.values, following.values, strict=True)]
        return self._stretch(seconds, interval, values, spread, beyond)

    def held(self, known: Differences, start: int, end: int) -> Stretch:
        """Return the stretch from ``start`` to ``end`` (ns) behind the newest reading, which is all that is known."""
        last = known.last
        seconds = (end - start) / _SECOND
        if last is None or (end - last.stamp) / _SECOND > self._s.longest_imu_interval or not known.steps:
            return self.unknown(seconds)
        return self._stretch(seconds, max(seconds, 1e-6), last.values,
                             [HOLDING * HOLDING * each for each in known.first], None)

    def unknown(self, seconds: float) -> Stretch:
        """Return a stretch of which nothing is known but what the body can do."""
        turning, gain = self._turning * seconds, self._accelerating * seconds
        return Stretch(seconds, _ZERO, _ZERO, _ZERO, _ZERO, (turning,) * 3, (gain,) * 3, self._s.motion_memory)

    def _stretch(self, seconds: float, interval: float, values: Sequence[float],
                 sampling: Sequence[float] | None, beyond: Reading | None) -> Stretch:
        """Return a stretch with this mean; ``sampling`` is the variance of its error over a whole interval."""
        per_reading, square = seconds * interval, seconds * seconds
        rx, ry, rz, fx, fy, fz = values
        # A hit may come anywhere in the stretch, and so at another attitude than the middle's: the square of rate x
        # force, on average over directions and on each axis, times the variance of an even distribution.
        slack = (rx * rx + ry * ry + rz * rz) * (fx * fx + fy * fy + fz * fz) * square * square / 54.0
        corrected, variances, trusts = list(values), [], [1.0] * 6
        for i, (value, noise, scale, largest) in enumerate(
                zip(values, self._noises, self._scales, self._ranges, strict=True)):
            variance = noise * per_reading + scale * value * value * square + (slack if i >= 3 else 0.0)
            if value >= largest or value <= -largest:
                excess, spread = CUT_OFF_UNKNOWN
                if beyond is not None:
                    excess, spread = CUT_OFF_AGAIN if abs(beyond.values[i]) >= largest else CUT_OFF_ONCE
                variance += (spread * largest) ** 2 * square
                corrected[i] = value * (1.0 + excess)
            if sampling is not None:
                # The better of two: what the readings say, and that bodies do not turn and gain speed without end.
                prior, error = self._priors[i] * seconds, sampling[i] * per_reading
                if i >= 3:
                    error = max(error, HIDDEN * min(1.0, interval / HIDING) * prior)
                trusts[i] = trust = prior / (prior + CAUTION * error)
                variance = (1.0 - trust) ** 2 * prior + trust * trust * (error + variance)
            variances.append(variance)
        wx, wy, wz, fx, fy, fz = corrected
        return Stretch(seconds, (wx, wy, wz), (fx, fy, fz), (trusts[0], trusts[1], trusts[2]),
                       (trusts[3], trusts[4], trusts[5]), (variances[0], variances[1], variances[2]),
                       (variances[3], variances[4], variances[5]), self._s.motion_memory)
