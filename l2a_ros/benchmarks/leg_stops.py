# SPDX-License-Identifier: Apache-2.0
"""When the legs of an emulated robot were stopped, from its own truth.

The truth has columns stamp (ns), left and right rate (rad/s), motors on, plugged: shape ``(n, 5)``.

Legs whose motors are off give way under the weight of the robot until it has sunk onto others. So there are two
figures: stopped, when the motors are off for good and no leg turns more than half a revolution from then on; and at
rest, when no leg turns any more at all.
"""

from __future__ import annotations

import numpy as np

#: A leg below this rate rests, rad/s: a tenth of the slowest admissible one.
AT_REST = 1.25
#: A leg that gives way turns less, rad.
GIVES_WAY = np.pi
_SECOND = 1e9


def time_to_stop(truth: np.ndarray) -> float:
    """Return the time from the first sample until the legs were stopped, s; infinite if they were not."""
    if not len(truth):
        return float("inf")
    seconds = (truth[:, 0] - truth[0, 0]) / _SECOND
    steps = np.abs(truth[1:, 1:3]) * np.diff(seconds)[:, None]
    still_to_come = np.vstack([np.cumsum(steps[::-1], axis=0)[::-1], np.zeros((1, 2))]).max(axis=1)
    are_off = np.minimum.accumulate((truth[:, 3] < 0.5)[::-1])[::-1]
    stopped = np.flatnonzero(are_off & (still_to_come < GIVES_WAY))
    return float(seconds[stopped[0]]) if len(stopped) else float("inf")


def time_to_rest(truth: np.ndarray) -> float:
    """Return the time from the first sample until the legs were at rest for good, s; infinite if they were not."""
    if not len(truth):
        return float("inf")
    moving = np.flatnonzero(np.abs(truth[:, 1:3]).max(axis=1) > AT_REST)
    if not len(moving):
        return 0.0
    first = moving[-1] + 1
    return float((truth[first, 0] - truth[0, 0]) / _SECOND) if first < len(truth) else float("inf")
