# SPDX-License-Identifier: Apache-2.0
"""States and commands that came at any rate, seen once per control period.

States are interpolated between two samples that are at most one control period apart; a moment on which a sample lies
gets that sample, bit for bit. Between other samples nothing is made up: there a run ends. The action of a period is
the average over time of the commands in force during it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from l2a_ros.experience.transitions import Cut, is_finite
from l2a_ros.robot.continuity import is_state_jump
from l2a_ros.robot.layout import ACTION, SIDES, STATE

#: How far from one control period apart two states may be to be taken as they are, as a fraction of it.
TOLERANCE = 0.3
#: How far the average interval may be from the control period before states are resampled, as a fraction of it.
DRIFT = 0.1
#: A command is in force until the next one, but no longer than so many usual intervals: if the next one is missing from
#: the recording, nobody knows what was in force.
HOLD = 1.5

_BODY_ANGLES = [STATE.indices([f"{name}_cos", f"{name}_sin"]) for name in ("roll", "pitch", "yaw")]
_LEG_ANGLES = [(STATE.indices([f"{side}_leg_cos", f"{side}_leg_sin"]), STATE.index(f"{side}_leg_velocity"))
               for side in SIDES]
_SECOND = 1_000_000_000
_TURN = 2.0 * np.pi


class Pace(Enum):
    """How the states of a recording come."""

    AT_PERIOD = "at the control period"
    FASTER = "faster"
    SLOWER = "slower"


@dataclass(frozen=True)
class Run:
    """States without a break between them: stamps ``(n,)`` ns, ascending, and states ``(n, 24)``."""

    stamps: np.ndarray
    states: np.ndarray


@dataclass(frozen=True)
class Break:
    """What lies between two runs: why, and how many control periods long."""

    reason: Cut
    periods: int


def usual_interval(stamps: np.ndarray) -> float:
    """Return the average interval between moments ``(n,)`` in ns, gaps left out; NaN for fewer than two moments."""
    intervals = np.diff(stamps)
    if not len(intervals):
        return float("nan")
    return float(intervals[intervals <= 1.5 * np.median(intervals)].mean())


def pace_of(stamps: np.ndarray, period: int) -> Pace:
    """Tell how states with these stamps ``(n,)`` ns come, compared with a control period in ns.

    Jitter of the stamps alone never makes a recording fast: it cancels in the average of many intervals, and of few
    intervals less is concluded.
    """
    if len(stamps) < 2:
        return Pace.AT_PERIOD
    usual = usual_interval(stamps)
    if usual < period * (1.0 - DRIFT - TOLERANCE / (len(stamps) - 1)):
        return Pace.FASTER
    return Pace.SLOWER if usual > period * (1.0 + TOLERANCE) else Pace.AT_PERIOD


def resample(stamps: np.ndarray, states: np.ndarray, period: int) -> tuple[list[Run], list[Break]]:
    """Return the states at moments one control period apart.

    Every run has its own grid of moments, which begins at its first sample. A run ends where two samples are further
    apart than a period, at a sample that is not finite, and at a jump that the robot cannot have made.

    Args:
        stamps: of the samples, ns, ascending ``(n,)``.
        states: ``(n, 24)``.
        period: ns.

    Returns:
        The runs, and the breaks between them (and before the first or after the last, if a bad sample is there).
    """
    runs: list[Run] = []
    breaks: list[Break] = []
    good = [is_finite(state) for state in states]
    first, reason = 0, None
    last_moment = int(stamps[0]) if len(stamps) else 0
    for i in range(len(stamps)):
        following = i + 1 < len(stamps)
        cause = _defect(stamps, states, good, i, period) if following else None
        if following and cause is None:
            continue
        # Samples first..i hang together.
        if good[i]:
            run = _on_grid(stamps[first:i + 1], states[first:i + 1], period)
            if reason is not None:
                # A part of a period costs a whole one: this run does not fit the grid of the last.
                breaks.append(Break(reason, -((last_moment - int(run.stamps[0])) // period)))
            runs.append(run)
            last_moment, reason = int(run.stamps[-1]), None
        # Of several defects in a row the first one is the reason.
        reason = reason or cause or (None if good[i] else Cut.NOT_FINITE)
        first = i + 1
    if reason is not None:
        breaks.append(Break(reason, (int(stamps[-1]) - last_moment) // period))
    return runs, breaks


def _defect(stamps: np.ndarray, states: np.ndarray, good: Sequence[bool], i: int, period: int) -> Cut | None:
    """Return why sample i and the next one do not hang together."""
    interval = int(stamps[i + 1] - stamps[i])
    if interval > period:
        return Cut.GAP
    if not (good[i] and good[i + 1]):
        return Cut.NOT_FINITE
    return Cut.JUMP if is_state_jump(states[i], states[i + 1], interval) else None


def _on_grid(stamps: np.ndarray, states: np.ndarray, period: int) -> Run:
    moments = np.arange(int(stamps[0]), int(stamps[-1]) + 1, period, dtype=np.int64)
    before = np.searchsorted(stamps, moments, side="right") - 1
    after = np.minimum(before + 1, len(stamps) - 1)
    # The last moment can lie on the last sample.
    interval = np.maximum(stamps[after] - stamps[before], 1)
    between = interpolate(states[before], states[after], (moments - stamps[before]) / interval, interval / _SECOND)
    exact = stamps[before] == moments
    return Run(moments, np.where(exact[:, None], states[before], between))


def interpolate(first: np.ndarray, second: np.ndarray, part: np.ndarray, interval: np.ndarray) -> np.ndarray:
    """Return states ``(n, 24)`` between two: linear, angles along the circle.

    Args:
        first: states ``(n, 24)``.
        second: states ``(n, 24)``, later by ``interval``.
        part: how far on the way, 0 to 1, ``(n,)``.
        interval: s, ``(n,)``.

    Body angles take the shorter way round. A leg may turn by more than half a turn between two samples: the mean of its
    rates says how many turns it made.
    """
    states: np.ndarray = first + part[:, None] * (second - first)
    for pair in _BODY_ANGLES:
        _turn(states, first, second, part, pair, np.zeros(len(first)))
    for pair, rate in _LEG_ANGLES:
        _turn(states, first, second, part, pair, (first[:, rate] + second[:, rate]) / 2.0 * interval)
    return states


def _turn(states: np.ndarray, first: np.ndarray, second: np.ndarray, part: np.ndarray, pair: list[int],
          expected: np.ndarray) -> None:
    """Set a pair of cosine and sine: turned from the first angle to the second by the way closest to the expected."""
    cosine, sine = pair
    begin = np.arctan2(first[:, sine], first[:, cosine])
    turned = np.arctan2(second[:, sine], second[:, cosine]) - begin
    turned += _TURN * np.round((expected - turned) / _TURN)
    angle = begin + part * turned
    states[:, cosine], states[:, sine] = np.cos(angle), np.sin(angle)


class CommandsInForce:
    """Which crank rates were commanded when.

    Args:
        moments: when commands took effect, ns, in any order, ``(m,)``.
        rates: the commands, rad/s ``(m, 2)``.
        period: control period, ns.
    """

    def __init__(self, moments: np.ndarray, rates: np.ndarray, period: int) -> None:
        order = np.argsort(moments, kind="stable")
        self._moments = [int(moment) for moment in moments[order]]
        self._sorted = np.asarray(self._moments, dtype=np.int64)
        self._rates = rates[order]
        usual = usual_interval(self._sorted)
        self._hold = round(HOLD * (period if np.isnan(usual) else max(period, usual)))

    def average(self, begin: int, end: int) -> np.ndarray | None:
        """Return the average over time of the commands in force between two moments (ns), ``(2,)`` rad/s.

        None if for a part of the time none was; zeros, a stand, if one of them was a stand; NaN if one was not finite.
        This is :func:`~l2a_ros.experience.transitions.effective_action` for any number of commands.
        """
        i = int(np.searchsorted(self._sorted, begin, side="right")) - 1
        if i < 0:
            return None
        total, duration = np.zeros(ACTION.size), end - begin
        is_stand = False
        while begin < end:
            until = min(end, self._moments[i + 1]) if i + 1 < len(self._moments) else end
            if until > self._moments[i] + self._hold:
                return None
            # Of two commands that took effect at once only the second was in force.
            if until > begin:
                total += (until - begin) / duration * self._rates[i]
                is_stand |= not self._rates[i].any()
                begin = until
            i += 1
        return total * 0.0 if is_stand else total
