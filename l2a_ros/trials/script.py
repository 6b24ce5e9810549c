# SPDX-License-Identifier: Apache-2.0
"""A trial's course written as a sequence of waits, without blocking whoever carries it out.

A script is a generator: each number it yields is the time in seconds until it wants to look again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

Script = Iterator[float]

#: Between two looks, seconds.
POLL = 0.01


class Abandoned(Exception):
    """The trial cannot start or go on; the text is one line for the user."""


def until(met: Callable[[], bool], clock: Callable[[], float], seconds: float, what: Callable[[], str],
          poll: float = POLL) -> Script:
    """Wait until something is so.

    Args:
        met: whether it is.
        clock: seconds, monotonic.
        seconds: longest wait.
        what: says, after a wait in vain, what was waited for.
        poll: time between two looks, s.

    Raises:
        Abandoned: with the text of ``what``, when the time is over.
    """
    end = clock() + seconds
    while not met():
        if clock() > end:
            raise Abandoned(what())
        yield poll


def asking(ask: Callable[[], object], answered: Callable[[], bool], clock: Callable[[], float],
           every: float) -> Callable[[], bool]:
    """Return a condition for :func:`until` that asks, again every so many seconds, until there is an answer."""
    asked: list[float] = []

    def met() -> bool:
        if answered():
            return True
        if not asked or clock() - asked[-1] > every:
            asked[:] = [clock()]
            ask()
        return False

    return met
