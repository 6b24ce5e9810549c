# SPDX-License-Identifier: Apache-2.0
"""A first-order low-pass filter by stamps, for slow quantities: battery voltage, back-EMF.

A low-pass of time constant T is late by T for all that changes slowly, and leaves 1 / sqrt(1 + (2 pi f T)^2) of what
changes with a frequency f. A stride of 2 to 9 Hz is in the back-EMF (0.3 V root mean square) and is to stay there:
against 10 bit of the converter (0.003 V) nothing has to be filtered. With samples at 50 Hz the error against the
momentary back-EMF is 0.006 V for T = 5 ms, 0.04 for 10, 0.10 for 20 and 0.16 for 40. The battery sags with each push
of a leg, by 0.07 V root mean square; a value every 0.1 s shows the sag of some moment or other, T = 1 s leaves a
quarter of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from l2a_ros.errors import UserError

_SECOND = 1e9
#: After so many time constants without a sample the next one counts alone: nothing of the old value would be left.
MEMORY = 5.0


class LowPass:
    """Filters a vector of any length.

    Each sample is taken for the value since the one before: exact for steps at the stamps, whatever they are.

    Args:
        time_constant: s; 0 lets everything pass.

    Raises:
        UserError: for a time constant that is negative or not finite.
    """

    def __init__(self, time_constant: float) -> None:
        if not 0.0 <= time_constant < math.inf:
            raise UserError(f"the time constant of a low-pass must be 0 s or more, and finite; not {time_constant:g}")
        self._constant = time_constant * _SECOND
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        #: Stamp of the newest sample, ns, and the filtered value at it; None before the first one.
        self.stamp: int | None = None
        self.value: tuple[float, ...] | None = None

    def add(self, stamp: int, values: Sequence[float]) -> bool:
        """Take a sample.

        Args:
            stamp: ns.
            values: as many as in the samples before.

        Returns:
            False if it was left out: not finite, or not newer than the last one.
        """
        values = tuple(map(float, values))
        if not all(map(math.isfinite, values)) or (self.stamp is not None and stamp <= self.stamp):
            return False
        if self.value is None or self.stamp is None or stamp - self.stamp >= MEMORY * self._constant:
            self.value = values
        else:
            share = -math.expm1((self.stamp - stamp) / self._constant)
            self.value = tuple([old + share * (new - old) for old, new in zip(self.value, values, strict=True)])
        self.stamp = stamp
        return True
