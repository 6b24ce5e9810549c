# SPDX-License-Identifier: Apache-2.0
"""How time passes in a simulation: with the wall clock, faster or slower, or tick by tick."""

from __future__ import annotations

from l2a_ros.errors import UserError

#: Clock modes with a name; any number in range is a factor of real time.
REAL, LOCKSTEP = "real", "lockstep"
#: Where simulated time begins, ns: zero means "no time yet" in ROS.
SIMULATED_START = 1_000_000_000
#: Slowest and fastest factor of real time that is of any use.
MIN_FACTOR, MAX_FACTOR = 0.01, 100.0


def clock_speed(text: str) -> float:
    """Return the speed of a clock mode: 1 for ``real``, 0 for ``lockstep`` (the world waits), else the factor.

    Raises:
        UserError: if it is neither a mode nor a factor in range.
    """
    if text in (REAL, LOCKSTEP):
        return 1.0 if text == REAL else 0.0
    try:
        factor = float(text)
    except ValueError:
        raise UserError(f"clock must be {REAL}, {LOCKSTEP} or a factor of real time such as 2.0, "
                        f"not '{text}'") from None
    # A not-a-number is in no range, so it ends here too.
    if not MIN_FACTOR <= factor <= MAX_FACTOR:
        raise UserError(f"clock as a factor of real time must be from {MIN_FACTOR:g} to {MAX_FACTOR:g}, not '{text}'")
    return factor
