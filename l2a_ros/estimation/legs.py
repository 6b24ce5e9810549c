# SPDX-License-Identifier: Apache-2.0
"""Leg angles and rates from encoder samples: unwrapped, without glitches, by stamps, predicted to the moment asked for.

What a leg can do, measured on the simulated robot under random commands: its mean rate over 10 to 40 ms changes by no
more than 60 rad/s from one such time to the next, and by 45 once in a hundred. A reading that agrees with that counts
at once; another is held back until the next one shows which of them belongs to the leg:

- the next one goes on from before: the held one was a glitch;
- it goes on from the held one: the leg did jump (or the encoder did), both count;
- neither: it is held in place of the other.

A smaller glitch is taken, and left out of the next rate if the reading after it turns back: that is the median of
three, of the reading in the middle. Good readings are never late.

The rate is the slope of the readings of a short time, so it is late by half of that time. Over a stride a leg's rate
goes up and down by half of its mean and more, within tens of milliseconds, so that a longer time makes it worse, not
smoother: at 50 Hz the root mean square error against the rate at the newest reading was 10.6 rad/s with two readings,
14.3 with three and 15.5 with four (11.9 with a parabola through three), where the rate itself varies by 18 rad/s. Two
readings at 100 Hz: 6.7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from l2a_ros.estimation.settings import check_ranges, setting
from l2a_ros.robot.samples import CrankSample

_SECOND = 1e9
TURN = 2.0 * math.pi
#: The firmware counts turns in 16 bit.
COUNTER = 65536.0 * TURN
#: A driver that wraps gives angles from -pi or from 0 on, one turn in all; rounding may add so much, rad.
_ROUNDING = 1e-3
#: A reading that is outside of both its neighbours by more was a glitch, rad.
ZIGZAG = 0.3
#: What noise of encoder and stamps may add to a way, rad.
SLACK = 0.05
#: Readings that are closer together say little of the rate, ns: an older one is taken along.
SHORTEST = 7_500_000


@dataclass(frozen=True)
class LegSettings:
    """How legs are followed. SI units.

    Raises:
        UserError: for a value out of its range.
    """

    window: float = setting(0.015, 0.0, 1.0, "the rate is the slope of the readings of so long, s, of two at least; it "
                                             "is late by half of the time between first and last")
    largest_change: float = setting(70.0, 1.0, 1e4, "a reading that needs a larger change of the leg's mean rate waits "
                                                    "for the next one to confirm it, rad/s")
    longest_gap: float = setting(0.1, 0.001, 10.0, "after a longer silence a leg is followed anew, s")
    longest_prediction: float = setting(0.05, 0.0, 1.0, "the angle is predicted with the rate for so long, s")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class LegEstimate:
    """Both legs at one moment, left then right.

    Args:
        angles: rad, unwrapped ``(2,)``, predicted to the moment.
        rates: rad/s ``(2,)``, at the newest readings.
        stamp: of the newest good reading, ns; of the older of the two, if one leg's was held back.
    """

    angles: np.ndarray
    rates: np.ndarray
    stamp: int


class _Reading(NamedTuple):
    stamp: int
    angle: float


class _Leg:
    """One leg."""

    def __init__(self, settings: LegSettings) -> None:
        self._largest = settings.largest_change
        self._window, self._gap = round(settings.window * _SECOND), round(settings.longest_gap * _SECOND)
        self._kept = max(self._window, 2 * SHORTEST)
        self.glitches = 0
        self.forget()

    def forget(self) -> None:
        self._readings: list[_Reading] = []
        self._held: tuple[int, float, float] | None = None
        #: The newest reading as the driver said it, and what was added to it.
        self._raw, self._offset = 0.0, 0.0
        #: Rate at the newest reading: of the shortest time, to judge the next one, and of the window, rad/s.
        self._last_rate, self.rate = 0.0, 0.0

    @property
    def newest(self) -> _Reading:
        return self._readings[-1]

    def add(self, stamp: int, raw: float, rate: float) -> None:
        """Take a reading; ``rate`` is what the driver says, for as long as there is only one."""
        if not self._readings or stamp - self.newest.stamp > self._gap:
            self._begin(stamp, raw, rate)
            return
        held = self._held
        angle = self._unwrapped(raw, self.newest, self._last_rate, stamp)
        if _change(self.newest, self._last_rate, stamp, angle) <= self._largest:
            if held is not None:
                self.glitches += 1
            elif self._turns_back(angle) and self._drop_last(stamp, raw):
                return
            self._take(stamp, raw, angle)
        elif held is not None:
            if self._follows(held, stamp, raw):
                self._begin(*held)
                self._take(stamp, raw, self._unwrapped(raw, self.newest, self._last_rate, stamp))
            else:
                self.glitches += 1
                self._held = (stamp, raw, rate)
        elif not self._drop_last(stamp, raw):
            self._held = (stamp, raw, rate)

    def _turns_back(self, angle: float) -> bool:
        """Tell whether the last reading is outside of both its neighbours."""
        if len(self._readings) < 2:
            return False
        before, middle = self._readings[-2].angle, self.newest.angle
        return not min(before, angle) - ZIGZAG <= middle <= max(before, angle) + ZIGZAG

    def _drop_last(self, stamp: int, raw: float) -> bool:
        """Take a reading in place of the last one, if that fits better to those before: it was a glitch, if small."""
        earlier = self._readings[:-1]
        if len(earlier) < 2:
            return False
        rate = _slope(earlier[_first(earlier, SHORTEST):])
        angle = self._unwrapped(raw, earlier[-1], rate, stamp)
        change = _change(earlier[-1], rate, stamp, angle)
        if change > self._largest or change > 0.5 * _change(earlier[-1], rate, *self.newest):
            return False
        del self._readings[-1]
        self.glitches += 1
        self._take(stamp, raw, angle)
        return True

    def _begin(self, stamp: int, raw: float, rate: float) -> None:
        self._held = None
        self._raw, self._offset = raw, 0.0
        self._readings = [_Reading(stamp, raw)]
        self._last_rate = self.rate = rate

    def _take(self, stamp: int, raw: float, angle: float) -> None:
        self._held, self._raw, self._offset = None, raw, angle - raw
        readings = self._readings
        readings.append(_Reading(stamp, angle))
        while len(readings) > 4 and readings[2].stamp < stamp - self._kept:
            del readings[0]
        self._last_rate = _slope(readings[_first(readings, SHORTEST):])
        self.rate = _slope(readings[_first(readings, self._window):])

    def _unwrapped(self, raw: float, last: _Reading, rate: float, stamp: int) -> float:
        """Return the angle that a reading means, without the whole turns where driver or counter have wrapped."""
        expected = last.angle + rate * (stamp - last.stamp) / _SECOND
        period = TURN if _may_wrap(self._raw, raw) else COUNTER
        angle = raw + self._offset
        return angle - period * round((angle - expected) / period)

    def _follows(self, held: tuple[int, float, float], stamp: int, raw: float) -> bool:
        """Tell whether a reading goes on from a held one, at any rate that a leg may have."""
        seconds, way = (stamp - held[0]) / _SECOND, raw - held[1]
        if _may_wrap(held[1], raw):
            way -= TURN * round(way / TURN)
        return abs(way) <= 2.0 * self._largest * seconds + SLACK


def _may_wrap(first: float, second: float) -> bool:
    """Tell whether two readings may be those of a driver that says angles within one turn: then a turn more is none.

    Those of one that counts on may be so too, in its first turn; there the nearest turn is the right one just as well.
    """
    return -math.pi - _ROUNDING <= min(first, second) and max(first, second) <= TURN + _ROUNDING


def _change(last: _Reading, rate: float, stamp: int, angle: float) -> float:
    """Return by how much the mean rate since a reading differs from the one at it, rad/s."""
    seconds = (stamp - last.stamp) / _SECOND
    return max(0.0, abs(angle - last.angle - rate * seconds) - SLACK) / seconds


def _first(readings: list[_Reading], window: int) -> int:
    """Return the index of the first reading to take: those of a window (ns) and one more if they are too close."""
    newest, i = readings[-1].stamp, len(readings) - 2
    while i > 0 and (newest - readings[i - 1].stamp <= window or newest - readings[i].stamp < SHORTEST):
        i -= 1
    return i


def _slope(readings: list[_Reading]) -> float:
    """Return the slope of the least-squares line, rad/s."""
    origin = readings[-1].stamp
    if len(readings) == 2:
        return (readings[1].angle - readings[0].angle) * _SECOND / (origin - readings[0].stamp)
    times = [(each.stamp - origin) / _SECOND for each in readings]
    mean = sum(times) / len(times)
    last = readings[-1].angle
    products = sum([(time - mean) * (each.angle - last) for time, each in zip(times, readings, strict=True)])
    return products / sum([(time - mean) ** 2 for time in times])


class LegFilter:
    """Follows both legs.

    Args:
        settings: of both.
    """

    def __init__(self, settings: LegSettings = LegSettings()) -> None:
        self._longest = settings.longest_prediction
        self._legs = (_Leg(settings), _Leg(settings))
        self._newest: int | None = None
        self._not_finite = self._late = 0

    def reset(self) -> None:
        """Forget all readings; the counts stay."""
        self._newest = None
        for leg in self._legs:
            leg.forget()

    @property
    def rejected(self) -> dict[str, int]:
        """How many samples were left out, by reason; glitches of either leg."""
        return {"not finite": self._not_finite, "late": self._late, "glitch": sum(leg.glitches for leg in self._legs)}

    def add(self, sample: CrankSample) -> bool:
        """Take a sample; return False if it was left out: not finite, or not newer than the last one."""
        angles, rates = sample.angles.tolist(), sample.rates.tolist()
        if not all(map(math.isfinite, angles)) or not all(map(math.isfinite, rates)):
            self._not_finite += 1
            return False
        if self._newest is not None and sample.stamp <= self._newest:
            self._late += 1
            return False
        self._newest = sample.stamp
        for leg, angle, rate in zip(self._legs, angles, rates, strict=True):
            leg.add(sample.stamp, angle, rate)
        return True

    def estimate(self, stamp: int) -> LegEstimate | None:
        """Return angles predicted to a moment (ns), and rates; None before the first sample. Changes nothing."""
        if self._newest is None:
            return None
        left, right = self._legs
        return LegEstimate(np.array([self._predicted(left, stamp), self._predicted(right, stamp)]),
                           np.array([left.rate, right.rate]), min(left.newest.stamp, right.newest.stamp))

    def _predicted(self, leg: _Leg, stamp: int) -> float:
        seconds = (stamp - leg.newest.stamp) / _SECOND
        return leg.newest.angle + leg.rate * max(min(seconds, self._longest), -self._longest)
