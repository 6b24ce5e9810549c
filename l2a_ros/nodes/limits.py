# SPDX-License-Identifier: Apache-2.0
"""The limits of the leg rates, as parameters of every node that keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2a_ros.nodes.parameters import Parameter
from l2a_ros.robot.limits import REVOLUTION, LegRateLimits

LIMITS_SCHEMA = (
    Parameter("slowest_leg_rate", 2.0, "slowest admissible leg rate, rev/s", 0.0, 20.0),
    Parameter("fastest_leg_rate", 9.0, "fastest admissible leg rate, rev/s", 0.1, 20.0),
)
#: For the real robot alone: a limit here would change what the simulator does, and so every figure measured with it.
ACCELERATION = Parameter("fastest_leg_acceleration", 0.0, "how fast a leg may gain speed, rad/s^2, 0 for no limit",
                         0.0, 1e5)


def load_limits(settings: Mapping[str, Any]) -> LegRateLimits:
    """Return the limits that the parameters of ``LIMITS_SCHEMA`` name.

    Raises:
        UserError: if they make no range.
    """
    return LegRateLimits(settings["slowest_leg_rate"] * REVOLUTION, settings["fastest_leg_rate"] * REVOLUTION)
