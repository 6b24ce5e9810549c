# SPDX-License-Identifier: Apache-2.0
"""The robot's cell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Battery:
    """One lithium cell: open-circuit voltage falls linearly over the run, and with the current drawn.

    Args:
        full_voltage: V at the start.
        internal_resistance: ohm (assumed).
        fade: V/s (assumed: 4.1 V to 3.5 V in about 30 min of walking).
    """

    full_voltage: float = 4.1
    internal_resistance: float = 0.15
    fade: float = 3.3e-4
